//! Looking for records by time.

use std::collections::BTreeMap;

use alluvium::{Consumer, ErrorKind, EventLog, OffsetAndTimestamp, Topic};

use crate::support::*;

fn find(consumer: &Consumer, time: i64) -> Option<(u64, i64)> {
    let place = tp("t", 0);
    let found: BTreeMap<_, Option<OffsetAndTimestamp>> =
        consumer.offsets_for_times([(place.clone(), time)]).unwrap();
    found[&place].map(|hit| (hit.offset, hit.timestamp_ms))
}

fn put_times(log: &EventLog, topic: &Topic, times: &[i64], one_by_one: bool) {
    let producer = producer(log);
    if one_by_one {
        for time in times {
            put(&producer, topic.record("v").timestamp_ms(*time));
        }
    } else {
        let batch = producer.send_batch(times.iter().map(|t| topic.record("v").timestamp_ms(*t)));
        batch.wait().unwrap();
    }
}

/// Checks on a fresh log and on its next life, sent as batches of one and as one batch.
fn with_times(times: &[i64], check: impl Fn(&Consumer)) {
    for one_by_one in [true, false] {
        on_each_kind(|bed| {
            let log = bed.open();
            let topic = topic_of_any_time(&log, "t");
            put_times(&log, &topic, times, one_by_one);
            check(&reader(&log, [tp("t", 0)]));
            let log = bed.reopen(log);
            check(&reader(&log, [tp("t", 0)]));
        });
    }
}

#[test]
fn a25_the_earliest_record_not_older_is_found_with_its_own_time() {
    with_times(&[100, 200, 200, 300], |consumer| {
        assert_eq!(find(consumer, 0), Some((0, 100)));
        assert_eq!(find(consumer, 100), Some((0, 100)));
        assert_eq!(find(consumer, 101), Some((1, 200)));
        assert_eq!(find(consumer, 200), Some((1, 200)));
        assert_eq!(find(consumer, 201), Some((3, 300)));
        assert_eq!(find(consumer, 300), Some((3, 300)));
        assert_eq!(find(consumer, 301), None);
        assert_eq!(find(consumer, i64::MAX), None);
    });
}

#[test]
fn a26_times_out_of_order() {
    with_times(&[10, 30, 20, 40], |consumer| {
        assert_eq!(find(consumer, 15), Some((1, 30)));
        assert_eq!(find(consumer, 25), Some((1, 30)));
        assert_eq!(find(consumer, 35), Some((3, 40)));
        assert_eq!(find(consumer, 41), None);
    });
}

#[test]
fn a27_one_record_from_the_far_future_captures_later_questions() {
    let far = 4_000_000_000_000;
    with_times(&[10, 20, far, 30, 40], |consumer| {
        assert_eq!(find(consumer, 15), Some((1, 20)));
        assert_eq!(find(consumer, 25), Some((2, far)));
        assert_eq!(find(consumer, 40), Some((2, far)));
        assert_eq!(find(consumer, far + 1), None);
    });
}

#[test]
fn a25_an_empty_partition_has_no_answer_and_an_unknown_one_is_an_error() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic_of(&log, "t", 2);
        let consumer = log.consumer().build().unwrap();
        // Nothing needs to be assigned.
        assert_eq!(find(&consumer, 0), None);
        let unknown = ErrorKind::UnknownTopicOrPartition;
        let error = refused(unknown, consumer.offsets_for_times([(tp("t", 2), 0)]));
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(2)));
        refused(unknown, consumer.offsets_for_times([(tp("nowhere", 0), 0)]));
    });
}

#[test]
fn a25_a_negative_time_is_an_argument_error() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        put(&producer(&log), topic.record("v"));
        let mut consumer = reader(&log, [tp("t", 0)]);
        let error =
            refused(ErrorKind::InvalidRequest, consumer.offsets_for_times([(tp("t", 0), -1)]));
        names(&error, &["-1"]);
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
        refused(ErrorKind::InvalidRequest, consumer.seek_to_time(&tp("t", 0), -1));
        assert_eq!(take(&mut consumer, 1)[0].offset(), 0, "and the position has not moved");
    });
}

#[test]
fn a25_what_is_not_visible_yet_is_not_found() {
    let bed = Bed::new(Kind::PowerLoss);
    let log = bed.builder().background(false).open().unwrap();
    let topic = topic(&log, "t");
    let producer = producer(&log);
    put(&producer, topic.record("v").timestamp_ms(10));
    place(&producer, topic.record("v").timestamp_ms(20));
    let consumer = log.consumer().build().unwrap();
    assert_eq!(find(&consumer, 15), None);
    producer.flush().unwrap();
    assert_eq!(find(&consumer, 15), Some((1, 20)));
}

#[test]
fn a25_every_partition_is_asked_for_a_time_of_its_own() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 3);
        let producer = producer(&log);
        for partition in 0..3 {
            for time in [10, 20, 30] {
                put(&producer, topic.record("v").partition(partition).timestamp_ms(time));
            }
        }
        let consumer = log.consumer().build().unwrap();
        let times = [(tp("t", 0), 5), (tp("t", 1), 15), (tp("t", 2), 35)];
        let found = consumer.offsets_for_times(times).unwrap();
        let found: Vec<_> = found.values().map(|hit| hit.map(|hit| hit.offset)).collect();
        assert_eq!(found, [Some(0), Some(1), None]);
    });
}

#[test]
fn a25_seek_to_time_goes_there_or_to_the_end() {
    with_times(&[100, 200, 300], |_| {});
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        put_times(&log, &topic, &[100, 200, 300], true);
        let mut consumer = reader(&log, [tp("t", 0)]);
        consumer.seek_to_time(&tp("t", 0), 150).unwrap();
        assert_eq!(offsets(&take(&mut consumer, 2)), [1, 2]);
        consumer.seek_to_time(&tp("t", 0), 301).unwrap();
        assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 3);
        refused(ErrorKind::IllegalState, consumer.seek_to_time(&tp("t", 1), 0));
    });
}
