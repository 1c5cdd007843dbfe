use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::base::ErrorKind;
use crate::client::fake::Fake;
use crate::client::{Consumer, OffsetReset};

use super::{tp, values};

fn log() -> Arc<Fake> {
    let log = Fake::new();
    log.create("t", 3);
    log
}

fn consumer(log: &Arc<Fake>) -> Consumer {
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign((0..3).map(|n| tp("t", n))).unwrap();
    consumer
}

fn when_waiting(log: &Fake, then: impl FnOnce()) {
    while log.partition("t", 2).waiters() == 0 {
        thread::yield_now();
    }
    then();
}

fn waiters(log: &Fake) -> usize {
    (0..3).map(|n| log.partition("t", n).waiters()).sum()
}

#[test]
fn a_record_in_any_partition_ends_the_wait() {
    for partition in 0..3 {
        let log = log();
        let mut consumer = consumer(&log);
        thread::scope(|scope| {
            scope.spawn(|| when_waiting(&log, || log.partition("t", partition).add(&["here"])));
            assert_eq!(values(&consumer.poll(Duration::MAX).unwrap()), ["here"]);
        });
        assert_eq!(waiters(&log), 2, "the others rest as they did");
        drop(consumer);
        assert_eq!(waiters(&log), 0, "no registration is left behind");
    }
}

#[test]
fn injected_time_ends_the_wait() {
    let log = log();
    let mut consumer = consumer(&log);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // The first may come before the poll has looked at the clock.
            while !over.load(Ordering::Acquire) {
                log.clock.advance(Duration::from_secs(3_600));
                thread::yield_now();
            }
        });
        assert!(consumer.poll(Duration::from_secs(3_600)).unwrap().is_empty());
        over.store(true, Ordering::Release);
    });
}

#[test]
fn a_poll_without_time_returns_what_is_there_and_does_what_is_due() {
    let log = log();
    let mut consumer = consumer(&log);
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    assert_eq!(log.ran_due.load(Ordering::Relaxed), 1);
    let partition = log.partition("t", 1);
    partition.state.lock().lazy = true;
    partition.add(&["due"]);
    *log.due.lock() = Some(Arc::clone(&partition));
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["due"]);
    partition.state.lock().lazy = false;
    partition.add(&["there"]);
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["there"]);
    assert_eq!(log.ran_due.load(Ordering::Relaxed), 2, "records that are there need no work");
}

#[test]
fn a_reader_that_waits_brings_records_to_their_level() {
    let log = log();
    let partition = log.partition("t", 0);
    partition.state.lock().lazy = true;
    partition.add(&["appended"]);
    let mut consumer = consumer(&log);
    assert_eq!(values(&consumer.poll(Duration::MAX).unwrap()), ["appended"]);
}

#[test]
fn c23_a_wakeup_ends_the_poll_that_runs() {
    let log = log();
    let mut consumer = consumer(&log);
    let handle = consumer.wakeup_handle();
    thread::scope(|scope| {
        scope.spawn(|| when_waiting(&log, || handle.wakeup()));
        assert_eq!(consumer.poll(Duration::MAX).unwrap_err().kind(), ErrorKind::Wakeup);
    });
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty(), "once");
}

#[test]
fn c23_a_wakeup_before_the_poll_ends_it_once_and_loses_nothing() {
    let log = log();
    log.partition("t", 0).add(&["kept"]);
    let mut consumer = consumer(&log);
    let handle = consumer.wakeup_handle();
    handle.clone().wakeup();
    handle.wakeup();
    assert_eq!(consumer.poll(Duration::MAX).unwrap_err().kind(), ErrorKind::Wakeup);
    assert_eq!(values(&consumer.poll(Duration::MAX).unwrap()), ["kept"]);
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
}

#[test]
fn a_consumer_may_wait_on_one_thread_after_another() {
    let log = log();
    let mut consumer = consumer(&log);
    for _ in 0..3 {
        let moved = Arc::clone(&log);
        consumer = thread::spawn(move || {
            thread::scope(|scope| {
                scope.spawn(|| when_waiting(&moved, || moved.partition("t", 0).add(&["v"])));
                assert_eq!(consumer.poll(Duration::MAX).unwrap().len(), 1);
            });
            consumer
        })
        .join()
        .unwrap();
    }
}

#[test]
fn a_log_that_closes_ends_the_wait() {
    let log = log();
    let mut consumer = consumer(&log);
    thread::scope(|scope| {
        scope.spawn(|| {
            when_waiting(&log, || {
                log.closed.store(true, Ordering::Release);
                log.partition("t", 0).publish();
            });
        });
        assert_eq!(consumer.poll(Duration::MAX).unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_deleted_topic_ends_the_wait() {
    let log = log();
    let mut consumer = consumer(&log);
    thread::scope(|scope| {
        scope.spawn(|| {
            when_waiting(&log, || {
                log.delete("t");
                log.partition("t", 0).publish();
            });
        });
        let error = consumer.poll(Duration::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    });
}
