//! What became of a table's snapshot.

use crate::base::Error;

/// What a table began with. From [`Table::restored`](crate::Table::restored).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Restored {
    /// With the log: no snapshot was asked for.
    NotAsked,
    /// With the log: there was no file.
    NotFound,
    /// With the snapshot: only what came after it was read from the log.
    Taken {
        /// How many records it held.
        records: usize,
    },
    /// With the log: the file was not used.
    Ignored {
        /// Why not.
        reason: Error,
    },
}

impl Restored {
    /// Whether the snapshot was used.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Taken { .. })
    }
}
