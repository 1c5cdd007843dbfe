//! One partition of a table: where reading has come to.

use std::sync::Arc;

use crate::backend::{FetchHint, PartitionBackend, PartitionMarks};
use crate::base::Isolation;
use crate::batch::RecordView;

/// A table shows no record of a transaction that may be aborted yet.
pub(super) const ISOLATION: Isolation = Isolation::ReadCommitted;

/// Where a table's reading of one partition has come to.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) door: Arc<dyn PartitionBackend>,
    /// Everything below is applied.
    pub(super) position: u64,
    /// The log start that was last looked at: nothing of the partition is kept from below.
    pub(super) start: u64,
    /// No record of the partition that is kept stands below. It may be lower than need be.
    pub(super) lowest: u64,
    /// The log start was left in this same pass, so a hole is older than anything that is kept.
    pub(super) from_start: bool,
    /// In this same pass records were missing.
    pub(super) met_hole: bool,
    /// How often the partition had been compacted when reading began at the log start.
    pub(super) rewritten: u64,
    /// The last record that was read.
    pub(super) last: Option<Witness>,
    pub(super) hint: FetchHint,
}

/// What a record is known again by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) offset: u64,
    pub(super) timestamp_ms: Option<i64>,
    /// Of key, value and headers.
    pub(super) hash: u64,
}

impl Witness {
    pub(super) fn of(offset: u64, timestamp_ms: Option<i64>, record: &RecordView<'_>) -> Self {
        Self { offset, timestamp_ms, hash: record.hash() }
    }
}

impl Part {
    /// Nothing is read yet.
    pub(super) fn new(number: u32, door: Arc<dyn PartitionBackend>) -> Self {
        let rewritten = door.rewritten();
        let start = door.marks().start;
        Self {
            number,
            door,
            position: start,
            start,
            lowest: u64::MAX,
            from_start: true,
            met_hole: false,
            rewritten,
            last: None,
            hint: FetchHint::default(),
        }
    }

    /// The first offset that a table does not show.
    #[inline]
    pub(super) fn end_of(marks: &PartitionMarks) -> u64 {
        marks.end_for(ISOLATION)
    }

    /// Whether there is something to apply, or to drop.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        let marks = self.door.marks();
        Self::end_of(&marks) > self.position || marks.start > self.start
    }

    /// Whether applying must look at it.
    pub(super) fn wants_a_look(&self) -> bool {
        self.from_start || self.has_news()
    }

    /// Whether a compaction has come between the begin of this pass and its end, so that the
    /// tombstone of what was read first may be missing from what was read last.
    pub(super) fn is_torn(&self) -> bool {
        self.from_start && self.met_hole && self.rewritten != self.door.rewritten()
    }

    /// Nothing is known any more: reading begins again at the log start.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::new(self.number, Arc::clone(&self.door));
    }
}
