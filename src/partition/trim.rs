//! Moving the log start: what is below it is gone.

use crate::base::{Error, ErrorKind, Result};
use crate::log::SegmentLog;

use super::Partition;

impl Partition {
    /// Moves the log start to `before`, or to the visible end for `None`, and returns where it
    /// is then. It is durable when this returns. A start that is there already is no error.
    ///
    /// Order of effects: what is staged below goes to segments, so that the manifest alone says
    /// where the log begins; a sync of the batch that the start may lie in; the manifest; the
    /// view and the marks; the chunks. A death in between leaves the old start, the new one, or
    /// the end of what was in segments.
    ///
    /// # Errors
    /// `OffsetOutOfRange` above the visible end; `PolicyViolation` where records only go by
    /// compaction; `StorageError` and `StorageFull`: the start may have moved a part of the way,
    /// and the call can be repeated.
    pub fn delete_records(&self, before: Option<u64>) -> Result<u64> {
        let mut log = self.flush.lock();
        if self.is_closed() {
            return Err(self.closed());
        }
        let policy = log.config().cleanup_policy;
        if policy.compact && !policy.delete {
            let message = "the topic is compacted, and its cleanup.policy does not say delete";
            return Err(self.error(Error::new(ErrorKind::PolicyViolation, message)));
        }
        let marks = self.marks_now();
        let offset = before.unwrap_or(marks.visible);
        if offset > marks.visible {
            let visible = marks.visible;
            let message = format!("records before {offset}: the visible end is {visible}");
            let error = Error::new(ErrorKind::OffsetOutOfRange, message);
            return Err(self.error(error).with_offset(offset));
        }
        if offset > marks.start {
            self.move_start(&mut log, offset)?;
        }
        Ok(self.marks.start())
    }

    /// Moves the start to `offset`, which is visible. See `delete_records` for the order.
    pub(super) fn move_start(&self, log: &mut SegmentLog, offset: u64) -> Result<()> {
        if log.end_offset() < offset {
            // What the segments hold goes first: a full disk may need its room for the rest.
            let settled = log.end_offset();
            self.set_start(log, settled)?;
            self.settle_locked(log)?;
        }
        if log.synced_offset() < offset && offset < log.end_offset() {
            // The start may lie within a batch. Where it is durable that batch must be too: a
            // chunk of the stage is only found again where a batch begins.
            let synced = log.sync();
            self.note_synced(log);
            synced.map_err(|e| self.error(e))?;
        }
        self.set_start(log, offset)
    }

    fn set_start(&self, log: &mut SegmentLog, offset: u64) -> Result<()> {
        let moved = log.set_start(offset);
        self.publish_segments(log);
        self.note_synced(log);
        self.marks.begin(log.start_offset());
        self.release(log.synced_offset());
        self.forget_recent();
        moved.map_err(|e| self.error(e))
    }
}
