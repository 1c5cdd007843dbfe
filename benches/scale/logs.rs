//! The logs that are measured, and what they hold.

use std::path::Path;

use alluvium::{Durability, EventLog, NewTopic, Producer, Topic};

use crate::counted::CountedDisk;

const TOPIC: &str = "many";
const KEY: &[u8; 16] = b"sixteen byte key";
const VALUE: [u8; 100] = [b'v'; 100];
/// Bytes that one record takes in a log.
pub const ENCODED: usize = 136;
const STAGE_BYTES: usize = 4 << 20;

/// A log with one topic.
pub struct Bed {
    pub producer: Producer,
    pub topic: Topic,
    pub log: EventLog,
}

impl Bed {
    pub fn send(&self, partition: u32) {
        let _ =
            self.producer.send(self.topic.record(&VALUE).key(KEY).partition(partition)).unwrap();
    }
}

pub fn open(dir: &Path, disk: &CountedDisk, level: Durability) -> EventLog {
    let builder = EventLog::builder().path(dir).disk(disk.clone());
    builder.stage_bytes(STAGE_BYTES).durability(level).open().unwrap()
}

pub fn furnish(log: EventLog, partitions: u32) -> Bed {
    let topic = log.create_topic(NewTopic::new(TOPIC).partitions(partitions)).unwrap();
    let producer = log.producer().build().unwrap();
    Bed { producer, topic, log }
}

/// Reads every record of every partition from the beginning; how many.
pub fn scan(log: &EventLog, partitions: u32, expected: usize) -> usize {
    use alluvium::{OffsetReset, TopicPartition};
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign((0..partitions).map(|number| TopicPartition::new(TOPIC, number))).unwrap();
    let mut seen = 0;
    while seen < expected {
        let records = consumer.poll(std::time::Duration::from_secs(10)).unwrap();
        assert!(!records.is_empty(), "{seen} of {expected} records");
        seen += records.into_iter().count();
    }
    seen
}
