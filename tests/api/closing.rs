//! Closing a log, and letting go of it.

use std::thread;
use std::time::Duration;

use alluvium::{ErrorKind, NewTopic};

use crate::support::*;

#[test]
fn close_ends_every_handle_of_the_log() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let (sender, clone) = (producer(&log), log.clone());
        let mut consumer = reader(&log, [tp("t", 0)]);
        put(&sender, topic.record("v"));
        let done = sender.send(topic.record("w")).unwrap().into_owned();
        log.close().unwrap();

        let closed = ErrorKind::Closed;
        refused(closed, sender.send(topic.record("x")));
        refused(closed, sender.send_batch([topic.record("x")]).wait());
        refused(closed, sender.flush());
        refused(closed, consumer.poll(LONG));
        refused(closed, consumer.assign([tp("t", 0)]));
        refused(closed, consumer.end_offsets(&[tp("t", 0)]));
        refused(closed, consumer.offsets_for_times([(tp("t", 0), 0)]));
        refused(closed, clone.topic("t"));
        refused(closed, clone.create_topic(NewTopic::new("u")));
        refused(closed, clone.ensure_topic(NewTopic::new("t")));
        refused(closed, clone.admin().list_topics());
        refused(closed, clone.admin().describe_topic("t"));
        refused(closed, clone.admin().delete_topic("t"));
        refused(closed, clone.producer().build());
        refused(closed, clone.consumer().build());
        clone.tick();
        clone.close().unwrap();
        assert_eq!(done.wait().unwrap().offset, 1, "the close made it durable");
    });
}

#[test]
fn a_log_opens_again_while_handles_of_its_last_life_are_around() {
    on_disk(|bed| {
        let log = bed.open();
        let topic_of_old = topic(&log, "t");
        let (old, clone) = (producer(&log), log.clone());
        let mut old_consumer = reader(&log, [tp("t", 0)]);
        put(&old, topic_of_old.record("a"));
        let records = old_consumer.poll(LONG).unwrap();
        log.close().unwrap();

        let log = bed.open();
        let topic = log.topic("t").unwrap();
        assert_eq!(put(&producer(&log), topic.record("b")), 1);
        refused(ErrorKind::Closed, old.send(topic_of_old.record("c")));
        refused(ErrorKind::Closed, old_consumer.poll(Duration::ZERO));
        // The old handles may go at any time; what they lent stays good.
        drop((old, clone, old_consumer));
        assert_eq!(records.iter().next().unwrap().value(), Some(&b"a"[..]));
        assert_eq!(put(&producer(&log), topic.record("d")), 2);
        assert_eq!(values(&read_all(&log, &tp("t", 0))), [b"a", b"b", b"d"]);
    });
}

#[test]
fn close_ends_a_poll_that_waits() {
    on_each_kind(|bed| {
        for _ in 0..10 {
            let bed = Bed::new(bed.kind);
            let log = bed.open();
            topic(&log, "t");
            let mut consumer = reader(&log, [tp("t", 0)]);
            let poller = thread::spawn(move || consumer.poll(Duration::MAX).map(|r| r.len()));
            (0..50).for_each(|_| thread::yield_now());
            log.close().unwrap();
            refused(ErrorKind::Closed, poller.join().unwrap());
        }
    });
}

#[test]
fn close_while_others_send_keeps_what_was_acknowledged() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let senders: Vec<_> = (0..4)
            .map(|n: u32| {
                let (producer, topic) = (producer(&log), topic.clone());
                thread::spawn(move || {
                    let mut acknowledged = Vec::new();
                    loop {
                        let record = topic.record("v").partition(n % 2);
                        match producer.send(record).and_then(|delivery| delivery.wait()) {
                            Ok(placed) => acknowledged.push(placed.offset),
                            Err(error) => return (n % 2, acknowledged, error.kind()),
                        }
                    }
                })
            })
            .collect();
        let mut consumer = reader(&log, [tp("t", 0)]);
        assert!(!consumer.poll(LONG).unwrap().is_empty());
        drop(consumer);
        log.close().unwrap();
        let outcomes: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        if bed.is_memory() {
            assert!(outcomes.iter().all(|(.., kind)| *kind == ErrorKind::Closed));
            return;
        }
        let log = bed.open();
        let read = [read_all(&log, &tp("t", 0)), read_all(&log, &tp("t", 1))];
        for (partition, acknowledged, kind) in outcomes {
            assert_eq!(kind, ErrorKind::Closed);
            let there = read[partition as usize].len() as u64;
            assert!(acknowledged.iter().all(|offset| *offset < there), "{there}");
        }
    });
}

#[test]
fn a_drop_without_close_keeps_the_data_and_ends_the_log() {
    on_disk(|bed| {
        for life in 0..5 {
            let log = bed.open();
            let topic = log.ensure_topic(NewTopic::new("t")).unwrap();
            assert_eq!(place(&producer(&log), topic.record("v")), life);
        }
        assert_eq!(read_all(&bed.open(), &tp("t", 0)).len(), 5);
    });
}

#[test]
fn a_producer_or_consumer_keeps_the_log_open() {
    on_disk(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let mut consumer = reader(&log, [tp("t", 0)]);
        drop(log);
        put(&producer, topic.record("v"));
        drop(producer);
        refused(ErrorKind::Locked, bed.builder().open());
        assert_eq!(take(&mut consumer, 1).len(), 1);
        consumer.close().unwrap();
        bed.open();
    });
}

#[test]
fn two_closes_at_once_are_one() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "t");
        let closers: Vec<_> = (0..4)
            .map(|_| {
                let log = log.clone();
                thread::spawn(move || log.close())
            })
            .collect();
        for closer in closers {
            closer.join().unwrap().unwrap();
        }
        refused(ErrorKind::Closed, log.topic("t"));
    });
}
