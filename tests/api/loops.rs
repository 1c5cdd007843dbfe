//! `for_each`: the whole loop, and how it ends.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::{Consumer, ConsumerRecord, Error, ErrorKind, EventLog};

use crate::support::*;

/// Ten records in each of three partitions, and a consumer at their beginning.
fn thirty(bed: &Bed) -> (EventLog, Consumer) {
    let log = bed.open();
    let topic = topic_of(&log, "t", 3);
    let producer = producer(&log);
    for n in 0..30_u32 {
        put(&producer, topic.record(&n.to_le_bytes()).partition(n % 3));
    }
    let consumer = reader(&log, (0..3).map(|n| tp("t", n)));
    (log, consumer)
}

fn accept(_: ConsumerRecord<'_>) -> Result<(), Error> {
    Ok(())
}

fn positions(consumer: &Consumer) -> [u64; 3] {
    [0, 1, 2].map(|n| consumer.position(&tp("t", n)).unwrap())
}

#[test]
fn for_each_stopped_at_any_record_leaves_the_position_behind_it() {
    on_each_kind(|bed| {
        for stop_at in 1..=30 {
            let bed = Bed::new(bed.kind);
            let (_log, mut consumer) = thirty(&bed);
            let stop = consumer.stop_handle();
            let mut seen = [0_u64; 3];
            let mut count = 0;
            consumer
                .for_each(|record| {
                    let next = &mut seen[record.partition() as usize];
                    assert_eq!(record.offset(), *next);
                    *next += 1;
                    count += 1;
                    if count == stop_at {
                        stop.stop();
                    }
                    Ok::<(), Error>(())
                })
                .unwrap();
            assert_eq!((count, positions(&consumer)), (stop_at, seen));
            // The rest comes once.
            if stop_at < 30 {
                assert_eq!(take(&mut consumer, 30 - stop_at).len(), 30 - stop_at);
            }
            assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        }
    });
}

#[test]
fn for_each_gives_a_refused_record_again() {
    on_each_kind(|bed| {
        let (_log, mut consumer) = thirty(bed);
        let mut given = Vec::new();
        for _ in 0..3 {
            // A program's own error goes through as it is.
            let error: Box<dyn std::error::Error> = consumer
                .for_each(|record| {
                    given.push((record.partition(), record.offset()));
                    if given.len() % 7 == 0 { Err("a dish fell down".into()) } else { Ok(()) }
                })
                .unwrap_err();
            assert_eq!(error.to_string(), "a dish fell down");
            let &(partition, offset) = given.last().unwrap();
            assert_eq!(consumer.position(&tp("t", partition)).unwrap(), offset);
        }
        // Refused were the 7th, the 14th and the 21st call; each of them came again.
        let mut all = given.clone();
        all.extend(take(&mut consumer, 30 - 18).iter().map(|r| (r.partition(), r.offset())));
        for partition in 0..3 {
            let of: Vec<_> = all.iter().filter(|of| of.0 == partition).map(|of| of.1).collect();
            let mut once = of.clone();
            once.dedup();
            assert_eq!(once, (0..10).collect::<Vec<_>>(), "{of:?}");
        }
        assert_eq!(all.len(), 33);
    });
}

#[test]
fn for_each_survives_a_panic_of_its_closure() {
    on_each_kind(|bed| {
        let (_log, mut consumer) = thirty(bed);
        let mut count = 0;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            consumer.for_each(|_| {
                count += 1;
                assert!(count < 15, "the cook panics");
                Ok::<(), Error>(())
            })
        }));
        assert!(outcome.is_err());
        assert_eq!(positions(&consumer).iter().sum::<u64>(), 14);
        assert_eq!(take(&mut consumer, 16).len(), 16, "the record in hand comes again");
    });
}

#[test]
fn for_each_until_breaks_behind_the_record() {
    on_each_kind(|bed| {
        let (_log, mut consumer) = thirty(bed);
        let mut count = 0;
        let broken = consumer.for_each_until(|record| {
            count += 1;
            if count == 5 { ControlFlow::Break(record.offset()) } else { ControlFlow::Continue(()) }
        });
        assert!(broken.unwrap().is_some());
        assert_eq!(positions(&consumer).iter().sum::<u64>(), 5);
        let stop = consumer.stop_handle();
        stop.stop();
        stop.stop();
        assert_eq!(consumer.for_each_until(|_| ControlFlow::Break(())).unwrap(), None);
        assert!(consumer.for_each_until(|_| ControlFlow::Break(())).unwrap().is_some(), "once");
    });
}

#[test]
fn a_stop_ends_a_loop_that_waits_and_no_poll() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let mut consumer = reader(&log, [tp("t", 0)]);
        let stop = consumer.stop_handle();
        let seen = AtomicU64::new(0);
        thread::scope(|scope| {
            let seen = &seen;
            let runner = scope.spawn(move || {
                let outcome = consumer.for_each(|_| {
                    seen.fetch_add(1, Ordering::AcqRel);
                    Ok::<(), Error>(())
                });
                outcome.unwrap();
                consumer
            });
            put(&producer(&log), topic.record("v"));
            while seen.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
            stop.stop();
            let mut consumer = runner.join().unwrap();
            // One that comes too late is for the next loop and not for a poll.
            stop.stop();
            assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
            consumer.for_each(accept).unwrap();
        });
    });
}

#[test]
fn a_loop_ends_with_the_log_and_with_a_wakeup() {
    on_each_kind(|bed| {
        let (log, mut consumer) = thirty(bed);
        consumer.wakeup_handle().wakeup();
        refused(ErrorKind::Wakeup, consumer.for_each(accept));
        thread::scope(|scope| {
            let runner = scope.spawn(|| consumer.for_each(accept));
            log.close().unwrap();
            refused(ErrorKind::Closed, runner.join().unwrap());
        });
    });
}
