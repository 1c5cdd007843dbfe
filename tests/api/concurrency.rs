//! Many threads on few partitions.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use alluvium::{EventLog, Topic};

use crate::support::*;

const THREADS: u32 = 8;

/// Eight producers, `each` records of each under five keys of its own; two consumers of all
/// partitions read meanwhile. A value tells thread and number.
fn crowd(log: &EventLog, topic: &Topic, each: u32, wait_every: u32) {
    let partitions = topic.partition_count();
    let total = (THREADS * each) as usize;
    let places: Vec<_> = (0..partitions).map(|partition| tp("t", partition)).collect();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut consumer = reader(log, places.clone());
                let mut seen = Seen::default();
                for record in take_lent(&mut consumer, total) {
                    seen.add(record);
                }
                seen.check(each);
                assert!(consumer.poll(Duration::ZERO).unwrap().is_empty(), "and no more");
            });
        }
        let shared = producer(log);
        for thread in 0..THREADS {
            let producer = if thread % 2 == 0 { shared.clone() } else { producer(log) };
            scope.spawn(move || {
                for n in 0..each {
                    let (key, value) = (format!("{thread}/{}", n % 5), format!("{thread} {n}"));
                    let delivery = producer.send(topic.record(&value).key(&key)).unwrap();
                    if wait_every > 0 && n % wait_every == 0 {
                        delivery.wait().unwrap();
                    }
                }
            });
        }
    });
}

/// Partition, offset, key and value of each record, as polls bring them.
fn take_lent(consumer: &mut alluvium::Consumer, count: usize) -> Vec<(u32, u64, String, String)> {
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let records = consumer.poll(LONG).unwrap();
        assert!(!records.is_empty(), "{} of {count} came", taken.len());
        for record in &records {
            let key = std::str::from_utf8(record.key().unwrap()).unwrap().to_owned();
            let value = record.value_str().unwrap().to_owned();
            taken.push((record.partition(), record.offset(), key, value));
        }
    }
    assert_eq!(taken.len(), count);
    taken
}

#[derive(Default)]
struct Seen {
    next_offset: BTreeMap<u32, u64>,
    by_key: BTreeMap<String, Vec<u32>>,
}

impl Seen {
    fn add(&mut self, (partition, offset, key, value): (u32, u64, String, String)) {
        let next = self.next_offset.entry(partition).or_default();
        assert_eq!(offset, *next, "offsets are dense in partition {partition}");
        *next += 1;
        let (thread, n) = value.split_once(' ').unwrap();
        assert!(key.starts_with(&format!("{thread}/")), "{key} has {value}");
        self.by_key.entry(key).or_default().push(n.parse().unwrap());
    }

    /// Per key everything, once, in the order of sending.
    fn check(&self, each: u32) {
        assert_eq!(self.by_key.len() as u32, THREADS * 5);
        for (key, numbers) in &self.by_key {
            let (_, rest) = key.split_once('/').unwrap();
            let expected: Vec<u32> = (rest.parse().unwrap()..each).step_by(5).collect();
            assert_eq!(*numbers, expected, "{key}");
        }
    }
}

fn check_after(log: &EventLog, partitions: u32, each: u32) {
    let mut seen = Seen::default();
    for partition in 0..partitions {
        for record in read_all(log, &tp("t", partition)) {
            let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
            let value = record.value_str().unwrap().to_owned();
            seen.add((partition, record.offset(), key, value));
        }
    }
    seen.check(each);
}

#[test]
fn b11_eight_producers_on_one_partition() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 1);
        crowd(&log, &topic, 1_000, 0);
        check_after(&log, 1, 1_000);
        check_after(&bed.reopen(log), 1, 1_000);
    });
}

#[test]
fn b11_eight_producers_on_four_partitions() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 4);
        crowd(&log, &topic, 1_000, 0);
        check_after(&bed.reopen(log), 4, 1_000);
    });
}

#[test]
fn b11_eight_producers_on_a_stage_that_is_always_full() {
    on_each_kind(|bed| {
        let log = bed.builder().stage_bytes(64 << 10).open().unwrap();
        let topic = topic_of(&log, "t", 4);
        crowd(&log, &topic, 1_000, 0);
        check_after(&bed.reopen(log), 4, 1_000);
    });
}

#[test]
fn a72_waits_of_many_threads_share_their_syncs() {
    on_each_kind(|bed| {
        for background in [true, false] {
            let bed = Bed::new(bed.kind);
            let log = bed.builder().background(background).open().unwrap();
            let topic = topic_of(&log, "t", 4);
            crowd(&log, &topic, 200, 1 + u32::from(background) * 3);
            check_after(&bed.reopen(log), 4, 200);
        }
    });
}

#[test]
fn a72_a_record_that_was_waited_for_is_visible_to_everyone() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let (producer, consumer) = (producer(&log), log.consumer().build().unwrap());
                    start.wait();
                    for _ in 0..100 {
                        let offset = put(&producer, topic.record("v"));
                        let ends = consumer.end_offsets(&[tp("t", 0)]).unwrap();
                        assert!(ends.get(&tp("t", 0)).unwrap() > offset);
                    }
                });
            }
        });
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 400);
    });
}

#[test]
fn a06_batches_of_many_threads_do_not_mix() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        thread::scope(|scope| {
            for thread in 0..4_u32 {
                let (log, topic) = (&log, &topic);
                scope.spawn(move || {
                    let producer = producer(log);
                    for n in 0..50_u32 {
                        // Some are staged, some are written through.
                        let len = if n % 10 == 0 { 20_000 } else { 20 };
                        let value = vec![thread as u8; len];
                        let batch = producer.send_batch((0..5).map(|_| topic.record(&value)));
                        let range = batch.parts()[0].result().unwrap();
                        assert_eq!(range.end - range.start, 5);
                        let _ = batch;
                    }
                    producer.flush().unwrap();
                });
            }
        });
        let read = read_all(&bed.reopen(log), &tp("t", 0));
        assert_eq!(read.len(), 1_000);
        for five in read.chunks(5) {
            assert!(five.iter().all(|record| record.value() == five[0].value()));
        }
    });
}

#[test]
fn large_and_small_calls_of_many_threads_keep_their_order() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        thread::scope(|scope| {
            for thread in 0..6_u32 {
                let (log, topic) = (&log, &topic);
                scope.spawn(move || {
                    let producer = producer(log);
                    for n in 0..40_u32 {
                        let len = if (n + thread) % 8 == 0 { 80_000 } else { 0 };
                        let mut value = format!("{thread} {n} ").into_bytes();
                        value.resize(value.len() + len, b'.');
                        let _ = producer.send(topic.record(&value)).unwrap();
                    }
                    producer.flush().unwrap();
                });
            }
        });
        let read = read_all(&bed.reopen(log), &tp("t", 0));
        let mut next = [0_u32; 6];
        for record in &read {
            let mut words = record.value_str().unwrap().split(' ');
            let thread: usize = words.next().unwrap().parse().unwrap();
            assert_eq!(words.next().unwrap().parse(), Ok(next[thread]));
            next[thread] += 1;
        }
        assert_eq!(next, [40; 6]);
    });
}

#[test]
fn topics_come_and_go_beside_a_busy_one() {
    on_each_kind(|bed| {
        let log = bed.open();
        let busy = topic(&log, "t");
        thread::scope(|scope| {
            scope.spawn(|| {
                let producer = producer(&log);
                for n in 0..1_000_u32 {
                    place(&producer, busy.record(&n.to_string()));
                }
                producer.flush().unwrap();
            });
            for thread in 0..3 {
                let log = &log;
                scope.spawn(move || {
                    for round in 0..10 {
                        let name = format!("brief.{thread}");
                        let brief = topic_of(log, &name, 2);
                        let sender = producer(log);
                        let offset = put(&sender, brief.record("v").partition(round % 2));
                        assert_eq!(offset, 0, "a new topic begins at 0");
                        log.admin().delete_topic(&name).unwrap();
                    }
                });
            }
        });
        let log = bed.reopen(log);
        assert_eq!(log.admin().list_topics().unwrap(), ["t"]);
        let read = read_all(&log, &tp("t", 0));
        assert!(read.iter().enumerate().all(|(n, r)| r.value_str().unwrap() == n.to_string()));
        assert_eq!(read.len(), 1_000);
    });
}
