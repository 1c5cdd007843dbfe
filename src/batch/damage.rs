//! Why bytes are not a batch. Pure: it knows no file and no offset, its callers do.

use std::fmt;

/// Bytes that no version of this crate wrote, or that this version cannot read.
///
/// Callers turn it into an [`Error`](crate::base::Error) with the file and the offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What does not hold, as a sentence without a subject ("payload checksum does not match").
    pub reason: &'static str,
    /// The checksum holds, but a version or a flag is newer than this build: not damage of the
    /// disk, and never to be cut or rebuilt.
    pub version: bool,
}

impl Damage {
    /// Bytes that are wrong.
    pub(crate) const fn new(reason: &'static str) -> Self {
        Self { reason, version: false }
    }

    /// Sound bytes of a format that this build does not know.
    pub(crate) const fn unknown(reason: &'static str) -> Self {
        Self { reason, version: true }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Damage {}
