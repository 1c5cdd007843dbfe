//! Ending a poll from another thread.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use alluvium::{ErrorKind, EventLog};

use crate::support::*;

#[test]
fn c23_a_wakeup_before_a_poll_makes_it_fail_once() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        put(&producer(&log), topic.record("v"));
        let mut consumer = reader(&log, [tp("t", 0)]);
        let handle = consumer.wakeup_handle();
        handle.wakeup();
        handle.clone().wakeup();
        let error = refused(ErrorKind::Wakeup, consumer.poll(LONG));
        assert!(error.is_retriable());
        // No record is lost, and several calls were one.
        assert_eq!(offsets(&take(&mut consumer, 1)), [0]);
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        handle.wakeup();
        refused(ErrorKind::Wakeup, consumer.poll(Duration::ZERO));
    });
}

#[test]
fn c23_a_wakeup_ends_a_poll_that_would_wait_for_ever() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic_of(&log, "t", 3);
        let (begun, begins) = mpsc::channel();
        let (failed, outcome) = mpsc::channel();
        let mut consumer = reader(&log, [tp("t", 0), tp("t", 1), tp("t", 2)]);
        let handle = consumer.wakeup_handle();
        let poller = thread::spawn(move || {
            for _ in 0..200 {
                begun.send(()).unwrap();
                failed.send(consumer.poll(Duration::MAX).unwrap_err().kind()).unwrap();
            }
            consumer
        });
        // Before the poll, in its first look, as it goes to sleep, asleep: whichever it meets.
        for n in 0..200 {
            begins.recv().unwrap();
            (0..n % 20 * 10).for_each(|_| thread::yield_now());
            handle.wakeup();
            assert_eq!(outcome.recv().unwrap(), ErrorKind::Wakeup);
        }
        let mut consumer = poller.join().unwrap();
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty(), "each wakeup failed one poll");
        // The consumer is as good as new.
        put(&producer(&log), log.topic("t").unwrap().record("v").partition(1));
        assert_eq!(values(&take(&mut consumer, 1)), [b"v"]);
    });
}

#[test]
fn c23_wakeups_and_records_at_once_lose_nothing() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let mut consumer = reader(&log, [tp("t", 0)]);
        let handle = consumer.wakeup_handle();
        let poller = thread::spawn(move || {
            let (mut next, mut wakeups) = (0, 0);
            while next < 500 {
                match consumer.poll(Duration::MAX) {
                    Ok(records) => {
                        for record in &records {
                            assert_eq!(record.offset(), next);
                            next += 1;
                        }
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Wakeup);
                        wakeups += 1;
                    }
                }
            }
            wakeups
        });
        let producer = producer(&log);
        for _ in 0..500 {
            place(&producer, topic.record("v"));
            handle.wakeup();
        }
        assert!(poller.join().unwrap() <= 500);
    });
}

#[test]
fn a_handle_outlives_its_consumer() {
    let log = EventLog::in_memory();
    topic(&log, "t");
    let handle = reader(&log, [tp("t", 0)]).wakeup_handle();
    handle.wakeup();
    drop(log);
    handle.wakeup();
}
