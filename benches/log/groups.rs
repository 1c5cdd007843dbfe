//! Rows of consumer groups.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alluvium::assignors::Uniform;
use alluvium::{
    Assignor, Consumer, Durability, Error, EventLog, GroupSpec, NewTopic, OffsetReset, Offsets,
    Records, Slot, TopicPartition,
};

use crate::bed::{Bed, Plan, TOPIC};
use crate::data::Data;
use crate::row::{Row, Sample};

use Durability::{Memory, ProcessCrash};

/// With a key of 16 bytes about what a committed offset takes.
const COMMIT_VALUE: usize = 40;
const MEMBERS: usize = 1_000;
const PARTITIONS: u32 = 10_000;
const GROUPS: usize = 100;
const WINDOW: usize = 1_024;

const APPEND_MEMORY: &str = "append, memory, 56 B";
const APPEND_PROCESS: &str = "append, process-crash, 56 B";
const ASSIGN: &str = "assignment alone, 1,000 members, 10,000 partitions";
const POLL_ONE: &str = "poll, 1 idle partition";
const WRITE_ALONE: &str = "append, no group";

/// Everything that groups are to reach.
pub fn rows() -> Vec<Row> {
    vec![
        append(APPEND_MEMORY, Memory),
        append(APPEND_PROCESS, ProcessCrash),
        row("join to first record, memory", join).limited_by(APPEND_MEMORY, 1.0).aim(200.0),
        row("commit, process-crash", commit).limited_by(APPEND_PROCESS, 1.0).aim(3.0),
        row(ASSIGN, || settle(false)),
        row("a join settles in one pass", || settle(true)).limited_by(ASSIGN, 1.0).aim(10.0),
        row(POLL_ONE, || idle(1)),
        row("poll, 1,000 idle partitions", || idle(1_000)).limited_by(POLL_ONE, 1.0),
        row(WRITE_ALONE, || beside(0)),
        row("append, 100 groups at the end", || beside(GROUPS))
            .limited_by(WRITE_ALONE, 1.0)
            .aim(1.1),
    ]
}

fn row<W: FnMut() -> Sample + 'static>(
    name: &'static str,
    plan: impl FnOnce() -> W + 'static,
) -> Row {
    Row::new("groups", name, plan)
}

fn at(partition: u32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

fn member(log: &EventLog, group: &str) -> Consumer {
    let builder = log.consumer().group(group).topics([TOPIC]).auto_commit(None);
    builder.offset_reset(OffsetReset::Earliest).build().unwrap()
}

fn append(name: &'static str, level: Durability) -> Row {
    row(name, move || {
        let (bed, data) = (Plan::new(level).make(), Data::new(COMMIT_VALUE));
        move || {
            let sample = window(&bed, &data);
            bed.rest();
            sample
        }
    })
}

/// So many appends as fit between two settles.
fn window(bed: &Bed, data: &Data) -> Sample {
    let start = Instant::now();
    for key in &data.keys[..WINDOW] {
        let record = bed.topic.record(&data.value).key(key).partition(0);
        let _placed = bed.producer.send(record).unwrap().placed();
    }
    Sample::new(start.elapsed(), WINDOW)
}

/// A member is made, joins a group of its own, and has its first record; then it is gone.
fn join() -> impl FnMut() -> Sample {
    let bed = Plan::new(Memory).make();
    bed.producer.send(bed.topic.record("first")).unwrap().wait().unwrap();
    let mut number = 0;
    move || {
        let (mut elapsed, count) = (Duration::ZERO, 64);
        for _ in 0..count {
            number += 1;
            let group = format!("group-{number}");
            let start = Instant::now();
            let mut consumer = member(&bed.log, &group);
            let records = consumer.poll(Duration::MAX).unwrap();
            elapsed += start.elapsed();
            assert_eq!(records.len(), 1);
        }
        Sample::new(elapsed, count)
    }
}

/// Commits of one partition by the member that owns it.
fn commit() -> impl FnMut() -> Sample {
    let bed = Plan::new(ProcessCrash).make();
    let mut consumer = member(&bed.log, "committers");
    consumer.await_assignment(Duration::from_secs(10)).unwrap();
    let mut offset = 0;
    move || {
        let one = |offset| Offsets::from_iter([(at(0), offset)]);
        let all: Vec<_> = (offset..).take(WINDOW).map(one).collect();
        offset += WINDOW as u64;
        let start = Instant::now();
        for offsets in &all {
            consumer.commit_offsets(offsets).unwrap();
        }
        let elapsed = start.elapsed();
        bed.rest();
        Sample::new(elapsed, WINDOW)
    }
}

/// The default assignor, which tells how long it took.
struct Timed(Arc<AtomicU64>);

impl fmt::Debug for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timed")
    }
}

impl Assignor for Timed {
    fn name(&self) -> &str {
        "timed"
    }

    fn assign(&self, group: &GroupSpec) -> Result<Vec<Vec<Slot>>, Error> {
        let start = Instant::now();
        let answer = Uniform.assign(group);
        self.0.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        answer
    }
}

/// One more member joins 999; everybody polls once, and then it has its part. Either the whole,
/// or what the assignor takes of it.
fn settle(whole: bool) -> impl FnMut() -> Sample {
    let assigning = Arc::new(AtomicU64::new(0));
    let log = EventLog::builder().assignor(Timed(Arc::clone(&assigning))).open().unwrap();
    log.create_topic(NewTopic::new(TOPIC).partitions(PARTITIONS)).unwrap();
    let join = || {
        let group = log.consumer().group("crowd").topics([TOPIC]);
        group.set("group.remote.assignor", "timed").build().unwrap()
    };
    let mut members: Vec<_> = (1..MEMBERS).map(|_| join()).collect();
    let mut records = Records::default();
    let mut pass = move |members: &mut [Consumer]| {
        for member in members {
            member.poll_into(&mut records, Duration::ZERO).unwrap();
        }
    };
    (0..3).for_each(|_| pass(&mut members));
    move || {
        assigning.store(0, Ordering::Relaxed);
        let group = log.consumer().group("crowd").topics([TOPIC]);
        let mut last = group.set("group.remote.assignor", "timed").build().unwrap();
        let start = Instant::now();
        pass(std::slice::from_mut(&mut last));
        pass(&mut members);
        pass(std::slice::from_mut(&mut last));
        let elapsed = start.elapsed();
        assert_eq!(last.assignment().len(), PARTITIONS as usize / MEMBERS);
        let alone = Duration::from_nanos(assigning.load(Ordering::Relaxed));
        drop(last);
        pass(&mut members);
        Sample::new(if whole { elapsed } else { alone }, 1)
    }
}

/// Polls of a member whose partitions have nothing.
fn idle(partitions: u32) -> impl FnMut() -> Sample {
    let bed = Plan::new(Memory).partitions(partitions).make();
    let mut consumer = member(&bed.log, "idle");
    consumer.await_assignment(Duration::from_secs(10)).unwrap();
    let mut records = Records::default();
    move || {
        let start = Instant::now();
        for _ in 0..WINDOW {
            consumer.poll_into(&mut records, Duration::ZERO).unwrap();
        }
        assert!(records.is_empty() && bed.topic.partition_count() == partitions);
        Sample::new(start.elapsed(), WINDOW)
    }
}

/// Appends beside groups that have read everything and wait for more.
fn beside(groups: usize) -> impl FnMut() -> Sample {
    let (bed, data) = (Plan::new(Memory).make(), Data::new(COMMIT_VALUE));
    let group = |number| member(&bed.log, &format!("group-{number}"));
    let mut consumers: Vec<_> = (0..groups).map(group).collect();
    let mut records = Records::default();
    move || {
        let sample = window(&bed, &data);
        for consumer in &mut consumers {
            while consumer.poll_into(&mut records, Duration::ZERO).unwrap() > 0 {}
        }
        sample
    }
}
