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
