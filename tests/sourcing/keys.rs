//! Records found by their keys: in memory, in sealed segments, and where the index was lost.

use std::fs;

use alluvium::{
    AlterConfigOp, CompactionOptions, ConfigResource, ErrorKind, EventLog, Expect, Isolation,
    NewTopic, Topic,
};

use crate::bed::*;
use crate::support::*;

/// Sends `count` records of `keys` keys in turn.
fn fill(log: &EventLog, topic: &Topic, count: u64, keys: u64) {
    let p = producer(log);
    for n in 0..count {
        let (key, value) = (format!("k{}", n % keys), format!("v{n}"));
        let _ = p.send(topic.record(&value).key(&key)).unwrap();
    }
    p.flush().unwrap();
}

fn check(topic: &Topic, count: u64, keys: u64) {
    for key in 0..keys {
        let wanted: Vec<u64> = (key..count).step_by(keys as usize).collect();
        let name = format!("k{key}");
        assert_eq!(history(topic, &name), wanted, "{name}");
        assert_eq!(latest(topic, &name), wanted.last().copied());
        for record in topic.history(&name).unwrap() {
            let record = record.unwrap();
            assert_eq!(record.value_str().unwrap(), format!("v{}", record.offset()));
            assert_eq!(record.key(), Some(name.as_bytes()));
        }
    }
    assert_eq!((history(topic, "nobody"), latest(topic, "nobody")), (vec![], None));
}

#[test]
fn records_are_found_in_every_part_of_the_log_and_in_every_life() {
    on_each_kind(|bed| {
        let log = bed.open();
        let config = NewTopic::new("t").key_index(true).config("internal.segment.bytes", "8192");
        let topic = log.create_topic(config).unwrap();
        fill(&log, &topic, 1_000, 7);
        check(&topic, 1_000, 7);
        seal(&log, &topic);
        check(&topic, 1_000, 7);
        let log = bed.reopen(log);
        let topic = log.topic("t").unwrap();
        check(&topic, 1_000, 7);
    });
}

#[test]
fn a_history_begins_and_ends_where_it_is_told_to() {
    staged_and_sealed(|log, settle| {
        let topic = indexed(log);
        fill(log, &topic, 60, 3);
        settle(&topic);
        let offsets = |from, below| -> Vec<u64> {
            let history = topic.history("k1").unwrap().from(from).below(below);
            history.map(|record| record.unwrap().offset()).collect()
        };
        assert_eq!(offsets(0, 10), [1, 4, 7]);
        assert_eq!(offsets(4, 8), [4, 7]);
        assert_eq!(offsets(5, 7), []);
        assert_eq!(offsets(55, u64::MAX), [55, 58]);
        assert_eq!(offsets(1_000, u64::MAX), []);
        assert_eq!(offsets(9, 2), []);
        let before = |offset| {
            let found = topic.latest_before("k1", offset, Isolation::ReadCommitted).unwrap();
            found.map(|record| record.offset())
        };
        assert_eq!((before(0), before(1), before(2), before(58)), (None, None, Some(1), Some(55)));
    });
}

#[test]
fn a_history_is_as_of_its_beginning_and_a_tombstone_is_a_record() {
    staged_and_sealed(|log, settle| {
        let topic = indexed(log);
        let p = producer(log);
        put(&p, topic.record("v").key("a"));
        put(&p, topic.tombstone("a"));
        settle(&topic);
        let seen = topic.history("a").unwrap();
        put(&p, topic.record("w").key("a"));
        let seen: Vec<_> = seen.map(|record| record.unwrap()).collect();
        assert_eq!(offsets(&seen), [0, 1]);
        assert_eq!((seen[0].value(), seen[1].value()), (Some(&b"v"[..]), None));
        put(&p, topic.tombstone("a"));
        let last = topic.latest("a").unwrap().unwrap();
        assert_eq!((last.offset(), last.value()), (3, None));
        // An empty key is a key, a null one is none.
        put(&p, topic.record("x").key(""));
        put(&p, topic.record("y"));
        settle(&topic);
        assert_eq!((latest(&topic, ""), history(&topic, "").len()), (Some(4), 1));
    });
}

#[test]
fn what_is_not_visible_is_not_found_and_counts_for_conditions() {
    let bed = Bed::new(Kind::PowerLoss);
    let log = bed.builder().background(false).open().unwrap();
    let topic = indexed(&log);
    let p = producer(&log);
    put(&p, topic.record("v").key("a"));
    let pending = p.send(topic.record("w").key("a")).unwrap();
    assert_eq!((latest(&topic, "a"), history(&topic, "a")), (Some(0), vec![0]));
    let e = refused(ErrorKind::ConditionFailed, {
        p.send_if(topic.record("x").key("a"), Expect::KeyAt(0))
    });
    assert_eq!(e.actual_offset(), Some(1));
    pending.wait().unwrap();
    assert_eq!((latest(&topic, "a"), history(&topic, "a")), (Some(1), vec![0, 1]));
}

#[test]
fn keys_beyond_the_memory_are_sealed_and_still_found() {
    on_each_kind(|bed| {
        let log = bed.builder().background(false).open().unwrap();
        let config = NewTopic::new("t").key_index(true).config("key.index.memory.bytes", "65536");
        let topic = log.create_topic(config).unwrap();
        // About 60 bytes of memory each, of which there are 64 KiB.
        fill(&log, &topic, 6_000, 3_000);
        for key in [0, 1, 1_499, 2_999] {
            assert_eq!(history(&topic, &format!("k{key}")), [key, key + 3_000]);
        }
        if !bed.is_memory() {
            assert!(bed.segment_files(&topic).len() > 3, "segments have rolled for the index");
        }
        let log = bed.reopen(log);
        let topic = log.topic("t").unwrap();
        for key in [0, 1, 1_499, 2_999] {
            assert_eq!(latest(&topic, &format!("k{key}")), Some(key + 3_000));
        }
    });
}

/// Damages every footer of the topic: the bytes behind the batches.
fn damage_footers(bed: &Bed, topic: &Topic) -> usize {
    let mut damaged = 0;
    for file in bed.segment_files(topic) {
        let mut bytes = fs::read(&file).unwrap();
        let Some(at) = bytes.windows(4).rposition(|window| window == b"ALft") else { continue };
        let last = bytes.len() - 1;
        assert!(last > at + 100, "there are postings");
        bytes[last - 20] ^= 1;
        fs::write(&file, bytes).unwrap();
        damaged += 1;
    }
    damaged
}

#[test]
fn a_damaged_index_is_made_again_from_the_records() {
    on_disk(|bed| {
        let log = bed.open();
        let config = NewTopic::new("t").key_index(true).config("internal.segment.bytes", "8192");
        let topic = log.create_topic(config).unwrap();
        fill(&log, &topic, 1_000, 7);
        seal(&log, &topic);
        log.close().unwrap();
        let closed = damage_footers(bed, &topic);
        assert!(closed > 1);
        let log = bed.open();
        let topic = log.topic("t").unwrap();
        check(&topic, 1_000, 7);
        let p = producer(&log);
        let e = refused(ErrorKind::ConditionFailed, {
            p.send_if(topic.record("v").key("k3"), Expect::KeyAbsent)
        });
        assert_eq!(e.actual_offset(), Some(997));
    });
}

#[test]
fn an_index_that_is_too_large_to_be_made_again_is_told_and_nothing_is_guessed() {
    let bed = Bed::new(Kind::ProcessCrash);
    let log = bed.open();
    let topic = indexed(&log);
    fill(&log, &topic, 6_000, 3);
    seal(&log, &topic);
    let alter = |log: &EventLog, bytes: &str| {
        let ops = [AlterConfigOp::set("key.index.memory.bytes", bytes)];
        let topic = ConfigResource::Topic("t".to_owned());
        log.admin().incremental_alter_configs(&topic, &ops).unwrap();
    };
    alter(&log, "65536");
    check(&topic, 6_000, 3);
    log.close().unwrap();
    damage_footers(&bed, &topic);
    let log = bed.open();
    let topic = log.topic("t").unwrap();
    let e = refused(ErrorKind::PolicyViolation, topic.latest("k1"));
    names(&e, &["key.index.memory.bytes", "65536"]);
    assert!(e.path().is_some());
    let p = producer(&log);
    refused(ErrorKind::PolicyViolation, {
        p.send_if(topic.record("v").key("k1"), Expect::KeyAbsent)
    });
    alter(&log, "1048576");
    check(&topic, 6_000, 3);
}

#[test]
fn a_log_without_maps_finds_the_same() {
    let bed = Bed::new(Kind::ProcessCrash);
    let log = bed.builder().maps(false).open().unwrap();
    let config = NewTopic::new("t").key_index(true).config("internal.segment.bytes", "8192");
    let topic = log.create_topic(config).unwrap();
    fill(&log, &topic, 1_000, 7);
    seal(&log, &topic);
    check(&topic, 1_000, 7);
}

#[test]
fn many_partitions_each_find_their_own() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = log.create_topic(NewTopic::new("t").partitions(8).key_index(true)).unwrap();
        let p = producer(&log);
        let places: Vec<_> = (0..200)
            .map(|n| {
                let key = format!("k{}", n % 50);
                (key.clone(), p.send(topic.record("v").key(&key)).unwrap().wait().unwrap())
            })
            .collect();
        seal(&log, &topic);
        for (key, last) in &places[150..] {
            let found = topic.latest(key).unwrap().unwrap();
            assert_eq!((found.partition(), found.offset()), (last.partition, last.offset));
            assert_eq!(topic.history(key).unwrap().count(), 4);
        }
    });
}

#[test]
fn compaction_leaves_what_is_found_and_takes_along_what_is_not() {
    on_each_kind(|bed| {
        let log = bed.open();
        let config =
            NewTopic::new("t").compacted().key_index(true).config("delete.retention.ms", "0");
        let topic = log.create_topic(config).unwrap();
        fill(&log, &topic, 1_000, 7);
        let p = producer(&log);
        put(&p, topic.tombstone("k3"));
        // Some of the keys stay in memory beside their sealed records.
        put(&p, topic.record("v").key("k4"));
        seal(&log, &topic);
        let compact = || {
            let options = CompactionOptions::default().topic("t").force(true);
            log.admin().run_compaction(options).unwrap();
        };
        // A tombstone goes by the second pass at the earliest.
        compact();
        compact();
        let last = |key: u64| 999 - (999 - key) % 7;
        assert_eq!(history(&topic, "k5"), [last(5)]);
        assert_eq!(history(&topic, "k4"), [1_001]);
        assert_eq!((history(&topic, "k3"), latest(&topic, "k3")), (vec![], None));
        let send = |key, expect| p.send_if(topic.record("w").key(key), expect);
        refused(ErrorKind::ConditionFailed, send("k3", Expect::KeyAt(1_000)));
        let again = send("k3", Expect::KeyAbsent).unwrap().wait().unwrap();
        send("k5", Expect::KeyAt(last(5))).unwrap().wait().unwrap();
        assert_eq!(latest(&topic, "k3"), Some(again.offset));
        let log = bed.reopen(log);
        let topic = log.topic("t").unwrap();
        assert_eq!(
            (history(&topic, "k3"), history(&topic, "k4")),
            (vec![again.offset], vec![1_001])
        );
    });
}
