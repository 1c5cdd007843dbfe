//! What housekeeping tells.

use crate::base::TopicPartition;

use super::compaction_report::CompactedPartition;

/// What happened to stored records without anybody having asked. From
/// [`Admin::take_events`](crate::Admin::take_events).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HousekeepingEvent {
    /// Segments were deleted.
    Deleted(DeletedSegments),
    /// A partition was compacted.
    Compacted(CompactedPartition),
    /// A segment that is stamped in the future keeps itself and every later one from being
    /// deleted by time (`retention.ms`), although some of them are old enough. Told once for each
    /// such segment. `Admin::delete_records` takes it away.
    RetentionPinned {
        /// In which partition.
        partition: TopicPartition,
        /// The offset of its first record.
        base_offset: u64,
        /// Its greatest record timestamp, in milliseconds since the Unix epoch.
        timestamp_ms: i64,
    },
    /// Wall time has jumped by so many milliseconds since the last pass, forwards or backwards
    /// (negative), by more than the minute that counts as drift. Nothing was deleted in that pass.
    ClockJumped {
        /// How far.
        by_ms: i64,
    },
    /// So many earlier events were dropped because nobody took them.
    Missed(u64),
}

/// Segments that were deleted from the front of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeletedSegments {
    /// From which partition.
    pub partition: TopicPartition,
    /// Its log start offset now.
    pub log_start_offset: u64,
    /// How many went because the others have more than `retention.bytes`.
    pub by_size: usize,
    /// How many went because they are older than `retention.ms`.
    pub by_time: usize,
    /// How many went because the log had little of its disk budget left
    /// ([`max_disk_bytes`](crate::EventLogBuilder::max_disk_bytes)).
    pub by_budget: usize,
    /// Bytes of their headers and batches.
    pub bytes: u64,
}
