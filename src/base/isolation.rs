//! What a reader sees of transactions.

/// What a reader sees of transactions (Kafka's `isolation.level`). Default:
/// [`ReadUncommitted`](Self::ReadUncommitted). Records that belong to no transaction are seen at
/// either level, though not before the transactions in front of them have ended at the second.
///
/// ```
/// use alluvium::Isolation;
///
/// assert_eq!(Isolation::default(), Isolation::ReadUncommitted);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Everything that is visible, whatever becomes of its transaction. `read_uncommitted`.
    #[default]
    ReadUncommitted,
    /// Nothing at or behind the first record of a transaction that is still open, and no records
    /// of aborted ones. `read_committed`.
    ReadCommitted,
}

impl Isolation {
    /// Kafka's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read_uncommitted",
            Self::ReadCommitted => "read_committed",
        }
    }
}
