//! Where decisions are written.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Result;
use crate::base::wait::Deadline;
use crate::coord::row;
use crate::partition::Partition;

use super::record::Record;

/// The partition behind the registry.
#[derive(Debug)]
pub(super) struct Journal(pub(super) Arc<Partition>);

impl Journal {
    /// Appends records, all or none; the offset behind them.
    pub(super) fn append(&self, records: &[Record], max_block: Duration) -> Result<u64> {
        row::append(&self.0, None, records, max_block)
    }

    /// Waits until everything below `end` survives what the log can survive.
    pub(super) fn wait(&self, end: u64, deadline: Deadline<'_>) -> Result<()> {
        self.0.wait_level(end, deadline)
    }
}
