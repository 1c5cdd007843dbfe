//! What a table has met.

/// What a [`Table`](crate::Table) has met since it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// Records applied, tombstones among them.
    pub applied: u64,
    /// Tombstones among these.
    pub tombstones: u64,
    /// Records without a key, which a table ignores.
    pub null_keys: u64,
    /// How often a partition was read anew from the log start, because a compaction had passed
    /// where the table was.
    pub rescans: u64,
}
