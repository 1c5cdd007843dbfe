use std::time::Duration;

use crate::base::ErrorKind;
use crate::client::fake::Fake;
use crate::client::{Consumer, OffsetReset};

use super::{tp, values};

/// Offsets 2 to 6 of one partition, at 2,000 to 6,000 ms.
fn log() -> std::sync::Arc<Fake> {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    for n in 0..7 {
        let value = n.to_string();
        let _ = producer.send(topic.record(&value).timestamp_ms(n * 1_000)).unwrap();
    }
    log.partition("t", 0).state.lock().start = 2;
    log
}

fn consumer(log: &std::sync::Arc<Fake>, reset: OffsetReset) -> Consumer {
    let mut consumer = log.consumer().offset_reset(reset).build().unwrap();
    consumer.assign([tp("t", 0)]).unwrap();
    consumer
}

fn next(consumer: &mut Consumer) -> Option<u64> {
    consumer.poll(Duration::ZERO).unwrap().iter().next().map(|record| record.offset())
}

#[test]
fn c07_without_a_position_the_policy_says_where() {
    let log = log();
    log.clock.jump_wall(6_500);
    assert_eq!(next(&mut consumer(&log, OffsetReset::Earliest)), Some(2));
    assert_eq!(next(&mut consumer(&log, OffsetReset::Latest)), None);
    let since = |ms| OffsetReset::ByDuration(Duration::from_millis(ms));
    assert_eq!(next(&mut consumer(&log, since(2_500))), Some(4));
    assert_eq!(consumer(&log, since(100)).position(&tp("t", 0)).unwrap(), 7);
    let mut none = consumer(&log, OffsetReset::None);
    for _ in 0..2 {
        let error = none.poll(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoOffsetForPartition);
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
    }
    let error = none.position(&tp("t", 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoOffsetForPartition);
    none.seek(&tp("t", 0), 3).unwrap();
    assert_eq!(next(&mut none), Some(3));
}

#[test]
fn c07_latest_is_the_default() {
    let log = log();
    let mut consumer = log.consumer().build().unwrap();
    consumer.assign([tp("t", 0)]).unwrap();
    assert_eq!(next(&mut consumer), None);
    log.partition("t", 0).add(&["new"]);
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["new"]);
}

#[test]
fn c09_latest_is_fixed_when_it_is_first_needed() {
    let log = log();
    let mut consumer = consumer(&log, OffsetReset::Latest);
    log.partition("t", 0).add(&["skipped"]);
    assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 8);
    log.partition("t", 0).add(&["read"]);
    assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 8);
    assert_eq!(next(&mut consumer), Some(8));
}

#[test]
fn c08_out_of_range_applies_the_policy() {
    let log = log();
    for out in [0, 1, 8, u64::MAX] {
        let mut earliest = consumer(&log, OffsetReset::Earliest);
        earliest.seek(&tp("t", 0), out).unwrap();
        assert_eq!(earliest.position(&tp("t", 0)).unwrap(), out, "accepted until the poll");
        assert_eq!(next(&mut earliest), Some(2), "from {out}");
        let mut latest = consumer(&log, OffsetReset::Latest);
        latest.seek(&tp("t", 0), out).unwrap();
        assert_eq!(next(&mut latest), None);
        assert_eq!(latest.position(&tp("t", 0)).unwrap(), 7);
        let mut none = consumer(&log, OffsetReset::None);
        none.seek(&tp("t", 0), out).unwrap();
        let error = none.poll(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange);
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
        assert_eq!(error.offset(), Some(out));
        assert_eq!(none.position(&tp("t", 0)).unwrap(), out);
    }
}

#[test]
fn c10_a_seek_discards_what_was_fetched() {
    let log = log();
    let mut consumer = log
        .consumer()
        .offset_reset(OffsetReset::Earliest)
        .set("max.poll.records", "1")
        .build()
        .unwrap();
    consumer.assign([tp("t", 0)]).unwrap();
    assert_eq!(next(&mut consumer), Some(2));
    consumer.seek(&tp("t", 0), 6).unwrap();
    assert_eq!(next(&mut consumer), Some(6));
    consumer.seek(&tp("t", 0), 3).unwrap();
    assert_eq!((next(&mut consumer), next(&mut consumer)), (Some(3), Some(4)));
}

#[test]
fn c10_an_unassigned_partition_has_no_position() {
    let log = log();
    log.create("u", 1);
    let mut consumer = consumer(&log, OffsetReset::Earliest);
    let other = tp("u", 0);
    let both = [tp("t", 0), other.clone()];
    let errors = [
        consumer.seek(&other, 0).unwrap_err(),
        consumer.seek_to_end(&both).unwrap_err(),
        consumer.seek_to_beginning(&both).unwrap_err(),
        consumer.seek_to_time(&other, 0).unwrap_err(),
        consumer.position(&other).unwrap_err(),
        consumer.lag(&other).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::IllegalState);
        assert_eq!((error.topic(), error.partition()), (Some("u"), Some(0)));
    }
    assert_eq!(next(&mut consumer), Some(2), "a seek that fails moves nothing");
}

#[test]
fn c10_beginning_and_end_are_those_of_the_next_poll() {
    let log = log();
    let mut consumer = consumer(&log, OffsetReset::None);
    consumer.seek_to_end(&[]).unwrap();
    log.partition("t", 0).add(&["skipped"]);
    assert_eq!(next(&mut consumer), None);
    assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 8);
    consumer.seek_to_beginning(&[tp("t", 0)]).unwrap();
    log.partition("t", 0).state.lock().start = 4;
    assert_eq!(next(&mut consumer), Some(4));
}

#[test]
fn a_seek_to_a_time_finds_the_first_record_not_older() {
    let log = log();
    let mut consumer = consumer(&log, OffsetReset::None);
    consumer.seek_to_time(&tp("t", 0), 4_001).unwrap();
    assert_eq!(next(&mut consumer), Some(5));
    consumer.seek_to_time(&tp("t", 0), 4_000).unwrap();
    assert_eq!(next(&mut consumer), Some(4));
    consumer.seek_to_time(&tp("t", 0), i64::MAX).unwrap();
    assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 7);
}

#[test]
fn c19_offsets_of_any_partition_are_told() {
    let log = log();
    log.create("u", 1);
    let assigned = consumer(&log, OffsetReset::Earliest);
    let both = [tp("t", 0), tp("u", 0)];
    let all =
        |offsets: crate::client::Offsets| offsets.into_iter().map(|(_, o)| o).collect::<Vec<_>>();
    assert_eq!(all(assigned.beginning_offsets(&both).unwrap()), [2, 0]);
    assert_eq!(all(assigned.end_offsets(&both).unwrap()), [7, 0]);
    assert_eq!(assigned.lag(&tp("t", 0)).unwrap(), 5);
    let times = [(tp("t", 0), 4_500), (tp("u", 0), 0)];
    let found = assigned.offsets_for_times(times).unwrap();
    let five = found[&tp("t", 0)].unwrap();
    assert_eq!((five.offset, five.timestamp_ms), (5, 5_000));
    assert_eq!(found[&tp("u", 0)], None);
    let unknown = assigned.end_offsets(&[tp("nowhere", 0)]).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::UnknownTopicOrPartition);
    let unknown = assigned.end_offsets(&[tp("u", 1)]).unwrap_err();
    assert_eq!(unknown.partition(), Some(1));
}
