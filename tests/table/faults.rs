//! Snapshots on a disk that fails, and machines that stop while one is written.

use std::collections::BTreeMap;
use std::time::Duration;

use alluvium::testing::{Fault, Operation, PowerCut, SimDisk};
use alluvium::{
    Clock, Durability, ErrorKind, EventLog, ManualClock, NewTopic, Record, Restored, Table,
    TableBuilder,
};

use crate::support::*;

const FILE: &str = "/data/t.table";

/// Manual time, which flies once the machine is off: nobody waits for a disk that is gone.
struct Time {
    manual: ManualClock,
    disk: SimDisk,
}

impl Clock for Time {
    fn unix_ms(&self) -> i64 {
        self.manual.unix_ms()
    }

    fn monotonic(&self) -> Duration {
        if self.disk.is_off() {
            self.manual.advance(Duration::from_secs(3_600));
        }
        self.manual.monotonic()
    }
}

fn open(disk: &SimDisk, level: Durability) -> EventLog {
    let manual = ManualClock::starting_at(1_700_000_000_000);
    let builder = EventLog::builder().disk(disk.clone()).path("/data").background(false);
    let clock = Time { manual, disk: disk.clone() };
    builder.clock(clock).stage_bytes(64 << 10).durability(level).open().unwrap()
}

fn builder(log: &EventLog) -> TableBuilder {
    log.table("t").snapshot(FILE)
}

fn content(table: &Table) -> BTreeMap<Vec<u8>, (u64, Vec<u8>)> {
    let view = table.view().unwrap();
    view.records().map(|r| (r.key().to_vec(), (r.offset(), r.value().to_vec()))).collect()
}

fn send(log: &EventLog, keys: u32, value: &str) {
    let producer = producer(log);
    for key in 0..keys {
        put(&producer, Record::new("t", value).key(&key.to_string()));
    }
}

/// A log with a topic of some keys, and its table's snapshot.
fn saved(level: Durability) -> (SimDisk, EventLog) {
    let disk = SimDisk::new();
    let log = open(&disk, level);
    log.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    send(&log, 3, "v");
    put(&producer(&log), Record::new("t", "h").key("h").headers(&[("a", None)]));
    builder(&log).build().unwrap().save().unwrap();
    (disk, log)
}

#[test]
fn a_snapshot_cut_anywhere_is_ignored() {
    let (disk, log) = saved(Durability::PowerLoss);
    let whole = disk.read_file(FILE).unwrap();
    let right = content(&log.table("t").build().unwrap());
    for len in 0..whole.len() {
        disk.write_file(FILE, &whole[..len]).unwrap();
        let table = builder(&log).build().unwrap();
        assert!(matches!(table.restored(), Restored::Ignored { .. }), "{len} bytes");
        assert_eq!(content(&table), right);
    }
    let longer: Vec<u8> = whole.iter().copied().chain([0]).collect();
    disk.write_file(FILE, &longer).unwrap();
    assert!(!builder(&log).build().unwrap().restored().is_taken(), "a byte more");
    // The next save repairs it.
    builder(&log).build().unwrap().save().unwrap();
    assert_eq!(builder(&log).build().unwrap().stats().applied, 0);
}

#[test]
fn a_snapshot_with_any_bit_turned_is_ignored() {
    let (disk, log) = saved(Durability::PowerLoss);
    let whole = disk.read_file(FILE).unwrap();
    let right = content(&log.table("t").build().unwrap());
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.write_file(FILE, &bytes).unwrap();
        let table = builder(&log).build().unwrap();
        assert!(matches!(table.restored(), Restored::Ignored { .. }), "bit {bit}");
        assert_eq!(content(&table), right);
    }
}

#[test]
fn what_is_torn_and_put_together_again_is_ignored() {
    let (disk, log) = saved(Durability::PowerLoss);
    let old = disk.read_file(FILE).unwrap();
    send(&log, 3, "w");
    builder(&log).build().unwrap().save().unwrap();
    let new = disk.read_file(FILE).unwrap();
    assert_eq!(old.len(), new.len());
    let right = content(&log.table("t").build().unwrap());
    let mut ignored = 0;
    for at in 1..old.len() {
        for (first, second) in [(&old, &new), (&new, &old)] {
            let mixed: Vec<u8> = first[..at].iter().chain(&second[at..]).copied().collect();
            if mixed == old || mixed == new {
                continue;
            }
            disk.write_file(FILE, &mixed).unwrap();
            let table = builder(&log).build().unwrap();
            assert!(!table.restored().is_taken(), "put together at {at}");
            assert_eq!(content(&table), right);
            ignored += 1;
        }
    }
    assert!(ignored > 100);
}

#[test]
fn a_save_on_a_full_or_failing_disk_leaves_the_old_snapshot() {
    let (disk, log) = saved(Durability::PowerLoss);
    let old = disk.read_file(FILE).unwrap();
    send(&log, 3, "w");
    let table = builder(&log).build().unwrap();
    let full = [Operation::Create, Operation::Write].map(|operation| (operation, Fault::NoSpace));
    let failing = [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename];
    let failing = failing.map(|operation| (operation, Fault::Eio));
    for (operation, fault) in full.into_iter().chain(failing) {
        disk.fail_next(operation, "t.table", fault);
        let error = table.save().unwrap_err();
        let kind =
            if fault == Fault::NoSpace { ErrorKind::StorageFull } else { ErrorKind::StorageError };
        assert_eq!(error.kind(), kind, "{operation:?}: {error:?}");
        names(&error, &["t.table"]);
        disk.clear_faults();
        assert_eq!(disk.read_file(FILE).unwrap(), old, "{operation:?}");
        let left = disk.list_files().into_iter().filter(|file| file.ends_with("t.table.new"));
        assert_eq!(left.count(), 0, "{operation:?}");
        let again = builder(&log).build().unwrap();
        assert!(again.restored().is_taken());
        assert_eq!(content(&again), content(&table));
    }
    table.save().unwrap();
    assert_ne!(disk.read_file(FILE).unwrap(), old);
}

#[test]
fn a_machine_that_stops_while_saving_has_the_old_snapshot_or_the_new_one() {
    for level in [Durability::PowerLoss, Durability::ProcessCrash] {
        let mut step = 0;
        loop {
            let (disk, log) = saved(level);
            send(&log, 3, "w");
            let table = builder(&log).build().unwrap();
            disk.crash_at(disk.operations() + step);
            let done = table.save().is_ok() && !disk.is_off();
            for after in [disk.kill(), disk.power_cut_with(PowerCut::Nothing), disk.power_cut(step)]
            {
                let log = open(&after, level);
                let built = log.table("t").build().unwrap();
                let table = builder(&log).build().unwrap();
                assert_eq!(content(&table), content(&built), "{level:?} at {step}");
                // Nothing of it is damaged: there was an old one, and it or the new one is there.
                assert!(table.restored().is_taken(), "{level:?} at {step}: {:?}", table.restored());
            }
            if done {
                break;
            }
            step += 1;
        }
        assert!(step > 5, "{step} steps");
    }
}

#[test]
fn a_snapshot_never_knows_more_than_the_log_after_a_power_cut() {
    // At this level what is appended is visible at once and durable later.
    let level = Durability::ProcessCrash;
    let mut disk = SimDisk::new();
    let log = open(&disk, level);
    log.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    drop(log);
    for round in 0..5 {
        let log = open(&disk, level);
        let table = builder(&log).build().unwrap();
        send(&log, 3, &round.to_string());
        table.save().unwrap();
        let right = content(&table);
        // Behind the snapshot, and lost with the power.
        send(&log, 4, "lost");
        assert_eq!(table.len().unwrap(), 4);
        disk = disk.power_cut_with(PowerCut::Nothing);
        let log = open(&disk, level);
        let restored = builder(&log).build().unwrap();
        assert!(restored.restored().is_taken(), "{:?}", restored.restored());
        assert_eq!(content(&restored), right, "round {round}");
        assert_eq!(content(&restored), content(&log.table("t").build().unwrap()));
        // It goes on behind the hole that the cut has left, which is none of a compaction's.
        send(&log, 2, "after");
        assert_eq!(content(&restored), content(&log.table("t").build().unwrap()));
        assert_eq!(restored.stats().rescans, 0);
        put(&producer(&log), Record::tombstone("t", "2"));
        assert_eq!(restored.len().unwrap(), 2);
    }
}
