//! What an operator asks: topics of the log's own, offsets in every form.

use alluvium::testing::{Operation, SimDisk};
use alluvium::{CreateTopicsOptions, ErrorKind, EventLog, ListTopicsOptions, NewTopic, OffsetSpec};

use crate::support::*;

#[test]
fn e03_a_replication_factor_is_accepted_and_ignored() {
    let log = EventLog::in_memory();
    let topic = log.create_topic(NewTopic::new("t").partitions(2).replication_factor(3)).unwrap();
    assert_eq!(topic.partition_count(), 2);
    log.ensure_topic(NewTopic::new("t").partitions(2).replication_factor(1)).unwrap();
}

#[test]
fn e07_the_logs_own_topics_are_listed_on_demand_and_say_what_they_are() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "t");
        let admin = log.admin();
        assert_eq!(admin.list_topics().unwrap(), ["t"]);
        let all = admin.list_topics_with(ListTopicsOptions::default().internal(true)).unwrap();
        assert_eq!(all, ["__cluster_metadata", "__consumer_offsets", "t"]);
        let internal = all.iter().map(|name| admin.describe_topic(name).unwrap().internal);
        assert_eq!(internal.collect::<Vec<_>>(), [true, true, false]);
        for name in &all[..2] {
            refused(ErrorKind::InvalidTopic, admin.delete_topic(name));
        }
    });
}

fn offset(log: &EventLog, spec: OffsetSpec) -> Option<(u64, Option<i64>)> {
    let answer = log.admin().list_offsets([(tp("t", 0), spec)]).remove(0).unwrap();
    answer.map(|listed| (listed.offset, listed.timestamp_ms))
}

#[test]
fn e13_a28_offsets_are_listed_in_every_form_staged_or_settled() {
    on_each_kind(|bed| {
        let log = bed.open();
        // The small segments settle what stands before the last few records.
        let new = NewTopic::new("t").config("internal.segment.bytes", "600");
        let topic = log.create_topic(new).unwrap();
        assert_eq!(offset(&log, OffsetSpec::Earliest), Some((0, None)));
        assert_eq!(offset(&log, OffsetSpec::Latest), Some((0, None)));
        assert_eq!(offset(&log, OffsetSpec::MaxTimestamp), None, "it is empty");
        assert_eq!(offset(&log, OffsetSpec::ForTimestamp(0)), None);
        let producer = producer(&log);
        for time in [10, 30, 20, 40, 40, 5] {
            put(&producer, topic.record("v").timestamp_ms(time));
        }
        let check = |log: &EventLog| {
            assert_eq!(offset(log, OffsetSpec::Earliest), Some((0, None)));
            assert_eq!(offset(log, OffsetSpec::Latest), Some((6, None)));
            assert_eq!(offset(log, OffsetSpec::MaxTimestamp), Some((3, Some(40))), "the first");
            for (time, hit) in [(0, 0), (15, 1), (25, 1), (35, 3), (40, 3)] {
                let found = offset(log, OffsetSpec::ForTimestamp(time)).map(|hit| hit.0);
                assert_eq!(found, Some(hit), "{time}");
            }
            assert_eq!(offset(log, OffsetSpec::ForTimestamp(41)), None);
        };
        check(&log);
        let log = bed.reopen(log);
        check(&log);
        // Those before are settled, this one is staged.
        let topic = log.topic("t").unwrap();
        let producer = self::producer(&log);
        put(&producer, topic.record("v").timestamp_ms(41));
        assert_eq!(offset(&log, OffsetSpec::MaxTimestamp), Some((6, Some(41))));
        put(&producer, topic.record("v").timestamp_ms(41));
        put(&producer, topic.record("v").timestamp_ms(1));
        assert_eq!(offset(&log, OffsetSpec::MaxTimestamp), Some((6, Some(41))));
    });
}

#[test]
fn e13_each_partition_has_an_answer_of_its_own() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "t");
        let wanted = [
            (tp("t", 1), OffsetSpec::Latest),
            (tp("t", 0), OffsetSpec::Latest),
            (tp("nowhere", 0), OffsetSpec::MaxTimestamp),
            (tp("t", 0), OffsetSpec::ForTimestamp(-1)),
        ];
        let answers = log.admin().list_offsets(wanted);
        let kinds: Vec<_> =
            answers.iter().map(|a| a.as_ref().err().map(alluvium::Error::kind)).collect();
        let unknown = Some(ErrorKind::UnknownTopicOrPartition);
        assert_eq!(kinds, [unknown, None, unknown, Some(ErrorKind::InvalidRequest)]);
        let error = answers[0].as_ref().unwrap_err();
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(1)));
    });
}

/// The syncs of everything that `work` does.
fn syncs(disk: &SimDisk, work: impl FnOnce()) -> usize {
    disk.start_trace();
    work();
    let is_sync = |operation| matches!(operation, Operation::Sync | Operation::SyncDir);
    disk.trace().iter().filter(|done| is_sync(done.operation)).count()
}

#[test]
fn e02_ten_thousand_topics_or_partitions_take_few_syncs() {
    let disk = SimDisk::new();
    let open = || EventLog::builder().path("/log").disk(disk.clone()).background(false).open();
    let log = open().unwrap();
    let partitions = || drop(topic_of(&log, "wide", 10_000));
    assert!(syncs(&disk, partitions) <= 20);
    let growth = || log.admin().create_partitions("wide", 20_000).unwrap();
    assert!(syncs(&disk, growth) <= 20);
    let topics = || {
        let wanted = (0..10_000).map(|n| NewTopic::new(&format!("topic-{n}")));
        let answers = log.admin().create_topics(wanted, CreateTopicsOptions::default());
        assert!(answers.iter().all(Result::is_ok));
    };
    let count = syncs(&disk, topics);
    assert!(count <= 20, "{count}");
}
