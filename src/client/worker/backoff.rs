//! How long to wait before something is tried again.

use std::time::Duration;

/// How long to wait between attempts: each wait is twice the one before it, up to a bound.
///
/// ```
/// use alluvium::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
/// let waits = [1, 2, 3, 4, 5].map(|attempt| backoff.before_retry(attempt).as_millis());
/// assert_eq!(waits, [100, 200, 400, 800, 1_000]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// No waits.
    pub const NONE: Self = Self { first: Duration::ZERO, most: Duration::ZERO };

    /// `first` before the first retry, never more than `most`.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The wait before the n-th retry, from 1.
    #[must_use]
    pub fn before_retry(&self, retry: u32) -> Duration {
        let doubled = 1_u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.most)
    }
}

impl Default for Backoff {
    /// 100 ms to 10 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(10))
    }
}
