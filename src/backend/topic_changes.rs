//! How clients and coordinators learn that topics were created, have grown or were deleted.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use super::WaitToken;

/// The one place where changes of topics become visible: a number that grows with each, and who
/// wants to be called at the next.
///
/// Whoever looks at topics reads [`version`](Self::version) first, and registers with what it
/// read: a change that came between is then noticed at once.
#[derive(Default)]
pub struct TopicChanges {
    version: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl TopicChanges {
    /// How many changes there were.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// A topic was created, has grown or was deleted, and whoever asks now sees it so.
    pub fn announce(&self) {
        let woken = {
            let mut waiting = self.waiting.lock();
            self.version.fetch_add(1, Ordering::AcqRel);
            mem::take(&mut waiting.wakers)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// Calls `waker` once at the next change. `None` when there was one after `seen`.
    pub fn register(&self, seen: u64, waker: &Waker) -> Option<WaitToken> {
        let mut waiting = self.waiting.lock();
        if self.version() != seen {
            return None;
        }
        let token = waiting.next;
        waiting.next += 1;
        waiting.wakers.insert(token, waker.clone());
        Some(WaitToken(token))
    }

    /// Takes a registration back; one that has fired is ignored.
    pub fn unregister(&self, token: WaitToken) {
        self.waiting.lock().wakers.remove(&token.0);
    }
}

impl fmt::Debug for TopicChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicChanges").field("version", &self.version).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_change_calls_once_and_none_is_missed() {
        let changes = TopicChanges::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let calls = || count.0.load(Ordering::Relaxed);
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
