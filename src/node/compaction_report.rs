//! What compaction tells.

use crate::base::{Error, TopicPartition};
use crate::log::PassReport;
use crate::partition::Partition;

/// What [`Admin::run_compaction`](crate::Admin::run_compaction) did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CompactionReport {
    /// Each partition of the topics that were asked for, if `cleanup.policy` has compact; in the
    /// order of names and numbers.
    pub partitions: Vec<PartitionCompaction>,
}

/// What compaction did to one partition, or why nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionCompaction {
    /// Which one.
    pub partition: TopicPartition,
    /// What was done.
    pub outcome: CompactionOutcome,
}

/// What became of a partition's compaction.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CompactionOutcome {
    /// It was compacted.
    Compacted(CompactedPartition),
    /// No segment is new that may be compacted: what is written, what is younger than
    /// `min.compaction.lag.ms`, and what stands behind may not.
    NothingNew,
    /// There are new segments, and they are too small a part of the partition.
    TooClean {
        /// Their share, which is not above `min.cleanable.dirty.ratio`.
        dirty_ratio: f64,
    },
    /// It could not be done, or not to the end. What was done before stays; the log goes on.
    Failed(Error),
}

/// What compaction did to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactedPartition {
    /// Which one.
    pub partition: TopicPartition,
    /// Segments that were looked through.
    pub segments_before: u64,
    /// What they have become.
    pub segments_after: u64,
    /// Bytes of their batches before.
    pub bytes_before: u64,
    /// Bytes of their batches now.
    pub bytes_after: u64,
    /// Records that have stayed.
    pub records_kept: u64,
    /// Records that have gone, tombstones included.
    pub records_dropped: u64,
    /// Tombstones that have gone because `delete.retention.ms` was over.
    pub tombstones_dropped: u64,
}

impl CompactedPartition {
    pub(super) fn empty(partition: &Partition) -> Self {
        Self::new(partition, &PassReport::default())
    }

    pub(super) fn new(partition: &Partition, pass: &PassReport) -> Self {
        Self {
            partition: partition.name().clone(),
            segments_before: pass.segments_before,
            segments_after: pass.segments_after,
            bytes_before: pass.bytes_before,
            bytes_after: pass.bytes_after,
            records_kept: pass.kept,
            records_dropped: pass.dropped,
            tombstones_dropped: pass.tombstones,
        }
    }

    /// A further pass, which went on where the one before had ended.
    pub(super) fn add(&mut self, pass: &PassReport) {
        // It began with what the one before has left.
        self.segments_before = self.segments_before.max(pass.segments_before);
        self.bytes_before =
            (self.bytes_before + pass.bytes_before).saturating_sub(self.bytes_after);
        self.segments_after = pass.segments_after;
        self.bytes_after = pass.bytes_after;
        self.records_kept = pass.kept;
        self.records_dropped += pass.dropped;
        self.tombstones_dropped += pass.tombstones;
    }
}
