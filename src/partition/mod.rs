//! Floor 3: a log that is safe to share.
//!
//! A [`Partition`] owns every lock of one partition; [`Shared`] is what all partitions of a log
//! have in common: stage, files, clock, rounds. Lock order, never upward: `flush` (segments),
//! `append` (the open chunk), stage pool, `staged` (where staged batches stand), `view`,
//! waiters, the lists of the rounds. System calls are made under `flush` or under no lock at
//! all, and no lock is held while a thread waits for room or for a round.

mod append;
mod appender;
mod asked;
mod budget;
mod call;
mod ceiling;
mod committed;
mod compact;
mod conditional;
mod cut;
mod follow;
mod housekeep;
mod key_index;
mod limits;
mod losses;
mod marks;
mod numbered;
mod open;
mod read;
mod recent;
mod reconfigure;
mod retention;
mod roll;
mod room;
mod round;
mod serve;
mod settle;
mod shared;
mod staged;
mod through;
mod transactions;
mod trim;
mod turn;
mod waiters;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crossbeam::utils::CachePadded;
use parking_lot::RwLock;

use crate::base::sync::Mutex;
use crate::base::validation::Rule;
use crate::base::{Durability, Error, ErrorKind, TopicConfig, TopicPartition};
use crate::lock::Biased;
use crate::log::producers::AbortedTxn;
use crate::log::{PartitionKey, SegmentLog, View};

use crate::stage::Chunk;

use appender::Appender;
use limits::Limits;
use marks::Marks;
use staged::Staged;
use waiters::Waiters;

pub use budget::Relief;
pub use compact::Beginning;
pub use cut::cut;
pub use housekeep::BACKOFF;
pub use open::{Opening, PartitionSpec};
pub use roll::Rolled;
pub use round::Sleep;
pub use shared::Shared;
#[cfg(test)]
pub use transactions::OpenTransaction;
pub use transactions::{Marker, ProducerState};

/// One partition of one topic.
pub struct Partition {
    tp: TopicPartition,
    key: PartitionKey,
    limits: Limits,
    /// What the program asks of records beside the topic's settings.
    rules: Vec<Arc<Rule>>,
    /// All its settings, for those who are in no hurry.
    settings: RwLock<Arc<TopicConfig>>,
    internal: bool,
    /// Whether records are found by their keys; so it stays.
    indexed: bool,
    this: Weak<Partition>,
    shared: Arc<Shared>,
    marks: Marks,
    /// The end of what was adopted from the stage: some of it may be durable there.
    adopted: u64,
    /// The segments: one writer at a time settles, syncs or seals.
    flush: parking_lot::Mutex<SegmentLog>,
    /// The chunk being filled. What stands beside it is read by others for every record.
    append: CachePadded<Biased<Appender>>,
    /// As the appender has it, for readers.
    closed: AtomicBool,
    /// The topic is gone: what was closed will not come back with the log.
    deleted: AtomicBool,
    /// Where the batches in chunks stand.
    staged: RwLock<Staged>,
    /// The segments as readers see them.
    view: RwLock<Arc<View>>,
    /// Compaction touches nothing at or above.
    compact_below: AtomicU64,
    /// How often a compaction has changed them.
    rewritten: AtomicU64,
    /// The aborted transactions whose markers are in no segment yet.
    aborted: RwLock<Vec<AbortedTxn>>,
    /// Offsets that do not exist although later ones do.
    gaps: RwLock<Vec<(u64, u64)>>,
    /// Whether there are any: nearly no partition has.
    has_gaps: AtomicBool,
    /// Who waits for the durable mark.
    durable_waiters: Mutex<Waiters>,
}

impl Partition {
    /// Its topic's name and its number.
    pub fn name(&self) -> &TopicPartition {
        &self.tp
    }

    /// Its topic's identity and its number.
    pub fn key(&self) -> PartitionKey {
        self.key
    }

    /// What an acknowledged record survives. Without memory that outlives the process, a disk
    /// log keeps `ProcessCrash` by what it does for `PowerLoss`.
    pub fn level(&self) -> Durability {
        match self.limits.level() {
            Durability::ProcessCrash if !self.shared.stage.is_shared() => Durability::PowerLoss,
            level => level,
        }
    }

    /// The first offset that consumers do not see yet.
    fn visible(&self) -> u64 {
        loop {
            let level = self.level();
            let visible = match level {
                Durability::PowerLoss => self.marks.durable().max(self.marks.shown()),
                Durability::Memory | Durability::ProcessCrash => self.marks.end(),
            };
            // A level that was raised in between must not show what came after.
            if self.level() == level {
                return visible;
            }
        }
    }

    /// Ends every call that waits on this partition, and refuses later ones.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let woken = {
            let mut appender = self.append.lock();
            appender.closed = true;
            appender.waiters.take_all()
        };
        woken.wake();
        let woken = self.durable_waiters.lock().take_all();
        woken.wake();
        self.shared.room.wake_all();
    }

    /// As [`close`](Self::close), because the topic is being deleted.
    pub fn close_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
        self.close();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn error(&self, error: Error) -> Error {
        if error.partition().is_some() { error } else { error.with_partition(&self.tp) }
    }

    /// Why nothing goes on here.
    fn closed(&self) -> Error {
        if self.deleted.load(Ordering::Acquire) {
            let kind = ErrorKind::UnknownTopicOrPartition;
            return self.error(Error::new(kind, "the topic was deleted"));
        }
        self.error(Error::closed())
    }

    /// Deletes every record and file. The partition must have been closed.
    pub fn delete(&self) {
        let mut log = self.flush.lock();
        self.forget();
        log.delete();
        *self.view.write() = log.view();
    }

    /// Lets go of everything but the files; the partition must have been closed.
    pub fn abandon(&self) {
        let _nobody_settles = self.flush.lock();
        self.forget();
    }

    /// Gives the chunks back and leaves every list. The flush lock is held.
    fn forget(&self) {
        for chunk in self.take_chunks() {
            self.shared.give_chunk(chunk);
        }
        self.shared.rounds.forget(self);
        self.shared.room.forget(self);
    }

    /// Lets go of the stage's memory as it is, for a log that is closed.
    pub fn drop_chunks(&self) {
        drop(self.take_chunks());
    }

    fn take_chunks(&self) -> Vec<Chunk> {
        let chunks = self.append.lock().take_chunks();
        self.staged.write().clear();
        chunks
    }

    fn has_gaps(&self) -> bool {
        self.has_gaps.load(Ordering::Acquire)
    }

    fn note_gaps(&self, gaps: impl Iterator<Item = (u64, u64)>) {
        let mut known = self.gaps.write();
        known.extend(gaps);
        self.has_gaps.store(!known.is_empty(), Ordering::Release);
        known.sort_unstable();
        known.dedup();
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("name", &self.tp)
            .field("marks", &self.marks)
            .finish_non_exhaustive()
    }
}
