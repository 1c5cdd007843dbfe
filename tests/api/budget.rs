//! `max_disk_bytes`: a ceiling that holds, by deleting what may be deleted and nothing else.

use std::path::Path;
use std::thread;
use std::time::Duration;

use alluvium::{
    ErrorKind, EventLog, EventLogBuilder, HousekeepingEvent, NewTopic, OffsetReset, OffsetSpec,
    Producer, Record, Records, RecordsToDelete, Topic,
};

use crate::support::*;

const STAGE: usize = 256 << 10;
const LIMIT: u64 = 3 << 20;

fn limited(bed: &Bed, limit: u64) -> EventLogBuilder {
    bed.builder().background(false).stage_bytes(STAGE).max_disk_bytes(limit)
}

/// The blocks that all files of a directory take.
#[cfg(unix)]
fn blocks(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => blocks(&entry.path()),
        Ok(found) => found.blocks() * 512,
        // Removed in between.
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// What the log takes, by what it says and by what the system says.
fn taken(bed: &Bed, log: &EventLog) -> u64 {
    let told = log.admin().describe_log_dir().unwrap().total_bytes;
    #[cfg(unix)]
    if let Some(path) = bed.path() {
        return told.max(blocks(&path));
    }
    let _ = bed;
    told
}

fn range(log: &EventLog, topic: &str) -> std::ops::Range<u64> {
    let at = |spec| {
        let answers = log.admin().list_offsets([(tp(topic, 0), spec)]);
        answers[0].as_ref().unwrap().unwrap().offset
    };
    at(OffsetSpec::Earliest)..at(OffsetSpec::Latest)
}

/// Sends until there is no room; how many records that took.
fn fill(producer: &Producer, topic: &Topic, bytes: usize) -> (usize, ErrorKind) {
    for sent in 0..10_000 {
        if let Err(error) = producer.send(topic.record(&vec![7; bytes])) {
            return (sent, error.kind());
        }
    }
    panic!("there is always room");
}

#[test]
fn the_ceiling_holds_whatever_is_written() {
    on_each_kind(|bed| {
        let log = limited(bed, LIMIT).open().unwrap();
        let topics = ["a", "b", "c"].map(|name| topic_of(&log, name, 2));
        let producer = producer(&log);
        let mut sent = 0;
        let mut size = 1;
        while sent < 12 << 20 {
            size = (size * 7 + 1_013) % 70_001;
            let (topic, partition) = (&topics[size % 3], (size % 2) as u32);
            let value = vec![size as u8; size];
            if size % 5 == 0 {
                let records = (0..10).map(|_| topic.record(&value).partition(partition));
                producer.send_batch(records).wait().unwrap();
                sent += 10 * size;
            } else {
                let delivery = producer.send(topic.record(&value).partition(partition)).unwrap();
                if size % 3 == 0 {
                    delivery.wait().unwrap();
                }
                sent += size;
            }
            let taken = taken(bed, &log);
            assert!(taken <= LIMIT, "{taken} bytes after {sent}");
        }
        producer.flush().unwrap();
        for name in ["a", "b", "c"] {
            let there = range(&log, name);
            assert!(there.start > 0, "{name}: {there:?}");
            assert_eq!(read_all(&log, &tp(name, 0)).len() as u64, there.end - there.start);
        }
        let told = log.admin().take_events();
        let by_budget = |event: &HousekeepingEvent| matches!(event, HousekeepingEvent::Deleted(d) if d.by_budget > 0 && d.bytes > 0);
        assert!(told.iter().any(by_budget), "{told:?}");
        drop(producer);
        if !bed.is_memory() {
            log.close().unwrap();
            let log = limited(bed, LIMIT).open().unwrap();
            assert!(taken(bed, &log) <= LIMIT);
            assert_eq!(range(&log, "a").start, read_all(&log, &tp("a", 0))[0].offset());
        }
    });
}

#[test]
fn the_oldest_segments_go_first_whichever_topic_they_are_of() {
    on_each_kind(|bed| {
        let log = limited(bed, LIMIT).open().unwrap();
        let (idle, busy) = (topic(&log, "idle"), topic(&log, "busy"));
        let producer = producer(&log);
        for n in 0..10 {
            let time = 1_600_000_000_000 + n;
            put(&producer, idle.record(&[1; 20_000]).timestamp_ms(time));
        }
        log.admin().roll("idle").unwrap();
        while range(&log, "busy").start == 0 {
            put(&producer, busy.record(&[2; 20_000]));
        }
        assert_eq!(range(&log, "idle"), 10..10, "it was older than all of the other");
    });
}

#[test]
fn what_must_not_be_deleted_is_never_touched_and_appends_are_refused() {
    on_each_kind(|bed| {
        let log = limited(bed, LIMIT).open().unwrap();
        let old = topic(&log, "old");
        let producer = producer(&log);
        put(&producer, old.record(&[0; 100_000]));
        let kept = log.create_topic(NewTopic::new("kept").config("cleanup.policy", "")).unwrap();
        let compacted = log.create_topic(NewTopic::new("compacted").compacted()).unwrap();
        put(&producer, compacted.record("state").key("k"));
        let (sent, kind) = fill(&producer, &kept, 30_000);
        assert_eq!(kind, ErrorKind::StorageFull);
        producer.flush().unwrap();
        assert!(sent > 60, "only {sent} of 30,000 bytes fitted into {LIMIT}");
        assert!(taken(bed, &log) <= LIMIT);
        assert_eq!(range(&log, "kept"), 0..sent as u64);
        assert_eq!(range(&log, "compacted").start, 0);
        assert_eq!(range(&log, "old"), 1..1, "what may go has gone");
        assert_eq!(read_all(&log, &tp("kept", 0)).len(), sent);
        // By hand it may: and appends go on by themselves.
        let half = RecordsToDelete::BeforeOffset(sent as u64 / 2);
        log.admin().delete_records(&tp("kept", 0), half).unwrap();
        let offset = put(&producer, kept.record("again"));
        assert_eq!(offset, sent as u64);
    });
}

#[test]
fn a_full_log_is_opened_and_closed_and_shrinks_with_its_budget() {
    on_disk(|bed| {
        let log = limited(bed, 8 << 20).open().unwrap();
        let (a, kept) = (topic(&log, "a"), NewTopic::new("kept").config("cleanup.policy", ""));
        let kept = log.create_topic(kept).unwrap();
        let first = producer(&log);
        put(&first, kept.record(&[1; 1_000]));
        for _ in 0..200 {
            put(&first, a.record(&[7; 40_000]));
        }
        assert!(taken(bed, &log) > 6 << 20);
        drop(first);
        log.close().unwrap();
        let log = limited(bed, LIMIT).open().unwrap();
        assert!(taken(bed, &log) <= LIMIT);
        assert_eq!(range(&log, "kept"), 0..1);
        let left = range(&log, "a");
        assert!(left.start > 0 && left.end == 200 && !left.is_empty(), "{left:?}");
        put(&producer(&log), a.record(&[7; 40_000]));
        log.close().unwrap();
    });
}

#[test]
fn a_budget_too_small_for_the_stage_is_refused_with_the_least_value() {
    let least = (STAGE as u64) + (1 << 20);
    let open = |limit| EventLog::builder().stage_bytes(STAGE).max_disk_bytes(limit).open();
    let error = refused(ErrorKind::InvalidConfig, open(least - 1));
    names(&error, &[&format!("max_disk_bytes={}", least - 1), &least.to_string()]);
    refused(ErrorKind::InvalidConfig, open(0));
    on_each_kind(|bed| {
        let log = limited(bed, least).open().unwrap();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        for _ in 0..300 {
            put(&producer, topic.record(&[7; 10_000]));
            assert!(taken(bed, &log) <= least);
        }
    });
}

#[test]
fn many_partitions_share_a_small_budget() {
    on_each_kind(|bed| {
        let log = limited(bed, LIMIT).open().unwrap();
        let topic = topic_of(&log, "t", 60);
        let producer = producer(&log);
        for round in 0..8 {
            let values: Vec<_> = (0..60).map(|_| vec![round; 12_000]).collect();
            let records = values.iter().zip(0..).map(|(v, p)| topic.record(v).partition(p));
            producer.send_batch(records).wait().unwrap();
            assert!(taken(bed, &log) <= LIMIT);
        }
    });
}

#[test]
fn calls_nearly_as_large_as_the_budget_make_their_own_room() {
    on_each_kind(|bed| {
        let log = limited(bed, LIMIT).open().unwrap();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        for n in 0..20 {
            assert_eq!(put(&producer, topic.record(&[7; 1_000_000])), n);
            assert!(taken(bed, &log) <= LIMIT);
        }
    });
}

#[test]
fn a_reader_that_holds_what_was_deleted_holds_its_space_too() {
    on_disk(|bed| {
        let log = limited(bed, LIMIT).open().unwrap();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        for _ in 0..100 {
            put(&producer, topic.record(&[7; 10_000]));
        }
        log.admin().roll("t").unwrap();
        let mut reader = reader(&log, [tp("t", 0)]);
        let held = reader.poll(LONG).unwrap();
        for _ in 0..400 {
            put(&producer, topic.record(&[8; 10_000]));
            assert!(taken(bed, &log) <= LIMIT);
        }
        assert!(range(&log, "t").start > 100);
        assert!(held.iter().all(|record| record.value() == Some(&[7; 10_000])));
    });
}

/// So many records of 10 kB, all held by a reader.
fn held(log: &EventLog, count: usize) -> Records {
    let topic = topic(log, "t");
    let sender = producer(log);
    for _ in 0..count {
        put(&sender, topic.record(&[7; 10_000]));
    }
    log.admin().roll("t").unwrap();
    let mut reader = log.consumer().offset_reset(OffsetReset::Earliest);
    for key in ["fetch.max.bytes", "max.partition.fetch.bytes"] {
        reader = reader.set(key, "8388608");
    }
    let mut reader = reader.build().unwrap();
    reader.assign([tp("t", 0)]).unwrap();
    reader.poll(LONG).unwrap()
}

#[test]
fn who_finds_no_room_waits_until_readers_let_go_of_what_is_deleted() {
    on_disk(|bed| {
        let log = limited(bed, LIMIT).open().unwrap();
        let held = held(&log, 220);
        let hasty = log.producer().set("max.block.ms", "20").build().unwrap();
        let record = || Record::new("t", &[8; 10_000]).partition(0);
        let refusal = |sent| hasty.send(record()).err().map(|error| (sent, error));
        let (sent, refused) = (0..400).find_map(refusal).unwrap();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        let told = refused.to_string();
        assert!(told.contains("readers hold") && !told.contains("readers hold 0"), "{told}");
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let patient = producer(&log);
                for _ in 0..400 {
                    put(&patient, record());
                }
            });
            assert!(!writer.is_finished(), "there was no room for ten of them");
            drop(held);
            writer.join().unwrap();
        });
        assert_eq!(range(&log, "t").end, 220 + sent + 400);
        assert!(taken(bed, &log) <= LIMIT);
    });
}

#[test]
fn nothing_else_is_deleted_for_what_a_slow_reader_will_let_go_of() {
    on_disk(|bed| {
        let log = limited(bed, LIMIT).open().unwrap();
        let other = topic_of(&log, "other", 1);
        let held = held(&log, 110);
        let sender = producer(&log);
        while range(&log, "t").start == 0 {
            put(&sender, other.record(&[8; 10_000]));
        }
        let start = range(&log, "t").start;
        for _ in 0..10 {
            put(&sender, other.record(&[8; 1_000]));
            log.tick();
        }
        assert_eq!(range(&log, "t").start, start, "{} are held", held.len());
    });
}

#[test]
fn writers_and_readers_share_a_budget_in_threads() {
    on_disk(|bed| {
        let log = bed.builder().stage_bytes(STAGE).max_disk_bytes(LIMIT).open().unwrap();
        topic_of(&log, "t", 3);
        thread::scope(|scope| {
            for partition in 0..3 {
                let log = &log;
                let writer = scope.spawn(move || {
                    let producer = producer(log);
                    let value = vec![partition as u8; 5_000];
                    for n in 0..600 {
                        let record = Record::new("t", &value).partition(partition);
                        let delivery = producer.send(record).unwrap();
                        if n % 50 == 0 {
                            delivery.wait().unwrap();
                        }
                    }
                    producer.flush().unwrap();
                });
                scope.spawn(move || {
                    let mut reader = reader(log, [tp("t", partition)]);
                    let mut next = 0;
                    loop {
                        let was_last = writer.is_finished();
                        let records = reader.poll(Duration::from_millis(10)).unwrap();
                        for record in &records {
                            assert!(record.offset() >= next);
                            assert_eq!(record.value(), Some(&[partition as u8; 5_000][..]));
                            next = record.offset() + 1;
                        }
                        if was_last && records.is_empty() {
                            break;
                        }
                    }
                });
            }
        });
        assert!(taken(bed, &log) <= LIMIT);
    });
}

/// Sends a record; where there is no room, what is due makes some.
fn insist(log: &EventLog, producer: &Producer, record: Record<'_>) {
    for _ in 0..10_000 {
        match producer.send(record) {
            Ok(delivery) => {
                delivery.wait().unwrap();
                return;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}"),
        }
        log.tick();
    }
    panic!("compaction frees nothing");
}

#[test]
fn compaction_makes_room_where_nothing_may_be_deleted() {
    on_each_kind(|bed| {
        let log = limited(bed, LIMIT).open().unwrap();
        let state = log.create_topic(NewTopic::new("state").compacted()).unwrap();
        let producer = producer(&log);
        for n in 0..1_000_u32 {
            let (key, value) = ((n % 50).to_le_bytes(), vec![(n / 50) as u8; 5_000]);
            insist(&log, &producer, state.record(&value).key(&key));
            if n % 100 == 0 {
                assert!(taken(bed, &log) <= LIMIT);
            }
        }
        producer.flush().unwrap();
        // 5 MB went through 3; of each key the newest is there.
        let table = log.table("state").build().unwrap();
        for key in 0..50_u32 {
            let record = table.get(key.to_le_bytes()).unwrap().unwrap();
            assert_eq!(record.value(), Some(&[19; 5_000][..]));
        }
        assert!(taken(bed, &log) <= LIMIT);
    });
}
