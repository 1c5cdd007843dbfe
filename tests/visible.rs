//! What readers see while records stand in the stage, beside large ones that do not.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use alluvium::testing::{Operation, SimDisk};
use alluvium::{Durability, EventLog, NewTopic, OffsetReset, Producer, Topic, TopicPartition};

const LARGE: usize = 100_000;

fn open(disk: &SimDisk, level: Durability) -> (EventLog, Topic, Producer) {
    let log = EventLog::builder()
        .disk(disk.clone())
        .path("/log")
        .durability(level)
        .background(false)
        .flush_interval(Duration::from_secs(3_600))
        .close_timeout(Duration::ZERO)
        .open()
        .unwrap();
    let topic = log.ensure_topic(NewTopic::new("t")).unwrap();
    let producer = log.producer().build().unwrap();
    (log, topic, producer)
}

/// Offset and length of every visible record.
fn read(log: &EventLog) -> Vec<(u64, usize)> {
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    let tp = TopicPartition::new("t", 0);
    consumer.assign([tp.clone()]).unwrap();
    let mut seen = Vec::new();
    while consumer.lag(&tp).unwrap() > 0 {
        let records = consumer.poll(Duration::ZERO).unwrap();
        seen.extend(records.iter().map(|record| (record.offset(), record.value().unwrap().len())));
    }
    seen
}

#[test]
fn a_batch_that_is_not_visible_is_not_read_as_part_of_the_one_before() {
    let (log, topic, producer) = open(&SimDisk::new(), Durability::PowerLoss);
    producer.send(topic.record("one")).unwrap().wait().unwrap();
    let second = producer.send(topic.record("second")).unwrap();
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([TopicPartition::new("t", 0)]).unwrap();
    let records = consumer.poll(Duration::ZERO).unwrap();
    let seen: Vec<_> = records.iter().map(|r| (r.offset(), r.value_str().unwrap())).collect();
    assert_eq!(seen, [(0, "one")]);
    second.wait().unwrap();
    assert_eq!(read(&log), [(0, 3), (1, 6)]);
}

/// Small, large, small: the large one is written through to the segment.
fn around_a_large_call(level: Durability, wait: bool) -> (SimDisk, EventLog) {
    let disk = SimDisk::new();
    let (log, topic, producer) = open(&disk, level);
    for len in [1, LARGE, 2, LARGE, LARGE, 3] {
        let _ = producer.send(topic.record(&vec![7; len])).unwrap();
    }
    let last = producer.send(topic.record(&[7; 4])).unwrap();
    if wait {
        last.wait().unwrap();
    }
    (disk, log)
}

const AROUND: [(u64, usize); 7] =
    [(0, 1), (1, LARGE), (2, 2), (3, LARGE), (4, LARGE), (5, 3), (6, 4)];

#[test]
fn a_large_call_between_small_ones_is_read_in_its_place() {
    for level in [Durability::ProcessCrash, Durability::PowerLoss] {
        let (_, log) = around_a_large_call(level, true);
        assert_eq!(read(&log), AROUND, "{level:?}");
    }
}

#[test]
fn a_kill_behind_a_large_call_loses_nothing() {
    for level in [Durability::ProcessCrash, Durability::PowerLoss] {
        for wait in [false, true] {
            let (disk, _log) = around_a_large_call(level, wait);
            let (log, _, producer) = open(&disk.kill(), level);
            producer.flush().unwrap();
            assert_eq!(read(&log), AROUND, "{level:?}, waited {wait}");
        }
    }
}

#[test]
fn a_power_cut_behind_a_large_call_loses_nothing_that_was_waited_for() {
    for seed in 0..20 {
        let (disk, _log) = around_a_large_call(Durability::PowerLoss, true);
        let (log, _, producer) = open(&disk.power_cut(seed), Durability::PowerLoss);
        producer.flush().unwrap();
        assert_eq!(read(&log), AROUND, "seed {seed}");
    }
}

/// One thread may have appended and not yet said that there is something to sync; another one
/// that appends to the same partition then relies on it.
#[test]
fn a_flush_does_not_rely_on_what_another_thread_is_about_to_do() {
    let (log, topic, producer) = open(&SimDisk::new(), Durability::PowerLoss);
    let partitions = [TopicPartition::new("t", 0)];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let consumer = log.consumer().build().unwrap();
                for _ in 0..500 {
                    let offset = producer.send(topic.record("x")).unwrap().placed().offset;
                    producer.flush().unwrap();
                    let visible = consumer.end_offsets(&partitions).unwrap();
                    assert!(visible.get(&partitions[0]) > Some(offset), "flushed too early");
                }
            });
        }
    });
}

/// What a reader sees that asks at once after a kill, and what the open cost in syncs.
fn after_a_kill(partitions: u32, settle: bool) -> (Vec<u64>, u64) {
    let disk = SimDisk::new();
    let (log, _, producer) = open(&disk, Durability::PowerLoss);
    let many = log.create_topic(NewTopic::new("many").partitions(partitions)).unwrap();
    for partition in 0..partitions {
        for _ in 0..3 {
            let value = vec![7; if settle { LARGE } else { 10 }];
            producer.send(many.record(&value).partition(partition)).unwrap().wait().unwrap();
        }
        let _ = producer.send(many.record("not waited for").partition(partition)).unwrap();
    }
    let killed = disk.kill();
    killed.start_trace();
    let (log, ..) = open(&killed, Durability::PowerLoss);
    let is_sync = |op: &Operation| matches!(op, Operation::Sync | Operation::SyncDir);
    let syncs = killed.trace().iter().filter(|done| is_sync(&done.operation)).count() as u64;
    let all: Vec<_> = (0..partitions).map(|n| TopicPartition::new("many", n)).collect();
    let consumer = log.consumer().build().unwrap();
    let ends = consumer.end_offsets(&all).unwrap().iter().map(|(_, end)| end).collect();
    (ends, syncs)
}

#[test]
fn what_was_visible_before_a_kill_is_visible_after_the_open() {
    for settle in [false, true] {
        let (ends, few) = after_a_kill(3, settle);
        assert_eq!(ends, [4; 3], "settled: {settle}");
        let (ends, many) = after_a_kill(40, settle);
        assert_eq!(ends, [4; 40], "settled: {settle}");
        // One sync of the stage serves them all; only large calls have segments to be synced.
        let more = if settle { 2 * 37 } else { 0 };
        assert!(many <= few + more, "settled: {settle}, {few} syncs of 3, {many} of 40");
    }
}
