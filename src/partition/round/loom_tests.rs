//! The hand-over of the lead under a model checker. A candidate that nobody calls is a deadlock,
//! which `loom` reports.

use std::task::{Wake, Waker};

use loom::sync::Arc;
use loom::sync::atomic::AtomicBool;
use loom::thread::{self, Thread};

use super::Rounds;
use crate::base::sync::{AtomicU64, Mutex, Ordering};
use crate::partition::waiters::Waiters;

/// What the waits of a partition share, without its records.
#[derive(Default)]
struct Model {
    rounds: Rounds,
    appended: AtomicU64,
    durable: AtomicU64,
    durable_waiters: Mutex<Waiters>,
}

impl Model {
    /// Everything appended so far becomes durable; who waits for that is called.
    fn round(&self) {
        let end = self.appended.load(Ordering::Acquire);
        self.durable.fetch_max(end, Ordering::AcqRel);
        let woken = self.durable_waiters.lock().take_passed(self.durable.load(Ordering::Acquire));
        woken.wake();
    }

    /// As `Rounds::wait_turn`: only the end of the round that runs now can call.
    fn wait_turn(&self) {
        let parker = Parker::new();
        let Some(standing) = self.rounds.stand_by(&parker.waker()) else { return };
        parker.park();
        self.rounds.step_back(standing);
    }

    /// As `Shared::flush`: a round of its own.
    fn flush(&self) {
        loop {
            if let Some(_lead) = self.rounds.try_lead() {
                return self.round();
            }
            self.wait_turn();
        }
    }

    /// As `Partition::wait_level`: its own round or another one, whichever comes first.
    fn append_and_wait(&self) {
        let offset = self.appended.fetch_add(1, Ordering::AcqRel) + 1;
        while self.durable.load(Ordering::Acquire) < offset {
            match self.rounds.try_lead() {
                Some(_lead) => self.round(),
                None => self.wait_for_round(offset),
            }
        }
    }

    fn wait_for_round(&self, offset: u64) {
        let parker = Parker::new();
        let waker = parker.waker();
        let Some(standing) = self.rounds.stand_by(&waker) else { return };
        let token = {
            let mut waiters = self.durable_waiters.lock();
            let waits = self.durable.load(Ordering::Acquire) < offset;
            waits.then(|| waiters.add(offset - 1, &waker))
        };
        if let Some(token) = token {
            parker.park();
            self.durable_waiters.lock().remove(token);
        }
        self.rounds.step_back(standing);
    }
}

/// `base::wait::Parker` without deadlines, on threads that `loom` schedules.
struct Parker(std::sync::Arc<Parked>);

struct Parked {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: std::sync::Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

impl Parker {
    fn new() -> Self {
        let parked = Parked { thread: thread::current(), woken: AtomicBool::new(false) };
        Self(std::sync::Arc::new(parked))
    }

    fn waker(&self) -> Waker {
        Waker::from(std::sync::Arc::clone(&self.0))
    }

    fn park(&self) {
        while !self.0.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Runs each of these and waits for all of them.
fn together<const N: usize>(calls: [fn(&Model); N]) {
    loom::model(move || {
        let model = Arc::new(Model::default());
        let [first, others @ ..] = &calls[..] else { return };
        let run = |call: &fn(&Model)| {
            let (call, model) = (*call, model.clone());
            thread::spawn(move || call(&model))
        };
        let threads: Vec<_> = others.iter().map(run).collect();
        first(&model);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(model.rounds.try_lead().is_some(), "the lead was given back");
        assert!(model.durable_waiters.lock().is_empty());
    });
}

#[test]
fn every_flush_gets_its_turn() {
    together([Model::flush, Model::flush, Model::flush]);
}

#[test]
fn every_wait_ends_with_a_round() {
    together([Model::append_and_wait, Model::append_and_wait, Model::append_and_wait]);
}

#[test]
fn a_wait_that_is_over_hands_the_lead_on() {
    together([Model::flush, Model::append_and_wait, Model::flush]);
}

/// It was called and its time was up: whoever stands behind it is called instead.
#[test]
fn a_candidate_that_gives_up_hands_the_lead_on() {
    fn give_up(model: &Model) {
        if let Some(standing) = model.rounds.stand_by(Waker::noop()) {
            model.rounds.step_back(standing);
        }
    }
    together([Model::flush, give_up, Model::flush]);
}
