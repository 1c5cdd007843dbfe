//! A disk that cannot map files to write to them: the stage is heap, and the level is kept another
//! way.

use std::time::Duration;

use alluvium::testing::{Operation, SimDisk};
use alluvium::{Durability, EventLog, NewTopic};

use crate::support::*;

const LEVELS: [Durability; 2] = [Durability::ProcessCrash, Durability::PowerLoss];

fn open(disk: &SimDisk, level: Durability) -> EventLog {
    let builder = EventLog::builder().disk(disk.clone()).path("/log").durability(level);
    let builder = builder.stage_bytes(256 << 10).background(false);
    builder.close_timeout(Duration::ZERO).open().unwrap()
}

fn without_maps() -> SimDisk {
    let disk = SimDisk::new();
    disk.set_maps(false);
    disk
}

/// The values of `t-0`, in order.
fn texts(log: &EventLog) -> Vec<String> {
    producer(log).flush().unwrap();
    let records = read_all(log, &tp("t", 0));
    records.iter().map(|record| record.value_str().unwrap().to_owned()).collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[test]
fn a71_without_shared_maps_an_acknowledged_record_survives_kills_and_power_cuts() {
    for level in LEVELS {
        let disk = without_maps();
        let log = open(&disk, level);
        let (topic, sender) = (topic(&log, "t"), producer(&log));
        for number in numbers(100) {
            sender.send(topic.record(&number)).unwrap().wait().unwrap();
        }
        let killed = open(&disk.kill(), level);
        assert_eq!(texts(&killed), numbers(100), "{level:?}");
        assert!(killed.admin().open_report().gaps.is_empty(), "{level:?}");
        let cut = open(&disk.power_cut(3), level);
        assert_eq!(texts(&cut), numbers(100), "{level:?}");
    }
}

#[test]
fn a71_without_shared_maps_nobody_sees_what_a_kill_may_take() {
    for level in LEVELS {
        let disk = without_maps();
        let log = open(&disk, level);
        let (topic, sender) = (topic(&log, "t"), producer(&log));
        let seen = reader(&log, [tp("t", 0)]);
        let delivery = sender.send(topic.record("0")).unwrap();
        let ends = seen.end_offsets(&[tp("t", 0)]).unwrap();
        assert_eq!(ends.iter().map(|(_, end)| end).collect::<Vec<_>>(), [0], "{level:?}");
        delivery.wait().unwrap();
        assert_eq!(texts(&log), ["0"], "{level:?}");
    }
}

#[test]
fn what_a_map_held_is_taken_over_where_there_is_none_and_back() {
    for level in LEVELS {
        let disk = SimDisk::new();
        let log = open(&disk, level);
        let (handle, sender) = (topic(&log, "t"), producer(&log));
        for number in numbers(50) {
            place(&sender, handle.record(&number));
        }
        sender.flush().unwrap();

        let disk = disk.kill();
        disk.set_maps(false);
        let log = open(&disk, level);
        assert_eq!(texts(&log), numbers(50), "{level:?}");
        let handle = log.topic("t").unwrap();
        producer(&log).send(handle.record("50")).unwrap().wait().unwrap();

        let disk = disk.kill();
        disk.set_maps(true);
        assert_eq!(texts(&open(&disk, level)), numbers(51), "{level:?}");
    }
}

#[test]
fn without_shared_maps_many_partitions_share_a_sync_too() {
    const PARTITIONS: u32 = 200;
    let disk = without_maps();
    let log = open(&disk, Durability::ProcessCrash);
    let topic = log.create_topic(NewTopic::new("t").partitions(PARTITIONS)).unwrap();
    let sender = producer(&log);
    disk.start_trace();
    for partition in 0..PARTITIONS {
        place(&sender, topic.record("r").partition(partition));
    }
    sender.flush().unwrap();
    let is_sync = |what| matches!(what, Operation::Sync | Operation::SyncDir | Operation::SyncAll);
    let syncs = disk.trace().into_iter().filter(|done| is_sync(done.operation)).count();
    assert!(syncs <= 10, "{syncs} syncs");
    let log = open(&disk.power_cut(1), Durability::ProcessCrash);
    let mut consumer = reader(&log, (0..PARTITIONS).map(|p| tp("t", p)));
    assert_eq!(take(&mut consumer, PARTITIONS as usize).len(), PARTITIONS as usize);
}
