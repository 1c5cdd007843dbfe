//! How calls that wait are told that nobody wants their answer any more.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

/// Set once, for good; whoever waits under it is woken then.
#[derive(Default)]
pub struct Stop {
    stopped: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next_token: u64,
    wakers: Vec<(u64, Waker)>,
}

/// A waker that a [`Stop`] calls, until this is dropped.
#[derive(Debug)]
pub struct Registered<'a> {
    stop: &'a Stop,
    token: u64,
}

impl Stop {
    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Sets it and calls every waker. False when it was set before.
    pub fn set(&self) -> bool {
        let first = !self.stopped.swap(true, Ordering::AcqRel);
        // Whoever registers after this finds the flag: it is looked at under no lock, but after
        // the lock was taken.
        let wakers = std::mem::take(&mut self.waiting.lock().wakers);
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
        first
    }

    /// Has `waker` called when it is set. The caller looks at [`is_set`](Self::is_set) after this
    /// and before it sleeps.
    pub fn register(&self, waker: Waker) -> Registered<'_> {
        let mut waiting = self.waiting.lock();
        let token = waiting.next_token;
        waiting.next_token += 1;
        waiting.wakers.push((token, waker));
        Registered { stop: self, token }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.stop.waiting.lock().wakers.retain(|(token, _)| *token != self.token);
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.is_set()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::base::SystemClock;
    use crate::base::wait::{Deadline, Parker};

    #[test]
    fn a_stop_ends_waits_that_are_and_waits_that_come() {
        let stop = Arc::new(Stop::default());
        let waits: Vec<_> = (0..4)
            .map(|_| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || {
                    let deadline = Deadline::NEVER.or_stop(&stop);
                    Parker::new().park(&SystemClock, &deadline);
                    assert!(deadline.has_passed(&SystemClock));
                })
            })
            .collect();
        assert!(stop.set());
        waits.into_iter().for_each(|wait| wait.join().unwrap());
        assert!(!stop.set(), "once");
        Parker::new().park(&SystemClock, &Deadline::NEVER.or_stop(&stop));
        assert!(stop.waiting.lock().wakers.is_empty(), "nobody is left behind");
    }

    #[test]
    fn the_earlier_of_two_deadlines_keeps_the_stop() {
        let stop = Stop::default();
        let long = Deadline::after(&SystemClock, Duration::from_secs(3_600));
        let either = long.earlier(Deadline::NEVER.or_stop(&stop));
        assert!(!either.has_passed(&SystemClock));
        stop.set();
        assert!(either.has_passed(&SystemClock) && !long.has_passed(&SystemClock));
    }
}
