//! A thousand partitions on a stage of one mebibyte: more than could each have a chunk.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use alluvium::{Durability, EventLog, NewTopic, OffsetReset, TopicPartition};

const PARTITIONS: u32 = 1_000;

fn open(dir: &std::path::Path, level: Durability) -> EventLog {
    EventLog::builder().path(dir).stage_bytes(1 << 20).durability(level).open().unwrap()
}

fn value(partition: u32) -> String {
    format!("the record of partition {partition}")
}

fn a_thousand_partitions_keep_a_record_each(level: Durability) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), level);
    let topic = log.create_topic(NewTopic::new("many").partitions(PARTITIONS)).unwrap();
    let producer = log.producer().build().unwrap();
    for partition in 0..PARTITIONS {
        let value = value(partition);
        let record = topic.record(&value).partition(partition).key("key");
        assert_eq!(producer.send(record).unwrap().placed().offset, 0);
    }
    producer.flush().unwrap();
    // The last handle closes the log.
    drop((log, topic, producer));

    let log = open(dir.path(), level);
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign((0..PARTITIONS).map(|p| TopicPartition::new("many", p))).unwrap();
    let mut seen = vec![false; PARTITIONS as usize];
    while seen.iter().any(|&seen| !seen) {
        let records = consumer.poll(Duration::from_secs(60)).unwrap();
        assert!(!records.is_empty(), "a record is missing");
        for record in &records {
            assert_eq!(record.value_str().unwrap(), value(record.partition()));
            let seen = &mut seen[record.partition() as usize];
            assert!(!std::mem::replace(seen, true), "a record came twice");
        }
    }
    log.close().unwrap();
}

#[test]
fn a_thousand_partitions_at_process_crash() {
    a_thousand_partitions_keep_a_record_each(Durability::ProcessCrash);
}

#[test]
fn a_thousand_partitions_at_power_loss() {
    a_thousand_partitions_keep_a_record_each(Durability::PowerLoss);
}
