//! A log, a clock, and the few calls that every test makes.

use std::time::Duration;

use alluvium::{
    Consumer, ConsumerBuilder, EventLog, Isolation, ManualClock, NewTopic, OffsetReset, Producer,
    Record, TopicPartition, TransactionalProducer,
};

use crate::support::Bed as Home;

pub use crate::support::Kind;

/// A log with manual time, and two topics: `a` and `b`, of two partitions each.
pub struct Bed {
    pub log: EventLog,
    pub clock: ManualClock,
    pub plain: Producer,
    pub home: Home,
}

impl Bed {
    pub fn new(kind: Kind) -> Self {
        let home = Home::new(kind);
        let clock = ManualClock::starting_at(1_700_000_000_000);
        let log = open(&clock, &home);
        for topic in ["a", "b"] {
            log.create_topic(NewTopic::new(topic).partitions(2)).unwrap();
        }
        let plain = log.producer().seed(1).build().unwrap();
        Self { log, clock, plain, home }
    }

    pub fn memory() -> Self {
        Self::new(Kind::Memory)
    }

    /// Another life of a log on disk; the same one in memory.
    pub fn reopen(self) -> Self {
        if self.home.is_memory() {
            return self;
        }
        let Bed { log, clock, plain, home } = self;
        drop(plain);
        log.close().unwrap();
        let log = open(&clock, &home);
        let plain = log.producer().seed(1).build().unwrap();
        Self { log, clock, plain, home }
    }

    pub fn transactional(&self, id: &str) -> TransactionalProducer {
        self.log.transactional_producer(id).build().unwrap()
    }

    /// Sends outside of any transaction.
    pub fn send(&self, topic: &str, partition: u32, value: &str) {
        self.plain.send(to(topic, partition, value)).unwrap().wait().unwrap();
    }

    /// Everything that readers of an isolation see of a partition, from the beginning.
    pub fn read(&self, isolation: Isolation, topic: &str, partition: u32) -> Vec<(u64, String)> {
        let mut reader = self.reader(isolation, &[tp(topic, partition)]);
        let mut seen = Vec::new();
        loop {
            let records = reader.poll(Duration::ZERO).unwrap();
            if records.is_empty() {
                return seen;
            }
            let values = records.iter().map(|r| (r.offset(), r.value_str().unwrap().to_owned()));
            seen.extend(values);
        }
    }

    pub fn committed(&self, topic: &str, partition: u32) -> Vec<String> {
        let read = self.read(Isolation::ReadCommitted, topic, partition);
        read.into_iter().map(|(_, value)| value).collect()
    }

    pub fn all(&self, topic: &str, partition: u32) -> Vec<String> {
        let read = self.read(Isolation::ReadUncommitted, topic, partition);
        read.into_iter().map(|(_, value)| value).collect()
    }

    pub fn reader(&self, isolation: Isolation, partitions: &[TopicPartition]) -> Consumer {
        let builder = self.log.consumer().isolation(isolation);
        let mut reader = builder.offset_reset(OffsetReset::Earliest).build().unwrap();
        reader.assign(partitions.iter().cloned()).unwrap();
        reader
    }

    /// A member of a group that reads what is committed, from the beginning.
    pub fn member(&self, group: &str) -> ConsumerBuilder {
        let builder = self.log.consumer().group(group).auto_commit(None);
        builder.isolation(Isolation::ReadCommitted).offset_reset(OffsetReset::Earliest)
    }

    /// The offset that a group has committed.
    pub fn offset_of(&self, group: &str, topic: &str, partition: u32) -> Option<u64> {
        let consumer = self.log.consumer().group(group).build().unwrap();
        let tp = tp(topic, partition);
        consumer.committed(std::slice::from_ref(&tp)).unwrap().get(&tp).map(|found| found.offset)
    }
}

fn open(clock: &ManualClock, home: &Home) -> EventLog {
    home.builder().clock(clock.clone()).open().unwrap()
}

/// Runs a test on each kind of log.
pub fn on_each_kind(test: impl Fn(Bed)) {
    for kind in [Kind::Memory, Kind::ProcessCrash, Kind::PowerLoss] {
        // Shown only when the test fails: which kind it was.
        eprintln!("on a log of kind {kind:?}");
        test(Bed::new(kind));
    }
}

pub fn tp(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

pub fn to<'a>(topic: &'a str, partition: u32, value: &'a str) -> Record<'a> {
    Record::new(topic, value).partition(partition)
}
