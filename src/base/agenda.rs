//! When something is to be done next, and who sleeps until then.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;

use super::clock::Clock;

const NOW: u64 = 0;
const NEVER: u64 = u64::MAX;

/// The next moment, in monotonic time, at which there may be something to do. Looking at it while
/// nothing is due costs one load and one look at the clock.
///
/// Whoever does the work [begins](Self::begin) it, and [plans](Self::plan) what comes next when
/// it is done: what others ask for in between is not forgotten.
pub struct Agenda {
    due: AtomicU64,
    sleeper: Mutex<Option<Waker>>,
}

impl Default for Agenda {
    fn default() -> Self {
        Self { due: AtomicU64::new(NOW), sleeper: Mutex::default() }
    }
}

impl Agenda {
    /// How long until something is due; `None` when nothing is planned.
    pub fn next_due(&self, clock: &dyn Clock) -> Option<Duration> {
        match self.due.load(Ordering::SeqCst) {
            NEVER => None,
            NOW => Some(Duration::ZERO),
            due => Some(Duration::from_nanos(due).saturating_sub(clock.monotonic())),
        }
    }

    /// Whether something is due, by a clock that may be somewhat late.
    #[inline]
    pub fn is_due(&self, clock: &dyn Clock) -> bool {
        is_due(self.due.load(Ordering::SeqCst), clock)
    }

    /// Whether something is due; then whoever asked does it, and nothing is planned any more.
    pub fn begin(&self, clock: &dyn Clock) -> bool {
        let due = self.next_due(clock) == Some(Duration::ZERO);
        if due {
            self.due.store(NEVER, Ordering::SeqCst);
        }
        due
    }

    /// Plans something for the time `at`, if nothing earlier is planned.
    pub fn plan(&self, at: Duration) {
        let at = u64::try_from(at.as_nanos()).unwrap_or(NEVER).clamp(NOW + 1, NEVER);
        self.due.fetch_min(at, Ordering::SeqCst);
    }

    /// There is something to do now: calls who sleeps.
    pub fn call(&self) {
        self.due.store(NOW, Ordering::SeqCst);
        let sleeper = self.sleeper.lock().take();
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Lets `waker` be woken by the next [`call`](Self::call); false when there was one already.
    pub fn sleep(&self, waker: &Waker) -> bool {
        *self.sleeper.lock() = Some(waker.clone());
        self.due.load(Ordering::SeqCst) != NOW
    }
}

/// Whether a moment in monotonic nanoseconds, of which the greatest is never, has come by a clock
/// that may be somewhat late. While nothing is planned the clock is not looked at.
#[inline]
pub fn is_due(due: u64, clock: &dyn Clock) -> bool {
    due < NEVER && Duration::from_nanos(due) <= clock.monotonic_coarse()
}

impl fmt::Debug for Agenda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Agenda").field(&self.due.load(Ordering::SeqCst)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ManualClock;

    #[test]
    fn what_is_asked_for_during_the_work_is_not_forgotten() {
        let clock = ManualClock::starting_at(0);
        let agenda = Agenda::default();
        assert!(agenda.begin(&clock), "a new one is due");
        assert_eq!(agenda.next_due(&clock), None);
        agenda.call();
        agenda.plan(Duration::from_secs(5));
        assert!(agenda.begin(&clock));
        agenda.plan(Duration::from_secs(5));
        agenda.plan(Duration::from_secs(9));
        assert!(!agenda.begin(&clock));
        assert_eq!(agenda.next_due(&clock), Some(Duration::from_secs(5)));
        clock.advance(Duration::from_secs(5));
        assert!(agenda.begin(&clock));
    }

    #[test]
    fn nobody_sleeps_over_a_call() {
        let agenda = Agenda::default();
        assert!(!agenda.sleep(Waker::noop()), "there is something to do");
        assert!(agenda.begin(&ManualClock::starting_at(0)));
        assert!(agenda.sleep(Waker::noop()));
        agenda.call();
        assert!(!agenda.sleep(Waker::noop()));
    }
}
