//! How another thread ends a poll.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use crate::base::{Error, ErrorKind, Result};

/// Ends a consumer's poll from another thread. From
/// [`Consumer::wakeup_handle`](crate::Consumer::wakeup_handle).
#[derive(Clone)]
pub struct WakeupHandle(Arc<Wakeup>);

impl WakeupHandle {
    /// Makes the poll that runs, or else the next one, fail once with `ErrorKind::Wakeup`.
    ///
    /// Several calls before that poll count as one. No record is lost: the poll after it
    /// returns what this one would have.
    pub fn wakeup(&self) {
        self.0.wakeup();
    }
}

/// What a consumer and its handles share.
#[derive(Debug, Default)]
pub(super) struct Wakeup {
    requested: AtomicBool,
    sleeper: Mutex<Option<Waker>>,
}

impl Wakeup {
    pub(super) fn handle(self: &Arc<Self>) -> WakeupHandle {
        WakeupHandle(Arc::clone(self))
    }

    fn wakeup(&self) {
        self.requested.store(true, Ordering::Release);
        // Locked after the store: a sleeper who sets its waker after this sees the request.
        let sleeper = self.sleeper.lock().take();
        if let Some(waker) = sleeper {
            waker.wake();
        }
    }

    /// Whom to wake. To be set before the last look at [`is_requested`](Self::is_requested).
    pub(super) fn set_sleeper(&self, waker: Option<Waker>) {
        *self.sleeper.lock() = waker;
    }

    pub(super) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Fails once per request.
    pub(super) fn check(&self) -> Result<()> {
        // Nearly always false, and then a load is all that it costs.
        if self.is_requested() && self.requested.swap(false, Ordering::AcqRel) {
            return Err(Error::new(ErrorKind::Wakeup, "the consumer was woken up"));
        }
        Ok(())
    }
}

impl fmt::Debug for WakeupHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeupHandle").field("requested", &self.0.is_requested()).finish()
    }
}
