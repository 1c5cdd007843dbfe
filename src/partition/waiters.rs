//! Who waits for a mark to pass an offset.
//!
//! The list stands behind a lock that the publisher takes too: it moves the mark first and then
//! looks here; a waiter enters the list and then looks at the mark again, both under the lock.
//! So either the publisher finds the waiter or the waiter sees the mark: no wake is lost, and
//! none is made for a waiter whose mark has not passed.

use std::task::Waker;

use crate::base::{Isolation, relay};

/// Wakers, each with the offset that it waits for the mark to pass.
#[derive(Debug, Default)]
pub struct Waiters {
    list: Vec<Waiter>,
    next_token: u64,
}

#[derive(Debug)]
struct Waiter {
    token: u64,
    above: u64,
    isolation: Isolation,
    waker: Waker,
}

/// Wakers to be called once no lock is held.
#[derive(Debug)]
#[must_use = "these wakers were taken off their list and must be called"]
pub struct Woken(Vec<Waker>);

impl Woken {
    /// Nobody.
    pub const NONE: Woken = Woken(Vec::new());

    /// Calls them all, and leaves most of it to the threads that are woken.
    #[inline]
    pub fn relay(self) {
        if !self.0.is_empty() {
            relay::wake(self.0);
        }
    }

    /// Calls them all.
    #[inline]
    pub fn wake(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}

impl Waiters {
    /// Whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Registers `waker` to be called when the mark is greater than `above`.
    pub fn add(&mut self, above: u64, waker: &Waker) -> u64 {
        self.add_for(above, Isolation::ReadUncommitted, waker)
    }

    /// As [`add`](Self::add); at `ReadCommitted` it is the stable mark that is waited for.
    pub fn add_for(&mut self, above: u64, isolation: Isolation, waker: &Waker) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.list.push(Waiter { token, above, isolation, waker: waker.clone() });
        token
    }

    /// Takes a registration back; one that was called already is ignored.
    pub fn remove(&mut self, token: u64) {
        self.list.retain(|waiter| waiter.token != token);
    }

    /// Takes the wakers whose offset `mark` has passed, where there is no other mark.
    pub fn take_passed(&mut self, mark: u64) -> Woken {
        self.take_passed_by(mark, mark)
    }

    /// Takes the wakers whose offset `mark`, or `stable` where they wait for that, has passed.
    pub fn take_passed_by(&mut self, mark: u64, stable: u64) -> Woken {
        if self.list.is_empty() {
            return Woken::NONE;
        }
        let mark = |waiter: &Waiter| match waiter.isolation {
            Isolation::ReadUncommitted => mark,
            Isolation::ReadCommitted => stable,
        };
        let passed = self.list.extract_if(.., |waiter| mark(waiter) > waiter.above);
        Woken(passed.map(|waiter| waiter.waker).collect())
    }

    /// Takes all.
    pub fn take_all(&mut self) -> Woken {
        Woken(self.list.drain(..).map(|waiter| waiter.waker).collect())
    }
}

#[cfg(all(test, not(alluvium_loom)))]
mod tests {
    use super::*;
    use crate::base::wake_count::Count;
    use std::sync::Arc;

    #[test]
    fn only_passed_waiters_are_woken_and_only_once() {
        let mut waiters = Waiters::default();
        let counts: Vec<Arc<Count>> = (0..4).map(|_| Arc::default()).collect();
        let tokens: Vec<u64> = (0_u64..)
            .zip(&counts)
            .map(|(above, count)| waiters.add(above, &Waker::from(Arc::clone(count))))
            .collect();
        waiters.remove(tokens[0]);
        waiters.take_passed(2).wake();
        waiters.take_passed(2).wake();
        let seen: Vec<_> = counts.iter().map(|c| c.get()).collect();
        assert_eq!(seen, [0, 1, 0, 0]);
        waiters.take_all().wake();
        assert!(waiters.is_empty());
        assert_eq!(counts[3].get(), 1);
    }
}

#[cfg(all(test, alluvium_loom))]
mod loom_tests {
    use super::*;
    use crate::base::sync::{AtomicU64, Mutex, Ordering};
    use loom::future::block_on;
    use loom::sync::Arc;
    use std::task::Poll;

    /// The mark and the list as a partition holds them.
    struct Gate {
        mark: AtomicU64,
        waiters: Mutex<Waiters>,
    }

    /// A lost wake is a deadlock, which loom reports.
    #[test]
    fn loom_publish_then_wake_loses_no_wake() {
        loom::model(|| {
            let gate =
                Arc::new(Gate { mark: AtomicU64::new(0), waiters: Mutex::new(Waiters::default()) });
            let publisher = Arc::clone(&gate);
            let thread = loom::thread::spawn(move || {
                for mark in 1..=2 {
                    let woken = {
                        let mut waiters = publisher.waiters.lock();
                        publisher.mark.store(mark, Ordering::Release);
                        waiters.take_passed(mark)
                    };
                    woken.wake();
                }
            });
            block_on(std::future::poll_fn(|context| {
                let mut waiters = gate.waiters.lock();
                if gate.mark.load(Ordering::Acquire) > 1 {
                    return Poll::Ready(());
                }
                waiters.add(1, context.waker());
                Poll::Pending
            }));
            thread.join().unwrap();
        });
    }
}
