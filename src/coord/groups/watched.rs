//! What the coordinator knows, behind its lock, and a call to those who wait for it to change.

use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

use crate::backend::Changes;

use super::coordinator::State;

/// The coordinator's state.
#[derive(Debug, Default)]
pub(super) struct Watched {
    state: Mutex<State>,
    changes: Changes,
}

impl Watched {
    pub(super) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), changes: Changes::default() }
    }

    pub(super) fn lock(&self) -> Guard<'_> {
        Guard { state: self.state.lock(), tell: Tell { changes: &self.changes, touched: false } }
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }
}

/// The state, locked. Whoever had it in hand to change it has changed it.
pub(super) struct Guard<'w> {
    state: MutexGuard<'w, State>,
    /// Dropped after the lock.
    tell: Tell<'w>,
}

struct Tell<'w> {
    changes: &'w Changes,
    touched: bool,
}

impl Deref for Guard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.tell.touched = true;
        &mut self.state
    }
}

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        if self.touched {
            self.changes.announce();
        }
    }
}
