use std::path::Path;
use std::time::Duration;

use alluvium::{
    Consumer, Durability, EventLog, NewTopic, OffsetReset, Producer, Records, Topic, TopicPartition,
};

use crate::peer::{Contender, Level, Peer, Result, Seen, number};

pub fn contender() -> Contender {
    Contender {
        name: "alluvium",
        at_kill: Some("kill -9; power cut bounded by flush_interval (100 ms)"),
        at_power: Some("power cut (fdatasync, group commit)"),
        verified: "CRC-32 of the batch",
        can_scan: true,
        open: |dir, level| Ok(Box::new(Log::open(dir, level)?)),
    }
}

struct Log {
    level: Level,
    topic: Topic,
    producer: Producer,
    consumer: Consumer,
    /// For single records: it asks for no more.
    finder: Consumer,
    partition: TopicPartition,
    records: Records,
    _log: EventLog,
}

impl Log {
    fn open(dir: &Path, level: Level) -> Result<Self> {
        let durability = match level {
            Level::Kill => Durability::ProcessCrash,
            Level::Power => Durability::PowerLoss,
        };
        let log = EventLog::builder().path(dir).durability(durability).open()?;
        let topic = log.create_topic(NewTopic::new("records"))?;
        let producer = log.producer().build()?;
        let partition = TopicPartition::new("records", 0);
        let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
        consumer.assign([partition.clone()])?;
        let mut finder = log.consumer().set("max.poll.records", "1").build()?;
        finder.assign([partition.clone()])?;
        Ok(Self {
            level,
            topic,
            producer,
            consumer,
            finder,
            partition,
            records: Records::default(),
            _log: log,
        })
    }
}

impl Peer for Log {
    fn append(&mut self, record: &[u8]) -> Result<()> {
        let delivery = self.producer.send(self.topic.record(record).partition(0))?;
        if self.level == Level::Power {
            delivery.wait()?;
        }
        Ok(())
    }

    fn append_all(&mut self, records: &[&[u8]]) -> Result<()> {
        let topic = &self.topic;
        let records = records.iter().map(|record| topic.record(*record).partition(0));
        let delivery = self.producer.send_batch(records);
        for part in delivery.parts() {
            part.result()?;
        }
        if self.level == Level::Power {
            delivery.wait()?;
        }
        Ok(())
    }

    fn scan(&mut self) -> Result<Seen> {
        self.consumer.seek(&self.partition, 0)?;
        let mut seen = Seen::default();
        while self.consumer.poll_into(&mut self.records, Duration::ZERO)? > 0 {
            for record in &self.records {
                seen.take(record.value().unwrap_or_default());
            }
        }
        Ok(seen)
    }

    fn read(&mut self, index: u64) -> Result<u64> {
        self.finder.seek(&self.partition, index)?;
        self.finder.poll_into(&mut self.records, Duration::ZERO)?;
        let first = self.records.iter().next().ok_or("nothing there")?;
        Ok(number(first.value().unwrap_or_default()))
    }
}
