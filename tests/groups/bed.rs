//! A log, a clock, and the few calls that every test makes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alluvium::{
    Consumer, ConsumerBuilder, Error, EventLog, ManualClock, NewTopic, OffsetReset, Producer,
    Rebalance, RebalanceListener, Record, Records, Result, TopicPartition,
};

use crate::support::Bed as Home;

pub use crate::support::{Kind, LONG};

/// A log with manual time.
pub struct Bed {
    pub log: EventLog,
    pub clock: ManualClock,
    pub producer: Producer,
    home: Home,
}

impl Bed {
    pub fn new(kind: Kind) -> Self {
        let home = Home::new(kind);
        let clock = ManualClock::starting_at(1_700_000_000_000);
        let log = open(&clock, &home);
        let producer = log.producer().seed(1).build().unwrap();
        Self { log, clock, producer, home }
    }

    pub fn memory() -> Self {
        Self::new(Kind::Memory)
    }

    /// Another life of a log on disk.
    pub fn reopen(self) -> Self {
        let Bed { log, clock, producer, home } = self;
        drop(producer);
        log.close().unwrap();
        let log = open(&clock, &home);
        let producer = log.producer().seed(1).build().unwrap();
        Self { log, clock, producer, home }
    }

    pub fn topic(&self, name: &str, partitions: u32) {
        self.log.create_topic(NewTopic::new(name).partitions(partitions)).unwrap();
    }

    /// Sends values `0..count` to each of the partitions.
    pub fn fill(&self, topic: &str, partitions: u32, count: u32) {
        for partition in 0..partitions {
            for number in 0..count {
                self.send(topic, partition, &number.to_string());
            }
        }
    }

    pub fn send(&self, topic: &str, partition: u32, value: &str) {
        let record = Record::new(topic, value).partition(partition);
        self.producer.send(record).unwrap().wait().unwrap();
    }

    /// A member that reads from the beginning and commits nothing by itself.
    pub fn member(&self, group: &str, topics: &[&str]) -> Consumer {
        self.builder(group).topics(topics.iter().copied()).build().unwrap()
    }

    pub fn builder(&self, group: &str) -> ConsumerBuilder {
        let builder = self.log.consumer().group(group).auto_commit(None);
        builder.offset_reset(OffsetReset::Earliest)
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

/// Looks once, and waits for nothing.
pub fn look(consumer: &mut Consumer) -> Records {
    consumer.poll(Duration::ZERO).unwrap()
}

/// Lets the members look in turn until all have come to rest: what one lets go of another takes.
pub fn settle(members: &mut [&mut Consumer]) {
    for _ in 0..6 {
        for member in &mut *members {
            look(member);
        }
    }
}

pub fn owned(consumer: &Consumer) -> Vec<TopicPartition> {
    consumer.assignment().cloned().collect()
}

pub fn values(records: &Records) -> Vec<String> {
    records.iter().map(|record| record.value_str().unwrap().to_owned()).collect()
}

/// What a listener was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
}

/// Writes down what it is told, with the name of whom it listens to.
#[derive(Clone, Default)]
pub struct Diary(pub Arc<Mutex<Vec<(&'static str, Told)>>>);

impl Diary {
    pub fn of(&self, who: &'static str) -> Scribe {
        Scribe { who, diary: self.clone(), fail: None }
    }

    pub fn take(&self) -> Vec<(&'static str, Told)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

pub struct Scribe {
    who: &'static str,
    diary: Diary,
    pub fail: Option<Error>,
}

impl Scribe {
    fn note(&mut self, told: Told) -> Result<()> {
        self.diary.0.lock().unwrap().push((self.who, told));
        self.fail.clone().map_or(Ok(()), Err)
    }
}

impl RebalanceListener for Scribe {
    fn assigned(&mut self, _: &mut Rebalance<'_>, p: &[TopicPartition]) -> Result<()> {
        self.note(Told::Assigned(p.to_vec()))
    }

    fn revoked(&mut self, _: &mut Rebalance<'_>, p: &[TopicPartition]) -> Result<()> {
        self.note(Told::Revoked(p.to_vec()))
    }

    fn lost(&mut self, _: &mut Rebalance<'_>, p: &[TopicPartition]) -> Result<()> {
        self.note(Told::Lost(p.to_vec()))
    }
}
