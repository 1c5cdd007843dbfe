//! What an open found, adopted, cut and left alone.

use std::path::PathBuf;

use crate::base::TopicPartition;

/// Bytes that an open could not take for records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// The partition.
    pub partition: TopicPartition,
    /// The file.
    pub path: PathBuf,
    /// Where in the file the first bad byte stands.
    pub position: u64,
    /// How many bytes, up to the last one that is not zero.
    pub bytes: u64,
    /// The partition's end in front of the cut.
    pub offset: u64,
}

/// Offsets that hold no records, and never will.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GapEvent {
    /// The partition.
    pub partition: TopicPartition,
    /// The first missing offset.
    pub from: u64,
    /// The offset behind the last missing one.
    pub to: u64,
}

impl GapEvent {
    /// The offsets `from..to` of `partition` are missing.
    #[must_use]
    pub fn new(partition: TopicPartition, from: u64, to: u64) -> Self {
        Self { partition, from, to }
    }
}

/// What an open found. Nothing in it is an error: an open that cannot vouch for the data fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Whether the log had been closed in order; then nothing was scanned.
    pub clean: bool,
    /// Staged chunks that became the tail of their partition again.
    pub adopted_chunks: u64,
    /// The records in them.
    pub adopted_records: u64,
    /// Staged chunks of which something was not taken.
    pub rejected_chunks: u64,
    /// Staged chunks of which nothing could be proven; a power cut leaves them.
    pub torn_chunks: u64,
    /// Bytes in adopted chunks behind the last record that could be proven.
    pub unproven_bytes: u64,
    /// Torn ends of unsealed segments.
    pub cuts: Vec<Cut>,
    /// Holes between the records that exist.
    pub gaps: Vec<GapEvent>,
    /// Files that nobody knows. They stay where they are.
    pub strangers: Vec<PathBuf>,
    /// Files that were removed because the manifest proves that nobody needs them.
    pub removed_files: u64,
    /// Segments whose batches were read to find their end.
    pub scanned_segments: u64,
    /// Bytes of an unsynced manifest record that a crash had torn.
    pub manifest_cut_bytes: u64,
    /// Segment files with a damaged header in front of intact batches.
    pub damaged_headers: Vec<PathBuf>,
}

impl OpenReport {
    /// All bytes that were cut.
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.cuts.iter().map(|cut| cut.bytes).sum()
    }
}
