//! Tables that begin with a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alluvium::{
    Error, ErrorKind, EventLog, Record, RecordsToDelete, Restored, Table, TableBuilder,
};

use crate::support::*;

fn file(bed: &Bed) -> PathBuf {
    bed.path().map_or_else(|| "t.table".into(), |log| log.with_file_name("t.table"))
}

fn builder(bed: &Bed, log: &EventLog) -> TableBuilder {
    log.table("t").snapshot(file(bed))
}

fn content(table: &Table) -> BTreeMap<Vec<u8>, (u32, u64, Vec<u8>)> {
    let view = table.view().unwrap();
    let row = |r: alluvium::TableRecord<'_>| {
        (r.key().to_vec(), (r.partition(), r.offset(), r.value().to_vec()))
    };
    view.records().map(row).collect()
}

/// The table must be what the log says, whatever its snapshot was worth.
fn check(log: &EventLog, table: &Table) {
    assert_eq!(content(table), content(&log.table("t").build().unwrap()));
}

fn reason(table: &Table) -> Error {
    match table.restored() {
        Restored::Ignored { reason } => reason.clone(),
        other => panic!("{other:?}"),
    }
}

fn fill(log: &EventLog, keys: u32, round: u32) {
    let producer = producer(log);
    let all: Vec<_> = (0..keys).map(|key| (key.to_string(), format!("{key} in {round}"))).collect();
    let send = all.iter().map(|(key, value)| Record::new("t", value).key(key));
    producer.send_batch(send).wait().unwrap();
}

#[test]
fn g05_a_table_begins_with_its_snapshot_and_reads_only_what_came_after() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 3);
        fill(&log, 2_000, 1);
        let first = builder(bed, &log).build().unwrap();
        assert!(matches!(first.restored(), Restored::NotFound));
        assert!(matches!(log.table("t").build().unwrap().restored(), Restored::NotAsked));
        first.save().unwrap();
        let headers = [("h", Some(&b"1"[..])), ("n", None)];
        put(&producer(&log), topic.record("late").key("7").headers(&headers));
        put(&producer(&log), topic.tombstone("8"));
        let log = bed.reopen(log);
        let second = builder(bed, &log).build().unwrap();
        assert!(matches!(second.restored(), Restored::Taken { records: 2_000 }));
        assert_eq!((second.stats().applied, second.stats().rescans), (2, 0));
        check(&log, &second);
        assert_eq!(second.len().unwrap(), 1_999);
        // Saved over itself, and again all that a record has.
        second.save().unwrap();
        let log = bed.reopen(log);
        let third = builder(bed, &log).build().unwrap();
        assert_eq!((third.restored().is_taken(), third.stats().applied), (true, 0));
        check(&log, &third);
        let late = third.get("7").unwrap().unwrap();
        assert_eq!(late.headers().collect::<Vec<_>>(), headers);
        assert!(late.timestamp_ms().is_some());
    });
}

#[test]
fn what_came_with_the_snapshot_is_changed_and_removed_like_everything_else() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic_of(&log, "t", 2);
        fill(&log, 100, 1);
        builder(bed, &log).build().unwrap().save().unwrap();
        let log = bed.reopen(log);
        let table = builder(bed, &log).build().unwrap();
        fill(&log, 50, 2);
        for key in 0..20 {
            put(&producer(&log), Record::tombstone("t", &key.to_string()));
        }
        assert!(table.restored().is_taken());
        check(&log, &table);
        assert_eq!(table.len().unwrap(), 80);
    });
}

#[test]
fn a_foreign_snapshot_is_ignored_and_the_table_says_why() {
    let bed = Bed::new(Kind::PowerLoss);
    let log = bed.open();
    topic_of(&log, "t", 2);
    fill(&log, 30, 1);
    let refused = |log: &EventLog, builder: TableBuilder, why: &str| {
        let table = builder.build().unwrap();
        names(&reason(&table), &[why, "t.table"]);
        check(log, &table);
    };
    builder(&bed, &log).build().unwrap().save().unwrap();
    // Another choice of partitions.
    let chosen = builder(&bed, &log).partitions([0, 1]).build().unwrap();
    names(&reason(&chosen), &["other partitions"]);
    builder(&bed, &log).partitions([1]).build().unwrap().save().unwrap();
    refused(&log, builder(&bed, &log), "other partitions");
    names(&reason(&builder(&bed, &log).partitions([0]).build().unwrap()), &["other partitions"]);
    assert!(builder(&bed, &log).partitions([1]).build().unwrap().restored().is_taken());
    // Another log.
    let other = Bed::new(Kind::PowerLoss);
    let other_log = other.open();
    topic_of(&other_log, "t", 2);
    fill(&other_log, 30, 1);
    builder(&bed, &other_log).build().unwrap().save().unwrap();
    refused(&log, builder(&bed, &log), "another log");
    // Another topic of that name.
    builder(&bed, &log).build().unwrap().save().unwrap();
    log.admin().delete_topic("t").unwrap();
    topic_of(&log, "t", 2);
    fill(&log, 10, 2);
    refused(&log, builder(&bed, &log), "another topic");
}

#[test]
fn a_snapshot_of_fewer_partitions_is_taken_and_the_new_ones_are_read() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic_of(&log, "t", 1);
        fill(&log, 30, 1);
        builder(bed, &log).build().unwrap().save().unwrap();
        log.admin().create_partitions("t", 3).unwrap();
        fill(&log, 60, 2);
        let log = bed.reopen(log);
        let table = builder(bed, &log).build().unwrap();
        assert!(table.restored().is_taken());
        check(&log, &table);
        table.save().unwrap();
        let again = builder(bed, &log).build().unwrap();
        assert_eq!((again.restored().is_taken(), again.stats().applied), (true, 0));
        check(&log, &again);
    });
}

#[test]
fn a_snapshot_from_before_the_log_start_is_ignored() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "t");
        fill(&log, 30, 1);
        builder(bed, &log).build().unwrap().save().unwrap();
        fill(&log, 20, 2);
        let trim = |before| {
            let records = RecordsToDelete::BeforeOffset(before);
            log.admin().delete_records(&tp("t", 0), records).unwrap();
        };
        // What is deleted of it leaves, the rest is good.
        trim(25);
        let table = builder(bed, &log).build().unwrap();
        assert!(table.restored().is_taken());
        check(&log, &table);
        assert_eq!(table.len().unwrap(), 25);
        trim(40);
        let table = builder(bed, &log).build().unwrap();
        names(&reason(&table), &["ends at 30", "begins at 40", "t-0"]);
        check(&log, &table);
        assert_eq!(table.len().unwrap(), 10);
    });
}

#[test]
fn a_snapshot_of_another_past_of_the_log_is_ignored() {
    let bed = Bed::new(Kind::PowerLoss);
    let log = bed.open();
    topic(&log, "t");
    fill(&log, 10, 1);
    log.close().unwrap();
    // A copy of the log from here, taken back later, goes on with other records.
    let copy = tempfile::tempdir().unwrap();
    copy_dir(&bed.path().unwrap(), &copy.path().join("log"));
    let log = bed.open();
    fill(&log, 10, 2);
    builder(&bed, &log).build().unwrap().save().unwrap();
    log.close().unwrap();
    let old = EventLog::open(copy.path().join("log")).unwrap();
    let table = builder(&bed, &old).build().unwrap();
    names(&reason(&table), &["ends at 20", "the log at 10"]);
    check(&old, &table);
    fill(&old, 15, 3);
    let table = builder(&bed, &old).build().unwrap();
    names(&reason(&table), &["another record at 19"]);
    check(&old, &table);
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_file_that_is_no_snapshot_is_left_alone() {
    let bed = Bed::new(Kind::PowerLoss);
    let log = bed.open();
    topic(&log, "t");
    fill(&log, 10, 1);
    std::fs::write(file(&bed), "a letter to ada").unwrap();
    let table = builder(&bed, &log).build().unwrap();
    check(&log, &table);
    assert!(!table.restored().is_taken());
    let error = refused(ErrorKind::InvalidRequest, table.save());
    names(&error, &["t.table", "no snapshot"]);
    assert_eq!(std::fs::read(file(&bed)).unwrap(), b"a letter to ada");
    // Also where it would be the log's own.
    let own = bed.path().unwrap().join("manifest");
    let before = std::fs::read(&own).unwrap();
    let table = log.table("t").snapshot(&own).build().unwrap();
    refused(ErrorKind::InvalidRequest, table.save());
    assert_eq!(std::fs::read(&own).unwrap(), before);
}

#[test]
fn saving_needs_a_file_and_a_directory_for_it() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "t");
        refused(ErrorKind::IllegalState, log.table("t").build().unwrap().save());
        let nowhere = file(bed).with_file_name("no").join("where");
        let table = log.table("t").snapshot(nowhere).build().unwrap();
        assert!(matches!(table.restored(), Restored::NotFound));
        refused(ErrorKind::StorageError, table.save());
        // An empty topic has a snapshot too.
        let table = builder(bed, &log).build().unwrap();
        table.save().unwrap();
        assert!(builder(bed, &log).build().unwrap().restored().is_taken());
    });
}
