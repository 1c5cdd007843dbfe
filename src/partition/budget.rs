//! A disk budget that holds: when little of it is left the oldest segments go.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::wait::Deadline;
use crate::base::{Clock, Error, ErrorKind, Result, TopicPartition};
use crate::log::Room;

use super::{Partition, Shared};

/// So long nothing is deleted in place of what readers hold.
const PATIENCE: Duration = Duration::from_millis(20);
/// A smaller active segment is not ended for compaction.
const WORTH_ENDING: u64 = 16 << 10;

/// Who can give room, and what was taken from them.
#[derive(Debug)]
pub struct Relief {
    room: Room,
    members: Mutex<Members>,
    /// Held by the thread that makes room.
    making: Mutex<()>,
    /// How often some was made.
    made: AtomicU64,
    /// Until when what readers hold is waited for.
    patience: Mutex<Option<Patience>>,
    told: Mutex<BTreeMap<TopicPartition, Relieved>>,
}

/// While a write lacks the room that readers hold.
#[derive(Debug)]
struct Patience {
    until: Deadline<'static>,
    /// [`DiskBudget::gone`](crate::disk::DiskBudget::gone) when it began: with more, it is over.
    gone: u64,
}

#[derive(Debug, Default)]
struct Members {
    list: Vec<Weak<Partition>>,
    /// With so many, those that are gone are looked for.
    crowd: usize,
}

/// What a partition has given since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relieved {
    /// Its log start offset then.
    pub log_start_offset: u64,
    /// How many segments went.
    pub segments: usize,
    /// Bytes of their headers and batches.
    pub bytes: u64,
}

impl Relief {
    /// Over this budget.
    pub fn new(room: &Room) -> Self {
        let (members, told) = (Mutex::default(), Mutex::default());
        let (making, made, patience) = (Mutex::default(), AtomicU64::new(0), Mutex::default());
        Self { room: room.clone(), members, making, made, patience, told }
    }

    pub(super) fn add(&self, partition: &Arc<Partition>) {
        let mut members = self.members.lock();
        if members.list.len() >= members.crowd.max(64) {
            members.list.retain(|member| member.strong_count() > 0);
            members.crowd = 2 * members.list.len();
        }
        members.list.push(Arc::downgrade(partition));
    }

    /// What went since the last call, by partition.
    pub fn take_told(&self) -> BTreeMap<TopicPartition, Relieved> {
        std::mem::take(&mut *self.told.lock())
    }

    fn tell(&self, partition: &Partition, bytes: u64) {
        let mut told = self.told.lock();
        let relieved = told.entry(partition.tp.clone()).or_default();
        relieved.log_start_offset = partition.marks.start();
        relieved.segments += 1;
        relieved.bytes += bytes;
    }
}

impl Shared {
    /// Makes room where the log has a budget and less of it is left than is kept free beside
    /// `wanted` bytes. True when anything went. To be called under no lock of a partition.
    ///
    /// What is deleted and still read comes back soon, and nothing else goes for it.
    ///
    /// Where that is not enough, compacted topics are made ready to be compacted.
    ///
    /// In this order: what is reserved behind the active segments; the oldest segments of topics
    /// that allow deletion; then their active segments, which are ended first. What must not be
    /// deleted, or is not visible yet, is never touched.
    pub fn relieve(&self, wanted: u64) -> bool {
        self.relieve_with(wanted, true)
    }

    fn relieve_with(&self, wanted: u64, held_counts: bool) -> bool {
        let Some(relief) = &self.relief else { return false };
        // More is not to be had, and less than all of it should go.
        let wanted = wanted.min(relief.room.least_free.saturating_mul(4));
        let is_tight = || relief.room.budget.free() < relief.room.least_free.saturating_add(wanted);
        if !is_tight() {
            return false;
        }
        let _making = relief.making.lock();
        if !is_tight() {
            // Somebody has made room meanwhile.
            return true;
        }
        let list: Vec<_> = relief.members.lock().list.iter().filter_map(Weak::upgrade).collect();
        let goal = (relief.room.least_free + relief.room.kept).saturating_add(wanted);
        let budget = &relief.room.budget;
        let missing = || {
            let held = if held_counts { budget.held() } else { 0 };
            budget.missing(goal).saturating_sub(held)
        };
        let before = missing();
        if before == 0 {
            return false;
        }
        list.iter().for_each(|partition| partition.give_back_reserve());
        // Readers may keep the files of what goes now for a while: it counts as free.
        let mut left = missing();
        left = relief.delete_closed(&list, left);
        if left > 0 {
            list.iter().for_each(|partition| partition.end_for_room());
            left = relief.delete_closed(&list, left);
        }
        if left > 0 {
            // What is compacted may become smaller.
            list.iter().for_each(|partition| partition.end_for_compaction());
            self.agenda().call();
        }
        if left < before {
            relief.made.fetch_add(1, Ordering::AcqRel);
        }
        left < before
    }
}

impl Shared {
    /// Whether little is left of the log's disk budget.
    pub fn is_tight(&self) -> bool {
        let tight = |relief: &Relief| relief.room.budget.free() < relief.room.least_free;
        self.relief.as_ref().is_some_and(tight)
    }

    /// What readers hold of what is deleted, where little is left of the log's disk budget.
    pub(super) fn wanted_of_readers(&self) -> u64 {
        let held = |relief: &Relief| relief.room.budget.held();
        self.relief.as_ref().filter(|_| self.is_tight()).map_or(0, held)
    }

    /// A number that grows when room is made, or comes back from a reader.
    pub(super) fn times_relieved(&self) -> u64 {
        let times = |r: &Relief| r.made.load(Ordering::Acquire).wrapping_add(r.room.budget.gone());
        self.relief.as_ref().map_or(0, times)
    }

    /// After a write that found no space: whether there may be some, also because another thread has
    /// made some, or a reader has let go of some, since there were `before` such times.
    ///
    /// A reader that is only slow is to cost no more than what it holds. One that keeps it does: more
    /// is deleted after some time.
    pub(super) fn relieve_after(&self, failure: Option<&Error>, before: u64) -> Hope {
        let full = failure.is_some_and(|error| error.kind() == ErrorKind::StorageFull);
        let Some(relief) = self.relief.as_ref().filter(|_| full) else { return Hope::None };
        let in_need = relief.has_waited(&*self.clock);
        if self.relieve_with(self.stage.pool.total_bytes() as u64, !in_need) {
            *relief.patience.lock() = None;
            return Hope::Now;
        }
        // First this: what is not held any more by then has gone.
        let is_held = relief.room.budget.held() > 0;
        match self.times_relieved() > before {
            true => Hope::Now,
            false if is_held => {
                relief.wait(&*self.clock);
                Hope::Later
            }
            false => Hope::None,
        }
    }
}

impl Relief {
    /// Whether room that readers hold has been lacking for long.
    fn has_waited(&self, clock: &dyn Clock) -> bool {
        let mut patience = self.patience.lock();
        *patience = patience.take().filter(|patience| patience.gone == self.room.budget.gone());
        patience.as_ref().is_some_and(|patience| patience.until.has_passed(clock))
    }

    /// From now on it is lacking, if it was not before.
    fn wait(&self, clock: &dyn Clock) {
        let gone = self.room.budget.gone();
        let begun = || Patience { until: Deadline::after(clock, PATIENCE), gone };
        self.patience.lock().get_or_insert_with(begun);
    }
}

/// Whether a write that found no space may find some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hope {
    None,
    Now,
    /// When readers let go of what is deleted.
    Later,
}

impl Relief {
    /// Deletes the oldest segments first, until `left` bytes are free; what could not be had.
    /// One sync of the manifest serves all of them.
    fn delete_closed(&self, members: &[Arc<Partition>], mut left: u64) -> u64 {
        let oldest = |(at, partition): (usize, &Arc<Partition>)| {
            Some((Reverse(partition.oldest_deletable()?), at))
        };
        let mut heads: BinaryHeap<_> = members.iter().enumerate().filter_map(oldest).collect();
        let (mut begun, mut position) = (BTreeSet::new(), 0);
        while left > 0
            && let Some((_, at)) = heads.pop()
            && let Some(partition) = members.get(at)
        {
            match partition.drop_oldest() {
                Ok(Some((bytes, synced_by))) => {
                    left = left.saturating_sub(bytes);
                    self.tell(partition, bytes);
                    begun.insert(at);
                    position = position.max(synced_by);
                    heads.extend(oldest((at, partition)));
                }
                Ok(None) => {}
                Err(error) => partition.shared.files.warn(error),
            }
        }
        for partition in begun.into_iter().filter_map(|at| members.get(at)) {
            let files = &partition.shared.files;
            let synced = files.manifest().sync_to(position);
            if let Err(error) = synced.and_then(|()| partition.finish_drop()) {
                files.warn(error);
            }
        }
        left
    }
}

impl Partition {
    fn may_give(&self) -> bool {
        !self.internal && self.limits.deletes() && !self.is_closed()
    }

    /// The youngest timestamp of the oldest segment, if that one is not written any more and may
    /// go.
    fn oldest_deletable(&self) -> Option<i64> {
        if !self.may_give() {
            return None;
        }
        let view = self.view.read().clone();
        let first = view.first_closed()?;
        let visible = first.next_offset <= self.visible();
        visible.then_some(first.max_timestamp.unwrap_or(i64::MIN))
    }

    /// Takes the oldest segment from readers: its bytes, and what the manifest is to be synced to
    /// before [`finish_drop`](Self::finish_drop).
    fn drop_oldest(&self) -> Result<Option<(u64, u64)>> {
        let mut log = self.flush.lock();
        let first = log.view().first_closed();
        let Some(first) = first.filter(|s| s.next_offset <= self.visible() && self.may_give())
        else {
            return Ok(None);
        };
        let begun = log.begin_start(first.next_offset);
        self.publish_segments(&log);
        self.marks.begin(log.start_offset());
        Ok(Some((first.bytes, begun.map_err(|e| self.error(e))?)))
    }

    /// Lets go of the files that were taken from readers.
    fn finish_drop(&self) -> Result<()> {
        let mut log = self.flush.lock();
        let finished = log.finish_start();
        self.publish_segments(&log);
        self.note_synced(&log);
        self.release(log.synced_offset());
        finished.map_err(|e| self.error(e))
    }

    /// Ends the active segment as it stands, without what is staged, so that it can go.
    fn end_for_room(&self) {
        if !self.may_give() {
            return;
        }
        let mut log = self.flush.lock();
        if log.roll().is_some() {
            self.publish_segments(&log);
        }
    }

    /// Ends and seals the active segment of a compacted topic, if it is worth it: only what is not
    /// written any more is compacted.
    fn end_for_compaction(&self) {
        if !self.is_compacted() || self.is_closed() {
            return;
        }
        let ended = {
            let mut log = self.flush.lock();
            let worth = log.facts().last().is_some_and(|last| last.bytes >= WORTH_ENDING);
            let ended = worth && log.roll().is_some();
            self.publish_segments(&log);
            ended
        };
        if ended && let Err(error) = self.seal_behind() {
            self.shared.files.warn(error);
        }
    }

    fn give_back_reserve(&self) {
        let mut log = self.flush.lock();
        if !self.is_closed() {
            log.give_back_reserve();
        }
    }
}
