//! Tables of topics that are compacted under them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::{
    CompactionOptions, CompactionOutcome, EventLog, EventLogBuilder, ManualClock, NewTopic,
    Producer, Record, Table, TableBuilder, TopicPartition,
};
use proptest::prelude::*;

use crate::support::*;

const RETENTION: &str = "60000";

fn compacted(partitions: u32) -> NewTopic {
    let topic = NewTopic::new("t").compacted().partitions(partitions);
    topic.config("delete.retention.ms", RETENTION)
}

fn builder(bed: &Bed, log: &EventLog) -> TableBuilder {
    let file = bed.path().map_or_else(|| "t.table".into(), |log| log.with_file_name("t.table"));
    log.table("t").snapshot(file)
}

/// A pass over all that was sent so far; how many records it dropped.
fn compact(log: &EventLog) -> u64 {
    log.admin().roll("t").unwrap();
    let options = CompactionOptions::default().topic("t").force(true);
    let report = log.admin().run_compaction(options).unwrap();
    let mut dropped = 0;
    for partition in &report.partitions {
        match &partition.outcome {
            CompactionOutcome::Compacted(done) => dropped += done.records_dropped,
            CompactionOutcome::Failed(error) => panic!("{error:?}"),
            _ => {}
        }
    }
    dropped
}

/// Two passes with the time of tombstones in between: nothing but the newest values stay.
fn compact_tombstones_away(log: &EventLog, clock: &ManualClock) {
    compact(log);
    clock.advance(Duration::from_secs(120));
    compact(log);
}

fn send(producer: &Producer, key: &str, value: Option<&str>) {
    let record = match value {
        Some(value) => Record::new("t", value).key(key),
        None => Record::tombstone("t", key),
    };
    put(producer, record);
}

type Content = BTreeMap<Vec<u8>, (u32, u64, Vec<u8>)>;

fn content(table: &Table) -> Content {
    let view = table.view().unwrap();
    let row = |r: alluvium::TableRecord<'_>| {
        (r.key().to_vec(), (r.partition(), r.offset(), r.value().to_vec()))
    };
    view.records().map(row).collect()
}

/// What a reader from the start makes of the topic.
fn replay(log: &EventLog, partitions: u32) -> Content {
    let all: Vec<TopicPartition> = (0..partitions).map(|number| tp("t", number)).collect();
    let mut reader = reader(log, all.iter().cloned());
    reader.seek_to_beginning(&all).unwrap();
    let mut found = Content::new();
    while all.iter().any(|partition| reader.lag(partition).unwrap() > 0) {
        let before: Vec<u64> = all.iter().map(|tp| reader.position(tp).unwrap()).collect();
        // Not waited for: behind what is left of a batch there may be no record.
        let records = reader.poll(Duration::ZERO).unwrap();
        let after: Vec<u64> = all.iter().map(|tp| reader.position(tp).unwrap()).collect();
        assert!(after > before, "stands at {after:?}");
        for record in &records {
            let key = record.key().unwrap().to_vec();
            match record.value() {
                Some(value) => {
                    let row = (record.partition(), record.offset(), value.to_vec());
                    found.insert(key, row);
                }
                None => drop(found.remove(&key)),
            }
        }
    }
    found
}

#[test]
fn g01_a_compaction_changes_nothing_that_a_table_shows() {
    on_each_kind(|bed| {
        let log = bed.open();
        log.create_topic(compacted(2)).unwrap();
        let producer = producer(&log);
        let table = builder(bed, &log).build().unwrap();
        for round in 0..5 {
            for key in 0..50 {
                send(&producer, &key.to_string(), Some(&format!("{key} in {round}")));
            }
            send(&producer, &round.to_string(), None);
            let before = content(&table);
            assert!(compact(&log) > 0 || round == 0);
            assert_eq!(content(&table), before);
            assert_eq!(content(&builder(bed, &log).build().unwrap()), before);
            assert_eq!(replay(&log, 2), before);
            table.save().unwrap();
        }
        assert_eq!(table.stats().rescans, 0);
    });
}

#[test]
fn a54_g01_a_table_that_slept_while_tombstones_went_keeps_no_dead_key() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(1_700_000_000_000);
        let with = |builder: EventLogBuilder| builder.clock(clock.clone()).background(false);
        let log = with(bed.builder()).open().unwrap();
        log.create_topic(compacted(1)).unwrap();
        let producer = producer(&log);
        for key in ["a", "b", "c"] {
            send(&producer, key, Some("1"));
        }
        let table = builder(bed, &log).build().unwrap();
        assert_eq!(table.len().unwrap(), 3);
        table.save().unwrap();
        send(&producer, "a", None);
        send(&producer, "b", Some("2"));
        compact_tombstones_away(&log, &clock);
        // The tombstone of a has gone, and so has all that told of a.
        assert!(!replay(&log, 1).contains_key(&b"a"[..]));
        assert!(table.get("a").unwrap().is_none());
        assert_eq!(content(&table), replay(&log, 1));
        assert_eq!(table.stats().rescans, 1);
        // The same of a snapshot, in another life of the log.
        let log = bed.reopen_with(log, with);
        let restored = builder(bed, &log).build().unwrap();
        assert!(restored.get("a").unwrap().is_none());
        assert_eq!(content(&restored), replay(&log, 1));
        // Nobody pays twice.
        let live = log.table("t").build().unwrap();
        send(&crate::support::producer(&log), "d", Some("1"));
        assert_eq!(content(&restored), content(&live));
        assert!(restored.stats().rescans <= 1 && live.stats().rescans == 0);
    });
}

#[test]
fn a54_g01_tombstones_that_went_at_the_very_end_are_missed_too() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(1_700_000_000_000);
        let log = bed.builder().clock(clock.clone()).background(false).open().unwrap();
        log.create_topic(compacted(1)).unwrap();
        let producer = producer(&log);
        send(&producer, "a", Some("1"));
        send(&producer, "b", Some("1"));
        let table = log.table("t").build().unwrap();
        assert_eq!(table.len().unwrap(), 2);
        send(&producer, "a", None);
        compact_tombstones_away(&log, &clock);
        assert_eq!(content(&table), content(&log.table("t").build().unwrap()));
        assert!(table.get("a").unwrap().is_none());
        assert_eq!(table.len().unwrap(), 1);
        send(&producer, "b", None);
        compact_tombstones_away(&log, &clock);
        assert!(table.is_empty().unwrap());
        assert!(log.table("t").build().unwrap().is_empty().unwrap());
    });
}

#[test]
fn g01_tables_are_asked_while_records_come_and_compactions_run() {
    on_each_kind(|bed| {
        let log = bed.open();
        // Tombstones may go at once: the worst for whoever reads meanwhile.
        let topic = compacted(2).config("delete.retention.ms", "0");
        log.create_topic(topic.config("internal.segment.bytes", "4096")).unwrap();
        let table = builder(bed, &log).build().unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    compact(&log);
                }
            });
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    assert!(table.len().unwrap() <= 20);
                    assert!(log.table("t").build().unwrap().len().unwrap() <= 20);
                }
            });
            let producer = producer(&log);
            for n in 0..600_u32 {
                let (key, value) = ((n * 7 % 20).to_string(), "v".repeat(n as usize % 90));
                let value = (n % 3 > 0).then_some(value.as_str());
                let record = match value {
                    Some(value) => Record::new("t", value).key(&key),
                    None => Record::tombstone("t", &key),
                };
                let placed = producer.send(record).unwrap().placed();
                if n % 10 == 0 {
                    table.wait_for(placed, LONG).unwrap();
                    assert_eq!(table.get(&key).unwrap().is_some(), value.is_some());
                }
            }
            producer.flush().unwrap();
            done.store(true, Ordering::Release);
        });
        let right = content(&log.table("t").build().unwrap());
        assert_eq!(content(&table), right);
        assert_eq!(replay(&log, 2), right);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Send { key: u8, len: usize },
    Tombstone { key: u8 },
    Compact,
    CompactAway,
    Wait,
    Look,
    Save,
    Build,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (0..15_u8, 0..100_usize).prop_map(|(key, len)| Step::Send { key, len }),
        10 => (0..15_u8).prop_map(|key| Step::Tombstone { key }),
        4 => Just(Step::Compact),
        4 => Just(Step::CompactAway),
        4 => Just(Step::Wait),
        1 => Just(Step::Look),
        2 => Just(Step::Save),
        1 => Just(Step::Build),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 0..120)
}

/// Plays the steps on a log of a kind, against the plain map of all that was sent.
fn play(kind: Kind, steps: Vec<Step>) {
    let bed = Bed::new(kind);
    let clock = ManualClock::starting_at(1_700_000_000_000);
    let with = |builder: EventLogBuilder| builder.clock(clock.clone()).background(false);
    let mut log = with(bed.builder()).open().unwrap();
    log.create_topic(compacted(2)).unwrap();
    let mut producer = producer(&log);
    let mut table = builder(&bed, &log).build().unwrap();
    let mut model = BTreeMap::new();
    let shown = |table: &Table| -> BTreeMap<Vec<u8>, Vec<u8>> {
        content(table).into_iter().map(|(key, (_, _, value))| (key, value)).collect()
    };
    let steps = steps.into_iter().chain([Step::Look, Step::Build]);
    for (number, step) in steps.enumerate() {
        match step {
            Step::Send { key, len } => {
                let value = vec![number as u8; len];
                put(&producer, Record::new("t", &value).key(&[key]));
                model.insert(vec![key], value);
            }
            Step::Tombstone { key } => {
                put(&producer, Record::tombstone("t", &[key]));
                model.remove(&vec![key]);
            }
            Step::Compact => drop(compact(&log)),
            Step::CompactAway => compact_tombstones_away(&log, &clock),
            Step::Wait => clock.advance(Duration::from_secs(40)),
            Step::Look => assert_eq!(shown(&table), model),
            Step::Save => table.save().unwrap(),
            Step::Build => {
                assert_eq!(shown(&builder(&bed, &log).build().unwrap()), model);
                assert_eq!(shown(&log.table("t").build().unwrap()), model);
                assert_eq!(content(&log.table("t").build().unwrap()), replay(&log, 2));
            }
            Step::Reopen => {
                log = bed.reopen_with(log, with);
                producer = crate::support::producer(&log);
                table = builder(&bed, &log).build().unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn g01_a54_a_table_of_a_compacted_topic_in_memory_is_the_map_of_it(steps in steps()) {
        play(Kind::Memory, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn g01_a54_a_table_of_a_compacted_topic_on_disk_is_the_map_of_it(steps in steps()) {
        play(Kind::ProcessCrash, steps);
    }
}
