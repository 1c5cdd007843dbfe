//! How a thread waits: for a waker, until a deadline on the log's clock.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::Mutex;

use super::clock::{Clock, SystemClock};
use super::relay;
use super::stop::Stop;

/// A moment at which a call gives up.
///
/// Under a [`ManualClock`](super::ManualClock) it has passed when injected *or* real time has
/// moved far enough, so that a test neither sleeps nor hangs. It passes early when its [`Stop`]
/// is set.
#[derive(Clone, Copy, Debug)]
pub struct Deadline<'a> {
    injected: Option<Duration>,
    real: Option<Duration>,
    stop: Option<&'a Stop>,
}

impl<'a> Deadline<'a> {
    /// `timeout` from now; one too long to be represented never passes.
    pub fn after(clock: &dyn Clock, timeout: Duration) -> Self {
        let injected = clock.monotonic().checked_add(timeout);
        let real = SystemClock.monotonic().checked_add(timeout);
        Self { injected, real, stop: None }
    }

    /// Never.
    pub const NEVER: Self = Self { injected: None, real: None, stop: None };

    /// Passed already: a call looks, and does not wait.
    pub const PASSED: Self = Self { injected: Some(Duration::ZERO), real: None, stop: None };

    /// The same, or as soon as `stop` is set.
    #[must_use]
    pub fn or_stop(self, stop: &'a Stop) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// Whether it has passed.
    pub fn has_passed(&self, clock: &dyn Clock) -> bool {
        self.stop.is_some_and(Stop::is_set)
            || self.injected.is_some_and(|at| clock.monotonic() >= at)
            || self.real.is_some_and(|at| SystemClock.monotonic() >= at)
    }

    /// The earlier of two.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        Self {
            injected: earlier(self.injected, other.injected),
            real: earlier(self.real, other.real),
            stop: self.stop.or(other.stop),
        }
    }

    /// Real time left; `None` for ever.
    fn left(&self) -> Option<Duration> {
        self.real.map(|at| at.saturating_sub(SystemClock.monotonic()))
    }
}

fn earlier(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Parks the current thread until its waker is called.
pub struct Parker {
    parked: Arc<Parked>,
    /// Whether a manual clock knows of it.
    hooked: Cell<bool>,
}

struct Parked {
    thread: Thread,
    woken: AtomicBool,
    baton: Mutex<Baton>,
}

/// What a thread that is woken is to call, see `relay.rs`.
#[derive(Default)]
struct Baton {
    /// Whether the thread parks, and looks here when it goes on.
    parks: bool,
    wakers: Vec<Waker>,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let offered = self.take_over(relay::take());
        // Release: what the waker's caller did is visible to the woken thread.
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
        relay::put_back(offered);
    }
}

impl Parked {
    /// Leaves `offered` to this thread if it is about to be woken; returns it else.
    fn take_over(&self, offered: Vec<Waker>) -> Vec<Waker> {
        if offered.is_empty() || self.woken.load(Ordering::Acquire) {
            return offered;
        }
        let mut baton = self.baton.lock();
        if !baton.parks {
            return offered;
        }
        baton.wakers.extend(offered);
        Vec::new()
    }
}

/// A thread that parks. Dropped, by a panic of the clock too, it goes on, and calls whom it was
/// left to call.
struct Parking<'a>(&'a Parked);

impl<'a> Parking<'a> {
    fn begin(parked: &'a Parked) -> Self {
        parked.baton.lock().parks = true;
        Self(parked)
    }
}

impl Drop for Parking<'_> {
    fn drop(&mut self) {
        let Baton { wakers, .. } = mem::take(&mut *self.0.baton.lock());
        relay::pass_on(wakers);
    }
}

impl Parker {
    /// A parker of the calling thread. It must be used on this thread.
    pub fn new() -> Self {
        let (thread, woken) = (thread::current(), AtomicBool::new(false));
        let parked = Parked { thread, woken, baton: Mutex::default() };
        Self { parked: Arc::new(parked), hooked: Cell::new(false) }
    }

    /// The waker that ends [`park`](Self::park); a call before it is not lost.
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.parked))
    }

    /// Waits until the waker is called or `deadline` has passed.
    pub fn park(&self, clock: &dyn Clock, deadline: &Deadline<'_>) {
        let _until_woken = deadline.stop.map(|stop| stop.register(self.waker()));
        if !clock.is_real() && !self.hooked.replace(true) {
            clock.on_advance(Self::hook(&self.parked));
        }
        let _parking = Parking::begin(&self.parked);
        while !self.parked.woken.swap(false, Ordering::Acquire) {
            if deadline.has_passed(clock) {
                return;
            }
            match deadline.left() {
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }

    fn hook(parked: &Arc<Parked>) -> Box<dyn Fn() -> bool + Send + Sync> {
        let weak: Weak<Parked> = Arc::downgrade(parked);
        Box::new(move || weak.upgrade().map(|parked| parked.wake_by_ref()).is_some())
    }
}

impl Default for Parker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Parker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parker").field("thread", &self.parked.thread.id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ManualClock;

    #[test]
    fn a_wake_before_the_park_is_not_lost() {
        let parker = Parker::new();
        parker.waker().wake();
        parker.park(&SystemClock, &Deadline::NEVER);
    }

    #[test]
    fn a_manual_deadline_passes_when_time_is_injected() {
        let clock = ManualClock::starting_at(0);
        let deadline = Deadline::after(&clock, Duration::from_secs(3_600));
        let mover = clock.clone();
        let thread = thread::spawn(move || mover.advance(Duration::from_secs(3_601)));
        Parker::new().park(&clock, &deadline);
        while !deadline.has_passed(&clock) {
            Parker::new().park(&clock, &deadline);
        }
        thread.join().unwrap();
    }

    #[test]
    fn an_endless_timeout_does_not_overflow() {
        let clock = ManualClock::starting_at(0);
        let deadline = Deadline::after(&clock, Duration::MAX);
        clock.advance(Duration::from_secs(1 << 40));
        assert!(!deadline.has_passed(&clock));
        let soon = Deadline::after(&clock, Duration::ZERO);
        assert!(deadline.earlier(soon).has_passed(&clock));
    }
}
