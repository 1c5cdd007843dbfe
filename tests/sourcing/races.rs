//! Conditional appends from many threads: each behaves as if it had happened alone, at one moment
//! between its call and its answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use alluvium::{ErrorKind, EventLog, Expect, NewTopic, Producer, Topic};

use crate::bed::*;
use crate::support::*;

const THREADS: u64 = 4;

/// Small and seeded.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// One call: when it began and ended by a common count, and what became of it.
#[derive(Debug)]
struct Call {
    began: u64,
    ended: u64,
    key: u64,
    expect: Expect,
    /// The offset it got, or the actual one that it was told.
    outcome: Result<u64, Option<u64>>,
}

fn one_call(
    (producer, topic, count): (&Producer, &Topic, &AtomicU64),
    rng: &mut Rng,
    known: &mut BTreeMap<u64, Option<u64>>,
) -> Call {
    let key = rng.below(3);
    let expect = match (rng.below(10), known.get(&key).copied().flatten()) {
        (0, _) => Expect::NextOffset(known.values().flatten().max().map_or(0, |at| at + 1)),
        (_, Some(at)) => Expect::KeyAt(at),
        (_, None) => Expect::KeyAbsent,
    };
    let name = format!("key-{key}");
    let began = count.fetch_add(1, Ordering::SeqCst);
    let sent = producer.send_if(topic.record("v").key(&name), expect);
    let outcome = match sent {
        Ok(delivery) => Ok(delivery.placed().offset),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConditionFailed, "{error:?}");
            Err(error.actual_offset())
        }
    };
    let ended = count.fetch_add(1, Ordering::SeqCst);
    let about_key = !matches!(expect, Expect::NextOffset(_));
    match outcome {
        Ok(offset) => drop(known.insert(key, Some(offset))),
        Err(actual) if about_key => drop(known.insert(key, actual)),
        Err(_) => {}
    }
    Call { began, ended, key, expect, outcome }
}

/// Whether there is a moment for each call: the order of the offsets is the order of the calls
/// that succeeded, and each refusal fits between two of them.
fn check_linearizable(mut calls: Vec<Call>) {
    calls.sort_by_key(|call| call.began);
    let mut placed: Vec<&Call> = calls.iter().filter(|call| call.outcome.is_ok()).collect();
    placed.sort_by_key(|call| *call.outcome.as_ref().unwrap());
    let mut latest = BTreeMap::new();
    for (at, call) in placed.iter().enumerate() {
        let offset = call.outcome.unwrap();
        assert_eq!(offset, at as u64, "no offset twice, none left out");
        match call.expect {
            Expect::NextOffset(next) => assert_eq!(next, offset),
            Expect::KeyAbsent => assert_eq!(latest.get(&call.key), None, "{call:?}"),
            Expect::KeyAt(at) => assert_eq!(latest.get(&call.key), Some(&at), "{call:?}"),
            _ => unreachable!("no other condition is made"),
        }
        latest.insert(call.key, offset);
        // Who ended before another began stands in front of it.
        let later = placed.get(at + 1..).unwrap_or_default();
        assert!(later.iter().all(|later| later.ended > call.began), "{call:?}");
    }
    for call in calls.iter().filter(|call| call.outcome.is_err()) {
        check_refusal(call, &placed);
    }
}

/// A refusal needs a moment within its call in which the key was as it was told, which is not as
/// it was expected.
fn check_refusal(call: &Call, placed: &[&Call]) {
    let actual = call.outcome.unwrap_err();
    // So many of the appends had surely taken place when it began, and so many may have when it ended.
    let before = placed.iter().take_while(|other| other.ended < call.began).count();
    let surely = placed.iter().rposition(|other| other.ended < call.began).map_or(0, |at| at + 1);
    let maybe = placed.iter().position(|other| other.began > call.ended).unwrap_or(placed.len());
    assert!(before <= surely);
    let fits = (surely..=maybe).any(|prefix| {
        let there = &placed[..prefix];
        match call.expect {
            Expect::NextOffset(next) => actual == Some(prefix as u64) && next != prefix as u64,
            expect => {
                let mine = there.iter().rev().find(|other| other.key == call.key);
                let latest = mine.map(|other| other.outcome.unwrap());
                let wanted = match expect {
                    Expect::KeyAt(at) => Some(at),
                    _ => None,
                };
                latest == actual && actual != wanted
            }
        }
    });
    assert!(fits, "no moment for {call:?} between {surely} and {maybe} appends");
}

fn race(log: &EventLog, seed: u64, calls: usize, sealing: bool) {
    let name = format!("t{seed}");
    let config = NewTopic::new(&name)
        .key_index(true)
        .config("internal.segment.bytes", "4096")
        .config("key.index.memory.bytes", "65536");
    let topic = log.create_topic(config).unwrap();
    let (producer, count, topic) = (producer(log), AtomicU64::new(0), &topic);
    let done = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (producer, count) = (&producer, &count);
                scope.spawn(move || {
                    let (mut rng, mut known) = (Rng(seed * 31 + thread), BTreeMap::new());
                    let shared = (producer, topic, count);
                    (0..calls)
                        .map(|n| {
                            if sealing && thread == 0 && n % 40 == 39 {
                                seal(log, topic);
                            }
                            if rng.below(3) == 0 {
                                thread::yield_now();
                            }
                            one_call(shared, &mut rng, &mut known)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    check_linearizable(done);
}

#[test]
fn conditional_appends_of_many_threads_are_linearizable() {
    on_each_kind(|bed| {
        let log = bed.open();
        for seed in 0..12 {
            race(&log, seed, 120, seed % 2 == 1);
        }
    });
}

#[test]
fn a_history_that_is_not_linearizable_is_noticed() {
    let call = |began, ended, expect, outcome| Call { began, ended, key: 0, expect, outcome };
    let lost_update = || {
        check_linearizable(vec![
            call(0, 1, Expect::KeyAbsent, Ok(0)),
            call(2, 3, Expect::KeyAt(0), Ok(1)),
            call(4, 5, Expect::KeyAt(0), Ok(2)),
        ]);
    };
    assert!(std::panic::catch_unwind(lost_update).is_err());
    let stale_refusal = || {
        check_linearizable(vec![
            call(0, 1, Expect::KeyAbsent, Ok(0)),
            call(2, 3, Expect::KeyAt(0), Ok(1)),
            call(4, 5, Expect::KeyAt(1), Err(Some(0))),
        ]);
    };
    assert!(std::panic::catch_unwind(stale_refusal).is_err());
    check_linearizable(vec![
        call(0, 1, Expect::KeyAbsent, Ok(0)),
        call(2, 5, Expect::KeyAt(0), Ok(1)),
        call(3, 4, Expect::KeyAt(1), Err(Some(0))),
    ]);
}

#[test]
fn no_update_is_lost_where_all_threads_add_to_one_number() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = indexed(&log);
        let producer = producer(&log);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..25 {
                        add_one(&producer, &topic);
                    }
                });
            }
        });
        let last = topic.latest("sum").unwrap().unwrap();
        assert_eq!(last.value_str().unwrap(), "100");
        let all = topic.history("sum").unwrap().map(|record| record.unwrap());
        for (n, record) in all.enumerate() {
            assert_eq!(record.value_str().unwrap(), (n + 1).to_string());
        }
    });
}

fn add_one(producer: &Producer, topic: &Topic) {
    loop {
        let seen = topic.latest("sum").unwrap();
        let sum: u64 = seen.as_ref().map_or(0, |r| r.value_str().unwrap().parse().unwrap());
        let expect = seen.as_ref().map_or(Expect::KeyAbsent, |r| Expect::KeyAt(r.offset()));
        let value = (sum + 1).to_string();
        match producer.send_if(topic.record(&value).key("sum"), expect) {
            Ok(delivery) => {
                delivery.wait().unwrap();
                return;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConditionFailed, "{error:?}"),
        }
    }
}
