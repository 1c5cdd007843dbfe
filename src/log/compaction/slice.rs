//! How much of a pass is done at a time.

use std::fmt;
use std::time::Duration;

use crate::base::Clock;

/// A bounded piece of work: it ends after so many bytes, or so much time.
pub struct Slice<'c> {
    clock: Option<(&'c dyn Clock, Duration)>,
    left: u64,
    spent: u64,
}

impl<'c> Slice<'c> {
    /// Ends after `bytes` were read and written, or after `time`.
    pub fn new(clock: &'c dyn Clock, bytes: u64, time: Duration) -> Self {
        let until = clock.monotonic().saturating_add(time);
        Self { clock: Some((clock, until)), left: bytes, spent: 0 }
    }

    /// Bytes that were read and written in it.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        self.spent += bytes;
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let late = |(clock, until): (&dyn Clock, Duration)| clock.monotonic() >= until;
        // However late it is, something is done in each.
        self.spent >= self.left || self.spent > 0 && self.clock.is_some_and(late)
    }

    /// One that ends after every step.
    #[cfg(test)]
    pub(in crate::log) fn least() -> Self {
        Self { clock: None, left: 1, spent: 0 }
    }
}

impl fmt::Debug for Slice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice").field("left", &self.left).field("spent", &self.spent).finish()
    }
}
