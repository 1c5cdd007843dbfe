//! How another thread ends a poll, or a loop over records.

use std::fmt;
use std::sync::Arc;

use super::bell::Bell;

/// Ends a consumer's poll from another thread. From
/// [`Consumer::wakeup_handle`](crate::Consumer::wakeup_handle).
#[derive(Clone)]
pub struct WakeupHandle(pub(super) Arc<Bell>);

impl WakeupHandle {
    /// Makes the poll that runs, or else the next one, fail once with `ErrorKind::Wakeup`.
    ///
    /// Several calls before that poll count as one. No record is lost: the poll after it
    /// returns what this one would have.
    pub fn wakeup(&self) {
        self.0.wakeup();
    }
}

impl fmt::Debug for WakeupHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeupHandle").field("requested", &self.0.is_wakeup()).finish()
    }
}

/// Ends a consumer's loop over records from another thread, or from within it. From
/// [`Consumer::stop_handle`](crate::Consumer::stop_handle).
#[derive(Clone)]
pub struct StopHandle(pub(super) Arc<Bell>);

impl StopHandle {
    /// Ends the [`for_each`](crate::Consumer::for_each) that runs, or else the next one, after
    /// the record that it has in hand. It then returns without an error.
    ///
    /// Several calls before that count as one. A plain poll is not ended.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopHandle").field("requested", &self.0.is_stop()).finish()
    }
}
