//! Opening a log: what it makes, and what it refuses.

use std::fs;
use std::path::Path;
use std::thread;

use alluvium::testing::{Operation, PowerCut, SimDisk};
use alluvium::{Durability, ErrorKind, EventLog, NewTopic, TopicPartition};

use crate::support::*;

#[test]
fn open_makes_the_directory_and_finds_it_again() {
    on_disk(|bed| {
        let path = bed.path().unwrap();
        assert!(!path.exists());
        let log = bed.open();
        assert!(path.join("manifest").exists());
        topic(&log, "t");
        let log = bed.reopen(log);
        assert_eq!(log.admin().list_topics().unwrap(), ["t"]);
        assert!(log.admin().open_report().clean);
    });
}

#[test]
fn open_takes_an_empty_directory() {
    on_disk(|bed| {
        fs::create_dir(bed.path().unwrap()).unwrap();
        topic(&bed.open(), "t");
    });
}

#[test]
fn open_refuses_a_file() {
    on_disk(|bed| {
        let path = bed.path().unwrap();
        fs::write(&path, "a letter").unwrap();
        let error = bed.builder().open().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NotALog | ErrorKind::StorageError), "{error:?}");
        assert_eq!(error.path(), Some(&*path));
        assert_eq!(fs::read(&path).unwrap(), b"a letter");
    });
}

#[test]
fn open_refuses_a_directory_of_something_else_and_leaves_it_alone() {
    on_disk(|bed| {
        let path = bed.path().unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("thesis.tex"), "chapter 1").unwrap();
        let error = refused(ErrorKind::NotALog, bed.builder().open());
        assert_eq!(error.path(), Some(&*path));
        let names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["thesis.tex"], "nothing was made or removed");
    });
}

#[test]
fn open_refuses_a_missing_parent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing").join("log");
    let error = refused(ErrorKind::StorageError, EventLog::open(&path));
    names(&error, &["missing"]);
    assert!(error.path().is_some());
    assert!(!dir.path().join("missing").exists());
}

#[test]
fn open_refuses_a_log_that_is_open() {
    on_disk(|bed| {
        let log = bed.open();
        let another = log.clone();
        for _ in 0..2 {
            let error = refused(ErrorKind::Locked, bed.builder().open());
            assert!(error.is_retriable());
            assert_eq!(error.path(), Some(&*bed.path().unwrap()));
        }
        // The refused ones have harmed nothing.
        put(&producer(&log), topic(&log, "t").record("v"));
        drop(log);
        refused(ErrorKind::Locked, bed.builder().open());
        drop(another);
        assert_eq!(read_all(&bed.open(), &tp("t", 0)).len(), 1);
    });
}

#[test]
fn options_are_checked_by_name_value_and_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let on = || EventLog::builder().path(&path);
    let bad = [
        (on().stage_bytes((64 << 10) - 1), ["stage_bytes", "65535", "65536"]),
        (on().stage_bytes((1 << 30) + 1), ["stage_bytes", "1073741825", "1073741824"]),
        (on().durability(Durability::Memory), ["durability", "memory", "power-loss"]),
        (on().flush_interval(std::time::Duration::ZERO), ["log.flush.interval.ms", "0", "1"]),
    ];
    for (builder, parts) in bad {
        names(&refused(ErrorKind::InvalidConfig, builder.open()), &parts);
    }
    assert!(!path.exists(), "and nothing was made");
}

#[test]
fn a_stage_of_another_size_changes_nothing_that_was_stored() {
    on_disk(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        for n in 0..10_u32 {
            put(&producer(&log), topic.record(&n.to_string()));
        }
        let mut log = log;
        for bytes in [64 << 10, 8 << 20, 1 << 20] {
            log = bed.reopen_with(log, |builder| builder.stage_bytes(bytes));
            put(&producer(&log), log.topic("t").unwrap().record("more"));
        }
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 13);
    });
}

#[test]
fn a_topic_keeps_its_records_when_the_log_changes_its_level() {
    let bed = Bed::new(Kind::ProcessCrash);
    let log = bed.open();
    let topic = topic(&log, "t");
    place(&producer(&log), topic.record("a"));
    let log = bed.reopen_with(log, |builder| builder.durability(Durability::PowerLoss));
    place(&producer(&log), topic.record("b"));
    let log = bed.reopen_with(log, |builder| builder.durability(Durability::ProcessCrash));
    assert_eq!(put(&producer(&log), topic.record("c")), 2);
    assert_eq!(values(&read_all(&log, &tp("t", 0))), [b"a", b"b", b"c"]);
}

#[test]
fn many_logs_in_memory_live_side_by_side() {
    let threads: Vec<_> = (0..8)
        .map(|thread: u32| {
            thread::spawn(move || {
                for round in 0..100 {
                    let log = EventLog::in_memory();
                    let topic = topic_of(&log, "t", 2);
                    let producer = producer(&log);
                    let value = format!("{thread} {round}");
                    assert_eq!(put(&producer, topic.record(&value).partition(1)), 0);
                    let read = read_all(&log, &tp("t", 1));
                    assert_eq!(values(&read), [value.as_bytes()]);
                    assert!(read_all(&log, &tp("t", 0)).is_empty());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_thousand_logs_in_memory_are_open_at_once() {
    let logs: Vec<_> = (0..1_000)
        .map(|_| {
            let log = EventLog::in_memory();
            let topic = topic(&log, "t");
            (log, topic)
        })
        .collect();
    for (log, topic) in &logs {
        assert_eq!(put(&producer(log), topic.record("v")), 0);
    }
    assert!(logs.iter().all(|(log, _)| read_all(log, &tp("t", 0)).len() == 1));
}

/// A log whose stage was written all over: calls of some KiB, some of which stay in it.
fn used_up(disk: &SimDisk) -> EventLog {
    let log = EventLog::builder().path("/log").disk(disk.clone()).background(false);
    let log = log.stage_bytes(1 << 20).open().unwrap();
    let topic = log.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    let producer = log.producer().build().unwrap();
    // What stands at the beginning of a page is somebody's value.
    for n in 0..600 {
        let record = topic.record(&[0x5A; 5_000]).partition(n % 2);
        let _ = producer.send(record).unwrap();
    }
    producer.flush().unwrap();
    let _ = producer.send(topic.record(b"the last one").partition(0)).unwrap();
    log
}

fn reopen(disk: &SimDisk) -> EventLog {
    let log = EventLog::builder().path("/log").disk(disk.clone()).background(false);
    log.stage_bytes(1 << 20).open().unwrap()
}

fn ends(log: &EventLog) -> Vec<u64> {
    let of = |partition| TopicPartition::new("t", partition);
    let ends = log.consumer().build().unwrap().end_offsets(&[of(0), of(1)]).unwrap();
    ends.iter().map(|(_, offset)| offset).collect()
}

#[test]
fn an_open_syncs_once_however_the_stage_was_used() {
    let disk = SimDisk::new();
    used_up(&disk).close().unwrap();
    for _ in 0..2 {
        disk.start_trace();
        let log = reopen(&disk);
        let syncs = disk.trace().into_iter().filter(|traced| traced.operation == Operation::Sync);
        let synced: Vec<_> = syncs.map(|traced| traced.path).collect();
        assert_eq!(synced, [Path::new("/log/manifest")]);
        let admin = log.admin();
        let report = admin.open_report();
        assert_eq!((report.clean, report.torn_chunks), (true, 0));
        assert_eq!(ends(&log), [301, 300]);
        log.close().unwrap();
    }
}

#[test]
fn what_a_life_left_in_the_stage_is_no_torn_chunk() {
    let disk = SimDisk::new();
    let log = used_up(&disk);
    for after in [disk.kill(), disk.power_cut_with(PowerCut::Everything)] {
        let log = reopen(&after);
        let admin = log.admin();
        let report = admin.open_report();
        assert_eq!((report.clean, report.torn_chunks, report.unproven_bytes), (false, 0, 0));
        assert_eq!(ends(&log), [301, 300]);
    }
    drop(log);
}

#[test]
fn what_the_close_noted_of_the_stage_holds_for_one_open_of_one_boot() {
    let disk = SimDisk::new();
    used_up(&disk).close().unwrap();
    // The page cache does not survive: nobody relies on the note, and everything is there.
    let disk = disk.power_cut_with(PowerCut::Nothing);
    let log = reopen(&disk);
    assert_eq!(ends(&log), [301, 300]);
    log.close().unwrap();
    // A life that was killed after it is found again, wherever in the stage it began to write.
    let log = reopen(&disk);
    let topic = log.topic("t").unwrap();
    for n in 0..100 {
        let _ = log.producer().build().unwrap().send(topic.record(&[n; 700]).partition(1)).unwrap();
    }
    assert_eq!(ends(&reopen(&disk.kill())), [301, 400]);
}
