//! Rounds: one sync of the stage for every partition that has unsynced records.
//!
//! The first caller that needs a sync leads: it seals what stands open, syncs once, moves the
//! marks and wakes who waited. Callers that come meanwhile wait, and one of them leads next.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::base::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::base::wait::{Deadline, Parker};
use crate::base::{Clock, Durability, Error, ErrorKind, Result};
use crate::batch;
use crate::log::SyncTicket;

use super::asked::Asked;
use super::room::finish_each;
use super::staged::slice;
use super::{Partition, Shared};

/// A partition with more unsynced bytes than this is written to its segment at once.
const BULK: usize = 64 << 10;
/// So many segments are synced by an open, at most.
const OPEN_SYNCS: usize = 64;
/// How long a waiter leaves a failing disk alone before it tries again.
const RETRY: Duration = Duration::from_millis(10);

/// Who has unsynced records, who leads, who waits to lead.
#[derive(Debug, Default)]
pub struct Rounds {
    work: Mutex<Lists>,
    /// What `work` has to say to those who only look whether there is something.
    glance: Glance,
    lead: Mutex<Lead>,
}

#[derive(Debug, Default)]
struct Lists {
    /// Partitions with unsynced records; a waiter's round takes those of level `PowerLoss`. Each
    /// has said so (`Appender::listed`) under the same append lock under which it came here.
    dirty: Vec<Arc<Partition>>,
    /// Monotonic time at which `dirty` got its first member.
    since: Duration,
    /// Partitions that have much to settle.
    settles: Asked,
    /// Partitions with segments to seal.
    seals: Asked,
    /// The background thread, while it sleeps.
    sleeper: Option<Waker>,
    /// What may wake it.
    sleeps: Sleep,
}

/// What a sleeper of the background is to be woken for, besides a settle that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sleep {
    /// A sync runs beside it, which sees to all else.
    BesideSync,
    /// A seal; it sleeps for a time, and will look for unsynced records by itself.
    #[default]
    Planned,
    /// A seal, and the first unsynced record.
    Deep,
}

/// Since when there is something to do, in monotonic nanoseconds: 0 for what is to be done at once,
/// the greatest while there is nothing.
#[derive(Debug)]
struct Glance(AtomicU64);

impl Default for Glance {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

#[derive(Debug, Default)]
struct Lead {
    taken: bool,
    candidates: VecDeque<(u64, Waker)>,
    next_token: u64,
}

/// The right to run a round; dropped, it wakes who waits to lead.
#[derive(Debug)]
pub(super) struct Leading<'a>(&'a Rounds);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let next = {
            let mut lead = self.0.lead.lock();
            lead.taken = false;
            lead.candidates.pop_front()
        };
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }
}

impl Rounds {
    /// Enters a partition with unsynced records. Returns who is to be woken for it.
    #[must_use = "the background thread may sleep until it is called"]
    pub(super) fn list(&self, partition: Arc<Partition>, clock: &dyn Clock) -> Option<Waker> {
        let mut lists = self.lists();
        if lists.dirty.is_empty() {
            lists.since = clock.monotonic();
        }
        lists.dirty.push(partition);
        // One that sleeps for a time will look here by itself.
        if lists.sleeps == Sleep::Deep { lists.sleeper.take() } else { None }
    }

    /// Asks for a partition to be settled.
    pub(super) fn ask(&self, partition: Arc<Partition>) {
        let sleeper = {
            let mut lists = self.lists();
            lists.settles.ask(partition);
            lists.sleeper.take()
        };
        wake(sleeper);
    }

    /// Asks for a partition's segments to be sealed.
    pub(super) fn ask_to_seal(&self, partition: Arc<Partition>) {
        let sleeper = {
            let mut lists = self.lists();
            lists.seals.ask(partition);
            if lists.sleeps == Sleep::BesideSync { None } else { lists.sleeper.take() }
        };
        wake(sleeper);
    }

    /// Asks for a partition to be settled by a later pass, without waking anybody.
    pub(super) fn ask_later(&self, partition: Arc<Partition>) {
        self.lists().settles.ask_later(partition);
    }

    /// The same for its segments, which are to be sealed.
    pub(super) fn ask_to_seal_later(&self, partition: Arc<Partition>) {
        self.lists().seals.ask_later(partition);
    }

    /// The partitions to settle.
    pub(super) fn take_settles(&self) -> Vec<Arc<Partition>> {
        self.lists().settles.take()
    }

    /// The partitions with segments to seal.
    pub(super) fn take_seals(&self) -> Vec<Arc<Partition>> {
        self.lists().seals.take()
    }

    /// Whether segments are to be sealed.
    pub(super) fn has_seals(&self) -> bool {
        !self.work.lock().seals.is_empty()
    }

    /// The lists, to change them.
    fn lists(&self) -> Changing<'_> {
        Changing { lists: self.work.lock(), glance: &self.glance }
    }

    /// Whether something is to be done by now, if what is unsynced may wait for `interval`; by a
    /// clock that may be somewhat late.
    pub(super) fn is_due(&self, interval: Duration, clock: &dyn Clock) -> bool {
        match self.glance.0.load(Ordering::Acquire) {
            0 => true,
            u64::MAX => false,
            since => Duration::from_nanos(since) + interval <= clock.monotonic_coarse(),
        }
    }

    /// Since when partitions have been dirty, on the monotonic clock; `None` if none is.
    pub(super) fn dirty_since(&self) -> Option<Duration> {
        let lists = self.work.lock();
        (!lists.dirty.is_empty()).then_some(lists.since)
    }

    /// Lets `waker` be called when there is something of what it sleeps for. False, and nothing is
    /// registered, when there is already.
    pub(super) fn sleep(&self, waker: &Waker, sleep: Sleep) -> bool {
        let mut lists = self.work.lock();
        let idle = lists.settles.is_idle()
            && (sleep == Sleep::BesideSync || lists.seals.is_idle())
            && (sleep != Sleep::Deep || lists.dirty.is_empty());
        lists.sleeper = idle.then(|| waker.clone());
        lists.sleeps = sleep;
        idle
    }

    fn take_dirty(&self, all: bool) -> Vec<Arc<Partition>> {
        let mut lists = self.lists();
        if all {
            return std::mem::take(&mut lists.dirty);
        }
        lists.dirty.extract_if(.., |p| p.level() == Durability::PowerLoss).collect()
    }

    /// Forgets one partition: it is deleted.
    pub(super) fn forget(&self, partition: &Partition) {
        let other = |p: &Arc<Partition>| !std::ptr::eq(Arc::as_ptr(p), partition);
        let mut lists = self.lists();
        lists.dirty.retain(other);
        lists.settles.retain(other);
        lists.seals.retain(other);
    }

    /// Forgets every partition: the log is closing.
    pub(super) fn clear(&self) {
        let mut lists = self.lists();
        lists.dirty.clear();
        lists.settles.clear();
        lists.seals.clear();
    }

    pub(super) fn try_lead(&self) -> Option<Leading<'_>> {
        let mut lead = self.lead.lock();
        let free = !std::mem::replace(&mut lead.taken, true);
        drop(lead);
        free.then(|| Leading(self))
    }

    /// Stands by to lead after the round that runs now; `None` when none does.
    fn stand_by(&self, waker: &Waker) -> Option<u64> {
        let mut lead = self.lead.lock();
        if !lead.taken {
            return None;
        }
        let token = lead.next_token;
        lead.next_token += 1;
        lead.candidates.push_back((token, waker.clone()));
        Some(token)
    }

    /// Parks until the round that runs now is over, or the deadline.
    pub(super) fn wait_turn(&self, clock: &dyn Clock, deadline: &Deadline) {
        let parker = Parker::new();
        let Some(standing) = self.stand_by(&parker.waker()) else { return };
        parker.park(clock, deadline);
        self.step_back(standing);
    }

    /// Leaves a failing disk alone for a moment.
    pub(super) fn wait_retry(&self, clock: &dyn Clock, deadline: &Deadline) {
        let soon = Deadline::after(clock, RETRY).earlier(*deadline);
        Parker::new().park(clock, &soon);
    }

    /// Ends standing by. If this candidate was called and does not need to lead, another one is.
    fn step_back(&self, token: u64) {
        let next = {
            let mut lead = self.lead.lock();
            let before = lead.candidates.len();
            lead.candidates.retain(|(other, _)| *other != token);
            let was_called = lead.candidates.len() == before;
            if was_called && !lead.taken { lead.candidates.pop_front() } else { None }
        };
        wake(next.map(|(_, waker)| waker));
    }
}

/// The lists while they are changed: what is to be seen of them at a glance is noted behind it.
struct Changing<'a> {
    lists: MutexGuard<'a, Lists>,
    glance: &'a Glance,
}

impl Deref for Changing<'_> {
    type Target = Lists;

    fn deref(&self) -> &Lists {
        &self.lists
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut Lists {
        &mut self.lists
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let Lists { dirty, since, settles, seals, .. } = &*self.lists;
        let since = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).clamp(1, u64::MAX - 1);
        let glance = match (settles.is_empty() && seals.is_empty(), dirty.is_empty()) {
            (false, _) => 0,
            (true, false) => since,
            (true, true) => u64::MAX,
        };
        self.glance.0.store(glance, Ordering::Release);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What a round is going to do.
#[derive(Debug, Default)]
struct Plan {
    /// Partitions whose records the stage's sync makes durable, up to an offset.
    by_stage: Vec<(Arc<Partition>, u64)>,
    /// Segment files to sync.
    tickets: Vec<(Arc<Partition>, SyncTicket)>,
}

impl Shared {
    /// Makes the records of listed partitions durable: those of `PowerLoss` partitions, or all.
    ///
    /// Order of effects: seal, sync, marks, wake. What fails is listed again, so that a later
    /// round tries it; nothing that was published is taken back.
    pub(super) fn run_round(&self, all: bool) -> Result<()> {
        self.run_round_of(self.rounds.take_dirty(all), all, |_| self.stage.sync())
    }

    /// As `run_round`, for the open: few partitions are listed yet, and an earlier life may have
    /// left the whole stage to be written, so only their chunks are synced.
    pub(super) fn run_narrow_round(&self) -> Result<()> {
        self.run_round_of(self.rounds.take_dirty(false), false, |plan| {
            let places = |(p, _): &(Arc<Partition>, u64)| p.append.lock().chunk_places();
            let places: Vec<_> = plan.by_stage.iter().flat_map(places).collect();
            self.stage.sync_parts(&places)
        })
    }

    /// The round at the end of an open: what was visible to consumers before a kill is visible
    /// again when the log is. It costs one sync of the stage, and one for each segment that the
    /// stage does not prove: of these at most [`OPEN_SYNCS`], the others are left to a later
    /// round. So is what fails: nobody has waited for it yet.
    pub fn run_first_round(&self) {
        let Some(_lead) = self.rounds.try_lead() else { return };
        let mut syncs = 0;
        let (now, later): (Vec<_>, Vec<_>) =
            self.rounds.take_dirty(false).into_iter().partition(|partition| {
                let by_stage = self.stage_syncs() && partition.is_proven_by_stage();
                syncs += usize::from(!by_stage);
                by_stage || syncs <= OPEN_SYNCS
            });
        for partition in later {
            wake(partition.list_again());
        }
        if !now.is_empty() {
            drop(self.run_round_of(now, false, |_| self.stage.sync()));
        }
    }

    fn run_round_of(
        &self,
        dirty: Vec<Arc<Partition>>,
        all: bool,
        sync_stage: impl FnOnce(&Plan) -> Result<()>,
    ) -> Result<()> {
        self.relieve(0);
        let mut plan = Plan::default();
        let mut outcome = Ok(());
        for partition in &dirty {
            let prepared = partition.prepare_round(&mut plan, !self.stage_syncs());
            outcome = outcome.and(self.list_if_failed(partition, prepared));
        }
        if all {
            outcome = outcome.and(self.raise_near_ceilings(&dirty));
        }
        if !plan.by_stage.is_empty() && sync_stage(&plan).is_err() {
            self.condemn_stage();
            for (partition, _) in std::mem::take(&mut plan.by_stage) {
                let prepared = partition.prepare_round(&mut plan, true);
                outcome = outcome.and(self.list_if_failed(&partition, prepared));
            }
        }
        outcome = outcome.and(finish_each(plan.tickets, |partition, finished| {
            let finished = self.list_if_failed(partition, finished);
            partition.wake_durable();
            finished
        }));
        for (partition, target) in plan.by_stage {
            let proven = partition.endure(target);
            outcome = outcome.and(self.list_if_failed(&partition, proven));
            partition.wake_durable();
        }
        self.note_manifest();
        self.relieve_after(outcome.as_ref().err(), u64::MAX);
        outcome
    }

    fn list_if_failed(&self, partition: &Arc<Partition>, result: Result<()>) -> Result<()> {
        if result.is_err() {
            let sleeper = partition.list(&mut partition.append.lock());
            wake(sleeper);
        }
        result
    }
}

impl Partition {
    /// Puts the partition back into the list that it was just taken from, before anybody appends.
    fn list_again(&self) -> Option<Waker> {
        let mut appender = self.append.lock();
        appender.listed = false;
        self.list(&mut appender)
    }

    /// Whether a sync of the stage makes everything durable that is not so yet.
    fn is_proven_by_stage(&self) -> bool {
        let appender = self.append.lock();
        self.marks.synced() >= appender.staged_from(appender.next_offset)
    }

    /// Seals what stands open and enters into `plan` what makes it durable. `to_segments` when
    /// the stage cannot.
    fn prepare_round(self: &Arc<Self>, plan: &mut Plan, to_segments: bool) -> Result<()> {
        let mut log = self.flush.lock();
        let (unsynced, staged_from) = self.append.lock().begin_round();
        // The stage proves what stands in it; below that, the segments must.
        if to_segments || unsynced > BULK || self.marks.synced() < staged_from {
            let settled = self.settle_locked(&mut log);
            // What has settled is synced, whatever became of the rest.
            match log.begin_sync() {
                Some(ticket) => plan.tickets.push((Arc::clone(self), ticket)),
                None => self.note_synced(&log),
            }
            match settled {
                // The stage has blocks of its own: it serves while segments find no space.
                Err(e) if e.kind() == ErrorKind::StorageFull && !to_segments => {}
                settled => return settled,
            }
        }
        let target = self.seal_staged();
        plan.by_stage.push((Arc::clone(self), target));
        Ok(())
    }

    /// Moves the durable mark to `target` after a sync of the stage.
    ///
    /// Below `PowerLoss` a settle that ran meanwhile may have given chunks back before they were
    /// synced: then the segments must prove those records, in a later round.
    fn endure(self: &Arc<Self>, target: u64) -> Result<()> {
        let _still = self.flush.lock();
        let staged_from = self.append.lock().staged_from(target);
        if self.marks.synced() < staged_from {
            let message = "records left the stage before they were durable in a segment";
            return Err(self.error(Error::new(ErrorKind::StorageError, message)));
        }
        self.marks.endure(target);
        Ok(())
    }

    /// Gives every closed batch its checksums; returns the offset behind the last of them.
    fn seal_staged(&self) -> u64 {
        let (work, target) = {
            let mut appender = self.append.lock();
            let work = appender.unsealed_batches();
            (work, appender.next_offset)
        };
        for work in work {
            let Some(pin) = work.reader.pin() else { continue };
            let start = work.spot.position;
            let crc = batch::payload_crc(slice(&pin, start, start + work.spot.len()));
            drop(pin);
            self.append.lock().seal(&work, crc);
        }
        target
    }

    pub(super) fn wake_durable(&self) {
        let mut waiters = self.durable_waiters.lock();
        let woken = waiters.take_passed(self.marks.durable());
        drop(waiters);
        woken.wake();
    }

    /// Returns when everything below `offset` has reached the partition's level, doing the work
    /// if nobody else does.
    pub fn wait_level(&self, offset: u64, deadline: Deadline) -> Result<()> {
        self.wait_marked(offset, deadline, false)
    }

    /// Returns when everything below `offset` survives a power cut, whatever the partition's
    /// level is; at once in memory.
    pub fn wait_durable(&self, offset: u64, deadline: Deadline) -> Result<()> {
        self.wait_marked(offset, deadline, self.wants_rounds())
    }

    fn wait_marked(&self, offset: u64, deadline: Deadline, always: bool) -> Result<()> {
        let mut failure = None;
        let is_leveled = || self.level() == Durability::PowerLoss;
        // The level may be lowered meanwhile, and then no round takes this partition any more.
        while (always || is_leveled()) && self.marks.durable() < offset {
            let is_closed = self.append.lock().closed;
            if is_closed || deadline.has_passed(&*self.shared.clock) {
                // What ends waits, a close, may just have made it durable.
                return match self.marks.durable() >= offset {
                    true => Ok(()),
                    false if is_closed => Err(self.closed()),
                    false => Err(self.undelivered(offset, failure)),
                };
            }
            if let Some(lead) = self.shared.rounds.try_lead() {
                failure = self.shared.run_round(!is_leveled()).err();
                drop(lead);
                if failure.is_some() {
                    self.shared.rounds.wait_retry(&*self.shared.clock, &deadline);
                } else if self.marks.durable() < offset {
                    // Another thread has appended and is about to list the partition.
                    std::thread::yield_now();
                }
            } else {
                self.wait_for_round(offset, &deadline);
            }
        }
        Ok(())
    }

    fn wait_for_round(&self, offset: u64, deadline: &Deadline) {
        let parker = Parker::new();
        let waker = parker.waker();
        let Some(standing) = self.shared.rounds.stand_by(&waker) else { return };
        let token = {
            let mut waiters = self.durable_waiters.lock();
            let waits = self.marks.durable() < offset;
            waits.then(|| waiters.add(offset - 1, &waker))
        };
        if let Some(token) = token {
            parker.park(&*self.shared.clock, deadline);
            self.durable_waiters.lock().remove(token);
        }
        self.shared.rounds.step_back(standing);
    }

    fn undelivered(&self, offset: u64, cause: Option<Error>) -> Error {
        let kind = ErrorKind::DeliveryTimeout;
        let message = "not at its durability level before the deadline; it may still become so";
        let error = match cause {
            Some(cause) => cause.because(kind, message),
            None => Error::new(kind, message),
        };
        error.with_partition(&self.tp).with_offset(offset.saturating_sub(1))
    }
}

#[cfg(all(test, alluvium_loom))]
mod loom_tests;
