#[cfg(not(alluvium_loom))]
mod real {
    use std::sync::Barrier;
    use std::thread;

    use crate::lock::{Biased, prepare};

    /// A torn pair would show two holders.
    fn count(pair: &mut (u64, u64)) {
        assert_eq!(pair.0, pair.1);
        pair.0 += 1;
        std::hint::black_box(&mut *pair);
        pair.1 += 1;
    }

    #[test]
    fn a_lock_is_taken_as_its_favourite_by_that_thread_alone_and_once() {
        prepare();
        let lock = Biased::new(0);
        assert!(lock.lock_as_favourite().is_none(), "nobody is favoured yet");
        for _ in 0..10_000 {
            *lock.lock() += 1;
        }
        let Some(guard) = lock.lock_as_favourite() else {
            return; // There is no such barrier here, and so no favourite.
        };
        assert!(lock.lock_as_favourite().is_none(), "it is held");
        drop(guard);
        assert!(lock.lock_as_favourite().is_some());
        thread::scope(|scope| {
            scope.spawn(|| assert!(lock.lock_as_favourite().is_none()));
        });
    }

    #[test]
    fn threads_that_take_turns_and_runs_count_every_turn() {
        prepare();
        let lock = Biased::new((0_u64, 0_u64));
        let ready = Barrier::new(4);
        // The first threads are favoured again and again, the others come now and then.
        let runs = [200_000_u64, 200_000, 2_000, 500];
        thread::scope(|scope| {
            for run in runs {
                let (lock, ready) = (&lock, &ready);
                scope.spawn(move || {
                    ready.wait();
                    for at in 0..run {
                        match lock.lock_as_favourite() {
                            Some(mut pair) => count(&mut pair),
                            None => count(&mut lock.lock()),
                        }
                        if run < 10_000 && at % 10 == 0 {
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        let all = runs.iter().sum();
        assert_eq!(*lock.lock(), (all, all));
    }

    #[test]
    fn one_thread_after_the_other_sees_what_the_former_left() {
        prepare();
        let lock = Biased::new(Vec::new());
        for round in 0..8 {
            thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..70_000 {
                        let list = lock.lock();
                        assert!(list.iter().copied().eq(0..round));
                    }
                    lock.lock().push(round);
                });
            });
        }
        assert_eq!(lock.lock().len(), 8);
    }

    #[test]
    fn a_panic_gives_the_lock_back() {
        prepare();
        let lock = Biased::new(0);
        for _ in 0..10_000 {
            *lock.lock() += 1;
        }
        let fall = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut count = lock.lock();
            *count += 1;
            panic!("while it is held");
        }));
        assert!(fall.is_err());
        assert_eq!(*lock.lock(), 10_001);
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(*lock.lock(), 10_001));
        });
    }
}

#[cfg(alluvium_loom)]
mod loom_tests {
    //! The lock under a model checker, which is told that both sides of the barrier are full ones.

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use crate::lock::Biased;

    struct Shadow(UnsafeCell<u32>);

    // SAFETY: not a promise but the question: `loom` fails the test on any unordered access.
    unsafe impl Send for Shadow {}

    impl Shadow {
        fn add(&mut self) -> u32 {
            // SAFETY: `loom` checks that nobody else is here.
            self.0.with_mut(|count| unsafe {
                *count += 1;
                *count
            })
        }
    }

    /// By both ways that a favourite has.
    fn take(lock: &Biased<Shadow>, times: usize) {
        for at in 0..times {
            match lock.lock_as_favourite() {
                Some(mut shadow) if at % 2 == 0 => shadow.add(),
                guard => {
                    drop(guard);
                    lock.lock().add()
                }
            };
        }
    }

    #[test]
    fn loom_a_favourite_and_another_never_meet() {
        loom::model(|| {
            let lock = Arc::new(Biased::new(Shadow(UnsafeCell::new(0))));
            // The second time makes a favourite, which the others then find.
            take(&lock, 2);
            let other = Arc::clone(&lock);
            let thread = thread::spawn(move || take(&other, 2));
            take(&lock, 2);
            thread.join().unwrap();
            assert_eq!(lock.lock().add(), 7);
        });
    }

    /// One that was a favourite may find out when another has become one, and a third comes.
    #[test]
    fn loom_a_former_favourite_a_new_one_and_a_third_never_meet() {
        loom::model(|| {
            let lock = Arc::new(Biased::new(Shadow(UnsafeCell::new(0))));
            take(&lock, 2);
            let threads: Vec<_> = [2, 1]
                .map(|times| {
                    let lock = Arc::clone(&lock);
                    thread::spawn(move || take(&lock, times))
                })
                .into();
            take(&lock, 1);
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(lock.lock().add(), 7);
        });
    }

    #[test]
    fn loom_two_that_come_while_a_favourite_works() {
        loom::model(|| {
            let lock = Arc::new(Biased::new(Shadow(UnsafeCell::new(0))));
            take(&lock, 2);
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let lock = Arc::clone(&lock);
                    thread::spawn(move || take(&lock, 1))
                })
                .collect();
            take(&lock, 1);
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(lock.lock().add(), 6);
        });
    }
}
