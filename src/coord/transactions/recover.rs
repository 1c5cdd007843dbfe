//! What an open finds: transactions that nobody owns any more. Each gets exactly one outcome
//! before anybody reads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::backend::ProducerEpoch;
use crate::base::wait::Deadline;
use crate::base::{Clock, Planted, Result, TopicId};
use crate::coord::OFFSETS_TOPIC;
use crate::coord::table::replay;
use crate::partition::{Marker, Partition};

use super::journal::Journal;
use super::live::{State, is_dropped};
use super::record::{Entry, Record, Stage};

/// How long an open waits for what is in the way of a marker.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the coordinator begins with.
#[derive(Debug)]
pub struct Recovered {
    pub(super) state: State,
    pub(super) journal: Journal,
    pub(super) incarnation: i32,
    /// Ids whose decided transaction could not be completed.
    pub(super) unfinished: Vec<Arc<str>>,
    decided: Decided,
    planted: Option<Planted>,
}

/// Replays the journal.
///
/// `power_lost`: epochs may be older here than what partitions know.
pub fn recover(
    journal: Arc<Partition>,
    partitions: impl IntoIterator<Item = (TopicId, Vec<Arc<Partition>>)>,
    incarnation: u32,
    power_lost: bool,
) -> Result<Recovered> {
    let mut state = State { distrusts_epochs: power_lost, ..State::default() };
    partitions.into_iter().for_each(|(id, partitions)| state.participants.put(id, partitions));
    // A later transaction of the same id may be all that the registry knows: its record may have
    // become durable before the markers of an earlier one did.
    let mut decided = Decided(
        state
            .participants
            .all()
            .flat_map(|p| p.open_transactions())
            .map(|open| (open.producer, open.epoch))
            .map(|stamp| (stamp, None))
            .collect(),
    );
    replay(&journal, |key, value| {
        let record = Record::decode(key, value)?;
        decided.look_at(&record);
        state.registry.apply(record);
        Ok(())
    })?;
    let incarnation = i32::try_from(incarnation).unwrap_or(i32::MAX);
    let (journal, unfinished) = (Journal(journal), Vec::new());
    Ok(Recovered { state, journal, incarnation, unfinished, decided, planted: None })
}

/// What the journal says of transactions that some partition holds for open, by producer id and
/// epoch.
#[derive(Debug)]
struct Decided(HashMap<(i64, i16), Option<bool>>);

impl Decided {
    fn look_at(&mut self, record: &Record) {
        let Record::Transaction(_, Some(entry)) = record else { return };
        let (epoch, commit) = match entry.stage {
            Stage::Prepared { commit } => (entry.epoch, commit),
            Stage::Complete { commit } => (entry.epoch.wrapping_sub(1), commit),
            Stage::Empty => return,
        };
        if let Some(known) = self.0.get_mut(&(entry.producer, epoch)) {
            *known = Some(commit);
        }
    }

    fn outcome(&self, stamp: ProducerEpoch) -> Option<bool> {
        self.0.get(&(stamp.producer, stamp.epoch)).copied().flatten()
    }
}

/// A transaction that is to be ended.
#[derive(Debug)]
struct Orphan {
    /// Whether to commit it, where that is known.
    commit: Option<bool>,
    partitions: Vec<Arc<Partition>>,
}

impl Recovered {
    /// With a fault that a test has put in.
    pub fn planted(mut self, planted: Option<Planted>) -> Self {
        self.planted = planted;
        self
    }

    /// Ends what is open: as decided, where a decision is found in the journal, or a marker in
    /// any partition proves one; aborted elsewhere.
    pub fn end_all(mut self, clock: &dyn Clock) -> Result<Self> {
        let entries = self.state.registry.entries();
        let owners: HashMap<i64, Arc<str>> =
            entries.map(|(id, entry)| (entry.producer, Arc::clone(id))).collect();
        let mut records = Vec::new();
        for ((producer, epoch), orphan) in self.orphans() {
            let stamp = ProducerEpoch { producer, epoch };
            let known = orphan.commit.or_else(|| self.decided.outcome(stamp));
            let commit = known.or_else(|| self.proven(stamp)).unwrap_or(false);
            let is_told = self.tell(&orphan, stamp, commit, clock)?;
            let entry = owners.get(&producer);
            let entry = entry.and_then(|id| Some((id, *self.state.registry.entry(id)?)));
            let Some((id, entry)) = entry.filter(|(_, e)| e.epoch <= epoch) else { continue };
            let changed_ms = clock.unix_ms();
            let ended = Entry { epoch, changed_ms, ..entry };
            let next = match is_told {
                // The next holder takes another producer id, where this was the last epoch.
                true => ended.completed(commit, changed_ms, || None),
                false => Entry { stage: Stage::Prepared { commit }, ..ended },
            };
            if !is_told {
                self.unfinished.push(Arc::clone(id));
            }
            records.push(Record::Transaction(Arc::clone(id), Some(next)));
        }
        if !records.is_empty() {
            // Without these the next open does the same once more.
            drop(self.journal.append(&records, Duration::ZERO));
            records.into_iter().for_each(|record| self.state.registry.apply(record));
        }
        Ok(self)
    }

    /// What is open or decided, by producer id and epoch.
    fn orphans(&self) -> BTreeMap<(i64, i16), Orphan> {
        let mut orphans: BTreeMap<(i64, i16), Orphan> = BTreeMap::new();
        let registry = &self.state.registry;
        for (_, entry) in registry.entries() {
            let commit = match entry.stage {
                Stage::Prepared { commit } => Some(commit),
                _ if registry.is_open(entry) => None,
                _ => continue,
            };
            let partitions = self.state.partitions_of(entry);
            orphans.insert((entry.producer, entry.epoch), Orphan { commit, partitions });
        }
        for partition in self.state.participants.all() {
            for open in partition.open_transactions() {
                let nobody = || Orphan { commit: None, partitions: Vec::new() };
                let orphan = orphans.entry((open.producer, open.epoch)).or_insert_with(nobody);
                if !orphan.partitions.iter().any(|known| Arc::ptr_eq(known, partition)) {
                    orphan.partitions.push(Arc::clone(partition));
                }
            }
        }
        orphans
    }

    /// What a marker in some partition says of this transaction: the decision was durable before
    /// the first marker was written.
    fn proven(&self, stamp: ProducerEpoch) -> Option<bool> {
        let marker = |partition: &Arc<Partition>| {
            let (epoch, commit) = partition.producer(stamp.producer)?.last_marker?;
            (epoch == stamp.epoch).then_some(commit)
        };
        self.state.participants.all().find_map(marker)
    }

    /// Writes the markers. False where one has to wait for a disk; an error for the partition of
    /// offsets, which nobody could replay to its end.
    fn tell(
        &self,
        orphan: &Orphan,
        stamp: ProducerEpoch,
        commit: bool,
        clock: &dyn Clock,
    ) -> Result<bool> {
        let ProducerEpoch { producer, epoch } = stamp;
        let marker = Marker { producer, epoch, coordinator_epoch: self.incarnation, commit };
        let mut all = true;
        if is_dropped(self.planted, stamp, commit) {
            return Ok(true);
        }
        for partition in &orphan.partitions {
            match partition.end_transaction(&marker, Deadline::after(clock, PATIENCE)) {
                Ok(_) => {}
                Err(e) if partition.key().topic_id == OFFSETS_TOPIC => return Err(e),
                Err(_) => all = false,
            }
        }
        Ok(all)
    }
}
