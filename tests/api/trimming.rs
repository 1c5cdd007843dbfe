//! Records deleted from the front of a partition.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::{
    ConsumerEvent, ErrorKind, EventLog, NewTopic, OffsetReset, OffsetSpec, RecordsToDelete,
    ResetReason,
};

use crate::support::*;

/// A topic of one partition with records that carry their offset.
fn filled(log: &EventLog, topic: NewTopic, count: u64) -> alluvium::Topic {
    let topic = log.create_topic(topic).unwrap();
    let producer = producer(log);
    let values: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    // Batches of ten, so that offsets lie in the middle of one.
    for ten in values.chunks(10) {
        producer.send_batch(ten.iter().map(|value| topic.record(value))).wait().unwrap();
    }
    topic
}

fn delete(log: &EventLog, before: u64) -> Result<u64, alluvium::Error> {
    log.admin().delete_records(&tp("t", 0), RecordsToDelete::BeforeOffset(before))
}

fn earliest(log: &EventLog) -> u64 {
    let answers = log.admin().list_offsets([(tp("t", 0), OffsetSpec::Earliest)]);
    answers[0].as_ref().unwrap().unwrap().offset
}

fn read_all(log: &EventLog) -> Vec<u64> {
    let mut reader = reader(log, [tp("t", 0)]);
    reader.seek_to_beginning(&[tp("t", 0)]).unwrap();
    let mut seen = Vec::new();
    while reader.lag(&tp("t", 0)).unwrap() > 0 {
        for record in &reader.poll(LONG).unwrap() {
            assert_eq!(record.value_str().unwrap(), record.offset().to_string());
            seen.push(record.offset());
        }
    }
    seen
}

#[test]
fn a46_the_log_start_is_the_offset_at_once_also_within_a_batch() {
    on_each_kind(|bed| {
        let log = bed.open();
        filled(&log, NewTopic::new("t"), 100);
        for start in [0, 1, 15, 40, 41, 99, 100] {
            assert_eq!(delete(&log, start).unwrap(), start, "the low watermark");
            assert_eq!(earliest(&log), start);
            assert_eq!(read_all(&log), (start..100).collect::<Vec<_>>());
        }
        // The next record goes on where the log ends.
        let producer = producer(&log);
        let placed = producer.send(alluvium::Record::new("t", "100")).unwrap();
        assert_eq!(placed.wait().unwrap().offset, 100);
        assert_eq!(read_all(&log), [100]);
    });
}

#[test]
fn a46_readers_below_the_start_are_told_and_their_policy_decides() {
    on_each_kind(|bed| {
        let log = bed.open();
        filled(&log, NewTopic::new("t"), 100);
        let reads = |reset| {
            let mut consumer = log.consumer().offset_reset(reset).build().unwrap();
            consumer.assign([tp("t", 0)]).unwrap();
            consumer.seek(&tp("t", 0), 10).unwrap();
            consumer
        };
        let mut careful = reads(OffsetReset::None);
        let mut patient = reads(OffsetReset::Earliest);
        let first = patient.poll(LONG).unwrap();
        delete(&log, 95).unwrap();
        // What was lent stays.
        assert_eq!(first.iter().next().unwrap().value_str().unwrap(), "10");
        let error = refused(ErrorKind::OffsetOutOfRange, careful.poll(Duration::ZERO));
        assert_eq!(error.offset(), Some(10));
        patient.seek(&tp("t", 0), 10).unwrap();
        let rest: Vec<_> = patient.poll(LONG).unwrap().iter().map(|r| r.offset()).collect();
        assert_eq!(rest, [95, 96, 97, 98, 99]);
        let told = patient.take_events();
        let is_reset = |event: &ConsumerEvent| {
            matches!(event, ConsumerEvent::Reset { wanted: Some(10), to: 95, reason, .. }
                if *reason == ResetReason::OutOfRange)
        };
        assert!(told.iter().any(is_reset), "{told:?}");
    });
}

#[test]
fn a46_space_is_freed_by_whole_segments() {
    on_disk(|bed| {
        // A sync that runs in the background would hold its files until it is done.
        let log = bed.builder().background(false).open().unwrap();
        let two_each = NewTopic::new("t").config("internal.segment.bytes", "300000");
        let topic = log.create_topic(two_each).unwrap();
        let producer = producer(&log);
        for _ in 0..10 {
            // So large a record is written through to a segment.
            producer.send(topic.record(&[7; 140_000])).unwrap().wait().unwrap();
        }
        let left = |before| {
            delete(&log, before).unwrap();
            bed.segment_files(&topic).len()
        };
        assert_eq!([0, 1, 2, 3, 7, 8].map(left), [5, 5, 4, 4, 2, 1]);
        assert_eq!(left(10), 0, "also the one that is written");
        producer.send(topic.record("after")).unwrap().wait().unwrap();
        assert_eq!(
            log.admin().list_offsets([(tp("t", 0), OffsetSpec::Latest)])[0]
                .as_ref()
                .unwrap()
                .unwrap()
                .offset,
            11
        );
    });
}

#[test]
fn a47_bounds_and_policies() {
    on_each_kind(|bed| {
        let log = bed.open();
        filled(&log, NewTopic::new("t"), 20);
        let error = refused(ErrorKind::OffsetOutOfRange, delete(&log, 21));
        assert_eq!((error.offset(), error.kafka_code()), (Some(21), Some(1)));
        assert_eq!(earliest(&log), 0);
        assert_eq!(delete(&log, 12).unwrap(), 12);
        assert_eq!(delete(&log, 7).unwrap(), 12, "below the start nothing changes");
        let all = |topic| log.admin().delete_records(&tp(topic, 0), RecordsToDelete::All);
        assert_eq!(all("t").unwrap(), 20);
        assert_eq!(all("t").unwrap(), 20, "there is nothing left");
        log.create_topic(NewTopic::new("state").compacted()).unwrap();
        let error = refused(ErrorKind::PolicyViolation, all("state"));
        assert_eq!(error.kafka_code(), Some(44));
        let both = NewTopic::new("both").config("cleanup.policy", "compact,delete");
        log.create_topic(both).unwrap();
        assert_eq!(all("both").unwrap(), 0);
        let for_ever = NewTopic::new("ever").config("cleanup.policy", "");
        log.create_topic(for_ever).unwrap();
        assert_eq!(all("ever").unwrap(), 0, "nothing goes by itself, and by hand it does");
        refused(ErrorKind::UnknownTopicOrPartition, all("nowhere"));
        let one_too_many = log.admin().delete_records(&tp("t", 1), RecordsToDelete::All);
        refused(ErrorKind::UnknownTopicOrPartition, one_too_many);
        log.clone().close().unwrap();
        refused(ErrorKind::Closed, delete(&log, 20));
    });
}

#[test]
fn a48_the_log_start_is_there_in_the_next_life() {
    on_disk(|bed| {
        let log = bed.open();
        filled(&log, NewTopic::new("t"), 100);
        delete(&log, 35).unwrap();
        let log = bed.reopen(log);
        assert_eq!(earliest(&log), 35);
        assert_eq!(read_all(&log), (35..100).collect::<Vec<_>>());
        let all = log.admin().delete_records(&tp("t", 0), RecordsToDelete::All);
        assert_eq!(all.unwrap(), 100);
        let log = bed.reopen(log);
        assert_eq!(earliest(&log), 100);
        let producer = producer(&log);
        let placed = producer.send(alluvium::Record::new("t", "100")).unwrap();
        assert_eq!(placed.wait().unwrap().offset, 100, "no offset is given again");
    });
}

#[test]
fn a46_deleting_beside_writers_and_readers_takes_nothing_else() {
    on_each_kind(|bed| {
        let log = bed.open();
        let small = NewTopic::new("t").config("internal.segment.bytes", "4000");
        let topic = log.create_topic(small).unwrap();
        let (done, count) = (AtomicBool::new(false), 3_000_u64);
        thread::scope(|scope| {
            scope.spawn(|| {
                let producer = producer(&log);
                for number in 0..count {
                    let value = number.to_string();
                    let _placed = producer.send(topic.record(&value)).unwrap().placed();
                }
                producer.flush().unwrap();
                done.store(true, Ordering::Release);
            });
            scope.spawn(|| {
                let mut next = 0;
                let mut reader =
                    log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
                reader.assign([tp("t", 0)]).unwrap();
                while next < count {
                    for record in &reader.poll(Duration::ZERO).unwrap() {
                        assert!(record.offset() >= next, "never backwards");
                        assert_eq!(record.value_str().unwrap(), record.offset().to_string());
                        next = record.offset() + 1;
                    }
                    let is_gone = done.load(Ordering::Acquire) && earliest(&log) == count;
                    if is_gone {
                        return;
                    }
                }
            });
            let mut before = 0;
            while !done.load(Ordering::Acquire) {
                let start = log.admin().delete_records(&tp("t", 0), RecordsToDelete::All).unwrap();
                assert!(start >= before);
                before = start;
                thread::yield_now();
            }
        });
        let start = earliest(&log);
        assert_eq!(read_all(&log), (start..count).collect::<Vec<_>>());
    });
}
