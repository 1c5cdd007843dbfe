//! Faults that tests put into a log on purpose, to prove that they would be found.

/// A fault that is put into a log on purpose. For tests of tests; see
/// [`testing`](crate::testing).
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Planted {
    /// Some partitions are never told that a transaction was committed.
    DroppedMarker,
    /// Readers of what is committed do not stop at open transactions.
    NoStableOffset,
    /// Offsets of a transaction count at once.
    EarlyOffsets,
}
