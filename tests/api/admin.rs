//! What an operator asks: topics of the log's own, offsets in every form.

use std::fs;
use std::path::Path;

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
        assert_eq!(all, ["__cluster_metadata", "__consumer_offsets", "__transaction_state", "t"]);
        let internal = all.iter().map(|name| admin.describe_topic(name).unwrap().internal);
        assert_eq!(internal.collect::<Vec<_>>(), [true, true, true, false]);
        for name in &all[..3] {
            refused(ErrorKind::InvalidTopic, admin.delete_topic(name));
            refused(ErrorKind::InvalidTopic, admin.create_partitions(name, 2));
            let ends = admin.list_offsets([(tp(name, 0), OffsetSpec::Earliest)]);
            assert_eq!(ends[0].as_ref().unwrap().unwrap().offset, 0);
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

#[test]
fn a25_a28_only_what_consumers_can_see_is_listed() {
    let bed = Bed::new(Kind::PowerLoss);
    let log = bed.builder().background(false).open().unwrap();
    let (topic, producer) = (topic(&log, "t"), producer(&log));
    let seen = |log: &EventLog| {
        let latest = offset(log, OffsetSpec::Latest);
        (latest, offset(log, OffsetSpec::MaxTimestamp), offset(log, OffsetSpec::ForTimestamp(7)))
    };
    place(&producer, topic.record("v").timestamp_ms(7));
    assert_eq!(seen(&log), (Some((0, None)), None, None), "it is not durable yet");
    producer.flush().unwrap();
    let hit = Some((0, Some(7)));
    assert_eq!(seen(&log), (Some((1, None)), hit, hit));
    place(&producer, topic.record("w").timestamp_ms(8));
    assert_eq!(seen(&log), (Some((1, None)), hit, hit));
}

#[test]
fn a27_a_record_from_the_far_future_captures_later_times_of_a_list() {
    on_each_kind(|bed| {
        let log = bed.open();
        let new = NewTopic::new("t").config("internal.segment.bytes", "600");
        let (topic, producer) = (log.create_topic(new).unwrap(), producer(&log));
        for time in [10, 1_000_000, 20, 30, 40, 50, 60, 70, 80, 90, 100] {
            put(&producer, topic.record("some more bytes for a segment").timestamp_ms(time));
        }
        let log = bed.reopen(log);
        for time in [11, 25, 95, 1_000_000] {
            let hit = offset(&log, OffsetSpec::ForTimestamp(time));
            assert_eq!(hit, Some((1, Some(1_000_000))), "{time}");
        }
        assert_eq!(offset(&log, OffsetSpec::MaxTimestamp), Some((1, Some(1_000_000))));
    });
}

#[test]
fn e04_a_topic_has_an_identity_for_life_and_a_new_one_another() {
    on_each_kind(|bed| {
        let log = bed.open();
        let admin = log.admin();
        let made = admin.create_topics([NewTopic::new("t")], CreateTopicsOptions::default());
        let first = made[0].as_ref().unwrap().id;
        admin.create_partitions("t", 3).unwrap();
        let log = bed.reopen(log);
        let admin = log.admin();
        assert_eq!(admin.describe_topic("t").unwrap().id, first);
        assert_eq!(log.topic("t").unwrap().id(), first);
        admin.delete_topic("t").unwrap();
        let second = topic(&log, "t").id();
        assert_ne!(second, first);
        let log = bed.reopen(log);
        assert_eq!(log.admin().describe_topic("t").unwrap().id, second);
    });
}

#[test]
fn e02_a_rehearsal_does_not_touch_the_disk() {
    let disk = SimDisk::new();
    let builder = EventLog::builder().path("/log").disk(disk.clone());
    let log = builder.background(false).open().unwrap();
    let before = disk.operations();
    let wanted = (0..100).map(|n| NewTopic::new(&format!("topic-{n}")).partitions(7));
    let options = CreateTopicsOptions::default().validate_only(true);
    let answers = log.admin().create_topics(wanted, options);
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().partition_count == 7));
    assert_eq!(disk.operations(), before);
    assert!(log.admin().list_topics().unwrap().is_empty());
}

/// The lengths of all files below a directory.
fn file_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let len = |entry: fs::DirEntry| match entry.metadata().unwrap() {
        data if data.is_dir() => file_bytes(&entry.path()),
        data => data.len(),
    };
    entries.map(len).sum()
}

#[test]
fn e24_sizes_are_told_by_partition() {
    on_each_kind(|bed| {
        let log = bed.open();
        let (topic, producer) = (topic_of(&log, "t", 2), producer(&log));
        let value = vec![7; 1_000];
        let size = |log: &EventLog, partition: u32| {
            let told = log.admin().describe_log_dir().unwrap();
            let wanted = tp("t", partition);
            let size = told.partitions.iter().find(|size| size.partition == wanted).unwrap();
            (size.segment_bytes, size.staged_bytes)
        };
        assert_eq!((size(&log, 0), size(&log, 1)), ((0, 0), (0, 0)));
        put(&producer, topic.record(&value).partition(1));
        let (segments, staged) = size(&log, 1);
        assert!(segments + staged >= 1_000 && staged < 1 << 20, "{segments} {staged}");
        for _ in 0..999 {
            place(&producer, topic.record(&value).partition(1));
        }
        let log = bed.reopen(log);
        let told = log.admin().describe_log_dir().unwrap();
        let names: Vec<_> = told.partitions.iter().map(|s| s.partition.to_string()).collect();
        assert_eq!(
            names,
            ["__cluster_metadata-0", "__consumer_offsets-0", "__transaction_state-0", "t-0", "t-1"]
        );
        assert_eq!(size(&log, 0), (0, 0));
        let (segments, staged) = size(&log, 1);
        assert!(segments + staged >= 1_000_000 && segments < 1_100_000, "{segments} {staged}");
        let of_all: u64 = told.partitions.iter().map(|size| size.segment_bytes).sum();
        assert!(of_all <= told.total_bytes);
        assert_eq!(told.path, bed.path());
        if let Some(path) = bed.path() {
            // Closed in order, files are as long as what is in them, and the index of the last.
            let files = of_files(bed, &log);
            assert!(staged == 0 && segments <= files && files < segments + 5_000, "{files}");
            assert_eq!(told.total_bytes, file_bytes(&path));
            assert!(told.total_bytes >= told.stage_bytes + segments);
        }
        log.admin().delete_topic("t").unwrap();
        let told = log.admin().describe_log_dir().unwrap();
        assert_eq!(told.partitions.len(), 3, "the log's own");
        assert!(bed.is_memory() || told.total_bytes < told.stage_bytes + 500_000);
        log.clone().close().unwrap();
        refused(ErrorKind::Closed, log.admin().describe_log_dir());
    });
}

fn of_files(bed: &Bed, log: &EventLog) -> u64 {
    let files = bed.segment_files(&log.topic("t").unwrap());
    files.iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn the_open_report_tells_what_was_adopted_cut_and_strange() {
    on_disk(|bed| {
        let log = bed.open();
        let report = log.admin().open_report().clone();
        assert_eq!((report.clean, report.adopted_records), (false, 0), "there was none before");
        put(&producer(&log), topic(&log, "t").record("v"));
        let log = bed.reopen(log);
        assert!(log.admin().open_report().clean);
        log.close().unwrap();
        let stranger = bed.path().unwrap().join("segments").join("notes.txt");
        fs::write(&stranger, "mine").unwrap();
        let log = bed.open();
        assert_eq!(log.admin().open_report().strangers, [&*stranger]);
        assert_eq!(fs::read(&stranger).unwrap(), b"mine", "it stays");
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
    let deletions = || {
        let names: Vec<_> = (0..10_000).map(|n| format!("topic-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(log.admin().delete_topics(&names).iter().all(Result::is_ok));
    };
    let count = syncs(&disk, deletions);
    assert!(count <= 20, "{count}");
}
