//! Copies of a whole log on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use alluvium::testing::SimDisk;
use alluvium::{
    ErrorKind, EventLog, Header, NewTopic, Offsets, OwnedRecord, Record, RecordsToDelete,
    SnapshotReport, TopicPartition,
};

use crate::gate::{Gate, GatedDisk};
use crate::support::{
    Bed, Kind, names, on_disk, place, producer, put, read_all, refused, topic, tp,
};

/// Offset, time, key, value, headers.
type Found = (u64, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn found(record: &OwnedRecord) -> Found {
    let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers = record.headers().map(|(name, value)| (name.to_owned(), bytes(value)));
    let (key, value) = (bytes(record.key()), bytes(record.value()));
    (record.offset(), record.timestamp_ms(), key, value, headers.collect())
}

/// Everything that can be read of a log.
#[derive(Debug, Default, PartialEq)]
pub struct Content {
    topics: BTreeMap<String, (alluvium::TopicId, u32)>,
    /// The start, and what follows.
    records: BTreeMap<TopicPartition, (u64, Vec<Found>)>,
    committed: BTreeMap<String, BTreeMap<TopicPartition, u64>>,
}

pub fn content(log: &EventLog) -> Content {
    let admin = log.admin();
    let mut content = Content::default();
    for name in admin.list_topics().unwrap() {
        let about = log.topic(&name).unwrap();
        content.topics.insert(name.clone(), (about.id(), about.partition_count()));
        for partition in 0..about.partition_count() {
            let part = tp(&name, partition);
            let consumer = log.consumer().build().unwrap();
            let start = consumer.beginning_offsets(std::slice::from_ref(&part)).unwrap();
            let start = start.get(&part).unwrap();
            let records = read_all(log, &part).iter().map(found).collect();
            content.records.insert(part, (start, records));
        }
    }
    for group in admin.list_groups().unwrap() {
        let offsets = admin.group_offsets(&group.group).unwrap();
        let offsets = offsets.into_iter().map(|(part, committed)| (part, committed.offset));
        content.committed.insert(group.group.to_string(), offsets.collect());
    }
    content
}

/// Two logs have the same in them. (The whole of it would be too long to be printed.)
#[track_caller]
pub fn same(one: &Content, other: &Content) {
    assert_eq!(one.topics, other.topics);
    assert_eq!(one.committed, other.committed);
    let brief = |content: &Content| -> Vec<_> {
        let part = |(tp, (start, records)): (&TopicPartition, &(u64, Vec<Found>))| {
            (tp.clone(), *start, records.len(), records.last().map(|record| record.0))
        };
        content.records.iter().map(part).collect()
    };
    assert_eq!(brief(one), brief(other));
    assert!(one.records == other.records, "records differ");
}

fn segmented(log: &EventLog, name: &str) -> alluvium::Topic {
    let small = NewTopic::new(name).partitions(2).config("internal.segment.bytes", "4000");
    log.create_topic(small).unwrap()
}

/// Some of everything: sealed, settled and staged records, a trimmed front, a large call, offsets.
fn fill(log: &EventLog) {
    let (orders, empty) = (segmented(log, "orders"), segmented(log, "empty"));
    let producer = producer(log);
    for number in 0..120_u32 {
        let value = vec![number as u8; 100];
        let count = number.to_le_bytes();
        let headers: [Header<'_>; 2] = [("n", Some(&count)), ("null", None)];
        let record = orders.record(&value).key(&count).headers(&headers);
        place(&producer, record.partition(number % 2));
    }
    let large = vec![9; 200_000];
    let big = NewTopic::new("big").config("internal.segment.bytes", "1000000");
    let big = log.create_topic(big).unwrap();
    place(&producer, big.record("small"));
    place(&producer, big.record(&large));
    let admin = log.admin();
    admin.roll("orders").unwrap();
    admin.delete_records(&tp("orders", 1), RecordsToDelete::BeforeOffset(7)).unwrap();
    admin.alter_group_offsets("readers", &Offsets::from_iter([(tp("orders", 0), 33)])).unwrap();
    admin.create_partitions("empty", 5).unwrap();
    let gone = segmented(log, "gone");
    put(&producer, gone.record("gone"));
    admin.delete_topic("gone").unwrap();
    put(&producer, orders.record("the last one").partition(1));
    put(&producer, empty.record("staged").partition(1));
}

fn beside(bed: &Bed, name: &str) -> PathBuf {
    bed.path().unwrap().with_file_name(name)
}

fn open(bed: &Bed, path: &Path) -> EventLog {
    bed.builder().path(path).open().unwrap()
}

#[test]
fn a_snapshot_has_everything_and_is_a_log_of_its_own() {
    on_disk(|bed| {
        let log = bed.open();
        fill(&log);
        let before = content(&log);
        let report = log.snapshot(beside(bed, "copy")).unwrap();
        assert!(report.linked_segments > 4 && report.linked_bytes > 9_000, "{report:?}");
        assert_eq!((report.copied_segments, &report.copied_because), (0, &None));
        assert_eq!(report.partitions, 3 + 2 + 5 + 1);
        let copy = open(bed, &report.path);
        same(&content(&copy), &before);
        assert!(copy.admin().open_report().clean, "nothing is to be recovered");
        // Each goes on by itself, and through lives of its own.
        put(&producer(&log), log.topic("orders").unwrap().record("here").partition(0));
        put(&producer(&copy), copy.topic("orders").unwrap().record("there").partition(0));
        put(&producer(&copy), copy.topic("orders").unwrap().record("again").partition(0));
        copy.admin().delete_topic("big").unwrap();
        let (here, there) = (content(&log), content(&copy));
        assert_eq!(there.records[&tp("orders", 0)].1.len(), 62);
        assert_eq!(here.records[&tp("orders", 0)].1.len(), 61);
        log.close().unwrap();
        copy.close().unwrap();
        same(&content(&bed.open()), &here);
        same(&content(&open(bed, &report.path)), &there);
    });
}

#[test]
#[cfg(unix)]
fn sealed_segments_are_shared_and_nothing_that_happens_to_one_log_is_seen_in_the_other() {
    use std::os::unix::fs::MetadataExt;
    on_disk(|bed| {
        let log = bed.open();
        fill(&log);
        let before = content(&log);
        let SnapshotReport { path, linked_segments, .. } =
            log.snapshot(beside(bed, "copy")).unwrap();
        let files = fs::read_dir(path.join("segments")).unwrap();
        let shared = files.filter(|f| f.as_ref().unwrap().metadata().unwrap().nlink() == 2);
        assert_eq!(shared.count(), linked_segments);
        // The log loses all of it: by trims, a deletion, in the end as a whole.
        let admin = log.admin();
        admin.delete_records(&tp("orders", 0), RecordsToDelete::All).unwrap();
        admin.delete_topic("big").unwrap();
        let copy = open(bed, &path);
        same(&content(&copy), &before);
        log.close().unwrap();
        fs::remove_dir_all(bed.path().unwrap()).unwrap();
        same(&content(&copy), &before);
        // And the copy of a copy outlives the copy.
        let second = copy.snapshot(beside(bed, "second")).unwrap();
        copy.admin().delete_topic("orders").unwrap();
        drop(copy);
        fs::remove_dir_all(&path).unwrap();
        same(&content(&open(bed, &second.path)), &before);
    });
}

#[test]
fn a_chain_of_snapshots_keeps_the_segments_of_each_log() {
    on_disk(|bed| {
        let mut log = bed.open();
        segmented(&log, "orders");
        for round in 0..6_u8 {
            let topic = log.topic("orders").unwrap();
            let producer = producer(&log);
            for _ in 0..60 {
                place(&producer, topic.record(&[round; 200]).partition(0));
            }
            log.admin().roll("orders").unwrap();
            put(&producer, topic.record(&[round; 200]).partition(0));
            let before = content(&log);
            let path = beside(bed, &format!("copy-{round}"));
            log.snapshot(&path).unwrap();
            drop((topic, producer));
            log.close().unwrap();
            log = open(bed, &path);
            same(&content(&log), &before);
        }
        let all = read_all(&log, &tp("orders", 0));
        assert_eq!(all.len(), 366);
        assert!(all.iter().enumerate().all(|(at, r)| r.value().unwrap()[0] as usize == at / 61));
        // The manifest of such a log is written anew like any other.
        for number in 0..300 {
            log.create_topic(NewTopic::new(&format!("t{number}"))).unwrap();
            log.admin().delete_topic(&format!("t{number}")).unwrap();
        }
        let before = content(&log);
        log.close().unwrap();
        same(&content(&open(bed, &beside(bed, "copy-5"))), &before);
    });
}

#[test]
fn a_snapshot_is_durable_when_it_returns() {
    let disk = SimDisk::new();
    let builder = || EventLog::builder().disk(disk.clone()).background(false);
    let log = builder().path("/log").open().unwrap();
    fill(&log);
    let before = content(&log);
    log.snapshot("/copy").unwrap();
    for seed in 0..8 {
        let cut = disk.power_cut(seed);
        let copy = EventLog::builder().disk(cut).path("/copy").background(false).open().unwrap();
        same(&content(&copy), &before);
    }
}

#[test]
fn what_is_in_the_way_is_an_error_that_names_it() {
    let bed = Bed::new(Kind::PowerLoss);
    let log = bed.open();
    fill(&log);
    let there = beside(&bed, "there");
    fs::create_dir(&there).unwrap();
    log.snapshot(&there).unwrap();
    let taken = refused(ErrorKind::InvalidRequest, log.snapshot(&there));
    names(&taken, &["there is not empty"]);
    assert_eq!(taken.path(), Some(&*there));
    let other = beside(&bed, "other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("notes.txt"), "mine").unwrap();
    refused(ErrorKind::InvalidRequest, log.snapshot(&other));
    assert_eq!(fs::read(other.join("notes.txt")).unwrap(), b"mine");
    let file = beside(&bed, "file");
    fs::write(&file, "mine").unwrap();
    names(&refused(ErrorKind::InvalidRequest, log.snapshot(&file)), &["is a file"]);
    let inside = bed.path().unwrap().join("copy");
    names(&refused(ErrorKind::InvalidRequest, log.snapshot(inside)), &["of the log itself"]);
    refused(ErrorKind::InvalidRequest, log.snapshot(bed.path().unwrap()));
    let nowhere = beside(&bed, "no").join("where");
    assert_eq!(refused(ErrorKind::StorageError, log.snapshot(&nowhere)).path(), Some(&*nowhere));
    refused(ErrorKind::IllegalState, log.fork());
    let memory = EventLog::in_memory();
    names(&refused(ErrorKind::IllegalState, memory.snapshot(beside(&bed, "m"))), &["fork"]);
    log.clone().close().unwrap();
    refused(ErrorKind::Closed, log.snapshot(beside(&bed, "closed")));
    assert!(!beside(&bed, "closed").exists() && !beside(&bed, "m").exists());
}

#[test]
fn where_files_cannot_be_shared_they_are_copied_and_the_report_says_so() {
    let disk = || GatedDisk { disk: SimDisk::new(), gate: Gate::default(), syncs: Gate::default() };
    let log = EventLog::builder().disk(disk()).path("/log").background(false).open().unwrap();
    fill(&log);
    let before = content(&log);
    let copy = log.fork_to("/copy").unwrap();
    same(&content(&copy), &before);
    let again = log.snapshot("/again").unwrap();
    assert_eq!((again.linked_segments, again.linked_bytes), (0, 0));
    assert!(again.copied_segments > 4 && again.copied_bytes > 9_000, "{again:?}");
    assert!(again.copied_because.is_some());
}

#[test]
#[cfg(target_os = "linux")]
fn a_snapshot_on_another_file_system_is_a_copy() {
    use std::os::unix::fs::MetadataExt;
    let bed = Bed::new(Kind::PowerLoss);
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let here = bed.path().unwrap().parent().unwrap().metadata().unwrap().dev();
    if other.path().metadata().unwrap().dev() == here {
        return;
    }
    let log = bed.open();
    fill(&log);
    let report = log.snapshot(other.path().join("copy")).unwrap();
    assert_eq!((report.linked_segments, report.copied_segments > 4), (0, true), "{report:?}");
    same(&content(&open(&bed, &report.path)), &content(&log));
}

#[test]
fn a_fork_on_disk_has_the_logs_options() {
    let bed = Bed::new(Kind::ProcessCrash);
    let log = bed.builder().set("num.partitions", "3").open().unwrap();
    let fork = log.fork_to(beside(&bed, "fork")).unwrap();
    assert_eq!(topic(&fork, "new").partition_count(), 3);
    refused(ErrorKind::UnknownTopicOrPartition, log.topic("new"));
    refused(ErrorKind::Locked, EventLog::open(beside(&bed, "fork")));
}

/// The cut is one moment: what was sent after something else is never there without it.
#[test]
fn snapshots_under_load_are_consistent_over_all_partitions() {
    on_disk(|bed| {
        let log = bed.open();
        let small = NewTopic::new("orders").partitions(2);
        log.create_topic(small.config("internal.segment.bytes", "20000")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (log, stop) = (log.clone(), Arc::clone(&stop));
            thread::spawn(move || write_in_turn(&log, &stop))
        };
        let keeper = {
            let (log, stop) = (log.clone(), Arc::clone(&stop));
            thread::spawn(move || keep_house(&log, &stop))
        };
        let mut seen = 0;
        for number in 0..5 {
            let path = beside(bed, &format!("copy-{number}"));
            log.snapshot(&path).unwrap();
            let copy = open(bed, &path);
            let found = check_turns(&copy);
            assert!(found >= seen, "{found} < {seen}");
            seen = found;
            copy.close().unwrap();
            fs::remove_dir_all(path).unwrap();
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() >= seen && seen > 0);
        keeper.join().unwrap();
    });
}

/// Partition 0, partition 1, the committed offset, and so on.
fn write_in_turn(log: &EventLog, stop: &AtomicBool) -> u64 {
    let (topic, producer) = (log.topic("orders").unwrap(), producer(log));
    let mut turn = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let mut value = turn.to_le_bytes().to_vec();
        value.resize(8 + turn as usize % 300, 7);
        let sent = |partition| place(&producer, topic.record(&value).partition(partition));
        assert_eq!([sent(0), sent(1)], [turn, turn]);
        turn += 1;
        let next = Offsets::from_iter([(tp("orders", 1), turn)]);
        log.admin().alter_group_offsets("turns", &next).unwrap();
    }
    turn
}

/// Deletes from the front, rolls, and lets topics come, grow and go.
fn keep_house(log: &EventLog, stop: &AtomicBool) {
    let (admin, producer) = (log.admin(), producer(log));
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let name = format!("other-{}", round % 3);
        let other = log.ensure_topic(NewTopic::new(&name));
        if let Ok(other) = other {
            drop(producer.send(other.record("x")));
            drop(admin.create_partitions(&name, 2));
        }
        admin.roll("orders").unwrap();
        let seen = log.consumer().build().unwrap().end_offsets(&[tp("orders", 0)]).unwrap();
        let before = seen.get(&tp("orders", 0)).unwrap().saturating_sub(200);
        admin.delete_records(&tp("orders", 0), RecordsToDelete::BeforeOffset(before)).unwrap();
        if round % 2 == 0 {
            admin.delete_topic(&name).unwrap();
        }
    }
}

/// How many turns a copy has; they are whole, but for the last one.
fn check_turns(copy: &EventLog) -> u64 {
    let ends = |partition| {
        let part = tp("orders", partition);
        let records = read_all(copy, &part);
        for record in &records {
            assert_eq!(record.value().unwrap()[..8], record.offset().to_le_bytes());
        }
        let dense = records.windows(2).all(|two| two[0].offset() + 1 == two[1].offset());
        assert!(dense, "a hole");
        records.last().map_or(0, |record| record.offset() + 1)
    };
    let (first, second) = (ends(0), ends(1));
    let offsets = copy.admin().group_offsets("turns").unwrap_or_default();
    let committed = offsets.get(&tp("orders", 1)).map_or(0, |committed| committed.offset);
    assert!(committed <= second && second <= first && first <= committed + 1, "{first} {second}");
    for name in copy.admin().list_topics().unwrap() {
        for partition in 0..copy.topic(&name).unwrap().partition_count() {
            read_all(copy, &tp(&name, partition));
        }
    }
    second
}

#[test]
fn two_snapshots_at_once_do_not_disturb_each_other() {
    let bed = Bed::new(Kind::ProcessCrash);
    let log = bed.open();
    fill(&log);
    let before = content(&log);
    thread::scope(|scope| {
        for number in 0..4 {
            let (log, path) = (&log, beside(&bed, &format!("copy-{}", number % 3)));
            scope.spawn(move || match log.snapshot(path) {
                Ok(_) => {}
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::Locked | ErrorKind::InvalidRequest),
                    "{error:?}"
                ),
            });
        }
    });
    for number in 0..3 {
        same(&content(&open(&bed, &beside(&bed, &format!("copy-{number}")))), &before);
    }
}

#[test]
fn a_damaged_batch_that_would_have_to_be_copied_is_an_error_and_a_shared_one_is_shared() {
    let bed = Bed::new(Kind::PowerLoss);
    let log = bed.builder().maps(false).open().unwrap();
    let orders = segmented(&log, "orders");
    let producer = producer(&log);
    for number in 0..100_u32 {
        put(&producer, orders.record(&[number as u8; 150]).partition(0));
    }
    log.admin().roll("orders").unwrap();
    // A large call goes to the segment at once.
    let tail = log.create_topic(NewTopic::new("tail")).unwrap();
    let many: Vec<Record<'_>> = (0..1500).map(|_| tail.record(&[5; 100])).collect();
    producer.send_batch(many).wait().unwrap();
    log.tick();
    let spoil = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[300] ^= 1;
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes[300..301], 300).unwrap();
    };
    spoil(&bed.segment_files(&orders)[0]);
    let copy = log.fork_to(beside(&bed, "copy")).unwrap();
    let mut consumer = crate::support::reader(&copy, [tp("orders", 0)]);
    let polls = (0..2).find_map(|_| consumer.poll(crate::support::LONG).err());
    let damaged = refused(ErrorKind::CorruptMessage, polls.map_or(Ok(()), Err));
    assert!(damaged.path().unwrap().starts_with(beside(&bed, "copy")), "{damaged:?}");
    assert_eq!(read_all(&copy, &tp("tail", 0)).len(), 1500);
    spoil(&bed.segment_files(&tail)[0]);
    let error = refused(ErrorKind::CorruptMessage, log.snapshot(beside(&bed, "again")));
    assert_eq!((error.topic(), error.partition()), (Some("tail"), Some(0)));
    assert!(!beside(&bed, "again").exists(), "nothing of it is left");
}

#[test]
fn a_transaction_is_in_a_copy_whole_or_not_at_all() {
    on_disk(|bed| {
        let log = bed.open();
        for name in ["a", "b"] {
            topic(&log, name);
        }
        let mut producer = log.transactional_producer("mover").build().unwrap();
        let send = |producer: &mut alluvium::TransactionalProducer, value: &str| {
            let transaction = producer.begin().unwrap();
            transaction.send(Record::new("a", value)).unwrap();
            transaction.send(Record::new("b", value)).unwrap();
            transaction.commit().unwrap();
        };
        send(&mut producer, "before");
        let open = producer.begin().unwrap();
        open.send(Record::new("a", "open")).unwrap();
        open.send(Record::new("b", "open")).unwrap();
        let target = tempfile::tempdir().unwrap();
        log.snapshot(target.path().join("copy")).unwrap();
        // The source goes on as if nothing had been.
        open.commit().unwrap();
        let committed = |log: &EventLog, name: &str| -> Vec<Vec<u8>> {
            let consumer = log.consumer().isolation(alluvium::Isolation::ReadCommitted);
            let mut consumer =
                consumer.offset_reset(alluvium::OffsetReset::Earliest).build().unwrap();
            consumer.assign([tp(name, 0)]).unwrap();
            let mut seen = Vec::new();
            while consumer.lag(&tp(name, 0)).unwrap() > 0 {
                let records = consumer.poll(std::time::Duration::ZERO).unwrap();
                seen.extend(records.iter().map(|record| record.value().unwrap().to_vec()));
            }
            seen
        };
        let copy = EventLog::open(target.path().join("copy")).unwrap();
        for name in ["a", "b"] {
            assert_eq!(committed(&log, name), [b"before".to_vec(), b"open".to_vec()]);
            assert_eq!(committed(&copy, name), [b"before".to_vec()], "aborted in the copy");
        }
        // It holds nobody up there, and its producer goes on.
        let mut heir = copy.transactional_producer("mover").build().unwrap();
        send(&mut heir, "after");
        assert_eq!(committed(&copy, "a"), [b"before".to_vec(), b"after".to_vec()]);
    });
}

#[test]
fn a_copy_finds_records_by_their_keys() {
    on_disk(|bed| {
        let log = bed.open();
        let events = log.create_topic(NewTopic::new("events").key_index(true)).unwrap();
        let sender = producer(&log);
        for n in 0..50 {
            put(&sender, events.record(&format!("{n}")).key(&format!("k{}", n % 5)));
            if n == 30 {
                log.admin().roll("events").unwrap();
            }
        }
        let target = tempfile::tempdir().unwrap();
        log.snapshot(target.path().join("copy")).unwrap();
        let copied = EventLog::open(target.path().join("copy")).unwrap();
        let copy = copied.topic("events").unwrap();
        for key in ["k0", "k4"] {
            let of = |topic: &alluvium::Topic| -> Vec<u64> {
                topic.history(key).unwrap().map(|record| record.unwrap().offset()).collect()
            };
            assert_eq!(of(&copy).len(), 10);
            assert_eq!(of(&copy), of(&events));
            let latest = copy.latest(key).unwrap().unwrap();
            assert_eq!(Some(latest.offset()), of(&events).last().copied());
        }
    });
}
