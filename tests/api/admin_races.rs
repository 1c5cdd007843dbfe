//! Operators at work on the same topics at once, with producers and consumers in them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::{
    CreateTopicsOptions, Error, ErrorKind, EventLog, NewTopic, OffsetReset, OffsetSpec, Record,
    TopicId,
};

use crate::support::*;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A sequence of numbers that is the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[track_caller]
fn fine<T>(allowed: &[ErrorKind], outcome: Result<T, Error>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(allowed.contains(&error.kind()), "{error:?}");
            None
        }
    }
}

/// Creates, grows, deletes and looks at topics by chance.
fn operate(log: &EventLog, seed: u64, most: &Mutex<BTreeMap<TopicId, u32>>) {
    use ErrorKind::{InvalidPartitions, TopicAlreadyExists, UnknownTopicOrPartition};
    let (admin, mut chance) = (log.admin(), Chance(seed));
    for _ in 0..120 {
        let name = NAMES[chance.below(3) as usize];
        match chance.below(8) {
            0 | 1 => {
                let all = NAMES.map(|name| NewTopic::new(name).partitions(1 + (seed % 3) as u32));
                for made in admin.create_topics(all, CreateTopicsOptions::default()) {
                    fine(&[TopicAlreadyExists], made);
                }
            }
            2 | 3 => {
                let total = 1 + chance.below(12) as u32;
                let allowed = [InvalidPartitions, UnknownTopicOrPartition];
                fine(&allowed, admin.create_partitions(name, total));
            }
            4 => drop(fine(&[UnknownTopicOrPartition], admin.delete_topic(name))),
            5 => {
                for gone in admin.delete_topics(&NAMES) {
                    fine(&[UnknownTopicOrPartition], gone);
                }
            }
            6 => look(log, name),
            _ => {
                // A topic never shrinks, by whomever it is looked at.
                if let Some(info) = fine(&[UnknownTopicOrPartition], admin.describe_topic(name)) {
                    let mut most = most.lock().unwrap();
                    let known = most.entry(info.id).or_default();
                    // Somebody else may have looked later and come first.
                    *known = info.partition_count.max(*known);
                }
            }
        }
    }
}

fn look(log: &EventLog, name: &str) {
    let admin = log.admin();
    for spec in [
        OffsetSpec::Earliest,
        OffsetSpec::Latest,
        OffsetSpec::MaxTimestamp,
        OffsetSpec::ForTimestamp(1),
    ] {
        let answer = admin.list_offsets([(tp(name, 0), spec)]).remove(0);
        fine(&[ErrorKind::UnknownTopicOrPartition], answer);
    }
    let sizes = admin.describe_log_dir().unwrap().partitions;
    assert!(sizes.windows(2).all(|pair| pair[0].partition < pair[1].partition));
    assert!(admin.list_topics().unwrap().iter().all(|name| NAMES.contains(&&**name)));
}

fn write(log: &EventLog, seed: u64, over: &AtomicBool, sent: &AtomicU64) {
    let (producer, mut chance) = (producer(log), Chance(seed));
    while !over.load(Ordering::Acquire) {
        let name = NAMES[chance.below(3) as usize];
        let key = chance.below(1_000).to_le_bytes();
        let outcome = producer.send(Record::new(name, "value").key(&key));
        let outcome = outcome
            .and_then(|delivery| if seed == 0 { delivery.wait() } else { Ok(delivery.placed()) });
        if fine(&[ErrorKind::UnknownTopicOrPartition], outcome).is_some() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn read(log: &EventLog, over: &AtomicBool) {
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    let mut assigned = false;
    while !over.load(Ordering::Acquire) {
        if !assigned {
            let all = NAMES.map(|name| tp(name, 0));
            assigned = fine(&[ErrorKind::UnknownTopicOrPartition], consumer.assign(all)).is_some();
            continue;
        }
        let polled = consumer.poll(Duration::from_millis(1));
        if let Some(records) = fine(&[ErrorKind::UnknownTopicOrPartition], polled) {
            assert!(records.iter().all(|record| record.value() == Some(b"value")));
        }
    }
}

/// E05, E06, C25: whatever meets whatever, nothing hangs or panics, errors are those that belong
/// to it, and the catalogue, the routes and the files agree at the end and in the next life.
#[test]
fn e05_e06_operators_producers_and_consumers_meet_in_every_order() {
    on_each_kind(|bed| {
        let log = bed.open();
        let (over, sent, most) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::default());
        thread::scope(|scope| {
            let (log, over, sent, most) = (&log, &over, &sent, &most);
            let operators: Vec<_> =
                (0..3).map(|n| scope.spawn(move || operate(log, 77 + n, most))).collect();
            (0..2).for_each(|n| drop(scope.spawn(move || write(log, n, over, sent))));
            scope.spawn(move || read(log, over));
            let ended: Vec<_> = operators.into_iter().map(|operator| operator.join()).collect();
            let made =
                log.admin().create_topics(NAMES.map(NewTopic::new), CreateTopicsOptions::default());
            made.into_iter().for_each(|made| drop(fine(&[ErrorKind::TopicAlreadyExists], made)));
            // Whoever did not get a turn has one now.
            while sent.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            over.store(true, Ordering::Release);
            ended.into_iter().for_each(|end| end.unwrap());
        });
        let state = |log: &EventLog| {
            NAMES.map(|name| {
                let (info, topic) =
                    (log.admin().describe_topic(name).unwrap(), log.topic(name).unwrap());
                assert_eq!((info.id, info.partition_count), (topic.id(), topic.partition_count()));
                let known = most.lock().unwrap().get(&info.id).copied();
                assert!(known.is_none_or(|known| known <= info.partition_count), "it shrank");
                let latest = |n| (tp(name, n), OffsetSpec::Latest);
                let ends = log.admin().list_offsets((0..info.partition_count).map(latest));
                let ends: Vec<_> =
                    ends.into_iter().map(|end| end.unwrap().unwrap().offset).collect();
                (info.id, ends)
            })
        };
        producer(&log).flush().unwrap();
        let before = state(&log);
        let log = bed.reopen(log);
        assert_eq!(state(&log), before);
        let partitions: usize = before.iter().map(|(_, ends)| ends.len()).sum();
        assert_eq!(log.admin().describe_log_dir().unwrap().partitions.len(), partitions + 3);
        assert!(log.admin().open_report().strangers.is_empty());
    });
}
