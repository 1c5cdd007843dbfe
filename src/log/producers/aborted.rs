//! Transactions that were aborted: whose records readers of committed ones must not see.

use crate::batch::BatchHeader;

/// An aborted transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AbortedTxn {
    /// The producer.
    pub producer: i64,
    /// Its first offset.
    pub first: u64,
    /// Where the marker stands that aborted it.
    pub marker: u64,
    /// The last stable offset behind the marker: every transaction that begins below has ended,
    /// and is known of by then.
    pub stable: u64,
}

impl AbortedTxn {
    /// Whether any of its records lie in `from..to` (B35).
    #[must_use]
    pub fn overlaps(&self, from: u64, to: u64) -> bool {
        self.marker >= from && self.first < to
    }

    /// Whether the records of a batch belong to it.
    #[must_use]
    pub fn covers(&self, header: &BatchHeader) -> bool {
        header.producer_id == self.producer
            && header.attributes.is_transactional()
            && !header.attributes.is_control()
            && (self.first..self.marker).contains(&header.base_offset)
    }
}
