//! Whose time a record carries, which times are let in, and which records a topic refuses.

use alluvium::{
    AlterConfigOp, ConfigResource, ErrorKind, EventLog, ManualClock, NewTopic, Record,
    TimestampType,
};
use std::time::Duration;

use crate::support::*;

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;

fn log_at(bed: &Bed, clock: &ManualClock) -> EventLog {
    bed.builder().clock(clock.clone()).open().unwrap()
}

fn append_time(name: &str) -> NewTopic {
    NewTopic::new(name).config("message.timestamp.type", "LogAppendTime")
}

#[test]
fn a08_log_append_time_is_the_clocks_for_every_record_and_is_returned() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(NOW);
        let log = log_at(bed, &clock);
        let topic = log.create_topic(append_time("t")).unwrap();
        let producer = producer(&log);
        // Neither old nor far away is a reason to refuse it.
        let delivery = producer.send(topic.record("one").timestamp_ms(i64::MAX)).unwrap();
        assert_eq!(delivery.wait().unwrap().timestamp_ms, NOW);
        clock.advance(Duration::from_millis(5));
        let large = vec![1; 140_000];
        let records = [topic.record("two").timestamp_ms(3), topic.record("three")];
        let batch = producer.send_batch(records);
        assert_eq!(batch.parts()[0].append_time_ms(), Some(NOW + 5));
        assert_eq!(batch.parts()[0].timestamp_type(), Some(TimestampType::LogAppendTime));
        batch.wait().unwrap();
        drop(batch);
        clock.advance(Duration::from_millis(5));
        let placed = producer.send(topic.record(&large).timestamp_ms(4)).unwrap().wait().unwrap();
        assert_eq!(placed.timestamp_ms, NOW + 10, "written through");
        let check = |log: &EventLog| {
            let read = read_all(log, &tp("t", 0));
            let times: Vec<_> = read.iter().map(|r| r.timestamp_ms().unwrap() - NOW).collect();
            assert_eq!(times, [0, 5, 5, 10]);
            assert!(read.iter().all(|r| r.timestamp_type() == TimestampType::LogAppendTime));
        };
        check(&log);
        drop(producer);
        check(&bed.reopen_with(log, |builder| builder.clock(clock.clone())));
    });
}

#[test]
fn a08_the_type_is_altered_between_two_batches_and_each_record_keeps_its_own() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(NOW);
        let log = log_at(bed, &clock);
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let set = |value| {
            let ops = [AlterConfigOp::set("message.timestamp.type", value)];
            log.admin().incremental_alter_configs(&ConfigResource::topic("t"), &ops).unwrap();
        };
        put(&producer, topic.record("a").timestamp_ms(5));
        set("LogAppendTime");
        put(&producer, topic.record("b").timestamp_ms(6));
        set("CreateTime");
        put(&producer, topic.record("c").timestamp_ms(7));
        let read = read_all(&log, &tp("t", 0));
        let found: Vec<_> =
            read.iter().map(|r| (r.timestamp_ms().unwrap(), r.timestamp_type())).collect();
        let create = TimestampType::CreateTime;
        assert_eq!(found, [(5, create), (NOW, TimestampType::LogAppendTime), (7, create)]);
    });
}

#[test]
fn a09_a_time_too_far_from_the_clock_is_refused_with_its_record_and_bound() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(NOW);
        let log = log_at(bed, &clock);
        let new = NewTopic::new("t").config("message.timestamp.before.max.ms", "1000");
        let topic = log.create_topic(new).unwrap();
        let producer = producer(&log);
        let at = |time: i64| topic.record("v").timestamp_ms(time);
        for good in [NOW + HOUR, NOW - 1_000, NOW] {
            put(&producer, at(good));
        }
        let kind = ErrorKind::InvalidTimestamp;
        let late = refused(kind, producer.send(at(NOW + HOUR + 1)));
        names(&late, &["message.timestamp.after.max.ms is 3600000", "3600001 ms ahead"]);
        let early = refused(kind, producer.send(at(NOW - 1_001)));
        names(&early, &["message.timestamp.before.max.ms is 1000", "1001 ms behind"]);
        let batch = producer.send_batch([at(NOW), at(NOW + HOUR + 1), at(NOW), at(0)]);
        let error = refused(kind, batch.parts()[0].result());
        assert_eq!(error.record_indexes(), [1, 3], "A06: all of it, and who is to blame");
        assert_eq!(batch.parts()[0].append_time_ms(), None);
        drop(batch);
        assert_eq!(put(&producer, topic.record("mine")), 3, "no offset was used");
        clock.advance(Duration::from_millis(1));
        put(&producer, at(NOW + HOUR + 1));
    });
}

#[test]
fn a09_an_hour_ahead_is_the_default_and_the_past_is_open() {
    let clock = ManualClock::starting_at(NOW);
    let log = EventLog::builder().clock(clock).open().unwrap();
    let topic = topic(&log, "t");
    let producer = producer(&log);
    put(&producer, topic.record("old").timestamp_ms(0));
    refused(ErrorKind::InvalidTimestamp, producer.send(topic.record("x").timestamp_ms(i64::MAX)));
    refused(ErrorKind::InvalidTimestamp, producer.send(topic.record("x").timestamp_ms(-1)));
}

#[test]
fn a07_a_compacted_topic_takes_no_record_without_a_key() {
    on_each_kind(|bed| {
        let log = bed.open();
        let new = NewTopic::new("t").config("cleanup.policy", "compact");
        let topic = log.create_topic(new).unwrap();
        let producer = producer(&log);
        let keyless = producer.send(topic.record("v"));
        assert_eq!(refused(ErrorKind::InvalidRecord, keyless).record_indexes(), [0]);
        let records = [topic.record("v").key("k"), topic.record("v")];
        let batch = producer.send_batch(records.map(|record| record.partition(0)));
        let error = refused(ErrorKind::InvalidRecord, batch.parts()[0].result());
        assert_eq!(error.record_indexes(), [1]);
        drop(batch);
        assert_eq!(put(&producer, topic.record("v").key("")), 0, "an empty key is a key");
        assert_eq!(put(&producer, Record::tombstone("t", "k")), 1);
    });
}
