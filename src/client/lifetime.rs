//! From the making of a producer to the end of its close: what may still begin, what may still
//! wait.

use crate::base::stop::Stop;
use crate::base::{Error, ErrorKind, Result};

/// Whether a producer places records, and whether its calls wait.
#[derive(Debug, Default)]
pub(super) struct Lifetime {
    /// Set when a close begins: nothing is placed any more, and who waits for room gives up.
    placing: Stop,
    /// Set when a close ends: who still waits for a level gives up.
    waiting: Stop,
}

impl Lifetime {
    #[inline]
    pub(super) fn check_open(&self) -> Result<()> {
        if self.is_open() { Ok(()) } else { Err(closed()) }
    }

    /// Whether records may be placed.
    #[inline(always)]
    pub(super) fn is_open(&self) -> bool {
        !self.placing.is_set()
    }

    /// Begins the close. False when another call has.
    pub(super) fn begin_close(&self) -> bool {
        self.placing.set()
    }

    /// Ends the close.
    pub(super) fn end_close(&self) {
        self.waiting.set();
    }

    /// What ends a wait for room.
    pub(super) fn placing(&self) -> &Stop {
        &self.placing
    }

    /// What ends a wait for a level.
    pub(super) fn waiting(&self) -> &Stop {
        &self.waiting
    }

    /// What to say of a send that found no room: that it was the close that ended it, if it was.
    #[cold]
    pub(super) fn not_placed(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Timeout && self.placing.is_set() {
            return error
                .because(ErrorKind::Closed, "the producer was closed; nothing was appended");
        }
        error
    }

    /// The same of a wait for a level.
    #[cold]
    pub(super) fn not_reached(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::DeliveryTimeout && self.waiting.is_set() {
            let message = "the producer was closed; what was sent is in the log and may still reach \
                           its level";
            return error.because(ErrorKind::Closed, message);
        }
        error
    }
}

#[cold]
fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the producer is closed")
}
