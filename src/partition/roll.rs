//! Ending a segment before it is full.

use crate::base::Result;

use super::Partition;

/// A segment that was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rolled {
    /// The offset of its first record.
    pub base_offset: u64,
    /// The offset behind its last record: the next segment begins there.
    pub next_offset: u64,
    /// Bytes of its header and batches.
    pub bytes: u64,
}

impl Partition {
    /// Ends the segment of a compacted topic that holds a record older than
    /// `max.compaction.lag.ms`: only what is not written any more is compacted, and nobody may
    /// ever append again. Whether to look again later: where the lag is bounded.
    ///
    /// # Errors
    /// As [`roll`](Self::roll).
    pub fn end_overdue(&self) -> Result<bool> {
        let lag = {
            let settings = self.settings.read();
            let bounded =
                settings.cleanup_policy.compact && settings.max_compaction_lag_ms < i64::MAX;
            if bounded { settings.max_compaction_lag_ms } else { return Ok(false) }
        };
        let oldest = self.flush.lock().active_since().or_else(|| self.staged_since());
        let overdue = |oldest| self.shared.clock.unix_ms().saturating_sub(oldest) > lag;
        if oldest.is_some_and(overdue) {
            self.roll()?;
        }
        Ok(true)
    }

    /// The base timestamp of the oldest batch that is staged.
    fn staged_since(&self) -> Option<i64> {
        let unsettled = self.marks.end() > self.marks.settled();
        let staged = self.staged.read();
        staged.first().filter(|_| unsettled).map(|batch| batch.header.base_timestamp)
    }

    /// Ends the segment that is being written, with everything that is staged, and seals it.
    /// `None` where there is no record in it: an empty segment never rolls (A17).
    ///
    /// # Errors
    /// `StorageFull` and `StorageError`: what is staged stays there, or the segment is ended and
    /// sealed by a later pass.
    pub fn roll(&self) -> Result<Option<Rolled>> {
        let rolled = {
            let mut log = self.flush.lock();
            if self.is_closed() {
                return Err(self.closed());
            }
            self.settle_locked(&mut log)?;
            let rolled = log.roll();
            self.publish_segments(&log);
            rolled
        };
        self.seal_behind()?;
        Ok(rolled.map(|facts| Rolled {
            base_offset: facts.base_offset,
            next_offset: facts.next_offset,
            bytes: facts.bytes,
        }))
    }
}
