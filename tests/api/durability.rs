//! What an acknowledgement means, on a disk that can lose its process or its power.

use std::time::Duration;

use alluvium::testing::SimDisk;
use alluvium::{Durability, EventLog, EventLogBuilder, ManualClock, NewTopic};

use crate::support::*;

fn on(disk: &SimDisk, level: Durability) -> EventLogBuilder {
    let builder = EventLog::builder().disk(disk.clone()).path("/log").durability(level);
    builder.stage_bytes(256 << 10).background(false).close_timeout(Duration::ZERO)
}

fn count(disk: SimDisk, level: Durability) -> u64 {
    let log = on(&disk, level).open().unwrap();
    // What was found in the stage is shown once it is synced again.
    producer(&log).flush().unwrap();
    let place = tp("t", 0);
    let read = read_all(&log, &place);
    for (at, record) in read.iter().enumerate() {
        assert_eq!(record.value_str().unwrap(), at.to_string());
    }
    read.len() as u64
}

#[test]
fn a71_power_loss_is_the_default_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path().join("log")).unwrap();
    topic(&log, "t");
    let config = log.admin().describe_topic("t").unwrap().config;
    assert_eq!(config.durability, Durability::PowerLoss);
}

#[test]
fn a71_process_crash_survives_a_kill_without_any_wait() {
    let disk = SimDisk::new();
    let log = on(&disk, Durability::ProcessCrash).open().unwrap();
    let (topic, producer) = (topic(&log, "t"), producer(&log));
    for n in 0..500 {
        place(&producer, topic.record(&n.to_string()));
    }
    let operations = disk.operations();
    place(&producer, topic.record("500"));
    assert_eq!(disk.operations(), operations, "an append makes no call of the system");
    assert_eq!(count(disk.kill(), Durability::ProcessCrash), 501);
}

#[test]
fn a72_flush_messages_1_survives_a_power_cut_on_a_log_of_a_lower_level() {
    for seed in 0..6 {
        let disk = SimDisk::new();
        let log = on(&disk, Durability::ProcessCrash).open().unwrap();
        let topic = NewTopic::new("t").config("flush.messages", "1");
        let topic = log.create_topic(topic).unwrap();
        let config = log.admin().describe_topic("t").unwrap().config;
        assert_eq!(config.durability, Durability::PowerLoss);
        let producer = producer(&log);
        for n in 0..=seed {
            assert_eq!(put(&producer, topic.record(&n.to_string())), n);
        }
        assert_eq!(count(disk.power_cut(seed), Durability::ProcessCrash), seed + 1);
    }
}

#[test]
fn a72_every_waited_for_record_survives_every_power_cut() {
    for seed in 0..20 {
        let disk = SimDisk::new();
        let log = on(&disk, Durability::PowerLoss).open().unwrap();
        let (topic, producer) = (topic(&log, "t"), producer(&log));
        for n in 0..30 {
            let delivery = producer.send(topic.record(&n.to_string())).unwrap();
            if n <= seed {
                delivery.wait().unwrap();
            }
        }
        let kept = count(disk.power_cut(seed), Durability::PowerLoss);
        assert!((seed + 1..=30).contains(&kept), "{kept} of 30, {} acknowledged", seed + 1);
    }
}

#[test]
fn a72_what_nobody_waited_for_is_safe_after_the_flush_interval() {
    let disk = SimDisk::new();
    let clock = ManualClock::starting_at(0);
    let log = on(&disk, Durability::ProcessCrash).clock(clock.clone());
    let log = log.flush_interval(Duration::from_millis(100)).open().unwrap();
    let (topic, producer) = (topic(&log, "t"), producer(&log));
    for n in 0..10 {
        place(&producer, topic.record(&n.to_string()));
    }
    clock.advance(Duration::from_millis(100));
    log.tick();
    assert_eq!(count(disk.power_cut(1), Durability::ProcessCrash), 10);
}

#[test]
fn a71_below_power_loss_no_offset_that_was_seen_is_given_again() {
    for seed in 0..20 {
        let disk = SimDisk::new();
        let log = on(&disk, Durability::ProcessCrash).open().unwrap();
        let (topic, producer) = (topic(&log, "t"), producer(&log));
        for n in 0..10 {
            place(&producer, topic.record(&n.to_string()));
        }
        let after = disk.power_cut(seed);
        let log = on(&after, Durability::ProcessCrash).open().unwrap();
        let topic = log.topic("t").unwrap();
        let producer = log.producer().build().unwrap();
        assert!(place(&producer, topic.record("new")) >= 10);
        let mut consumer = reader(&log, [tp("t", 0)]);
        let records = consumer.poll(LONG).unwrap();
        let last = records.iter().last().unwrap();
        assert!(last.offset() >= 10 && last.value() == Some(b"new"));
        let kept = records.len() as u64 - 1;
        assert!(records.iter().take(kept as usize).map(|r| r.offset()).eq(0..kept));
        // The hole is told, by the open and by the poll that passes it.
        let told = |from, to| (from, to) == (kept, last.offset());
        assert!(matches!(&log.admin().open_report().gaps[..], [gap] if told(gap.from, gap.to)));
        assert!(matches!(records.gaps(), [gap] if told(gap.from, gap.to)), "{:?}", records.gaps());
    }
}

#[test]
fn a71_a_hole_at_the_end_is_told_to_a_reader_that_comes_to_it() {
    for seed in 0..20 {
        let disk = SimDisk::new();
        let log = on(&disk, Durability::ProcessCrash).open().unwrap();
        let (topic, producer) = (topic(&log, "t"), producer(&log));
        for n in 0..10 {
            place(&producer, topic.record(&n.to_string()));
        }
        let log = on(&disk.power_cut(seed), Durability::ProcessCrash).open().unwrap();
        let there = tp("t", 0);
        let mut consumer = reader(&log, [there.clone()]);
        let (mut kept, mut gaps) = (0, Vec::new());
        while consumer.lag(&there).unwrap() > 0 {
            let records = consumer.poll(LONG).unwrap();
            assert!(
                records.iter().map(|record| record.offset()).eq(kept..kept + records.len() as u64)
            );
            kept += records.len() as u64;
            gaps.extend(records.gaps().iter().map(|gap| (gap.from, gap.to)));
            assert!(kept <= 10 && gaps.len() <= 1);
        }
        let end = consumer.position(&there).unwrap();
        assert_eq!(gaps, [(kept, end)], "seed {seed}");
        assert_eq!(consumer.offsets_for_times([(there.clone(), i64::MAX)]).unwrap()[&there], None);
    }
}

#[test]
fn a72_a_flush_covers_every_partition_and_producer() {
    let disk = SimDisk::new();
    let log = on(&disk, Durability::PowerLoss).open().unwrap();
    let topic = topic_of(&log, "t", 5);
    let (one, other) = (producer(&log), producer(&log));
    for partition in 0..5 {
        place(&one, topic.record("a").partition(partition));
        place(&other, topic.record("b").partition(partition));
    }
    one.flush().unwrap();
    let log = on(&disk.power_cut(3), Durability::PowerLoss).open().unwrap();
    producer(&log).flush().unwrap();
    for partition in 0..5 {
        assert_eq!(values(&read_all(&log, &tp("t", partition))), [b"a", b"b"]);
    }
}
