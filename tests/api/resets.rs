//! Where a consumer begins, and begins again.

use std::time::Duration;

use alluvium::{
    Consumer, ConsumerEvent, ErrorKind, EventLog, ManualClock, OffsetReset, ResetReason,
};

use crate::support::*;

fn with(log: &EventLog, policy: OffsetReset) -> Consumer {
    let mut consumer = log.consumer().offset_reset(policy).build().unwrap();
    consumer.assign([tp("t", 0)]).unwrap();
    consumer
}

fn with_text(log: &EventLog, policy: &str) -> Consumer {
    let mut consumer = log.consumer().set("auto.offset.reset", policy).build().unwrap();
    consumer.assign([tp("t", 0)]).unwrap();
    consumer
}

/// Ten records, one second apart, the last at 1,000,000.
fn aged(bed: &Bed) -> (EventLog, ManualClock) {
    let clock = ManualClock::starting_at(991_000);
    let log = bed.builder().clock(clock.clone()).open().unwrap();
    let topic = topic(&log, "t");
    let producer = producer(&log);
    for n in 0..10 {
        put(&producer, topic.record("v"));
        if n < 9 {
            clock.advance(Duration::from_secs(1));
        }
    }
    (log, clock)
}

#[test]
fn c07_latest_is_the_default_and_begins_behind_what_is_there() {
    on_each_kind(|bed| {
        let (log, _) = aged(bed);
        let mut default = log.consumer().build().unwrap();
        default.assign([tp("t", 0)]).unwrap();
        for mut consumer in [default, with(&log, OffsetReset::Latest), with_text(&log, "latest")] {
            assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
            let end = consumer.position(&tp("t", 0)).unwrap();
            let producer = producer(&log);
            let offset = put(&producer, log.topic("t").unwrap().record("new"));
            assert_eq!(offset, end);
            assert_eq!(offsets(&take(&mut consumer, 1)), [end]);
        }
    });
}

#[test]
fn c07_earliest_begins_with_the_first() {
    on_each_kind(|bed| {
        let (log, _) = aged(bed);
        for mut consumer in [with(&log, OffsetReset::Earliest), with_text(&log, "earliest")] {
            assert_eq!(offsets(&take(&mut consumer, 10)), (0..10).collect::<Vec<_>>());
        }
    });
}

#[test]
fn c07_none_is_an_error_until_a_seek() {
    on_each_kind(|bed| {
        let (log, _) = aged(bed);
        for mut consumer in [with(&log, OffsetReset::None), with_text(&log, "none")] {
            let none = ErrorKind::NoOffsetForPartition;
            for _ in 0..2 {
                let error = refused(none, consumer.poll(Duration::ZERO));
                assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
            }
            refused(none, consumer.position(&tp("t", 0)));
            refused(none, consumer.lag(&tp("t", 0)));
            consumer.seek(&tp("t", 0), 8).unwrap();
            assert_eq!(offsets(&take(&mut consumer, 2)), [8, 9]);
        }
    });
}

#[test]
fn c07_by_duration_begins_with_the_first_that_is_young_enough() {
    on_each_kind(|bed| {
        let (log, clock) = aged(bed);
        let seconds = |n| OffsetReset::ByDuration(Duration::from_secs(n));
        let position = |policy| with(&log, policy).position(&tp("t", 0)).unwrap();
        assert_eq!(position(seconds(0)), 9, "the last one is of this very moment");
        assert_eq!(position(seconds(3)), 6);
        assert_eq!(position(seconds(9)), 0);
        assert_eq!(position(seconds(1_000)), 0);
        assert_eq!(position(OffsetReset::ByDuration(Duration::MAX)), 0);
        clock.advance(Duration::from_secs(5));
        assert_eq!(position(seconds(3)), 10, "all are older: latest");
        assert_eq!(position(seconds(6)), 8);
        let position = |text| with_text(&log, text).position(&tp("t", 0)).unwrap();
        assert_eq!(position("by_duration:PT6S"), 8);
        assert_eq!(position("by_duration:PT0.5S"), 10);
        assert_eq!(position("by_duration:P1DT1H"), 0);
    });
}

#[test]
fn c08_a_position_out_of_range_begins_anew_by_the_policy() {
    on_each_kind(|bed| {
        let (log, _) = aged(bed);
        let mut earliest = with(&log, OffsetReset::Earliest);
        earliest.seek(&tp("t", 0), 11).unwrap();
        assert_eq!(take(&mut earliest, 10)[0].offset(), 0);

        let mut latest = with(&log, OffsetReset::Latest);
        latest.seek(&tp("t", 0), 11).unwrap();
        assert!(latest.poll(Duration::ZERO).unwrap().is_empty());
        assert_eq!(latest.position(&tp("t", 0)).unwrap(), 10);

        let mut young = with(&log, OffsetReset::ByDuration(Duration::from_secs(2)));
        young.seek(&tp("t", 0), 11).unwrap();
        assert_eq!(offsets(&take(&mut young, 3)), [7, 8, 9]);
    });
}

#[test]
fn c08_none_tells_partition_and_offset_and_stays_there() {
    on_each_kind(|bed| {
        let (log, _) = aged(bed);
        let mut consumer = with(&log, OffsetReset::None);
        consumer.seek(&tp("t", 0), 11).unwrap();
        for _ in 0..2 {
            let error = refused(ErrorKind::OffsetOutOfRange, consumer.poll(LONG));
            assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
            assert_eq!(error.offset(), Some(11));
            assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 11);
        }
        consumer.seek(&tp("t", 0), 9).unwrap();
        assert_eq!(offsets(&take(&mut consumer, 1)), [9]);
    });
}

#[test]
fn c08_an_error_of_one_partition_costs_no_records_of_another() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let producer = producer(&log);
        put(&producer, topic.record("a").partition(0));
        put(&producer, topic.record("b").partition(1));
        let mut consumer = log.consumer().offset_reset(OffsetReset::None).build().unwrap();
        consumer.assign([tp("t", 0), tp("t", 1)]).unwrap();
        consumer.seek(&tp("t", 0), 99).unwrap();
        consumer.seek(&tp("t", 1), 0).unwrap();
        assert_eq!(values(&take(&mut consumer, 1)), [b"b"], "records come before errors");
        let error = refused(ErrorKind::OffsetOutOfRange, consumer.poll(Duration::ZERO));
        assert_eq!(error.partition(), Some(0));
        consumer.seek(&tp("t", 0), 0).unwrap();
        assert_eq!(values(&take(&mut consumer, 1)), [b"a"]);
    });
}

/// Partition, wanted, to, reason of each reset.
fn resets(consumer: &mut Consumer) -> Vec<(u32, Option<u64>, u64, ResetReason)> {
    let tell = |event| match event {
        ConsumerEvent::Reset { partition, wanted, to, reason } => {
            (partition.partition(), wanted, to, reason)
        }
        other => panic!("{other:?}"),
    };
    consumer.take_events().into_iter().map(tell).collect()
}

#[test]
fn c07_c08_an_applied_reset_is_told_with_where_why_and_whence() {
    on_each_kind(|bed| {
        let (log, _) = aged(bed);
        for (policy, first) in [
            (OffsetReset::Earliest, 0),
            (OffsetReset::Latest, 10),
            (OffsetReset::ByDuration(Duration::from_secs(2)), 7),
        ] {
            let mut consumer = with(&log, policy);
            assert_eq!(resets(&mut consumer), [], "it is needed first");
            assert_eq!(consumer.current_lag(&tp("t", 0)).unwrap(), None);
            assert_eq!(resets(&mut consumer), [], "a question that fixes nothing");
            assert_eq!(consumer.position(&tp("t", 0)).unwrap(), first);
            let begun = [(0, None, first, ResetReason::NoPosition)];
            assert_eq!(resets(&mut consumer), begun, "{policy:?}");
            consumer.seek(&tp("t", 0), 77).unwrap();
            consumer.poll(Duration::ZERO).unwrap();
            let again = [(0, Some(77), first, ResetReason::OutOfRange)];
            assert_eq!(resets(&mut consumer), again, "{policy:?}");
            consumer.seek_to_end(&[]).unwrap();
            consumer.seek_to_beginning(&[]).unwrap();
            consumer.poll(Duration::ZERO).unwrap();
            assert_eq!(resets(&mut consumer), [], "what the caller chose is no reset");
        }
        let mut none = with(&log, OffsetReset::None);
        none.seek(&tp("t", 0), 77).unwrap();
        refused(ErrorKind::OffsetOutOfRange, none.poll(Duration::ZERO));
        assert_eq!(resets(&mut none), [], "the error has told of it");
    });
}

#[test]
fn c25_the_beginning_in_a_new_topic_of_the_name_is_told() {
    on_each_kind(|bed| {
        let (log, _) = aged(bed);
        let mut consumer = reader(&log, [tp("t", 0)]);
        take(&mut consumer, 10);
        log.admin().delete_topic("t").unwrap();
        refused(ErrorKind::UnknownTopicOrPartition, consumer.poll(LONG));
        put(&producer(&log), topic(&log, "t").record("new"));
        assert_eq!(values(&take(&mut consumer, 1)), [b"new"]);
        let told = resets(&mut consumer);
        let second = (0, Some(10), 0, ResetReason::NewTopic);
        assert_eq!(told, [(0, None, 0, ResetReason::NoPosition), second]);
    });
}
