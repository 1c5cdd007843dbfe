//! What a member's handle and the coordinator share without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;

use crate::backend::WaitToken;

/// In place of a moment: the member is in a poll.
const IN_A_POLL: u64 = u64::MAX;

/// A member's heart: when it polled, and whether there is news for it.
#[derive(Debug)]
pub struct Pulse {
    version: AtomicU64,
    /// Monotonic nanoseconds since which no poll runs.
    rests_since: AtomicU64,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    list: Vec<(u64, Waker)>,
    next: u64,
}

impl Pulse {
    /// A member that has joined at `now`.
    pub fn new(now: Duration) -> Self {
        Self {
            version: AtomicU64::new(1),
            rests_since: AtomicU64::new(nanos(now)),
            waiters: Mutex::default(),
        }
    }

    /// Grows with every piece of news.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// There is news. The wakers are to be called when no lock is held.
    #[must_use]
    pub fn news(&self) -> Vec<Waker> {
        let mut waiters = self.waiters.lock();
        self.version.fetch_add(1, Ordering::AcqRel);
        waiters.list.drain(..).map(|(_, waker)| waker).collect()
    }

    /// Who waits, to be called although there is no news.
    #[must_use]
    pub fn sleepers(&self) -> Vec<Waker> {
        self.waiters.lock().list.drain(..).map(|(_, waker)| waker).collect()
    }

    /// Calls `waker` with the next piece of news; `None` when there is one after `seen`.
    pub fn register(&self, seen: u64, waker: &Waker) -> Option<WaitToken> {
        // Under the lock that `news` takes: either it finds the waiter or the waiter sees it.
        let mut waiters = self.waiters.lock();
        if self.version() > seen {
            return None;
        }
        let token = waiters.next;
        waiters.next += 1;
        waiters.list.push((token, waker.clone()));
        Some(WaitToken(token))
    }

    /// Takes a registration back.
    pub fn unregister(&self, token: WaitToken) {
        self.waiters.lock().list.retain(|(known, _)| *known != token.0);
    }

    /// A poll begins.
    pub fn begin(&self) {
        self.rests_since.store(IN_A_POLL, Ordering::SeqCst);
    }

    /// A poll ends at `now`.
    pub fn rest(&self, now: Duration) {
        self.rests_since.store(nanos(now), Ordering::SeqCst);
    }

    /// When the last poll ended; none while one runs.
    pub fn rests_since(&self) -> Option<Duration> {
        let since = self.rests_since.load(Ordering::SeqCst);
        (since != IN_A_POLL).then(|| Duration::from_nanos(since))
    }
}

/// Nanoseconds, as atomics hold them.
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1).min(u64::MAX - 1)
}
