use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::{Error, ErrorKind, Isolation};
use crate::client::fake::Fake;
use crate::client::{Consumer, ConsumerBuilder, OffsetReset, Records};

use super::{tp, values};

fn earliest(log: &std::sync::Arc<Fake>) -> Consumer {
    log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap()
}

#[test]
fn a01_null_and_empty_stay_apart_all_the_way() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    let headers: [(&str, Option<&[u8]>); 3] =
        [("h", None), ("h", Some(b"")), ("\u{e9}", Some(b"x"))];
    let _ = producer.send(topic.record("").key("").headers(&headers).timestamp_ms(5)).unwrap();
    let _ = producer.send(topic.tombstone("k")).unwrap();
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0)]).unwrap();
    let records = consumer.poll(Duration::ZERO).unwrap();
    let all: Vec<_> = records.iter().collect();
    assert_eq!((all[0].key(), all[0].value()), (Some(&b""[..]), Some(&b""[..])));
    assert_eq!(all[0].headers().collect::<Vec<_>>(), headers);
    assert_eq!(all[0].header("h"), Some(Some(&b""[..])), "the last one counts");
    assert_eq!((all[0].header("\u{e9}"), all[0].header("no")), (Some(Some(&b"x"[..])), None));
    assert_eq!(all[0].timestamp_ms(), Some(5));
    assert_eq!((all[1].key(), all[1].value()), (Some(&b"k"[..]), None));
    assert_eq!(all[1].timestamp_ms(), Some(1_000));
}

#[test]
fn an_owned_record_keeps_everything() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    let headers: [(&str, Option<&[u8]>); 1] = [("h", None)];
    let _ = producer.send(topic.record("v\u{e4}rde").key("k").headers(&headers)).unwrap();
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0)]).unwrap();
    let records = consumer.poll(Duration::ZERO).unwrap();
    let owned = records.iter().next().unwrap().to_owned();
    drop((records, consumer));
    assert_eq!((owned.topic(), owned.partition(), owned.offset()), ("t", 0, 0));
    assert_eq!((owned.key(), owned.value_str().unwrap()), (Some(&b"k"[..]), "v\u{e4}rde"));
    assert_eq!(owned.headers().collect::<Vec<_>>(), headers);
    assert_eq!((owned.header("h"), owned.timestamp_ms()), (Some(None), Some(1_000)));
}

#[test]
fn a_value_that_is_no_text_is_named_by_its_place() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    let _ = producer.send(topic.tombstone("k")).unwrap();
    let _ = producer.send(topic.record(&[0xff])).unwrap();
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0)]).unwrap();
    for (offset, record) in (0..).zip(&consumer.poll(Duration::ZERO).unwrap()) {
        for error in [record.value_str().unwrap_err(), record.to_owned().value_str().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::InvalidRecord);
            assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
            assert_eq!(error.offset(), Some(offset));
        }
    }
}

#[test]
fn records_are_grouped_counted_and_continued() {
    let log = Fake::new();
    log.create("t", 2);
    log.create("u", 1);
    log.partition("t", 1).add(&["a", "b"]);
    log.partition("t", 1).add(&["c"]);
    log.partition("u", 0).add(&["d"]);
    let mut consumer = earliest(&log);
    consumer.assign([tp("u", 0), tp("t", 1), tp("t", 0)]).unwrap();
    let records = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!((records.len(), records.iter().len(), records.is_empty()), (4, 4, false));
    assert_eq!(records.partitions().collect::<Vec<_>>(), [&tp("t", 1), &tp("u", 0)]);
    let of = |topic, n| records.of(&tp(topic, n)).map(|r| r.offset()).collect::<Vec<_>>();
    assert_eq!((of("t", 1), of("u", 0), of("t", 0)), (vec![0, 1, 2], vec![0], vec![]));
    assert_eq!(records.of(&tp("t", 1)).len(), 3);
    let next: Vec<_> = records.next_offsets().into_iter().collect();
    assert_eq!(next, [(tp("t", 1), 3), (tp("u", 0), 1)]);
    assert_eq!(values(&records), ["a", "b", "c", "d"]);
}

#[test]
fn poll_into_drops_what_was_there() {
    let log = Fake::new();
    log.create("t", 1);
    log.partition("t", 0).add(&["a"]);
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0)]).unwrap();
    let mut records = Records::default();
    assert_eq!(consumer.poll_into(&mut records, Duration::ZERO).unwrap(), 1);
    let kept = records.clone();
    assert_eq!(consumer.poll_into(&mut records, Duration::ZERO).unwrap(), 0);
    assert!(records.is_empty() && records.next_offsets().is_empty());
    assert_eq!(values(&kept), ["a"]);
}

#[test]
fn a32_a_position_inside_a_batch_begins_there() {
    let log = Fake::new();
    log.create("t", 1);
    log.partition("t", 0).add(&["a", "b", "c", "d"]);
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0)]).unwrap();
    consumer.seek(&tp("t", 0), 2).unwrap();
    let records = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(values(&records), ["c", "d"]);
    assert_eq!(records.iter().next().unwrap().offset(), 2);
}

#[test]
fn a34_the_position_passes_what_is_not_shown() {
    let log = Fake::new();
    log.create("t", 1);
    let partition = log.partition("t", 0);
    partition.add(&["a"]);
    partition.add_control();
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0)]).unwrap();
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["a"]);
    assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 2);
    assert_eq!(consumer.lag(&tp("t", 0)).unwrap(), 0);
    partition.add_control();
    let records = consumer.poll(Duration::ZERO).unwrap();
    assert!(records.is_empty());
    assert_eq!(records.next_offsets().get(&tp("t", 0)), Some(3));
}

#[test]
fn only_the_visible_part_of_a_batch_is_given() {
    let log = Fake::new();
    log.create("t", 1);
    let partition = log.partition("t", 0);
    partition.state.lock().lazy = true;
    partition.add(&["a", "b", "c"]);
    partition.state.lock().visible = 2;
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0)]).unwrap();
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["a", "b"]);
    assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 2);
    partition.publish();
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["c"]);
}

#[test]
fn a_gap_is_passed_and_told() {
    let log = Fake::new();
    log.create("t", 1);
    let partition = log.partition("t", 0);
    partition.add(&["a"]);
    partition.add_gap(10);
    partition.add(&["b"]);
    partition.add_gap(5);
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0)]).unwrap();
    let records = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(records.iter().map(|r| r.offset()).collect::<Vec<_>>(), [0, 11]);
    let gaps: Vec<_> = records.gaps().iter().map(|gap| (gap.from, gap.to)).collect();
    assert_eq!(gaps, [(1, 11)]);
    let records = consumer.poll(Duration::ZERO).unwrap();
    assert!(records.is_empty());
    assert_eq!((records.gaps()[0].from, records.gaps()[0].to), (12, 17));
    assert_eq!(records.gaps()[0].partition, tp("t", 0));
    assert!(consumer.poll(Duration::ZERO).unwrap().gaps().is_empty(), "told once");
    assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 17);
}

#[test]
fn c22_damage_is_named_costs_no_record_and_does_not_move_the_position() {
    let log = Fake::new();
    log.create("t", 2);
    let partition = log.partition("t", 0);
    partition.add(&["a", "b", "c"]);
    partition.add(&["d"]);
    partition.spoil(0, 24); // The second record.
    log.partition("t", 1).add(&["other"]);
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0), tp("t", 1)]).unwrap();
    let first = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(values(&first), ["a", "other"]);
    for _ in 0..2 {
        let error = consumer.poll(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptMessage);
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
        assert_eq!(error.offset(), Some(1));
        assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 1);
    }
    log.partition("t", 1).add(&["another"]);
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["another"]);
    consumer.seek(&tp("t", 0), 3).unwrap();
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["d"]);
}

#[test]
fn an_error_waits_for_the_records_of_other_partitions_and_a_seek_forgets_it() {
    let log = Fake::new();
    log.create("t", 2);
    let failing = log.partition("t", 0);
    failing.add(&["a"]);
    failing.state.lock().fail_fetch = Some(Error::new(ErrorKind::StorageError, "gone"));
    log.partition("t", 1).add(&["b"]);
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0), tp("t", 1)]).unwrap();
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["b"]);
    let error = consumer.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageError);
    log.partition("t", 1).add(&["c"]);
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["c"]);
    failing.state.lock().fail_fetch = None;
    consumer.seek(&tp("t", 0), 0).unwrap();
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["a"], "no stale error");
}

#[test]
fn c25_a_deleted_topic_is_told_once_and_a_new_one_of_its_name_is_read() {
    let log = Fake::new();
    log.create("t", 1);
    log.create("u", 1);
    log.partition("t", 0).add(&["old"]);
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0), tp("u", 0)]).unwrap();
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["old"]);
    log.delete("t");
    log.partition("u", 0).add(&["goes on"]);
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["goes on"]);
    let error = consumer.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(error.topic(), Some("t"));
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    log.create("t", 1);
    log.partition("t", 0).add(&["new"]);
    assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["new"]);
}

#[test]
fn c03_a_poll_of_nothing_is_illegal() {
    let log = Fake::new();
    log.create("t", 1);
    let mut consumer = earliest(&log);
    let error = consumer.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IllegalState);
    consumer.assign([tp("t", 0)]).unwrap();
    consumer.assign([]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap_err().kind(), ErrorKind::IllegalState);
}

#[test]
fn assign_replaces_keeps_positions_and_changes_nothing_when_it_fails() {
    let log = Fake::new();
    let topic = log.create("t", 3);
    let producer = log.producer().build().unwrap();
    for partition in 0..3 {
        for _ in 0..3 {
            let _ = producer.send(topic.record("v").partition(partition)).unwrap();
        }
    }
    let mut consumer = log.consumer().set("max.poll.records", "1").build().unwrap();
    consumer.assign([tp("t", 0), tp("t", 1)]).unwrap();
    consumer.seek(&tp("t", 0), 1).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    for bad in [tp("t", 3), tp("nowhere", 0)] {
        let error = consumer.assign([tp("t", 2), bad.clone()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
        assert_eq!(error.topic(), Some(bad.topic()));
        assert!(consumer.assignment().eq([&tp("t", 0), &tp("t", 1)]));
    }
    consumer.assign([tp("t", 2), tp("t", 0), tp("t", 2)]).unwrap();
    assert!(consumer.assignment().eq([&tp("t", 0), &tp("t", 2)]));
    assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 2);
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset(), 2);
    assert_eq!(consumer.position(&tp("t", 2)).unwrap(), 3, "a new one begins by the policy");
}

#[test]
fn a_closed_log_ends_clients() {
    let log = Fake::new();
    log.create("t", 1);
    let mut consumer = earliest(&log);
    consumer.assign([tp("t", 0)]).unwrap();
    log.closed.store(true, std::sync::atomic::Ordering::Release);
    assert_eq!(consumer.poll(Duration::MAX).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(consumer.end_offsets(&[tp("t", 0)]).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(log.consumer().build().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(log.producer().build().unwrap_err().kind(), ErrorKind::Closed);
    consumer.close().unwrap();
}

#[test]
fn a_consumers_setting_that_cannot_work_is_refused() {
    let log = Fake::new();
    for (key, value) in [
        ("max.poll.records", "0"),
        ("fetch.min.bytes", "2"),
        ("isolation.level", "committed"),
        ("auto.offset.reset", "newest"),
        ("no.such.key", "1"),
    ] {
        let error = log.consumer().set(key, value).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(&format!("{key}={value}")), "{error}");
    }
}

#[test]
fn c20_records_are_read_uncommitted_unless_asked_otherwise() {
    let log = Fake::new();
    log.create("t", 1);
    let read = |builder: ConsumerBuilder| {
        let mut consumer = builder.build().unwrap();
        consumer.assign([tp("t", 0)]).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        log.partition("t", 0).state.lock().fetches.last().unwrap().isolation
    };
    let committed = |builder: ConsumerBuilder| builder.set("isolation.level", "read_committed");
    assert_eq!(read(log.consumer()), Isolation::ReadUncommitted);
    assert_eq!(read(committed(log.consumer())), Isolation::ReadCommitted);
    let both = committed(log.consumer()).isolation(Isolation::ReadUncommitted);
    assert_eq!(read(both), Isolation::ReadUncommitted);
}

#[test]
fn an_idle_partition_costs_a_poll_nothing() {
    const COUNT: u32 = 1_000;
    let log = Fake::new();
    log.create("t", COUNT);
    let mut consumer = earliest(&log);
    consumer.assign((0..COUNT).map(|n| tp("t", n))).unwrap();
    let looks = || {
        let parts = (0..COUNT).map(|n| log.partition("t", n).looks());
        parts.sum::<usize>()
    };
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    let first = looks();
    assert!(first >= COUNT as usize);
    for _ in 0..100 {
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    }
    assert_eq!(looks(), first, "who has nothing is not asked again");
    let poll_often = |consumer: &mut Consumer| {
        for _ in 0..100 {
            assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        }
    };
    for n in [999, 3, 500] {
        let looks_at = || log.partition("t", n).looks();
        let (others, own) = (looks() - looks_at(), looks_at());
        log.partition("t", n).add(&["here"]);
        let records = consumer.poll(Duration::ZERO).unwrap();
        assert_eq!(records.next_offsets().into_iter().collect::<Vec<_>>(), [(tp("t", n), 1)]);
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        assert!(looks_at() - own < 10);
        // It may soon have more, and is looked at for a while; then it has to call again.
        poll_often(&mut consumer);
        let in_the_end = looks();
        poll_often(&mut consumer);
        assert_eq!(looks(), in_the_end);
        assert_eq!(looks() - looks_at(), others, "only the one that has called is asked");
    }
}

#[test]
fn an_assignment_changes_by_its_difference() {
    let log = Fake::new();
    log.create("t", 4);
    for n in 0..4 {
        log.partition("t", n).add(&["a", "b", "c", "d"]);
    }
    let builder = log.consumer().offset_reset(OffsetReset::Earliest).set("max.poll.records", "4");
    let mut consumer = builder.build().unwrap();
    consumer.assign((0..3).map(|n| tp("t", n))).unwrap();
    let first = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(first.len(), 4);
    let resolved = log.resolved.load(Ordering::Relaxed);
    consumer.assign([tp("t", 3), tp("t", 1)]).unwrap();
    let more = log.resolved.load(Ordering::Relaxed) - resolved;
    assert!((1..=2).contains(&more), "only the new one is resolved: {more}");
    let mut all = Vec::new();
    while all.len() < 8 - first.of(&tp("t", 1)).len() {
        let records = consumer.poll(Duration::ZERO).unwrap();
        assert!(!records.is_empty());
        all.extend(records.iter().map(|record| (record.partition(), record.offset())));
    }
    let fetches = log.partition("t", 1).state.lock().fetches.clone();
    let from: Vec<_> = fetches.iter().map(|fetch| fetch.from).collect();
    assert!(from.starts_with(&[0, 4]), "what was fetched of it is kept: {from:?}");
    all.sort_unstable();
    let began = first.of(&tp("t", 1)).len() as u64;
    let rest = (began..4).map(|offset| (1, offset)).chain((0..4).map(|offset| (3, offset)));
    assert_eq!(all, rest.collect::<Vec<_>>());
    consumer.assign([]).unwrap();
    assert_eq!((0..4).map(|n| log.partition("t", n).waiters()).sum::<usize>(), 0);
}
