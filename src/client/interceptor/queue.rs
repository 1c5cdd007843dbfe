//! Records that are placed and not told of yet.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::backend::PartitionBackend;
use crate::base::wait::Deadline;
use crate::base::{ErrorKind, Result};

use super::super::delivery::Placed;

/// A record that was placed.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) topic: Arc<str>,
    pub(super) door: Arc<dyn PartitionBackend>,
    pub(super) placed: Placed,
}

impl Waiting {
    /// Whether the record has its level, or why it never will; `None` while that is open.
    fn outcome(&self) -> Option<Result<Placed>> {
        let end = self.placed.offset.saturating_add(1);
        match self.door.wait_reached(end, Deadline::PASSED) {
            Err(e) if e.kind() == ErrorKind::DeliveryTimeout => None,
            reached => Some(reached.map(|()| self.placed)),
        }
    }
}

/// Records in the order in which they were placed. One thread at a time tells of them, so that a
/// callback that sends does not go deeper and deeper.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    told_by_somebody: bool,
}

/// How far to look for records that are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Until the first that is not.
    Front,
    /// At all of them.
    All,
}

impl Queue {
    pub(super) fn push(&self, waiting: Waiting) {
        self.0.lock().waiting.push_back(waiting);
    }

    /// Calls `tell`, under no lock, with each record that is done. Returns at once when another
    /// thread, or a caller of this one, is at it: that one looks again when it is through.
    pub(super) fn tell_done(&self, look: Look, tell: impl Fn(&Waiting, Result<Placed>)) {
        loop {
            let done = {
                let mut state = self.0.lock();
                if state.told_by_somebody {
                    return;
                }
                let done = state.take_done(look);
                if done.is_empty() {
                    return;
                }
                state.told_by_somebody = true;
                done
            };
            done.into_iter().for_each(|(waiting, outcome)| tell(&waiting, outcome));
            self.0.lock().told_by_somebody = false;
        }
    }

    /// Takes all that is left.
    pub(super) fn take_all(&self) -> VecDeque<Waiting> {
        std::mem::take(&mut self.0.lock().waiting)
    }
}

impl State {
    fn take_done(&mut self, look: Look) -> Vec<(Waiting, Result<Placed>)> {
        let mut done = Vec::new();
        let mut open = VecDeque::new();
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.outcome() {
                Some(outcome) => done.push((waiting, outcome)),
                None if look == Look::Front => {
                    self.waiting.push_front(waiting);
                    break;
                }
                None => open.push_back(waiting),
            }
        }
        if look == Look::All {
            self.waiting = open;
        }
        done
    }
}
