//! Partitions that rest for a while.

use std::thread;
use std::time::Duration;

use alluvium::ErrorKind;

use crate::support::*;

#[test]
fn c11_a_paused_partition_returns_nothing_and_keeps_position_and_buffer() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let producer = producer(&log);
        for n in 0..40 {
            put(&producer, topic.record("v").partition(n % 2));
        }
        let mut consumer = log.consumer().set("max.poll.records", "4").build().unwrap();
        consumer.assign([tp("t", 0), tp("t", 1)]).unwrap();
        consumer.seek_to_beginning(&[]).unwrap();
        let first = consumer.poll(LONG).unwrap();
        let began = first.of(&tp("t", 0)).len() as u64;
        assert!(began > 0);
        consumer.pause(&[tp("t", 0)]).unwrap();
        assert!(consumer.paused().eq([&tp("t", 0)]));
        let mut of_other = first.of(&tp("t", 1)).len();
        while of_other < 20 {
            let records = consumer.poll(LONG).unwrap();
            assert!(records.partitions().eq([&tp("t", 1)]));
            of_other += records.len();
        }
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        assert_eq!(consumer.position(&tp("t", 0)).unwrap(), began);
        assert_eq!(consumer.current_lag(&tp("t", 0)).unwrap(), Some(20 - began));
        consumer.resume(&[tp("t", 0)]).unwrap();
        assert_eq!(consumer.paused().count(), 0);
        let rest = take(&mut consumer, 20 - began as usize);
        assert_eq!(offsets(&rest), (began..20).collect::<Vec<_>>());
    });
}

#[test]
fn c11_a_partition_that_is_not_assigned_is_illegal_and_changes_nothing() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic_of(&log, "t", 2);
        let mut consumer = reader(&log, [tp("t", 0)]);
        for of in [tp("t", 1), tp("u", 0)] {
            let error = refused(ErrorKind::IllegalState, consumer.pause(&[tp("t", 0), of.clone()]));
            assert_eq!(
                (error.topic(), error.partition()),
                (Some(of.topic()), Some(of.partition()))
            );
            assert_eq!(consumer.paused().count(), 0);
            consumer.pause(&[tp("t", 0)]).unwrap();
            refused(ErrorKind::IllegalState, consumer.resume(&[tp("t", 0), of]));
            assert!(consumer.paused().eq([&tp("t", 0)]));
            consumer.resume(&[tp("t", 0)]).unwrap();
        }
    });
}

#[test]
fn c11_a_partition_that_is_left_out_forgets_its_pause_and_one_that_stays_keeps_it() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic_of(&log, "t", 2);
        let mut consumer = reader(&log, [tp("t", 0), tp("t", 1)]);
        consumer.pause(&[tp("t", 0), tp("t", 1)]).unwrap();
        consumer.assign([tp("t", 1)]).unwrap();
        assert!(consumer.paused().eq([&tp("t", 1)]));
        consumer.assign([tp("t", 0), tp("t", 1)]).unwrap();
        assert!(consumer.paused().eq([&tp("t", 1)]));
    });
}

#[test]
fn c11_what_is_appended_during_a_pause_comes_after_it() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let mut consumer = reader(&log, [tp("t", 0), tp("t", 1)]);
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        consumer.pause(&[tp("t", 0)]).unwrap();
        put(&producer(&log), topic.record("early").partition(0));
        thread::scope(|scope| {
            // The paused record does not end this poll.
            scope.spawn(|| put(&producer(&log), topic.record("other").partition(1)));
            assert_eq!(values(&take(&mut consumer, 1)), [b"other"]);
        });
        consumer.resume(&[tp("t", 0)]).unwrap();
        assert_eq!(values(&take(&mut consumer, 1)), [b"early"]);
    });
}

#[test]
fn c11_a_full_buffer_behind_a_pause_starves_nobody() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let producer = producer(&log);
        for n in 0..100 {
            put(&producer, topic.record(&[7; 500]).partition(n % 2));
        }
        let mut consumer = log
            .consumer()
            .set("fetch.max.bytes", "1")
            .set("max.poll.records", "1")
            .build()
            .unwrap();
        consumer.assign([tp("t", 0), tp("t", 1)]).unwrap();
        consumer.seek_to_beginning(&[]).unwrap();
        // One of them fills what may be fetched in all, and rests.
        let first = consumer.poll(LONG).unwrap();
        let full = first.partitions().next().unwrap().clone();
        consumer.pause(std::slice::from_ref(&full)).unwrap();
        assert_eq!(take(&mut consumer, 50).len(), 50);
        consumer.resume(&[full]).unwrap();
        assert_eq!(take(&mut consumer, 49).len(), 49);
    });
}
