//! Background work: what a tick does, on whatever thread.

use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, Result};
use crate::lock;
use crate::log::Footing;

use super::round::Sleep;
use super::{Partition, Shared};

/// How long a failed pass leaves the disk alone.
pub const BACKOFF: Duration = Duration::from_millis(100);

impl Shared {
    /// Does what is due now: settles where there is much, seals, syncs what has waited long enough,
    /// keeps half of the stage free. Returns how long until something is due; `None` when
    /// nothing is planned. Failures are kept: they show in the calls that they hold up.
    pub fn run_due(&self) -> Option<Duration> {
        self.run_due_by(|now| self.sync_due(now))
    }

    /// As `run_due`, for the log's own thread: what may take long, because much was appended lately,
    /// is done by `at_length`, which is given what to do.
    pub fn run_due_at_length(
        &self,
        at_length: impl FnOnce(&(dyn Fn() -> Option<Duration> + Sync)) -> Option<Duration>,
    ) -> Option<Duration> {
        self.run_due_by(|now| {
            let sync = || self.sync_due(now);
            if self.takes_long_sync(now) { at_length(&sync) } else { sync() }
        })
    }

    fn run_due_by(&self, sync: impl FnOnce(Duration) -> Option<Duration>) -> Option<Duration> {
        let settled = self.settle_due();
        let due = sync(self.clock.monotonic());
        if settled { due } else { Some(BACKOFF) }
    }

    /// The part of it that moves records to segments. False when the disk refused any of it.
    pub fn settle_due(&self) -> bool {
        let healthy = self.settle_asked();
        let pool = &self.stage.pool;
        if pool.free_bytes() < pool.total_bytes() / 2 {
            let wanted = pool.total_bytes() / 2;
            return self.settle_coldest(wanted, Partition::settle_for_room).is_ok() && healthy;
        }
        healthy
    }

    /// The part of it that waits for the disk; how long until there is more.
    fn sync_due(&self, now: Duration) -> Option<Duration> {
        let mut healthy = self.seal_asked();
        let due = self.sync_if_due(now, &mut healthy);
        if healthy { due } else { Some(BACKOFF) }
    }

    /// Whether what `sync_due` has to do may take long. Whoever asks does it then.
    fn takes_long_sync(&self, now: Duration) -> bool {
        let interval = self.flush_interval();
        let since = self.rounds.dirty_since();
        let is_due = since.is_some_and(|since| now.saturating_sub(since) >= interval);
        (is_due || self.rounds.has_seals()) && self.settled_much.swap(false, Ordering::Relaxed)
    }

    /// Whether there is something to do, by a clock that may be somewhat late.
    pub fn is_due(&self) -> bool {
        let pool = &self.stage.pool;
        pool.free_bytes() < pool.total_bytes() / 2
            || self.rounds.is_due(self.flush_interval(), &*self.clock)
    }

    fn sync_if_due(&self, now: Duration, healthy: &mut bool) -> Option<Duration> {
        let interval = self.flush_interval();
        let since = self.rounds.dirty_since()?;
        let age = now.saturating_sub(since);
        if age < interval {
            return Some(interval - age);
        }
        if let Some(_lead) = self.rounds.try_lead() {
            *healthy &= self.run_round(true).is_ok();
        }
        self.rounds.dirty_since().map(|_| interval)
    }

    /// Settles where that was asked for. What fails is tried again by a later pass.
    fn settle_asked(&self) -> bool {
        let mut healthy = true;
        let asked = self.rounds.take_settles();
        if !asked.is_empty() {
            // Whoever appends so much is to find the append locks as light as they can be.
            lock::prepare();
            self.settled_much.store(true, Ordering::Relaxed);
        }
        for partition in asked {
            // It counts as asked for until it is done: settling does not ask again.
            if partition.settle().is_ok() {
                partition.append.lock().asked = false;
            } else {
                healthy = false;
                self.rounds.ask_later(partition);
            }
        }
        healthy
    }

    /// Settles and seals where a seal was asked for. What fails is tried again by a later pass.
    fn seal_asked(&self) -> bool {
        let mut healthy = true;
        for partition in self.rounds.take_seals() {
            let done = partition.settle().and_then(|()| partition.seal_behind());
            if done.is_err() {
                healthy = false;
                self.rounds.ask_to_seal_later(partition);
            }
        }
        healthy
    }

    /// Lets `waker` be called when there is something of what it sleeps for; false when there is
    /// already.
    pub fn sleep(&self, waker: &Waker, sleep: Sleep) -> bool {
        self.rounds.sleep(waker, sleep)
    }

    /// Returns when every listed record has reached its level; `DeliveryTimeout` at the deadline.
    pub fn flush(&self, all: bool, deadline: Deadline) -> Result<()> {
        loop {
            let Some(_lead) = self.rounds.try_lead() else {
                self.rounds.wait_turn(&*self.clock, &deadline);
                if deadline.has_passed(&*self.clock) {
                    return Err(late(None));
                }
                continue;
            };
            let Err(error) = self.run_round(all) else { return Ok(()) };
            if deadline.has_passed(&*self.clock) {
                return Err(late(Some(error)));
            }
            drop(_lead);
            self.rounds.wait_retry(&*self.clock, &deadline);
        }
    }

    /// One attempt at what `flush` does, for the open: nobody else leads yet.
    pub fn flush_once(&self) -> Result<()> {
        let _lead = self.rounds.try_lead();
        self.run_narrow_round()
    }

    /// Forgets every partition, so that nothing keeps the log's memory alive.
    pub fn clear(&self) {
        self.rounds.clear();
        self.room.clear();
    }
}

fn late(cause: Option<Error>) -> Error {
    let kind = ErrorKind::DeliveryTimeout;
    let message = "not all records have reached their durability level before the deadline";
    match cause {
        Some(cause) => cause.because(kind, message),
        None => Error::new(kind, message),
    }
}

impl Partition {
    /// Seals the segments that were rolled. Their bulk is synced first, under no lock, so that
    /// the lock is held for a footer and not for a whole segment.
    pub(super) fn seal_behind(&self) -> Result<()> {
        let ticket = {
            let mut log = self.flush.lock();
            if !log.needs_seal() {
                self.append.lock().asked_to_seal = false;
                return Ok(());
            }
            log.begin_sync()
        };
        if let Some(ticket) = ticket {
            let result = ticket.run();
            self.finish_sync(ticket, result)?;
        }
        let mut log = self.flush.lock();
        let sealed = log.seal_behind();
        self.publish_segments(&log);
        if self.is_compacted() {
            // There may be enough to compact now.
            self.shared.agenda().call();
        }
        sealed.map_err(|e| self.error(e))?;
        let synced = log.synced_offset().min(self.marks.settled());
        self.marks.sync(synced);
        self.release(synced);
        self.append.lock().asked_to_seal = false;
        drop(log);
        self.forget_recent();
        Ok(())
    }

    /// Brings the partition into the state that the next open likes best, up to a footer that is
    /// to be synced, if there is one. What cannot be written stays in the stage.
    pub fn begin_close_files(&self) -> Result<Option<Footing>> {
        let mut log = self.flush.lock();
        let begun = log.begin_close();
        self.publish_segments(&log);
        begun.map_err(|e| self.error(e))
    }

    /// Ends what `begin_close_files` began, with the outcome of the footer's sync. Returns the end
    /// offset if records stand in the stage.
    pub fn end_close_files(
        &self,
        footing: Option<Footing>,
        synced: Result<()>,
    ) -> Result<Option<u64>> {
        let mut log = self.flush.lock();
        log.end_close(footing, synced).map_err(|e| self.error(e))?;
        let synced = log.synced_offset().min(self.marks.settled());
        self.marks.sync(synced);
        self.release(synced);
        let appender = self.append.lock();
        Ok(appender.has_chunks().then_some(appender.next_offset))
    }
}
