//! Members that join, leave, stall and crash, in threads and in seeded turns: every record is
//! processed, never two owners at once, order in each partition, no zombie's commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use alluvium::{
    Clock, CommitPolicy, Consumer, ManualClock, OffsetReset, Rebalance, RebalanceListener, Result,
    RunOptions, TopicPartition,
};

use crate::bed::{Bed, Kind, look, tp};

const PARTITIONS: u32 = 6;

/// Who owns what, as listeners are told.
#[derive(Clone, Default)]
struct Owners(Arc<Mutex<BTreeMap<TopicPartition, u64>>>, Arc<Mutex<BTreeMap<u64, Duration>>>);

impl Owners {
    /// `who` polls now.
    fn polls(&self, who: u64, now: Duration) {
        self.1.lock().unwrap().insert(who, now);
    }

    /// Whether `who` may have been removed without having heard of it.
    fn may_be_late(&self, who: u64, now: Duration) -> bool {
        self.1.lock().unwrap().get(&who).is_some_and(|last| now >= *last + LATE)
    }
}

/// `max.poll.interval.ms` of the seeded members.
const LATE: Duration = Duration::from_secs(1);

struct Claims {
    who: u64,
    owners: Owners,
    clock: ManualClock,
}

impl RebalanceListener for Claims {
    fn assigned(&mut self, _: &mut Rebalance<'_>, came: &[TopicPartition]) -> Result<()> {
        let mut owners = self.owners.0.lock().unwrap();
        for partition in came {
            let before = owners.insert(partition.clone(), self.who);
            let now = self.clock.monotonic();
            let is_zombie = before.is_some_and(|before| self.owners.may_be_late(before, now));
            let me = self.who;
            assert!(before.is_none() || is_zombie, "{partition}: {me} beside {before:?}");
        }
        Ok(())
    }

    fn revoked(&mut self, _: &mut Rebalance<'_>, gone: &[TopicPartition]) -> Result<()> {
        let mut owners = self.owners.0.lock().unwrap();
        for partition in gone {
            assert_eq!(owners.remove(partition), Some(self.who), "{partition}");
        }
        Ok(())
    }

    /// Somebody else may have it already.
    fn lost(&mut self, _: &mut Rebalance<'_>, gone: &[TopicPartition]) -> Result<()> {
        let mut owners = self.owners.0.lock().unwrap();
        owners.retain(|partition, who| !(gone.contains(partition) && *who == self.who));
        Ok(())
    }
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// One member of the seeded run, and what it has processed since its last commit.
struct Actor {
    who: u64,
    consumer: Consumer,
    last: BTreeMap<TopicPartition, u64>,
}

struct Stage {
    bed: Bed,
    owners: Owners,
    rng: Rng,
    actors: Vec<Actor>,
    next: u64,
    sent: u64,
    processed: BTreeSet<(u32, u64)>,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let bed = Bed::memory();
        bed.topic("t", PARTITIONS);
        let rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let owners = Owners::default();
        Self { bed, owners, rng, actors: Vec::new(), next: 0, sent: 0, processed: BTreeSet::new() }
    }

    fn join(&mut self) {
        self.next += 1;
        let who = self.next;
        let (owners, clock) = (self.owners.clone(), self.bed.clock.clone());
        let listener = Claims { who, owners, clock };
        let member = self.bed.builder("g").topics(["t"]).listener(listener);
        let member = member.set("max.poll.interval.ms", "1000").set("max.poll.records", "7");
        let consumer = member.build().unwrap();
        self.actors.push(Actor { who, consumer, last: BTreeMap::new() });
    }

    fn turn(&mut self) {
        let choice = self.rng.below(100);
        if self.actors.is_empty() || (choice < 4 && self.actors.len() < 8) {
            return self.join();
        }
        let at = self.rng.below(self.actors.len() as u64) as usize;
        match choice {
            // A crash: nothing is said, nothing committed.
            0..8 => self.end(at, false),
            8..12 => self.end(at, true),
            12..14 => self.bed.clock.advance(Duration::from_millis(400)),
            14..40 => {
                let partition = self.rng.below(u64::from(PARTITIONS)) as u32;
                self.bed.send("t", partition, &self.sent.to_string());
                self.sent += 1;
            }
            _ => self.poll(at),
        }
    }

    fn end(&mut self, at: usize, close: bool) {
        let actor = self.actors.swap_remove(at);
        let mine: Vec<TopicPartition> = actor.consumer.assignment().cloned().collect();
        if close {
            actor.consumer.close().unwrap();
            return;
        }
        // A listener hears nothing of a drop.
        let mut owners = self.owners.0.lock().unwrap();
        owners.retain(|partition, who| !(mine.contains(partition) && *who == actor.who));
        drop(owners);
        drop(actor);
    }

    fn poll(&mut self, at: usize) {
        let commits = self.rng.below(3) > 0;
        let actor = &mut self.actors[at];
        let records = look(&mut actor.consumer);
        self.owners.polls(actor.who, self.bed.clock.monotonic());
        let held: BTreeSet<_> = actor.consumer.assignment().cloned().collect();
        actor.last.retain(|partition, _| held.contains(partition));
        for record in &records {
            let partition = record.topic_partition().clone();
            let before = actor.last.insert(partition, record.offset());
            assert!(before.is_none_or(|before| before < record.offset()), "order is lost");
            self.processed.insert((record.partition(), record.offset()));
        }
        if commits {
            // Refused where it was removed: the records come again elsewhere.
            let _ = actor.consumer.commit();
        }
    }

    /// Everybody polls until all that was sent is processed and committed.
    fn finish(mut self, seed: u64) {
        if self.actors.is_empty() {
            self.join();
        }
        for _ in 0..40 {
            for at in 0..self.actors.len() {
                self.poll(at);
                let _ = self.actors[at].consumer.commit();
            }
        }
        assert_eq!(self.processed.len() as u64, self.sent, "seed {seed}: records are missing");
        let owners = self.owners.0.lock().unwrap().len();
        assert_eq!(owners, PARTITIONS as usize, "seed {seed}: not all are owned");
        let all: Vec<_> = (0..PARTITIONS).map(|number| tp("t", number)).collect();
        let reader = self.bed.builder("g").build().unwrap();
        let ends = reader.end_offsets(&all).unwrap();
        let committed = reader.committed(&all).unwrap();
        for (partition, end) in ends.iter().filter(|(_, end)| *end > 0) {
            let offset = committed.get(partition).map(|committed| committed.offset);
            assert_eq!(offset, Some(end), "seed {seed}: {partition}");
        }
    }
}

#[test]
fn c27_c45_c49_seeded_members_share_without_loss_and_never_own_together() {
    for seed in 1..=60 {
        let mut stage = Stage::new(seed);
        for _ in 0..400 {
            stage.turn();
        }
        stage.finish(seed);
    }
}

#[test]
fn members_in_threads_process_every_record_at_least_once() {
    for kind in [Kind::Memory, Kind::ProcessCrash] {
        let bed = Bed::new(kind);
        bed.topic("t", PARTITIONS);
        const EACH: u32 = 150;
        let seen = Mutex::new(BTreeSet::new());
        let (owners, names) = (Owners::default(), AtomicU64::new(0));
        let wanted = (PARTITIONS * EACH) as usize;
        thread::scope(|scope| {
            scope.spawn(|| bed.fill("t", PARTITIONS, EACH));
            for worker in 0..4_u64 {
                let (bed, seen, owners, names) = (&bed, &seen, &owners, &names);
                scope.spawn(move || {
                    let mut rng = Rng(worker + 7);
                    while seen.lock().unwrap().len() < wanted {
                        let who = names.fetch_add(1, Ordering::Relaxed) + 1;
                        live_once(bed, owners, who, 20 + rng.below(60), wanted, seen);
                    }
                });
            }
        });
        assert_eq!(seen.lock().unwrap().len(), wanted);
    }
}

/// One life of a worker: some records, then it closes.
fn live_once(
    bed: &Bed,
    owners: &Owners,
    who: u64,
    records: u64,
    wanted: usize,
    seen: &Mutex<BTreeSet<(u32, u64)>>,
) {
    let listener = Claims { who, owners: owners.clone(), clock: bed.clock.clone() };
    let member = bed.log.consumer().group("g").offset_reset(OffsetReset::Earliest);
    let member = member.auto_commit(None).set("max.poll.records", "5").topics(["t"]);
    let mut member = member.listener(listener).build().unwrap();
    let mut left = records;
    while left > 0 && seen.lock().unwrap().len() < wanted {
        let polled = member.poll(Duration::from_millis(20)).unwrap();
        for record in &polled {
            seen.lock().unwrap().insert((record.partition(), record.offset()));
        }
        left = left.saturating_sub(polled.len().max(1) as u64);
        member.commit().unwrap();
    }
    member.close().unwrap();
}

#[test]
fn runs_in_threads_stop_gracefully_and_lose_nothing() {
    let bed = Bed::new(Kind::PowerLoss);
    bed.topic("t", 3);
    bed.fill("t", 3, 30);
    let seen = Mutex::new(BTreeMap::<(u32, u64), u32>::new());
    let members: Vec<Consumer> = (0..3).map(|_| bed.member("g", &["t"])).collect();
    let stops: Vec<_> = members.iter().map(Consumer::stop_handle).collect();
    thread::scope(|scope| {
        for mut member in members {
            let (stops, seen) = (&stops, &seen);
            scope.spawn(move || {
                let options = RunOptions::new().commit(CommitPolicy::EachRecord);
                let report = member.run(&options, |record| {
                    let place = (record.partition(), record.offset());
                    let mut seen = seen.lock().unwrap();
                    *seen.entry(place).or_default() += 1;
                    if seen.len() == 90 {
                        stops.iter().for_each(|stop| stop.stop());
                    }
                    Ok::<(), String>(())
                });
                assert_eq!(report.unwrap().late_commits, 0);
                member.close().unwrap();
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 90);
    let again = seen.values().filter(|times| **times > 1).count();
    assert_eq!(again, 0, "nobody failed, and each record was committed");
}
