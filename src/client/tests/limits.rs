use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::client::fake::Fake;
use crate::client::{Consumer, OffsetReset};

use super::{tp, values};

fn consumer(log: &Arc<Fake>, partitions: u32, settings: &[(&str, &str)]) -> Consumer {
    let builder = log.consumer().offset_reset(OffsetReset::Earliest);
    let builder = settings.iter().fold(builder, |builder, (key, value)| builder.set(key, value));
    let mut consumer = builder.build().unwrap();
    consumer.assign((0..partitions).map(|n| tp("t", n))).unwrap();
    consumer
}

#[test]
fn c05_a_poll_returns_at_most_max_poll_records_and_keeps_the_rest() {
    let log = Fake::new();
    log.create("t", 1);
    let partition = log.partition("t", 0);
    partition.add(&["0", "1", "2", "3", "4"]);
    partition.add(&["5", "6"]);
    let mut consumer = consumer(&log, 1, &[("max.poll.records", "3")]);
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["0", "1", "2"]);
    assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 3);
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["3", "4", "5"]);
    assert_eq!(partition.state.lock().fetches.len(), 2, "the surplus of a batch needs no fetch");
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["6"]);
}

#[test]
fn the_default_is_500() {
    let log = Fake::new();
    log.create("t", 1);
    let many: Vec<_> = (0..1_001).map(|_| "v").collect();
    log.partition("t", 0).add(&many);
    let mut consumer = consumer(&log, 1, &[]);
    let polls: Vec<_> = (0..4).map(|_| consumer.poll(Duration::ZERO).unwrap().len()).collect();
    assert_eq!(polls, [500, 500, 1, 0]);
}

#[test]
fn busy_partitions_take_turns() {
    let log = Fake::new();
    log.create("t", 3);
    let many: Vec<_> = (0..100).map(|_| "v").collect();
    for partition in 0..3 {
        log.partition("t", partition).add(&many);
    }
    let mut consumer = consumer(&log, 3, &[("max.poll.records", "10")]);
    let mut given = BTreeMap::new();
    for poll in 1..=30 {
        for record in &consumer.poll(Duration::ZERO).unwrap() {
            let next = given.entry(record.partition()).or_insert(0);
            assert_eq!(record.offset(), *next, "offsets of a partition are in order");
            *next += 1;
        }
        let most = given.values().max().unwrap();
        let least = if given.len() == 3 { *given.values().min().unwrap() } else { 0 };
        assert!(most - least <= 10, "after {poll} polls: {given:?}");
    }
    assert_eq!(given.into_values().collect::<Vec<_>>(), [100; 3]);
}

#[test]
fn a_quiet_partition_is_not_starved_by_a_busy_one() {
    let log = Fake::new();
    log.create("t", 2);
    let many: Vec<_> = (0..100).map(|_| "busy").collect();
    log.partition("t", 0).add(&many);
    log.partition("t", 1).add(&["quiet"]);
    let mut consumer = consumer(&log, 2, &[("max.poll.records", "10")]);
    let first = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(values(&first), ["busy", "busy", "busy", "busy", "busy", "quiet"]);
}

#[test]
fn a33_a_batch_beyond_the_limits_is_returned_nevertheless() {
    let log = Fake::new();
    log.create("t", 1);
    let large = "x".repeat(10_000);
    log.partition("t", 0).add(&[&large]);
    log.partition("t", 0).add(&["small"]);
    let limits = [("max.partition.fetch.bytes", "1"), ("fetch.max.bytes", "1")];
    let mut consumer = consumer(&log, 1, &limits);
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), [large.as_str()]);
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["small"]);
}

#[test]
fn what_is_kept_for_later_polls_is_bounded_over_all_partitions() {
    let log = Fake::new();
    log.create("t", 50);
    let many: Vec<_> = (0..20).map(|_| "0123456789").collect();
    for partition in 0..50 {
        log.partition("t", partition).add(&many); // 20 records of 32 bytes
    }
    let limits = [("max.poll.records", "1"), ("fetch.max.bytes", "1000")];
    let mut consumer = consumer(&log, 50, &limits);
    for _ in 0..10 {
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    }
    let fetched = (0..50).filter(|n| !log.partition("t", *n).state.lock().fetches.is_empty());
    assert_eq!(fetched.count(), 2, "a third would exceed the bound");
    let rest: usize = std::iter::from_fn(|| Some(consumer.poll(Duration::ZERO).unwrap().len()))
        .take_while(|len| *len > 0)
        .sum();
    assert_eq!(rest, 50 * 20 - 10, "and all comes in the end");
}

#[test]
fn a_fetch_asks_for_no_more_than_the_partitions_limit() {
    let log = Fake::new();
    log.create("t", 1);
    for _ in 0..200 {
        log.partition("t", 0).add(&["v"; 100]);
    }
    let mut consumer = consumer(&log, 1, &[("max.partition.fetch.bytes", "20000")]);
    let mut seen = 0;
    while seen < 200 * 100 {
        seen += consumer.poll(Duration::ZERO).unwrap().len();
    }
    let partition = log.partition("t", 0);
    let asked: Vec<usize> = partition.state.lock().fetches.iter().map(|f| f.max_bytes).collect();
    assert_eq!(asked[0], 1, "one batch: nobody has read on yet");
    assert_eq!(asked.iter().max(), Some(&20_000));
}
