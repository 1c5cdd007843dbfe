//! Commits whose outcome is told later, in order.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::backend::{Backend, CommitTicket};
use crate::base::wait::Deadline;
use crate::base::{ErrorKind, Result};

/// Is told of the outcome of one commit.
pub(in crate::client) type Callback = Box<dyn FnOnce(Result<()>) + Send>;

/// Commits that were made and not told of.
#[derive(Default)]
pub(super) struct AsyncCommits(VecDeque<(Result<CommitTicket>, Callback)>);

impl AsyncCommits {
    pub(super) fn push(&mut self, placed: Result<CommitTicket>, callback: Callback) {
        self.0.push_back((placed, callback));
    }

    /// Tells of those that are done, in order, until one is not.
    pub(super) fn tell_done(&mut self, backend: &dyn Backend) {
        if !self.0.is_empty() {
            self.tell(backend, Deadline::after(backend.clock(), Duration::ZERO), true);
        }
    }

    /// Tells of all, and waits for them so long at most.
    pub(super) fn tell_all(&mut self, backend: &dyn Backend, patience: Duration) {
        if !self.0.is_empty() {
            self.tell(backend, Deadline::after(backend.clock(), patience), false);
        }
    }

    fn tell(&mut self, backend: &dyn Backend, deadline: Deadline, may_wait: bool) {
        while let Some((placed, _)) = self.0.front() {
            let outcome = match placed {
                Ok(ticket) => wait(backend, *ticket, deadline),
                Err(error) => Err(error.clone()),
            };
            let late = |error: &crate::base::Error| error.kind() == ErrorKind::DeliveryTimeout;
            if may_wait && outcome.as_ref().is_err_and(late) {
                return;
            }
            // Taken out first: a callback may panic.
            if let Some((_, callback)) = self.0.pop_front() {
                callback(outcome);
            }
        }
    }
}

fn wait(backend: &dyn Backend, ticket: CommitTicket, deadline: Deadline) -> Result<()> {
    backend.groups()?.wait_committed(ticket, deadline)
}

impl fmt::Debug for AsyncCommits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncCommits").field(&self.0.len()).finish()
    }
}
