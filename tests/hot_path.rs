//! What an append and a poll do not do: in steady state they allocate nothing and ask the system
//! for nothing.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use allocation_counter::measure;
use std::path::Path;
use std::time::Duration;

use alluvium::{
    Consumer, Durability, EventLog, NewTopic, OffsetReset, Producer, Records, Topic, TopicPartition,
};
use tempfile::TempDir;

const TOPIC: &str = "orders";
const KEY: &[u8; 16] = b"sixteen byte key";
const VALUE: [u8; 100] = [b'v'; 100];

/// Bytes that one of the records takes in the stage.
const ENCODED: usize = 136;
const LARGEST_CHUNK: usize = 256 << 10;
const BATCH: usize = 16 << 10;

/// So many records go through the stage three times, and past the first ceiling of a partition,
/// before anything is counted.
const WARM_UP: usize = 3 * (4 << 20) / ENCODED;

/// A log that does nothing in the background, so that every event is the append's own.
struct Bed {
    producer: Producer,
    topic: Topic,
    log: EventLog,
}

impl Bed {
    fn new(level: Durability, home: &Path) -> Self {
        let builder = EventLog::builder();
        let builder = match level {
            Durability::Memory => builder,
            level => builder.path(home.join("log")).durability(level).background(false),
        };
        let log = builder.open().unwrap();
        let topic = log.create_topic(NewTopic::new(TOPIC)).unwrap();
        let producer = log.producer().build().unwrap();
        let bed = Self { producer, topic, log };
        bed.send(WARM_UP);
        bed.rest();
        bed
    }

    fn send(&self, count: usize) {
        for _ in 0..count {
            let _ = self.producer.send(self.topic.record(&VALUE).key(KEY)).unwrap();
        }
    }

    /// A consumer that has read all there is.
    fn consumer(&self) -> (Consumer, Records) {
        let (mut consumer, mut records) =
            (self.log.consumer().build().unwrap(), Records::default());
        consumer.assign([TopicPartition::new(TOPIC, 0)]).unwrap();
        for _ in 0..2_000 {
            self.send_and_poll(&mut consumer, &mut records);
        }
        (consumer, records)
    }

    fn send_and_poll(&self, consumer: &mut Consumer, records: &mut Records) {
        // The first poll finds out where the end is.
        consumer.poll_into(records, Duration::ZERO).unwrap();
        self.send(1);
        assert_eq!(consumer.poll_into(records, Duration::ZERO).unwrap(), 1);
    }

    /// Empties the stage, so that what follows fits in it.
    fn rest(&self) {
        self.producer.flush().unwrap();
        self.log.tick();
    }
}

/// On a real disk, beside what cargo builds.
fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

// ------------------------------------------------------------------------------------ allocation

#[test]
fn ten_thousand_appends_allocate_at_most_when_a_chunk_begins() {
    const RECORDS: usize = 10_000;
    // What a chunk brings with it (its place in lists) may be allocated; a record may not.
    const PER_CHUNK: u64 = 5;
    let chunks = (RECORDS * ENCODED).div_ceil(LARGEST_CHUNK) as u64 + 1;
    for level in [Durability::Memory, Durability::ProcessCrash, Durability::PowerLoss] {
        let home = scratch();
        let bed = Bed::new(level, home.path());
        let mut sends_that_allocate = 0;
        let all = measure(|| {
            for _ in 0..RECORDS {
                let one = measure(|| bed.send(1));
                sends_that_allocate += u64::from(one.count_total > 0);
            }
        });
        println!(
            "{level:?}: {} allocations in {sends_that_allocate} of {RECORDS} sends, {chunks} chunks",
            all.count_total
        );
        assert!(all.count_total <= PER_CHUNK * chunks, "{level:?}: {}", all.count_total);
    }
}

#[test]
fn ten_thousand_polls_of_one_record_allocate_at_most_when_a_batch_begins() {
    const RECORDS: usize = 10_000;
    let most = (RECORDS * ENCODED).div_ceil(BATCH) as u64 * 3 / 2;
    for level in [Durability::Memory, Durability::ProcessCrash] {
        let home = scratch();
        let bed = Bed::new(level, home.path());
        let (mut consumer, mut records) = bed.consumer();
        let mut polls_that_allocate = 0;
        for _ in 0..RECORDS {
            let one = measure(|| bed.send_and_poll(&mut consumer, &mut records));
            polls_that_allocate += u64::from(one.count_total > 0);
        }
        println!("{level:?}: {polls_that_allocate} of {RECORDS} sends and polls allocate");
        assert!(polls_that_allocate <= most, "{level:?}: {polls_that_allocate}");
    }
}

#[test]
fn polls_that_find_nothing_allocate_nothing() {
    let bed = Bed::new(Durability::Memory, Path::new(""));
    let (mut consumer, mut records) = bed.consumer();
    let polls = measure(|| {
        for _ in 0..1_000 {
            assert_eq!(consumer.poll_into(&mut records, Duration::ZERO).unwrap(), 0);
        }
    });
    assert_eq!(polls.count_total, 0);
}

/// The life of a log in memory, as a test of a service would have it.
fn a_short_life() {
    let log = EventLog::in_memory();
    let topic = log.create_topic(NewTopic::new(TOPIC)).unwrap();
    let producer = log.producer().build().unwrap();
    producer.send(topic.record(&VALUE).key(KEY)).unwrap().wait().unwrap();
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([TopicPartition::new(TOPIC, 0)]).unwrap();
    let records = consumer.poll(Duration::from_secs(10)).unwrap();
    assert_eq!(records.into_iter().count(), 1);
    no_thread_is_the_logs();
}

/// Every other log of this program is without a thread, too.
fn no_thread_is_the_logs() {
    // Where the system tells of threads by other means nothing is shown.
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return };
    for task in tasks {
        let name = std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default();
        assert!(!name.starts_with("alluvium"), "the log has a thread: {name}");
    }
}

#[test]
fn a_log_in_memory_lives_and_ends_with_few_allocations_and_no_thread() {
    const MOST: u64 = 200;
    a_short_life();
    let life = measure(a_short_life);
    let seen = measure(no_thread_is_the_logs);
    let own = life.count_total - seen.count_total;
    println!("{own} allocations, {} bytes at most", life.bytes_max);
    assert!(own <= MOST, "{own} allocations");
    assert_eq!(life.count_current, 0, "something of the log stays");
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}

// ---------------------------------------------------------------------------------- system calls

/// A child process forbids itself every system call but `write`, on pain of death, and appends:
/// what lives through it has made none.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod system_calls {
    use std::env;
    use std::process::{Command, Stdio};

    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

    use super::*;

    /// What the child is to do: the name of a level, or of the crime.
    const TASK: &str = "ALLUVIUM_HOT_PATH_TASK";
    const HOME: &str = "ALLUVIUM_HOT_PATH_HOME";
    const CRIME: &str = "crime";
    const POLLS: &str = "polls";
    const FORBIDDEN: &str = "system calls are forbidden from here";
    const SURVIVED: &str = "none was made";
    const RECORDS: usize = 10_000;

    /// Forbids this thread all but `write`. False where the system has no such thing.
    fn forbid_system_calls() -> bool {
        let write = if cfg!(target_arch = "x86_64") { 1 } else { 64 };
        let arch = env::consts::ARCH.try_into().unwrap();
        let (kill, allow) = (SeccompAction::KillProcess, SeccompAction::Allow);
        let filter = SeccompFilter::new([(write, vec![])].into(), kill, allow, arch).unwrap();
        let program: BpfProgram = filter.try_into().unwrap();
        apply_filter(&program).is_ok()
    }

    /// Whether the child was forbidden system calls, and whether it lived through its task.
    fn outcome(task: &str) -> (bool, bool) {
        let home = scratch();
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "system_calls::child", "--ignored", "--nocapture"])
            .env(TASK, task)
            .env(HOME, home.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        (said.contains(FORBIDDEN), said.contains(SURVIVED))
    }

    #[test]
    #[ignore = "the body of a child process"]
    fn child() {
        let Ok(task) = env::var(TASK) else { return };
        let home = env::var_os(HOME).unwrap();
        let level = match task.as_str() {
            "process-crash" => Durability::ProcessCrash,
            "power-loss" => Durability::PowerLoss,
            _ => Durability::Memory,
        };
        let bed = Bed::new(level, home.as_ref());
        let (mut consumer, mut records) = bed.consumer();
        if !forbid_system_calls() {
            return;
        }
        println!("{FORBIDDEN}");
        if task == CRIME {
            std::thread::yield_now();
        } else if task == POLLS {
            for _ in 0..RECORDS {
                consumer.poll_into(&mut records, Duration::ZERO).unwrap();
            }
        } else {
            bed.send(RECORDS);
        }
        println!("{SURVIVED}");
        // To close the log is a crime too: the process ends here in any case.
    }

    fn survives(task: &str) {
        match outcome(task) {
            (false, _) => println!("system calls cannot be forbidden here: nothing was shown"),
            (true, survived) => assert!(survived, "{task}: a system call was made"),
        }
    }

    #[test]
    fn ten_thousand_appends_in_memory_make_no_system_call() {
        survives("memory");
    }

    #[test]
    fn ten_thousand_appends_at_process_crash_make_no_system_call() {
        survives("process-crash");
    }

    #[test]
    fn ten_thousand_appends_at_power_loss_make_no_system_call() {
        survives("power-loss");
    }

    #[test]
    fn ten_thousand_polls_that_find_nothing_make_no_system_call() {
        survives(POLLS);
    }

    #[test]
    fn a_system_call_is_noticed() {
        let (_, survived) = outcome(CRIME);
        assert!(!survived);
    }
}
