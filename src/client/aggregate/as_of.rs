//! A moment of the past.

/// A moment of the past, for [`Aggregates::load_as_of`](crate::Aggregates::load_as_of).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AsOf {
    /// When the partition of the key ended in front of this offset.
    Offset(u64),
    /// Before the first event of the key with a later time, in milliseconds since the Unix epoch.
    TimestampMs(i64),
}
