//! Calling many wakers without one caller paying for all of them.
//!
//! To wake a thread takes a system call of some microseconds. Whoever has many to wake wakes one,
//! which takes over the others before it does anything else: half of them go on to the next one
//! that is woken, and so on. Wakers stay opaque: while one is called, the others are on offer to
//! the thread that it ends up waking; if it wakes none, or none that parks here, the caller goes on.

use std::cell::RefCell;
use std::mem;
use std::task::Waker;

thread_local! {
    /// What is on offer while a waker is called on this thread.
    static OFFER: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// Calls all of these, with the help of the threads that are woken.
pub fn wake(mut wakers: Vec<Waker>) {
    while let Some(waker) = wakers.pop() {
        if wakers.is_empty() {
            return waker.wake();
        }
        // A waker may be anybody's, and come here again.
        let outer = offer(wakers);
        waker.wake();
        wakers = offer(outer);
    }
}

/// Goes on with what was taken over: two are woken, with half of it each.
pub(super) fn pass_on(mut wakers: Vec<Waker>) {
    let others = wakers.split_off(wakers.len() / 2);
    wake(wakers);
    wake(others);
}

/// Takes over what is on offer on this thread.
pub(super) fn take() -> Vec<Waker> {
    offer(Vec::new())
}

/// Puts back what could not be taken over.
pub(super) fn put_back(wakers: Vec<Waker>) {
    offer(wakers);
}

fn offer(wakers: Vec<Waker>) -> Vec<Waker> {
    OFFER.with_borrow_mut(|offered| mem::replace(offered, wakers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;
    use crate::base::wait::{Deadline, Parker};
    use crate::base::wake_count::Count;

    use std::sync::{Arc, Barrier, mpsc};
    use std::task::Wake;
    use std::thread;

    #[test]
    fn wakers_that_wake_no_thread_are_all_called() {
        let counts: Vec<Arc<Count>> = (0..9).map(|_| Arc::default()).collect();
        wake(counts.iter().map(|count| Waker::from(Arc::clone(count))).collect());
        assert!(counts.iter().all(|count| count.get() == 1));
    }

    #[test]
    fn a_waker_that_wakes_others_keeps_nobody_from_being_called() {
        struct Nested(Arc<Count>);
        impl Wake for Nested {
            fn wake(self: Arc<Self>) {
                wake(vec![Waker::from(Arc::clone(&self.0)), Waker::from(Arc::clone(&self.0))]);
            }
        }
        let count = Arc::new(Count::default());
        let nested = || Waker::from(Arc::new(Nested(Arc::clone(&count))));
        wake(vec![nested(), nested(), nested()]);
        assert_eq!(count.get(), 6);
    }

    /// Some park, some have a waker and never park again, some are gone: nobody stays asleep.
    #[test]
    fn all_who_park_are_woken_whoever_else_is_among_them() {
        const THREADS: usize = 12;
        for _ in 0..50 {
            let ready = Barrier::new(THREADS + 1);
            let (sender, wakers) = mpsc::channel();
            thread::scope(|scope| {
                for number in 0..THREADS {
                    let (sender, ready) = (sender.clone(), &ready);
                    scope.spawn(move || {
                        let parker = Parker::new();
                        sender.send(parker.waker()).unwrap();
                        match number % 3 {
                            // Its waker outlives it.
                            0 => drop(parker),
                            // It does something else while it is called.
                            1 => drop(ready.wait()),
                            // One that is not woken is a test that never ends.
                            _ => {
                                ready.wait();
                                parker.park(&SystemClock, &Deadline::NEVER);
                                return;
                            }
                        }
                        if number % 3 == 0 {
                            ready.wait();
                        }
                    });
                }
                ready.wait();
                wake(wakers.iter().take(THREADS).collect());
            });
        }
    }
}
