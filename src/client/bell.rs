//! What calls a consumer: partitions that have something for it, and other threads.
//!
//! Every assigned partition that has nothing to give keeps a waker of the consumer's, its
//! *chime*. A chime notes the partition's number here and wakes the poll that sleeps. So a poll
//! looks only at partitions that have something, however many are assigned.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

use crate::base::{Error, ErrorKind, Result};

/// What a consumer, its handles and its chimes share.
#[derive(Debug, Default)]
pub(super) struct Bell {
    wakeup: AtomicBool,
    stop: AtomicBool,
    /// Whether `calls.ready` holds anything: a poll that nobody called takes no lock.
    called: AtomicBool,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    /// The numbers of the slots that have rung since the last look.
    ready: Vec<usize>,
    /// The poll that sleeps.
    sleeper: Option<Waker>,
}

impl Bell {
    /// Makes one poll fail.
    pub(super) fn wakeup(&self) {
        self.wakeup.store(true, Ordering::Release);
        self.wake();
    }

    /// Ends one `for_each`.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Locks after the flag was set: a sleeper that comes later sees the flag under this lock.
    fn wake(&self) {
        let sleeper = self.calls.lock().sleeper.take();
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    fn ring(&self, slot: usize) {
        let sleeper = {
            let mut calls = self.calls.lock();
            calls.ready.push(slot);
            self.called.store(true, Ordering::Release);
            calls.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Fails once per wake-up.
    pub(super) fn check_wakeup(&self) -> Result<()> {
        // Nearly always false, and then a load is all that it costs.
        if self.is_wakeup() && self.wakeup.swap(false, Ordering::AcqRel) {
            return Err(Error::new(ErrorKind::Wakeup, "the consumer was woken up"));
        }
        Ok(())
    }

    pub(super) fn is_wakeup(&self) -> bool {
        self.wakeup.load(Ordering::Acquire)
    }

    pub(super) fn is_stop(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// True once per stop.
    pub(super) fn take_stop(&self) -> bool {
        self.is_stop() && self.stop.swap(false, Ordering::AcqRel)
    }

    /// Whether a slot has rung since the last look.
    #[inline]
    pub(super) fn has_called(&self) -> bool {
        self.called.load(Ordering::Acquire)
    }

    /// Moves the numbers of the slots that have rung into `into`, which is empty.
    pub(super) fn take_ready(&self, into: &mut Vec<usize>) {
        if !self.has_called() {
            return;
        }
        let mut calls = self.calls.lock();
        self.called.store(false, Ordering::Release);
        mem::swap(&mut calls.ready, into);
    }

    /// Has `waker` called at the next ring, wake-up or stop. False, and nothing is set, when
    /// there was one already; a stop counts only for a poll that it is to end.
    pub(super) fn sleep(&self, waker: Waker, heeds_stop: bool) -> bool {
        let mut calls = self.calls.lock();
        let stopped = heeds_stop && self.is_stop();
        if !calls.ready.is_empty() || self.is_wakeup() || stopped {
            return false;
        }
        calls.sleeper = Some(waker);
        true
    }

    /// Nobody sleeps any more.
    pub(super) fn awake(&self) {
        self.calls.lock().sleeper = None;
    }
}

/// Rings a consumer's bell for one of its slots.
#[derive(Debug)]
pub(super) struct Chime {
    bell: Arc<Bell>,
    slot: usize,
    rung: AtomicBool,
}

impl Chime {
    pub(super) fn new(bell: &Arc<Bell>, slot: usize) -> Arc<Self> {
        Arc::new(Self { bell: Arc::clone(bell), slot, rung: AtomicBool::new(false) })
    }

    /// To be called before the look at the partition that the ring was about: a ring after this
    /// one is a new one, and what came before any earlier ring is seen.
    pub(super) fn reset(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Chime {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.bell.ring(self.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;
    use crate::base::wait::{Deadline, Parker};
    use std::thread;

    fn ready(bell: &Bell) -> Vec<usize> {
        let mut ready = Vec::new();
        bell.take_ready(&mut ready);
        ready
    }

    #[test]
    fn a_chime_rings_once_until_it_is_reset() {
        let bell = Arc::new(Bell::default());
        let (three, five) = (Chime::new(&bell, 3), Chime::new(&bell, 5));
        three.wake_by_ref();
        Waker::from(Arc::clone(&five)).wake();
        three.wake_by_ref();
        assert_eq!(ready(&bell), [3, 5]);
        three.wake_by_ref();
        assert_eq!(ready(&bell), Vec::<usize>::new(), "nobody has looked since");
        three.reset();
        three.wake_by_ref();
        assert_eq!(ready(&bell), [3]);
    }

    #[test]
    fn nobody_sleeps_through_a_call_that_came_before() {
        let sleeps = |call: &dyn Fn(&Arc<Bell>), heeds_stop| {
            let bell = Arc::new(Bell::default());
            call(&bell);
            bell.sleep(Parker::new().waker(), heeds_stop)
        };
        assert!(sleeps(&|_| (), true));
        assert!(!sleeps(&|bell| Chime::new(bell, 0).wake_by_ref(), false));
        assert!(!sleeps(&|bell| bell.wakeup(), false));
        assert!(!sleeps(&|bell| bell.stop(), true));
        assert!(sleeps(&|bell| bell.stop(), false), "a plain poll is not ended by it");
    }

    #[test]
    fn no_ring_is_lost_between_two_threads() {
        const RINGS: usize = 20_000;
        let bell = Arc::new(Bell::default());
        let chime = Chime::new(&bell, 0);
        let seen = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..RINGS {
                    chime.wake_by_ref();
                    while !seen.swap(false, Ordering::AcqRel) {
                        thread::yield_now();
                    }
                }
            });
            let mut rung = Vec::new();
            for _ in 0..RINGS {
                // A lost ring is a test that never ends.
                while rung.is_empty() {
                    let parker = Parker::new();
                    if bell.sleep(parker.waker(), false) {
                        parker.park(&SystemClock, &Deadline::NEVER);
                        bell.awake();
                    }
                    bell.take_ready(&mut rung);
                }
                assert_eq!(rung, [0]);
                rung.clear();
                chime.reset();
                seen.store(true, Ordering::Release);
            }
        });
    }
}
