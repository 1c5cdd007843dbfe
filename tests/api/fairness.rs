//! Partitions of very different rate: who is served, and how soon.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::{Consumer, EventLog, OffsetReset};

use crate::support::*;

const SLOW: u32 = 99;

fn consumer(log: &EventLog, settings: &[(&str, &str)]) -> Consumer {
    let builder = log.consumer().offset_reset(OffsetReset::Earliest);
    let builder = settings.iter().fold(builder, |builder, (key, value)| builder.set(key, value));
    let mut consumer = builder.build().unwrap();
    consumer.assign((0..=SLOW).map(|n| tp("t", n))).unwrap();
    consumer
}

/// How many polls it takes until every slow partition has given the record it has got, while
/// partition 0 always has more than a poll can return.
fn polls_until_all_are_served(log: &EventLog, consumer: &mut Consumer) -> (usize, usize) {
    let topic = log.topic("t").unwrap();
    let producer = producer(log);
    for slow in 1..=SLOW {
        put(&producer, topic.record("slow").partition(slow));
    }
    let (mut served, mut hot) = (0, 0);
    for polls in 1.. {
        let records = consumer.poll(LONG).unwrap();
        let of_hot = records.of(&tp("t", 0)).len();
        (served, hot) = (served + records.len() - of_hot, hot + of_hot);
        for _ in 0..of_hot {
            let _ = producer.send(topic.record("hot").partition(0)).unwrap();
        }
        producer.flush().unwrap();
        if served == SLOW as usize {
            return (polls, hot);
        }
        assert!(polls < 1_000, "{served} of {SLOW} were served");
    }
    unreachable!()
}

#[test]
fn a33_a_hot_partition_starves_none_of_99_slow_ones() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", SLOW + 1);
        let producer = producer(&log);
        for _ in 0..3_000 {
            let _ = producer.send(topic.record("hot").partition(0)).unwrap();
        }
        producer.flush().unwrap();
        // 500 records a poll hold all 99, whoever comes first. 10 records a poll are ten polls
        // at least, of which the hot one may take a turn of its own. Where one fetch fills all
        // that may be fetched, the hot one's batch is given whole before the next one fetches.
        for (most, polls, tight) in [("500", 1, 6), ("100", 2, 12), ("10", 12, 100)] {
            for bytes in ["1", "1000", "52428800"] {
                let settings = [("max.poll.records", most), ("fetch.max.bytes", bytes)];
                let mut consumer = consumer(&log, &settings);
                consumer.seek_to_end(&[]).unwrap();
                assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
                consumer.seek(&tp("t", 0), 0).unwrap();
                for round in 0..3 {
                    let (took, hot) = polls_until_all_are_served(&log, &mut consumer);
                    let what = format!("{most} records, {bytes} bytes, round {round}");
                    assert!(hot > 0, "{what}: nor do they starve the hot one");
                    let bound = if bytes.len() > 4 { polls } else { tight };
                    assert!(took <= bound, "{what}: {took} polls, {bound} at most");
                }
            }
        }
    });
}

#[test]
fn c05_a_poll_is_shared_by_partitions_that_are_equally_busy() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", SLOW + 1);
        let producer = producer(&log);
        for n in 0..=SLOW {
            for _ in 0..200 {
                let _ = producer.send(topic.record("v").partition(n)).unwrap();
            }
        }
        producer.flush().unwrap();
        let mut consumer = consumer(&log, &[("max.poll.records", "40")]);
        let mut given = BTreeMap::new();
        // Four partitions a poll, ten records each: after 25 polls everybody had a turn.
        for turn in 1..=20 {
            for _ in 0..25 {
                for record in &consumer.poll(LONG).unwrap() {
                    *given.entry(record.partition()).or_insert(0) += 1;
                }
            }
            let (least, most) = (given.values().min().unwrap(), given.values().max().unwrap());
            assert_eq!(given.len(), SLOW as usize + 1);
            assert!(most - least <= 10, "turn {turn}: {least} to {most}");
        }
        assert_eq!(given.values().sum::<u64>(), 20_000);
    });
}

#[test]
fn c21_a_record_in_any_of_many_idle_partitions_ends_the_poll_that_waits() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", SLOW + 1);
        let mut consumer = consumer(&log, &[]);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let producer = producer(&log);
                for n in 0..500_u32 {
                    put(&producer, topic.record(&n.to_le_bytes()).partition(n * 7 % (SLOW + 1)));
                    while !over.swap(false, Ordering::AcqRel) {
                        thread::yield_now();
                    }
                }
            });
            for n in 0..500_u32 {
                let records = consumer.poll(Duration::MAX).unwrap();
                let values: Vec<_> = records.iter().map(|record| record.value().unwrap()).collect();
                assert_eq!(values, [n.to_le_bytes()]);
                over.store(true, Ordering::Release);
            }
        });
    });
}
