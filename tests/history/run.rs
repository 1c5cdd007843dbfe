//! Seeded threads of writes, transactions and polls, over kills and reopenings.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use alluvium::testing::{Planted, SimDisk};
use alluvium::{
    Consumer, Durability, Isolation, OffsetReset, Outcome, Record, Records, TopicPartition,
};

use crate::copies::{copies_of, copy};
use crate::history::{End, Mode, Op, Read, Recorder, Write};
use crate::machine::{Machine, PARTITIONS};

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub level: Durability,
    pub lives: u64,
    pub ops_of_a_life: usize,
    pub planted: Option<Planted>,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let level =
            if seed.is_multiple_of(3) { Durability::PowerLoss } else { Durability::ProcessCrash };
        Self { seed, level, lives: 4, ops_of_a_life: 150, planted: None }
    }
}

/// Numbers that follow from a seed.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % most
    }
}

/// One life, as its threads share it.
pub struct Life<'l> {
    pub machine: &'l Machine,
    pub recorder: &'l Recorder,
    pub values: &'l AtomicU64,
    pub sessions: &'l AtomicU64,
    pub over: &'l AtomicBool,
}

impl Life<'_> {
    pub fn session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    fn value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    pub fn goes_on(&self) -> bool {
        self.machine.lives() && !self.over.load(Ordering::Relaxed)
    }

    /// What a call that has said `done` is worth.
    fn end(&self, done: bool) -> End {
        if done && self.machine.lives() { End::Done } else { End::Unknown }
    }
}

pub fn run(plan: &Plan) -> Vec<Op> {
    let (recorder, values, sessions) = (Recorder::default(), AtomicU64::new(1), AtomicU64::new(1));
    let mut disk = SimDisk::new();
    for number in 0..plan.lives {
        let machine = Machine::boot(disk.clone(), plan.level, plan.planted);
        let over = AtomicBool::new(false);
        let life = Life {
            machine: &machine,
            recorder: &recorder,
            values: &values,
            sessions: &sessions,
            over: &over,
        };
        let chance = |thread| Chance::new(plan.seed * 1_000 + number * 10 + thread);
        let until = recorder.len() + plan.ops_of_a_life;
        disk = std::thread::scope(|scope| {
            scope.spawn(|| plain(&life, &mut chance(1)));
            scope.spawn(|| transactions(&life, &mut chance(2), "t-1"));
            scope.spawn(|| transactions(&life, &mut chance(3), "t-2"));
            scope.spawn(|| polls(&life, &mut chance(4), Mode::Assign));
            scope.spawn(|| polls(&life, &mut chance(5), Mode::Subscribe));
            scope.spawn(|| polls(&life, &mut chance(6), Mode::Subscribe));
            scope.spawn(|| copy(&life, &mut chance(7), "copier"));
            while recorder.len() < until {
                std::thread::yield_now();
            }
            let next = machine.disk.kill();
            over.store(true, Ordering::Relaxed);
            next
        });
    }
    finish(plan, disk, &recorder, &values, &sessions);
    recorder.into_ops()
}

/// The last life, which nobody disturbs.
fn finish(
    plan: &Plan,
    disk: SimDisk,
    recorder: &Recorder,
    values: &AtomicU64,
    sessions: &AtomicU64,
) {
    let machine = Machine::boot(disk, plan.level, plan.planted);
    let over = AtomicBool::new(false);
    let life = Life { machine: &machine, recorder, values, sessions, over: &over };
    let reads = read_all(&life, "h", PARTITIONS);
    let (inputs, copies) = copies_of(&life, &reads);
    recorder.push(Op::Copies { inputs, copies });
    recorder.push(Op::Final { reads });
}

/// Everything that is committed.
pub fn read_all(life: &Life<'_>, topic: &str, partitions: u32) -> Vec<Read> {
    let reader = life.machine.log.consumer().isolation(Isolation::ReadCommitted);
    let mut reader = reader.offset_reset(OffsetReset::Earliest).build().unwrap();
    reader.assign((0..partitions).map(|partition| TopicPartition::new(topic, partition))).unwrap();
    let mut all = Vec::new();
    let mut empty = 0;
    while empty < 3 {
        let records = reader.poll(Duration::ZERO).unwrap();
        empty = if records.is_empty() { empty + 1 } else { 0 };
        all.extend(reads_of(&records));
    }
    all
}

pub fn reads_of(records: &Records) -> Vec<Read> {
    let read = |record: alluvium::ConsumerRecord<'_>| Read {
        partition: record.partition(),
        offset: record.offset(),
        value: record.value_str().unwrap().parse().unwrap(),
    };
    records.iter().map(read).collect()
}

fn plain(life: &Life<'_>, chance: &mut Chance) {
    let Ok(sender) = life.machine.log.producer().build() else { return };
    let producer = life.session();
    while life.goes_on() {
        let (partition, value) = (chance.below(u64::from(PARTITIONS)) as u32, life.value());
        let text = value.to_string();
        let sent = sender.send(Record::new("h", &text).partition(partition));
        let waited = sent.and_then(|delivery| delivery.wait());
        let offset = waited.as_ref().ok().map(|placed| placed.offset);
        let end = life.end(offset.is_some());
        life.recorder.push(Op::Send { producer, write: Write { partition, value, offset }, end });
        for _ in 0..chance.below(200) {
            std::hint::spin_loop();
        }
    }
}

fn transactions(life: &Life<'_>, chance: &mut Chance, id: &str) {
    let mut session = life.session();
    let Ok(mut producer) = life.machine.log.transactional_producer(id).build() else { return };
    let Ok(mut reader) = reader(life, Mode::Assign) else { return };
    let mut reader_session = life.session();
    while life.goes_on() {
        if chance.below(25) == 0 {
            // Another one takes over, as after a failure of this one.
            let Ok(next) = life.machine.log.transactional_producer(id).build() else { return };
            producer = next;
            session = life.session();
        }
        if chance.below(25) == 0 {
            let Ok(next) = self::reader(life, Mode::Assign) else { return };
            reader = next;
            reader_session = life.session();
        }
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        let Ok(transaction) = producer.begin() else { return };
        let mut failed = false;
        for _ in 0..=chance.below(4) {
            if chance.below(4) == 0 {
                let Ok(records) = reader.poll(Duration::ZERO) else { return };
                if !life.machine.lives() {
                    return;
                }
                let (polled, at) = (reads_of(&records), life.recorder.now());
                reads.extend(polled.clone());
                let mode = Mode::Assign;
                life.recorder.push(Op::Poll { session: reader_session, mode, reads: polled, at });
            }
            let (partition, value) = (chance.below(u64::from(PARTITIONS)) as u32, life.value());
            let text = value.to_string();
            let sent = transaction.send(Record::new("h", &text).partition(partition));
            failed |= sent.is_err();
            writes.push(Write { partition, value, offset: sent.ok().map(|placed| placed.offset) });
        }
        let decided = life.recorder.now();
        let end = if chance.below(4) == 0 {
            drop(transaction);
            End::Failed
        } else {
            match transaction.commit() {
                Ok(()) => life.end(!failed),
                Err(error) if error.outcome == Outcome::Aborted && life.machine.lives() => {
                    End::Failed
                }
                Err(_) => End::Unknown,
            }
        };
        life.recorder.push(Op::Transaction { producer: session, writes, reads, decided, end });
    }
}

fn reader(life: &Life<'_>, mode: Mode) -> alluvium::Result<Consumer> {
    let builder = life.machine.log.consumer().isolation(Isolation::ReadCommitted);
    let builder = builder.offset_reset(OffsetReset::Earliest).set("max.poll.records", "40");
    match mode {
        Mode::Assign => {
            let mut consumer = builder.build()?;
            let all = (0..PARTITIONS).map(|partition| TopicPartition::new("h", partition));
            consumer.assign(all)?;
            Ok(consumer)
        }
        Mode::Subscribe => builder.group("readers").topics(["h"]).auto_commit(None).build(),
    }
}

fn polls(life: &Life<'_>, chance: &mut Chance, mode: Mode) {
    while life.goes_on() {
        let Ok(mut consumer) = reader(life, mode) else { return };
        let session = life.session();
        for _ in 0..5 + chance.below(30) {
            let Ok(records) = consumer.poll(Duration::from_millis(chance.below(3))) else { return };
            if !life.goes_on() {
                return;
            }
            let (reads, at) = (reads_of(&records), life.recorder.now());
            if !reads.is_empty() {
                life.recorder.push(Op::Poll { session, mode, reads, at });
            }
            if mode == Mode::Subscribe && chance.below(3) == 0 {
                drop(consumer.commit());
            }
        }
    }
}
