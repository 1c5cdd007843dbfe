//! An offset as it is committed.

use std::sync::Arc;

use crate::backend::CommittedOffset;

/// A committed offset: where a group goes on in a partition.
///
/// ```
/// use alluvium::OffsetAndMetadata;
///
/// let done = OffsetAndMetadata::new(42).metadata("by worker 3");
/// assert_eq!(done.offset, 42);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetAndMetadata {
    /// The next offset to be read: one more than that of the last processed record.
    pub offset: u64,
    /// The epoch of the record before it, where it is known.
    pub leader_epoch: Option<i32>,
    /// Anything that the committer wants to find again; 4,096 bytes at most by default
    /// (`offset.metadata.max.bytes`).
    pub metadata: Arc<str>,
}

impl OffsetAndMetadata {
    /// An offset without metadata.
    #[must_use]
    pub fn new(offset: u64) -> Self {
        Self { offset, leader_epoch: None, metadata: "".into() }
    }

    /// With this text.
    #[must_use]
    pub fn metadata(mut self, metadata: &str) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// With this epoch of the record before it.
    #[must_use]
    pub fn leader_epoch(mut self, epoch: i32) -> Self {
        self.leader_epoch = Some(epoch);
        self
    }
}

impl From<CommittedOffset> for OffsetAndMetadata {
    fn from(committed: CommittedOffset) -> Self {
        let CommittedOffset { offset, leader_epoch, metadata, .. } = committed;
        Self { offset, leader_epoch, metadata }
    }
}
