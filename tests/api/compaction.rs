//! The newest record of each key stays, and nothing else has to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::{
    AlterConfigOp, CompactedPartition, CompactionOptions, CompactionOutcome, ConfigResource,
    ErrorKind, EventLog, HousekeepingEvent, ManualClock, NewTopic, OffsetSpec, RecordsToDelete,
    Topic,
};

use crate::support::*;

const NOON: i64 = 1_700_000_000_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// A log without threads under a clock that the test moves.
fn open(bed: &Bed, clock: &ManualClock) -> EventLog {
    bed.builder().background(false).clock(clock.clone()).open().unwrap()
}

/// On each kind of log, at noon, with a compacted topic.
fn on_each(configs: &[(&str, &str)], test: impl Fn(&Bed, &EventLog, &ManualClock, &Topic)) {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(NOON);
        let log = open(bed, &clock);
        let topic = configs.iter().fold(NewTopic::new("t").compacted(), |t, (k, v)| t.config(k, v));
        let topic = log.create_topic(topic).unwrap();
        test(bed, &log, &clock, &topic);
    });
}

/// One segment of these keys and values; none is a tombstone.
fn segment(log: &EventLog, topic: &Topic, pairs: &[(&str, Option<&str>)]) {
    let producer = producer(log);
    for (key, value) in pairs {
        let record = value.map_or_else(|| topic.null(), |value| topic.record(value));
        put(&producer, record.key(*key));
    }
    log.admin().roll(topic.name()).unwrap();
}

fn outcome(log: &EventLog, topic: &str, force: bool) -> CompactionOutcome {
    let options = CompactionOptions::default().topic(topic).force(force);
    let report = log.admin().run_compaction(options).unwrap();
    assert_eq!(report.partitions.len(), 1, "{report:?}");
    report.partitions[0].outcome.clone()
}

/// Compacts what there is.
fn compact(log: &EventLog, topic: &str) -> CompactedPartition {
    match outcome(log, topic, true) {
        CompactionOutcome::Compacted(done) => done,
        other => panic!("{other:?}"),
    }
}

/// Offset, timestamp, key, value of everything from the start, and where a reader comes to rest.
type Seen = (u64, i64, String, Option<String>);

fn contents(log: &EventLog, topic: &str) -> Vec<Seen> {
    let mut reader = reader(log, [tp(topic, 0)]);
    let end = log.admin().list_offsets([(tp(topic, 0), OffsetSpec::Latest)]).remove(0);
    let end = end.unwrap().unwrap().offset;
    let mut seen = Vec::new();
    // A34: a position passes what is gone, so this ends.
    while reader.position(&tp(topic, 0)).unwrap() < end {
        for record in &reader.poll(Duration::ZERO).unwrap() {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let (key, value) = (text(record.key().unwrap()), record.value().map(text));
            seen.push((record.offset(), record.timestamp_ms().unwrap(), key, value));
        }
    }
    seen
}

fn offsets(log: &EventLog, topic: &str) -> Vec<u64> {
    contents(log, topic).into_iter().map(|seen| seen.0).collect()
}

fn table(seen: &[Seen]) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for (_, _, key, value) in seen {
        match value {
            Some(value) => drop(table.insert(key.clone(), value.clone())),
            None => drop(table.remove(key)),
        }
    }
    table
}

fn alter(log: &EventLog, topic: &str, key: &str, value: &str) {
    let ops = [AlterConfigOp::set(key, value)];
    log.admin().incremental_alter_configs(&ConfigResource::topic(topic), &ops).unwrap();
}

#[test]
fn a49_a_reader_from_the_start_sees_the_last_value_of_every_key_and_the_head_sees_all() {
    on_each(&[], |bed, log, clock, topic| {
        for round in 0..4 {
            clock.advance(Duration::from_secs(1));
            let value = format!("{round}");
            segment(
                log,
                topic,
                &[("a", Some(&value)), (&value, Some("once")), ("b", Some(&value))],
            );
        }
        put(&producer(log), topic.record("head").key("a"));
        let before = contents(log, "t");
        let done = compact(log, "t");
        assert_eq!((done.records_kept, done.records_dropped), (6, 6));
        assert!(done.bytes_after < done.bytes_before);
        let after = contents(log, "t");
        assert_eq!(after.iter().map(|seen| seen.0).collect::<Vec<_>>(), [1, 4, 7, 9, 10, 11, 12]);
        assert!(after.iter().all(|seen| before.contains(seen)), "offset, time, key and value");
        assert_eq!(table(&after), table(&before));
        if !bed.is_memory() {
            assert_eq!(bed.segment_files(topic).len(), 1, "the head stands in the stage");
        }
    });
    on_disk(|bed| {
        let clock = ManualClock::starting_at(NOON);
        let log = open(bed, &clock);
        let topic = log.create_topic(NewTopic::new("t").compacted()).unwrap();
        (0..3).for_each(|_| segment(&log, &topic, &[("a", Some("v")), ("b", Some("v"))]));
        compact(&log, "t");
        let before = contents(&log, "t");
        let log = bed.reopen_with(log, |b| b.background(false).clock(clock.clone()));
        assert_eq!(contents(&log, "t"), before);
        assert!(matches!(outcome(&log, "t", false), CompactionOutcome::NothingNew), "A61");
        assert_eq!(put(&producer(&log), log.topic("t").unwrap().record("v").key("c")), 6);
    });
}

#[test]
fn a31_a34_a_position_in_a_hole_goes_on_and_the_end_is_reached() {
    on_each(&[("internal.segment.bytes", "256")], |_, log, _, topic| {
        for _ in 0..5 {
            segment(log, topic, &[("a", Some("v")), ("b", Some("v"))]);
        }
        segment(log, topic, &[("c", None)]);
        alter(log, "t", "delete.retention.ms", "0");
        compact(log, "t");
        compact(log, "t");
        assert_eq!(offsets(log, "t"), [8, 9]);
        let mut reader = reader(log, [tp("t", 0)]);
        for (from, first) in [(0, 8), (3, 8), (8, 8), (9, 9)] {
            reader.seek(&tp("t", 0), from).unwrap();
            let records = reader.poll(LONG).unwrap();
            assert_eq!(records.iter().next().unwrap().offset(), first, "from {from}");
            assert!(records.gaps().is_empty(), "what is compacted away is no gap");
        }
        // The last record is gone; the position passes it, and the next one comes behind it.
        reader.seek(&tp("t", 0), 10).unwrap();
        assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
        assert_eq!(reader.position(&tp("t", 0)).unwrap(), 11);
        assert_eq!(put(&producer(log), topic.record("v").key("d")), 11);
        assert_eq!(reader.poll(LONG).unwrap().iter().next().unwrap().offset(), 11);
    });
}

#[test]
fn a50_the_active_segment_and_what_is_too_young_stay() {
    on_each(&[("min.compaction.lag.ms", "3600000")], |_, log, clock, topic| {
        segment(log, topic, &[("a", Some("1")), ("a", Some("2"))]);
        assert!(matches!(outcome(log, "t", true), CompactionOutcome::NothingNew));
        clock.advance(HOUR);
        segment(log, topic, &[("a", Some("3")), ("a", Some("4"))]);
        let producer = producer(log);
        put(&producer, topic.record("5").key("a"));
        put(&producer, topic.record("6").key("a"));
        compact(log, "t");
        assert_eq!(offsets(log, "t"), [1, 2, 3, 4, 5], "only what is an hour old");
        clock.advance(HOUR);
        compact(log, "t");
        assert_eq!(offsets(log, "t"), [3, 4, 5], "never the segment that is written");
    });
}

#[test]
fn a51_a_clean_log_is_compacted_again_only_when_more_than_half_is_new() {
    on_each(&[], |_, log, clock, topic| {
        segment(log, topic, &[("a", Some("v")), ("b", Some("v"))]);
        assert!(matches!(outcome(log, "t", false), CompactionOutcome::Compacted(_)), "all is new");
        segment(log, topic, &[("a", Some("v")), ("c", Some("v"))]);
        let CompactionOutcome::TooClean { dirty_ratio } = outcome(log, "t", false) else {
            panic!()
        };
        assert!((dirty_ratio - 0.5).abs() < f64::EPSILON, "{dirty_ratio}: as much as is clean");
        alter(log, "t", "min.cleanable.dirty.ratio", "0.4");
        assert!(matches!(outcome(log, "t", false), CompactionOutcome::Compacted(_)));
        assert_eq!(offsets(log, "t"), [1, 2, 3]);
        alter(log, "t", "min.cleanable.dirty.ratio", "1");
        segment(log, topic, &[("c", Some("v"))]);
        assert!(matches!(outcome(log, "t", false), CompactionOutcome::TooClean { .. }));
        alter(log, "t", "max.compaction.lag.ms", "60000");
        clock.advance(Duration::from_millis(60_000));
        assert!(matches!(outcome(log, "t", false), CompactionOutcome::TooClean { .. }), "not over");
        clock.advance(Duration::from_millis(1));
        assert!(matches!(outcome(log, "t", false), CompactionOutcome::Compacted(_)));
        assert_eq!(offsets(log, "t"), [1, 2, 4]);
    });
}

#[test]
fn a51_the_background_compacts_the_dirtiest_first_and_tells_of_it() {
    on_each(&[], |_, log, _, topic| {
        let other = log.create_topic(NewTopic::new("u").compacted()).unwrap();
        segment(log, topic, &[("a", Some("v"))]);
        log.tick();
        segment(log, topic, &[("a", Some("v")), ("b", Some("v")), ("b", Some("v"))]);
        segment(log, &other, &[("a", Some("v")), ("a", Some("v"))]);
        while log.tick().next_due == Some(Duration::ZERO) {}
        let events = log.admin().take_events();
        let told: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                HousekeepingEvent::Compacted(done) => {
                    Some((done.partition.topic().to_owned(), done.records_dropped))
                }
                _ => None,
            })
            .collect();
        let told: Vec<_> = told.iter().map(|(topic, dropped)| (topic.as_str(), *dropped)).collect();
        assert_eq!(told, [("t", 0), ("u", 1), ("t", 2)]);
    });
}

#[test]
fn the_background_rests_when_it_is_disabled_and_keeps_to_its_rate() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(NOON);
        let builder = || bed.builder().background(false).clock(clock.clone());
        let log = builder().set("log.cleaner.enable", "false").open().unwrap();
        let topic = log.create_topic(NewTopic::new("t").compacted()).unwrap();
        segment(&log, &topic, &[("a", Some("v")), ("a", Some("v"))]);
        for _ in 0..9 {
            log.tick();
        }
        assert_eq!(offsets(&log, "t"), [0, 1]);
        compact(&log, "t");
        assert_eq!(offsets(&log, "t"), [1]);
    });
    on_disk(|bed| {
        let clock = ManualClock::starting_at(NOON);
        let slow = bed.builder().set("log.cleaner.io.max.bytes.per.second", "100");
        let log = slow.background(false).clock(clock.clone()).open().unwrap();
        let topic = log.create_topic(NewTopic::new("t").compacted()).unwrap();
        segment(&log, &topic, &[("a", Some("v")), ("a", Some("v"))]);
        log.tick();
        assert_eq!(offsets(&log, "t"), [1]);
        segment(&log, &topic, &[("a", Some("v")), ("a", Some("v"))]);
        // Some hundred bytes were read and written.
        clock.advance(Duration::from_secs(2));
        log.tick();
        assert_eq!(offsets(&log, "t"), [1, 2, 3]);
        clock.advance(Duration::from_secs(8));
        log.tick();
        assert_eq!(offsets(&log, "t"), [3]);
    });
}

#[test]
fn a53_a_tombstone_takes_two_passes_even_without_retention() {
    on_each(&[("delete.retention.ms", "0")], |_, log, _, topic| {
        segment(log, topic, &[("a", Some("1")), ("b", Some("1")), ("a", None)]);
        assert_eq!(compact(log, "t").tombstones_dropped, 0);
        assert_eq!(offsets(log, "t"), [1, 2]);
        assert_eq!(compact(log, "t").tombstones_dropped, 1);
        assert_eq!(offsets(log, "t"), [1]);
        compact(log, "t");
        assert_eq!(offsets(log, "t"), [1]);
    });
}

#[test]
fn a53_a54_a_tombstone_stays_for_its_retention_from_the_first_pass_on() {
    on_each(&[("delete.retention.ms", "3600000")], |_, log, clock, topic| {
        segment(log, topic, &[("a", Some("1")), ("a", None)]);
        clock.advance(HOUR * 9);
        compact(log, "t");
        assert_eq!(contents(log, "t")[0].3, None, "the time begins with the first pass");
        clock.advance(HOUR - Duration::from_millis(1));
        compact(log, "t");
        assert_eq!(offsets(log, "t"), [1]);
        clock.advance(Duration::from_millis(1));
        compact(log, "t");
        assert_eq!(offsets(log, "t"), [] as [u64; 0]);
    });
}

#[test]
fn a55_records_without_a_key_go_when_a_topic_becomes_compacted() {
    on_each_kind(|bed| {
        let log = open(bed, &ManualClock::starting_at(NOON));
        let topic = topic(&log, "t");
        let producer = producer(&log);
        put(&producer, topic.record("no key"));
        put(&producer, topic.record("v").key("a"));
        log.admin().roll("t").unwrap();
        let none = log.admin().run_compaction(CompactionOptions::default().topic("t")).unwrap();
        assert!(none.partitions.is_empty(), "A63: not before the policy says so");
        alter(&log, "t", "cleanup.policy", "compact");
        let refused = producer.send(topic.record("no key")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidRecord);
        compact(&log, "t");
        assert_eq!(offsets(&log, "t"), [1]);
    });
}

#[test]
fn a59_small_segments_are_merged_and_keep_the_first_ones_offset() {
    on_each(&[], |_, log, _, topic| {
        for key in ["a", "b", "c", "d"] {
            segment(log, topic, &[(key, Some("v"))]);
        }
        let done = compact(log, "t");
        assert_eq!((done.segments_before, done.segments_after), (4, 1));
        assert_eq!(done.bytes_before, done.bytes_after, "batches are copied as they are");
        assert_eq!(offsets(log, "t"), [0, 1, 2, 3]);
        let found = log.admin().list_offsets([(tp("t", 0), OffsetSpec::ForTimestamp(NOON))]);
        assert_eq!(found[0].as_ref().unwrap().unwrap().offset, 0);
    });
}

#[test]
fn a60_with_more_keys_than_memory_it_takes_several_rounds() {
    on_each_kind(|bed| {
        // Room for three keys.
        let small = bed.builder().set("log.cleaner.dedupe.buffer.size", "64");
        let log = small.background(false).open().unwrap();
        // The later rounds begin although less than that is left to them.
        let topic = NewTopic::new("t").compacted().config("min.cleanable.dirty.ratio", "0.9");
        let topic = log.create_topic(topic).unwrap();
        for _ in 0..3 {
            let keys: Vec<String> = (0..10).map(|n| format!("{n}")).collect();
            let pairs: Vec<_> = keys.iter().map(|key| (key.as_str(), Some("v"))).collect();
            segment(&log, &topic, &pairs);
        }
        let before = contents(&log, "t");
        let done = compact(&log, "t");
        assert_eq!((done.records_dropped, done.records_kept), (20, 10));
        assert_eq!(contents(&log, "t"), before[20..]);
    });
}

#[test]
fn a61_with_both_policies_both_apply() {
    on_each(&[("cleanup.policy", "compact,delete")], |_, log, clock, topic| {
        segment(log, topic, &[("only", Some("old")), ("a", Some("1"))]);
        segment(log, topic, &[("a", Some("2"))]);
        alter(log, "t", "internal.segment.bytes", "256");
        compact(log, "t");
        assert_eq!(offsets(log, "t"), [0, 2]);
        clock.advance(HOUR);
        segment(log, topic, &[("a", Some("3"))]);
        alter(log, "t", "retention.ms", "1000");
        log.admin().run_retention().unwrap();
        assert_eq!(offsets(log, "t"), [3], "retention takes a key's only value");
        segment(log, topic, &[("a", Some("4"))]);
        compact(log, "t");
        assert_eq!(offsets(log, "t"), [4]);
        let trimmed = log.admin().delete_records(&tp("t", 0), RecordsToDelete::All).unwrap();
        assert_eq!(trimmed, 5);
        assert!(matches!(outcome(log, "t", true), CompactionOutcome::NothingNew));
    });
}

#[test]
fn a35_a_reader_at_work_finishes_while_segments_are_replaced() {
    on_each_kind(|bed| {
        const KEYS: u64 = 20;
        let log = bed.builder().open().unwrap();
        let topic = NewTopic::new("t").compacted().config("internal.segment.bytes", "4000");
        let topic = log.create_topic(topic.config("min.cleanable.dirty.ratio", "0.01")).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut read = 0_u64;
                        while !stop.load(Ordering::Relaxed) {
                            let mut reader = reader(&log, [tp("t", 0)]);
                            let mut last = None;
                            // A key's value never goes back, whatever is compacted meanwhile.
                            let mut newest = [0_u64; KEYS as usize];
                            for _ in 0..200 {
                                for record in &reader.poll(Duration::ZERO).unwrap() {
                                    assert!(last < Some(record.offset()));
                                    last = Some(record.offset());
                                    let key = usize::from(record.key().unwrap()[0]);
                                    let value = record.value().unwrap();
                                    let at = u64::from_le_bytes(value[..8].try_into().unwrap());
                                    assert_eq!(at % KEYS, key as u64);
                                    assert!(newest[key] <= at);
                                    newest[key] = at;
                                    read += 1;
                                }
                            }
                        }
                        read
                    })
                })
                .collect();
            let producer = producer(&log);
            for n in 0..6_000_u64 {
                let value = [&n.to_le_bytes()[..], &[7; 40]].concat();
                let key = [(n % KEYS) as u8];
                let _ = producer.send(topic.record(&value).key(&key)).unwrap();
                if n % 500 == 499 {
                    log.admin().roll("t").unwrap();
                    compact(&log, "t");
                }
            }
            stop.store(true, Ordering::Relaxed);
            assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
        });
        assert_eq!(contents_count(&log), KEYS);
    });
}

fn contents_count(log: &EventLog) -> u64 {
    log.admin().roll("t").unwrap();
    compact(log, "t");
    let mut reader = reader(log, [tp("t", 0)]);
    let mut count = 0;
    while reader.position(&tp("t", 0)).unwrap() < 6_000 {
        count += reader.poll(Duration::ZERO).unwrap().len() as u64;
    }
    count
}

#[test]
fn committed_offsets_are_the_same_after_their_topic_was_compacted() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(NOON);
        let log = open(bed, &clock);
        let topic = topic_of(&log, "t", 3);
        let producer = producer(&log);
        for n in 0..60 {
            put(&producer, topic.record("v").partition(n % 3));
        }
        for group in ["g", "h", "gone"] {
            let builder = log.consumer().group(group).topics(["t"]);
            let builder = builder.auto_commit(None).set("max.poll.records", "5");
            let mut consumer = builder.offset_reset(alluvium::OffsetReset::Earliest).build();
            let consumer = consumer.as_mut().unwrap();
            for _ in 0..6 {
                consumer.poll(LONG).unwrap();
                consumer.commit().unwrap();
            }
        }
        log.admin().delete_group("gone").unwrap();
        let committed = |log: &EventLog| {
            let admin = log.admin();
            ["g", "h"].map(|group| admin.group_offsets(group).unwrap())
        };
        let before = committed(&log);
        log.admin().roll("__consumer_offsets").unwrap();
        let done = compact(&log, "__consumer_offsets");
        assert!(done.records_dropped > 10, "{done:?}");
        clock.advance(HOUR * 25);
        assert!(compact(&log, "__consumer_offsets").tombstones_dropped > 0);
        let log = bed.reopen_with(log, |b| b.background(false).clock(clock.clone()));
        assert_eq!(committed(&log), before);
        assert!(log.admin().describe_group("gone").is_err());
    });
}

#[test]
fn what_is_asked_of_an_unknown_or_uncompacted_topic() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "plain");
        let run = |name: &str| log.admin().run_compaction(CompactionOptions::default().topic(name));
        assert_eq!(run("nobody").unwrap_err().kind(), ErrorKind::UnknownTopicOrPartition);
        assert!(run("plain").unwrap().partitions.is_empty());
        let all = log.admin().run_compaction(CompactionOptions::default()).unwrap();
        let names: Vec<_> = all.partitions.iter().map(|p| p.partition.topic()).collect();
        assert_eq!(names, ["__consumer_offsets", "__transaction_state"]);
        let admin = log.admin();
        log.close().unwrap();
        let closed = admin.run_compaction(CompactionOptions::default()).unwrap_err();
        assert_eq!(closed.kind(), ErrorKind::Closed);
    });
}

#[test]
fn a51_a_lag_that_is_bounded_holds_also_where_nobody_appends_any_more() {
    let lag = [("max.compaction.lag.ms", "3600000"), ("min.cleanable.dirty.ratio", "1")];
    on_each(&lag, |_, log, clock, topic| {
        let producer = producer(log);
        for value in ["old", "new"] {
            put(&producer, topic.record(value).key("k"));
        }
        let ticks = |log: &EventLog| {
            for _ in 0..10 {
                log.tick();
            }
        };
        ticks(log);
        clock.advance(HOUR);
        ticks(log);
        assert_eq!(offsets(log, "t"), [0, 1], "not a millisecond too soon");
        clock.advance(HOUR);
        ticks(log);
        assert_eq!(offsets(log, "t"), [1]);
    });
}
