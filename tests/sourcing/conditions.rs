//! Appends that depend on what was appended before, and what they refuse.

use alluvium::{
    Error, ErrorKind, EventLog, Expect, NewTopic, ProducerInterceptor, Record, RecordsToDelete,
    SendOutcome,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bed::*;
use crate::support::*;

fn actual<T>(outcome: Result<T, Error>) -> Option<u64> {
    refused(ErrorKind::ConditionFailed, outcome).actual_offset()
}

#[test]
fn a_record_is_appended_at_the_next_offset_or_not_at_all() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let p = producer(&log);
        let send = |n| p.send_if(topic.record("v"), Expect::NextOffset(n)).map(|d| d.wait());
        assert_eq!(send(0).unwrap().unwrap().offset, 0);
        assert_eq!(actual(send(0)), Some(1));
        assert_eq!(actual(send(2)), Some(1));
        assert_eq!(actual(send(u64::MAX)), Some(1));
        assert_eq!(send(1).unwrap().unwrap().offset, 1);
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 2);
    });
}

#[test]
fn the_next_offset_needs_one_partition() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 3);
    let p = producer(&log);
    let e = refused(ErrorKind::InvalidRequest, p.send_if(topic.record("v"), Expect::NextOffset(0)));
    names(&e, &["NextOffset(0)", "3 partitions"]);
    let placed = p.send_if(topic.record("v").key("k"), Expect::NextOffset(0)).unwrap().placed();
    let other = topic.record("v").partition((placed.partition + 1) % 3);
    p.send_if(other, Expect::NextOffset(0)).unwrap().wait().unwrap();
    let again = p.send_if(topic.record("v").key("k"), Expect::NextOffset(placed.offset + 1));
    assert_eq!(again.unwrap().placed().partition, placed.partition);
    let e = refused(
        ErrorKind::UnknownTopicOrPartition,
        p.send_if(topic.record("v").partition(3), Expect::NextOffset(0)),
    );
    names(&e, &["partition 3"]);
}

#[test]
fn a_key_is_absent_or_at_an_offset_wherever_its_records_stand() {
    staged_and_sealed(|log, settle| {
        let topic = indexed(log);
        let p = producer(log);
        let send = |key, expect| {
            let sent = p.send_if(topic.record("v").key(key), expect);
            sent.map(|delivery| delivery.wait().unwrap().offset)
        };
        assert_eq!(actual(send("a", Expect::KeyAt(0))), None);
        assert_eq!(send("a", Expect::KeyAbsent).unwrap(), 0);
        assert_eq!(send("b", Expect::KeyAbsent).unwrap(), 1);
        settle(&topic);
        assert_eq!(actual(send("a", Expect::KeyAbsent)), Some(0));
        assert_eq!(actual(send("a", Expect::KeyAt(1))), Some(0));
        assert_eq!(send("a", Expect::KeyAt(0)).unwrap(), 2);
        assert_eq!(actual(send("a", Expect::KeyAt(0))), Some(2));
        settle(&topic);
        assert_eq!(send("b", Expect::KeyAt(1)).unwrap(), 3);
        assert_eq!(actual(send("c", Expect::KeyAt(3))), None);
        assert_eq!((history(&topic, "a"), history(&topic, "b")), (vec![0, 2], vec![1, 3]));
        assert_eq!(history(&topic, "c"), []);
    });
}

#[test]
fn a_version_is_the_number_of_records_of_the_key() {
    staged_and_sealed(|log, settle| {
        let topic = indexed(log);
        let p = producer(log);
        let send = |n| p.send_if(topic.record("v").key("a"), Expect::KeyVersion(n));
        for n in 0..6 {
            let e = refused(ErrorKind::ConditionFailed, send(n + 1));
            assert_eq!(e.actual_version(), Some(n));
            put(&p, topic.record("v").key("other"));
            send(n).unwrap().wait().unwrap();
            if n % 2 == 1 {
                settle(&topic);
            }
        }
        assert_eq!(history(&topic, "a").len(), 6);
    });
}

#[test]
fn a_version_is_refused_where_older_records_may_have_gone() {
    let log = EventLog::in_memory();
    let topic = indexed(&log);
    let p = producer(&log);
    for _ in 0..4 {
        put(&p, topic.record("v").key("a"));
    }
    log.admin().delete_records(&tp("t", 0), RecordsToDelete::BeforeOffset(2)).unwrap();
    let send = |expect| p.send_if(topic.record("v").key("a"), expect);
    let e = refused(ErrorKind::PolicyViolation, send(Expect::KeyVersion(2)));
    names(&e, &["below offset 2"]);
    let compacted = log.create_topic(NewTopic::new("c").compacted().key_index(true)).unwrap();
    let e = refused(
        ErrorKind::PolicyViolation,
        p.send_if(compacted.record("v").key("a"), Expect::KeyVersion(0)),
    );
    names(&e, &["cleanup.policy"]);
}

#[test]
fn a_record_that_was_deleted_from_the_front_leaves_its_key_absent() {
    staged_and_sealed(|log, settle| {
        let topic = indexed(log);
        let p = producer(log);
        put(&p, topic.record("v").key("a"));
        put(&p, topic.record("v").key("b"));
        settle(&topic);
        log.admin().delete_records(&tp("t", 0), RecordsToDelete::BeforeOffset(1)).unwrap();
        assert_eq!((latest(&topic, "a"), latest(&topic, "b")), (None, Some(1)));
        let send = |expect| p.send_if(topic.record("v").key("a"), expect);
        let e = refused(ErrorKind::ConditionFailed, send(Expect::KeyAt(0)));
        assert_eq!(e.actual_offset(), None);
        names(&e, &["KeyAt(0)", "below 1 were deleted"]);
        assert_eq!(send(Expect::KeyAbsent).unwrap().wait().unwrap().offset, 2);
        log.admin().delete_records(&tp("t", 0), RecordsToDelete::All).unwrap();
        assert_eq!((latest(&topic, "a"), history(&topic, "b")), (None, vec![]));
        assert_eq!(send(Expect::KeyAbsent).unwrap().wait().unwrap().offset, 3);
    });
}

#[test]
fn conditions_about_keys_need_an_index_a_key_and_its_own_partition() {
    let log = EventLog::in_memory();
    let plain = topic(&log, "plain");
    let p = producer(&log);
    for expect in [Expect::KeyAbsent, Expect::KeyAt(0), Expect::KeyVersion(0)] {
        let e = refused(ErrorKind::InvalidRequest, p.send_if(plain.record("v").key("k"), expect));
        names(&e, &["key.index"]);
    }
    names(&refused(ErrorKind::InvalidRequest, plain.latest("k")), &["key.index"]);
    names(&refused(ErrorKind::InvalidRequest, plain.history("k")), &["key.index"]);
    let topic = log.create_topic(NewTopic::new("t").partitions(3).key_index(true)).unwrap();
    let e = refused(ErrorKind::InvalidRequest, p.send_if(topic.record("v"), Expect::KeyAbsent));
    names(&e, &["KeyAbsent", "has none"]);
    let home = p.send_if(topic.record("v").key("k"), Expect::KeyAbsent).unwrap().placed().partition;
    let other = (home + 1) % 3;
    let wrong = topic.record("v").key("k").partition(other);
    let e = refused(ErrorKind::InvalidRequest, p.send_if(wrong, Expect::KeyAbsent));
    names(&e, &[&format!("partition {home}"), &format!("partition {other}")]);
    let e = refused(ErrorKind::UnknownTopicOrPartition, {
        p.send_if(Record::new("nowhere", "v").key("k"), Expect::KeyAbsent)
    });
    assert_eq!(e.topic(), Some("nowhere"));
    let right = topic.record("v").key("k").partition(home);
    assert_eq!(actual(p.send_if(right, Expect::KeyAbsent)), Some(0));
}

#[test]
fn a_keys_condition_is_about_its_own_partition_whatever_the_partitioner() {
    let log = EventLog::in_memory();
    let topic = log.create_topic(NewTopic::new("t").partitions(5).key_index(true)).unwrap();
    let p = log.producer().set("partitioner.ignore.keys", "true").build().unwrap();
    for n in 0..20 {
        let key = format!("k{n}");
        let record = || topic.record("v").key(&key);
        let placed = p.send_if(record(), Expect::KeyAbsent).unwrap().placed();
        assert_eq!(actual(p.send_if(record(), Expect::KeyAbsent)), Some(placed.offset));
        assert_eq!(latest(&topic, &key), Some(placed.offset));
    }
}

#[test]
fn many_records_are_appended_as_one_or_not_at_all() {
    staged_and_sealed(|log, settle| {
        let topic = indexed(log);
        let p = producer(log);
        let records = |n: usize| vec![topic.record("v").key("a"); n];
        let sent = p.send_batch_if(records(3), Expect::KeyAbsent).unwrap();
        sent.wait().unwrap();
        assert_eq!((sent.parts().len(), sent.parts()[0].result().unwrap()), (1, 0..3));
        settle(&topic);
        assert_eq!(actual(p.send_batch_if(records(2), Expect::KeyAbsent)), Some(2));
        assert_eq!(actual(p.send_batch_if(records(2), Expect::NextOffset(2))), Some(3));
        let others = [topic.record("v").key("a"), topic.record("w").key("b"), topic.record("x")];
        let sent = p.send_batch_if(others, Expect::KeyAt(2)).unwrap();
        assert_eq!(sent.parts()[0].result().unwrap(), 3..6);
        sent.wait().unwrap();
        // Written through to the segment, beside the stage.
        let large = vec![7; 100_000];
        let large = || vec![topic.record(&large).key("a"); 3];
        assert_eq!(actual(p.send_batch_if(large(), Expect::KeyAt(2))), Some(3));
        let sent = p.send_batch_if(large(), Expect::KeyAt(3)).unwrap();
        assert_eq!(sent.parts()[0].result().unwrap(), 6..9);
        sent.wait().unwrap();
        assert_eq!(history(&topic, "a"), [0, 1, 2, 3, 6, 7, 8]);
        assert_eq!(history(&topic, "b"), [4]);
        assert_eq!(actual(p.send_batch_if(large(), Expect::KeyAbsent)), Some(8));
    });
}

#[test]
fn a_conditional_batch_is_refused_as_a_whole() {
    let log = EventLog::in_memory();
    let topic = log.create_topic(NewTopic::new("t").partitions(3).key_index(true)).unwrap();
    let p = producer(&log);
    let none = p.send_batch_if(Vec::<Record<'_>>::new(), Expect::NextOffset(0));
    names(&refused(ErrorKind::InvalidRequest, none), &["no record"]);
    let keys: Vec<String> = (0..9).map(|n| format!("k{n}")).collect();
    let records = keys.iter().map(|key| topic.record("v").key(key));
    let e = refused(ErrorKind::InvalidRequest, p.send_batch_if(records, Expect::KeyAbsent));
    names(&e, &["one partition"]);
    assert_eq!(e.record_indexes().len(), 1);
    let other = log.create_topic(NewTopic::new("u").key_index(true)).unwrap();
    let mixed = [topic.record("v").key("k0"), other.record("v")];
    let e = refused(ErrorKind::InvalidRequest, p.send_batch_if(mixed, Expect::KeyAbsent));
    assert_eq!(e.record_indexes(), [1]);
    let bad = [topic.record("v").key("k0"), topic.record("v").key("k0").timestamp_ms(-1)];
    let e = refused(ErrorKind::InvalidTimestamp, p.send_batch_if(bad, Expect::KeyAbsent));
    assert_eq!(e.record_indexes(), [1]);
    for partition in 0..3 {
        assert!(read_all(&log, &tp("t", partition)).is_empty());
    }
}

#[test]
fn a_closed_producer_and_a_closed_log_take_nothing() {
    let log = EventLog::in_memory();
    let topic = indexed(&log);
    let p = producer(&log);
    let other = producer(&log);
    let clone = p.clone();
    p.close().unwrap();
    let record = topic.record("v").key("a");
    refused(ErrorKind::Closed, clone.send_if(record, Expect::KeyAbsent));
    refused(ErrorKind::Closed, clone.send_batch_if([record], Expect::KeyAbsent));
    log.close().unwrap();
    refused(ErrorKind::Closed, other.send_if(record, Expect::KeyAbsent));
    refused(ErrorKind::Closed, topic.latest("a").and_then(|_| topic.history("a").map(drop)));
}

#[derive(Default)]
struct Counts {
    sent: AtomicUsize,
    failed: AtomicUsize,
}

struct Watch(Arc<Counts>);

impl ProducerInterceptor for Watch {
    fn on_send(&self, record: &mut alluvium::OutgoingRecord<'_>) {
        record.add_header("seen", Some(b"yes"));
    }

    fn on_acknowledgement(&self, outcome: &SendOutcome<'_>) {
        let count = if outcome.result().is_ok() { &self.0.sent } else { &self.0.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn interceptors_see_conditional_records_and_their_refusals() {
    let log = EventLog::in_memory();
    let topic = indexed(&log);
    let counts = Arc::new(Counts::default());
    let p = log.producer().interceptor(Watch(Arc::clone(&counts))).build().unwrap();
    let record = topic.record("v").key("a");
    p.send_if(record, Expect::KeyAbsent).unwrap().wait().unwrap();
    refused(ErrorKind::ConditionFailed, p.send_if(record, Expect::KeyAbsent));
    p.send_batch_if([record, record], Expect::KeyAt(0)).unwrap().wait().unwrap();
    refused(ErrorKind::ConditionFailed, p.send_batch_if([record, record], Expect::KeyAt(0)));
    p.flush().unwrap();
    assert_eq!(counts.sent.load(Ordering::Relaxed), 3);
    assert_eq!(counts.failed.load(Ordering::Relaxed), 3);
    for record in topic.history("a").unwrap() {
        assert_eq!(record.unwrap().header("seen"), Some(Some(&b"yes"[..])));
    }
}

#[test]
fn a_topic_with_an_index_keeps_its_partitions_and_its_index() {
    use alluvium::{AlterConfigOp, ConfigResource};
    let log = EventLog::in_memory();
    let topic = indexed(&log);
    let e = refused(ErrorKind::PolicyViolation, log.admin().create_partitions("t", 2));
    names(&e, &["key.index", "1 partitions"]);
    let plain = self::topic(&log, "plain");
    let alter = |name: &str, value: &str| {
        let ops = [AlterConfigOp::set("key.index", value)];
        log.admin().incremental_alter_configs(&ConfigResource::Topic(name.to_owned()), &ops)
    };
    names(&refused(ErrorKind::InvalidConfig, alter("t", "false")), &["key.index", "true"]);
    names(&refused(ErrorKind::InvalidConfig, alter("plain", "true")), &["key.index", "false"]);
    alter("t", "true").unwrap();
    assert_eq!((topic.partition_count(), plain.partition_count()), (1, 1));
    let e = refused(ErrorKind::InvalidConfig, {
        log.create_topic(NewTopic::new("x").config("key.index.memory.bytes", "65535"))
    });
    names(&e, &["key.index.memory.bytes", "65535", "65536"]);
}
