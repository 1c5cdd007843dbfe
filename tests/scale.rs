//! Many partitions: more than could each have a page of the stage. Nothing here measures time.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use alluvium::testing::{Operation, SimDisk};
use alluvium::{
    Durability, EventLog, EventLogBuilder, ManualClock, NewTopic, OffsetReset, Producer, Topic,
    TopicPartition,
};

const TOPIC: &str = "many";

/// A log with one topic.
struct Bed {
    producer: Producer,
    topic: Topic,
    log: EventLog,
    partitions: u32,
}

impl Bed {
    fn new(builder: EventLogBuilder, partitions: u32) -> Self {
        let log = builder.open().unwrap();
        let topic = log.create_topic(NewTopic::new(TOPIC).partitions(partitions)).unwrap();
        let producer = log.producer().build().unwrap();
        Self { producer, topic, log, partitions }
    }

    fn simulated(disk: &SimDisk, stage: usize, level: Durability, partitions: u32) -> Self {
        Self::new(simulated(disk, stage).durability(level), partitions)
    }

    /// One record for each partition; which life or round it is from stands in it.
    fn send_one_each(&self, round: usize) {
        for partition in 0..self.partitions {
            let value = value(partition, round);
            let record = self.topic.record(&value).partition(partition).key("key");
            assert_eq!(self.producer.send(record).unwrap().placed().offset, round as u64);
        }
    }
}

fn on(dir: &Path, level: Durability) -> EventLogBuilder {
    EventLog::builder().path(dir).stage_bytes(1 << 20).durability(level)
}

/// No thread: every call of the disk is one of the test's.
fn simulated(disk: &SimDisk, stage: usize) -> EventLogBuilder {
    let builder = EventLog::builder().disk(disk.clone()).path("/log").stage_bytes(stage);
    builder.background(false).close_timeout(Duration::ZERO)
}

fn value(partition: u32, round: usize) -> String {
    format!("record {round} of partition {partition}")
}

/// Reads everything: each partition has `rounds` records, in order.
fn check_all(log: &EventLog, partitions: u32, rounds: usize) {
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign((0..partitions).map(|p| TopicPartition::new(TOPIC, p))).unwrap();
    let mut seen = vec![0; partitions as usize];
    let mut left = partitions as usize * rounds;
    while left > 0 {
        let records = consumer.poll(Duration::from_secs(60)).unwrap();
        assert!(!records.is_empty(), "{left} records are missing");
        for record in &records {
            let seen = &mut seen[record.partition() as usize];
            assert_eq!(record.value_str().unwrap(), value(record.partition(), *seen));
            *seen += 1;
            left -= 1;
        }
    }
    assert!(seen.iter().all(|&seen| seen == rounds));
}

/// How often what `work` does asks the disk for `wanted`.
fn calls(disk: &SimDisk, wanted: impl Fn(Operation) -> bool, work: impl FnOnce()) -> usize {
    disk.start_trace();
    work();
    disk.trace().into_iter().filter(|done| wanted(done.operation)).count()
}

fn is_sync(operation: Operation) -> bool {
    matches!(operation, Operation::Sync | Operation::SyncDir | Operation::SyncAll)
}

fn a_thousand_partitions_keep_a_record_each(level: Durability) {
    const PARTITIONS: u32 = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(on(dir.path(), level), PARTITIONS);
    for round in 0..5 {
        bed.send_one_each(round);
        bed.producer.flush().unwrap();
    }
    // The last handle closes the log.
    drop(bed);
    let log = on(dir.path(), level).open().unwrap();
    check_all(&log, PARTITIONS, 5);
    log.close().unwrap();
}

#[test]
fn a_thousand_partitions_at_process_crash() {
    a_thousand_partitions_keep_a_record_each(Durability::ProcessCrash);
}

#[test]
fn a_thousand_partitions_at_power_loss() {
    a_thousand_partitions_keep_a_record_each(Durability::PowerLoss);
}

#[test]
fn ten_thousand_partitions_become_durable_by_one_sync_and_survive() {
    const PARTITIONS: u32 = 10_000;
    let disk = SimDisk::new();
    let bed = Bed::simulated(&disk, 4 << 20, Durability::PowerLoss, PARTITIONS);
    let made = calls(&disk, |what| what == Operation::Create, || bed.send_one_each(0));
    assert_eq!(made, 0, "a file was made although the stage holds a record of each");
    let syncs = calls(&disk, is_sync, || bed.producer.flush().unwrap());
    assert_eq!(syncs, 1);
    let after = disk.power_cut(5);
    drop(bed);
    check_all(&simulated(&after, 4 << 20).open().unwrap(), PARTITIONS, 1);
}

#[test]
fn creating_ten_thousand_partitions_takes_few_syncs_and_no_file_each() {
    let disk = SimDisk::new();
    let log = simulated(&disk, 4 << 20).open().unwrap();
    disk.start_trace();
    log.create_topic(NewTopic::new(TOPIC).partitions(10_000)).unwrap();
    let done = disk.trace();
    assert!(done.iter().filter(|done| is_sync(done.operation)).count() <= 20);
    assert_eq!(done.iter().filter(|done| done.operation == Operation::Create).count(), 0);
}

#[test]
fn more_records_than_the_stage_holds_take_few_syncs() {
    // Each of these rounds has to leave the stage more than once.
    const PARTITIONS: u32 = 500;
    for level in [Durability::ProcessCrash, Durability::PowerLoss] {
        let disk = SimDisk::new();
        let bed = Bed::simulated(&disk, 128 << 10, level, PARTITIONS);
        for round in 0..4 {
            let syncs = calls(&disk, is_sync, || {
                bed.send_one_each(round);
                bed.producer.flush().unwrap();
                bed.log.tick();
            });
            assert!(
                syncs <= PARTITIONS as usize / 5,
                "{level:?}: {syncs} syncs for {PARTITIONS} partitions"
            );
        }
        check_all(&bed.log, PARTITIONS, 4);
        let after = disk.kill();
        drop(bed);
        check_all(&simulated(&after, 128 << 10).durability(level).open().unwrap(), PARTITIONS, 4);
    }
}

#[test]
fn nothing_that_is_acknowledged_is_lost_when_the_sync_of_everything_fails() {
    use alluvium::testing::Fault;
    const PARTITIONS: u32 = 100;
    for seed in 0..4 {
        let disk = SimDisk::new();
        // Without shared maps every record is made durable by its segment.
        disk.set_maps(false);
        let bed = Bed::simulated(&disk, 1 << 20, Durability::PowerLoss, PARTITIONS);
        bed.send_one_each(0);
        bed.producer.flush().unwrap();
        bed.send_one_each(1);
        disk.fail_next(Operation::SyncAll, "", Fault::SyncFails);
        let tried = calls(
            &disk,
            |what| what == Operation::SyncAll,
            || {
                bed.producer.flush().unwrap();
            },
        );
        assert!(tried > 0, "nothing failed");
        let after = disk.power_cut(seed);
        drop(bed);
        check_all(&simulated(&after, 1 << 20).open().unwrap(), PARTITIONS, 2);
    }
}

#[test]
fn idle_partitions_give_a_tick_nothing_to_do() {
    let disk = SimDisk::new();
    let clock = ManualClock::starting_at(1_700_000_000_000);
    let builder = simulated(&disk, 4 << 20).clock(clock.clone());
    let bed = Bed::new(builder.durability(Durability::PowerLoss), 10_000);
    bed.send_one_each(0);
    bed.producer.flush().unwrap();
    while bed.log.tick().next_due.is_some() {
        clock.advance(Duration::from_secs(1));
    }
    let done = disk.operations();
    for _ in 0..10 {
        clock.advance(Duration::from_secs(1));
        assert_eq!(bed.log.tick().next_due, None, "something is planned");
    }
    assert_eq!(disk.operations(), done, "an idle log asks the disk for something");
}

/// What the system counts of this process.
#[cfg(target_os = "linux")]
mod process {
    use super::*;

    /// Every other test of this program has open files too: so few that they do not matter.
    const MOST_FILES: usize = 900;

    #[test]
    fn a_thousand_busy_partitions_open_a_bounded_number_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let bed = Bed::new(on(dir.path(), Durability::ProcessCrash), 1_000);
        for round in 0..20 {
            bed.send_one_each(round);
        }
        bed.producer.flush().unwrap();
        check_all(&bed.log, 1_000, 20);
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten().filter(|fd| {
            std::fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(dir.path()))
        });
        let (open, limit) = (open.count(), soft_limit());
        let most = (limit / 4).clamp(16, 1_024) * 3 + 16;
        assert!(open <= most.min(limit.max(MOST_FILES)), "{open} of {limit}");
    }

    fn soft_limit() -> usize {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap_or(usize::MAX)
    }
}
