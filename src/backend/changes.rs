//! How those who wait for a change of something shared learn of it.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use super::WaitToken;

/// A number that grows with each change, and who wants to be called at the next: of topics, and
/// of groups.
///
/// Whoever looks reads [`version`](Self::version) first, and registers with what it read: a
/// change that came between is then noticed at once.
#[derive(Default)]
pub struct Changes {
    version: AtomicU64,
    /// How many wait: a change that nobody waits for takes no lock.
    count: AtomicUsize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Changes {
    /// How many changes there were.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Something has changed, and whoever looks now sees it.
    ///
    /// The number grows before the count is read, and who registers raises the count before it
    /// reads the number: one of the two sees the other.
    pub fn announce(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = {
            let mut waiting = self.waiting.lock();
            self.count.store(0, Ordering::SeqCst);
            mem::take(&mut waiting.wakers)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// Calls `waker` once at the next change. `None` when there was one after `seen`.
    pub fn register(&self, seen: u64, waker: &Waker) -> Option<WaitToken> {
        let mut waiting = self.waiting.lock();
        let token = waiting.next;
        waiting.next += 1;
        waiting.wakers.insert(token, waker.clone());
        self.count.store(waiting.wakers.len(), Ordering::SeqCst);
        if self.version() == seen {
            return Some(WaitToken(token));
        }
        waiting.wakers.remove(&token);
        self.count.store(waiting.wakers.len(), Ordering::SeqCst);
        None
    }

    /// Takes a registration back; one that has fired is ignored.
    pub fn unregister(&self, token: WaitToken) {
        let mut waiting = self.waiting.lock();
        waiting.wakers.remove(&token.0);
        self.count.store(waiting.wakers.len(), Ordering::SeqCst);
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("version", &self.version).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::wake_count::Count;

    #[test]
    fn a_change_calls_once_and_none_is_missed() {
        let changes = Changes::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let calls = || count.get();
        let seen = changes.version();
        let kept = changes.register(seen, &waker);
        let taken_back = changes.register(seen, &waker).unwrap();
        changes.unregister(taken_back);
        changes.announce();
        changes.announce();
        assert_eq!((calls(), kept.is_some()), (1, true));
        assert_eq!(changes.register(seen, &waker), None, "there was a change since");
        assert!(changes.register(changes.version(), &waker).is_some());
    }
}
