//! What is due: transactions that are open for too long, decisions whose partitions do not know,
//! ids that nobody uses.
//!
//! There is no thread and no interval. Whoever polls, ticks or asks comes by here; while nothing
//! is due that costs one look at an atomic, and one at the clock while something is planned.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::agenda::is_due;
use crate::base::wait::Deadline;

use super::coordinator::{Coordinator, InHand};
use super::live::{Ended, State};
use super::record::Record;

/// How long whoever comes by helps with what others have decided.
const HELP: Duration = Duration::from_millis(20);

/// A moment on the monotonic clock as a number that fits an atomic; the greatest is never.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Coordinator {
    /// How long until something may be due.
    pub fn next_due(&self) -> Option<Duration> {
        let due = self.due.load(Ordering::SeqCst);
        let left = || Duration::from_nanos(due).saturating_sub(self.clock.monotonic());
        (due < u64::MAX).then(left)
    }

    /// Whether something may be due, by a clock that may be somewhat late.
    #[inline]
    pub fn is_due(&self) -> bool {
        is_due(self.due.load(Ordering::SeqCst), &*self.clock)
    }

    /// Does what is due. How long until there may be more.
    pub fn run_due(&self) -> Option<Duration> {
        if self.next_due() != Some(Duration::ZERO) || self.check_open().is_err() {
            return self.next_due();
        }
        let now = self.clock.monotonic();
        let decided = {
            let mut state = self.state.lock();
            for id in state.late(now) {
                self.decide_abort(&mut state, &id, Some(Ended::TimedOut));
            }
            self.expire_ids(&mut state, now);
            let decided = state.undone(now);
            // Under the lock: whoever plans meanwhile lowers it afterwards.
            let next = state.next(now).into_iter().chain(self.next_expiry(&state)).min();
            self.due.store(next.map_or(u64::MAX, nanos), Ordering::SeqCst);
            decided
        };
        for id in decided {
            if let InHand::Mine(work) = self.take_in_hand(&id) {
                // What fails plans its next attempt.
                let soon = Deadline::after(&*self.clock, HELP);
                drop(self.complete(&id, work, soon));
            }
        }
        self.next_due()
    }

    /// Something is to be looked at no later than `at`. True when that is sooner than what was
    /// planned: who sleeps does not know.
    pub(super) fn plan(&self, at: Duration) -> bool {
        let at = nanos(at);
        self.due.load(Ordering::SeqCst) > at && self.due.fetch_min(at, Ordering::SeqCst) > at
    }

    /// When to look for ids that nobody uses; never while there are none.
    fn next_expiry(&self, state: &State) -> Option<Duration> {
        state.registry.entries().next()?;
        Some(state.watch.at().saturating_add(self.options.expiration_check))
    }

    /// Forgets ids that were not used for too long (B50), if it is time to look.
    fn expire_ids(&self, state: &mut State, now: Duration) {
        if now < state.watch.at().saturating_add(self.options.expiration_check) {
            return;
        }
        let wall = self.clock.unix_ms();
        if state.watch.look(now, wall).is_some() {
            // Perhaps the clock was set wrong: what is old is as old in the next pass.
            return;
        }
        let old = state.unused(now, wall, self.options.id_expiration);
        let records: Vec<Record> =
            old.iter().flat_map(|id| state.registry.tombstones(id)).collect();
        if records.is_empty() || self.journal.append(&records, Duration::ZERO).is_err() {
            return;
        }
        records.into_iter().for_each(|record| state.registry.apply(record));
        for id in old {
            state.live.remove(&id);
        }
    }
}

impl State {
    /// Ids whose transaction is open for too long.
    fn late(&self, now: Duration) -> Vec<Arc<str>> {
        let late = self.live.iter().filter(|(_, live)| live.deadline.is_some_and(|at| at <= now));
        late.map(|(id, _)| Arc::clone(id)).collect()
    }

    /// Ids whose decided transaction nobody is at, and that it is time to look at.
    fn undone(&self, now: Duration) -> Vec<Arc<str>> {
        let is_due = |live: &super::live::Live| {
            live.decided.is_some_and(|decided| !decided.in_hand && decided.retry <= now)
        };
        let undone = self.live.iter().filter(|(_, live)| is_due(live));
        undone.map(|(id, _)| Arc::clone(id)).collect()
    }

    /// When something is due next.
    fn next(&self, now: Duration) -> Option<Duration> {
        let next = |live: &super::live::Live| {
            let decided = live.decided.filter(|decided| !decided.in_hand);
            // What is due now is in hand before this is looked at again.
            let retry = decided.map(|decided| decided.retry).filter(|at| *at > now);
            live.deadline.into_iter().chain(retry).min()
        };
        self.live.values().filter_map(next).min()
    }

    /// Ids that were not used for longer than `most`.
    fn unused(&self, now: Duration, wall: i64, most: Duration) -> Vec<Arc<str>> {
        let most_ms = i64::try_from(most.as_millis()).unwrap_or(i64::MAX);
        let is_unused = |id: &Arc<str>, changed_ms: i64| match self.live.get(id) {
            Some(live) => {
                live.decided.is_none()
                    && live.deadline.is_none()
                    && now.saturating_sub(live.used) > most
            }
            None => wall.saturating_sub(changed_ms) > most_ms,
        };
        let unused = self.registry.entries().filter(|(id, e)| is_unused(id, e.changed_ms));
        unused.map(|(id, _)| Arc::clone(id)).collect()
    }
}
