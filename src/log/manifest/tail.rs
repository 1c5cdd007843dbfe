//! The end of a manifest file, where frames are added.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::frame::{FrameHead, HEAD_BYTES};
use crate::base::{Error, ErrorKind, Result};
use crate::disk::DiskFile;

/// The file grows in steps of this.
pub(super) const STEP: u64 = 64 << 10;
/// So much room is kept behind the end while the disk has any.
pub(super) const RESERVE: u64 = 56 << 10;
/// What of it is kept for the records that free space, or that open and close a log: enough
/// for the `Closed` of a thousand partitions with staged records, and a few deletes.
pub(super) const KEPT: u64 = 40 << 10;

/// Where the next frame goes.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    pub(super) generation: u64,
    pub(super) seed: u32,
    /// Where the valid content ends.
    pub(super) end: u64,
    /// The last frame's CRC and number.
    pub(super) last_crc: u32,
    pub(super) sequence: u64,
    /// So much is known to be synced.
    pub(super) synced: u64,
    /// Up to here the file may hold something other than zeros.
    pub(super) dirty_to: u64,
    /// The file's length; all of it has room on the disk.
    pub(super) allocated: u64,
}

impl Tail {
    /// Adds one frame by one write. On error the end has not moved, and what a failed write
    /// left behind is covered with zeros now or by the next frame's write.
    ///
    /// A torn end of an earlier run is treated in the same way: the first frame covers it. Even
    /// if a power cut brings some of it back, its frames do not continue the new one (the chain
    /// of CRCs) and prove nothing about it (they were written before it was synced).
    pub(super) fn push(&mut self, payload: &[u8], may_use_reserve: bool) -> Result<u64> {
        let sequence = self.sequence.wrapping_add(1);
        let head = FrameHead { sequence, synced: self.synced, previous_crc: self.last_crc };
        let (head, crc) = head.encode(payload, self.seed).ok_or_else(|| {
            let bytes = payload.len();
            Error::new(ErrorKind::InvalidRequest, format!("{bytes} bytes are too many at once"))
        })?;
        let len = to_u64(HEAD_BYTES) + to_u64(payload.len());
        self.make_room(len, may_use_reserve)?;
        let end = self.end + len;
        let cover = vec![0; usize::try_from(self.dirty_to.saturating_sub(end)).unwrap_or(0)];
        if let Err(error) = self.file.write_at(&[&head, payload, &cover], self.end) {
            self.dirty_to = self.dirty_to.max(end);
            self.wipe();
            return Err(Error::io("write", &self.path, error));
        }
        (self.end, self.dirty_to) = (end, end);
        (self.sequence, self.last_crc) = (sequence, crc);
        Ok(sequence)
    }

    /// Covers with zeros what a failed write left. A change that was refused should not come
    /// back when the process dies now; if this fails too, the next push does it.
    fn wipe(&mut self) {
        let Ok(len) = usize::try_from(self.dirty_to - self.end) else {
            return;
        };
        if self.file.write_at(&[&vec![0; len]], self.end).is_ok() {
            self.dirty_to = self.end;
        }
    }

    fn make_room(&mut self, len: u64, may_use_reserve: bool) -> Result<()> {
        let wanted = self.end + len + RESERVE;
        if wanted <= self.allocated {
            return Ok(());
        }
        let grown = self.grow(wanted.next_multiple_of(STEP)).or_else(|_| self.grow(wanted));
        let kept = if may_use_reserve { 0 } else { KEPT };
        match grown {
            Err(error) if self.end + len + kept > self.allocated => {
                Err(Error::io("reserve room in", &self.path, error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn grow(&mut self, to: u64) -> io::Result<()> {
        let more = to.saturating_sub(self.allocated);
        match self.file.allocate(self.allocated, more) {
            // Written zeros are room too.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let zeros = vec![0; usize::try_from(more).map_err(io::Error::other)?];
                self.file.write_at(&[&zeros], self.allocated)?;
            }
            other => other?,
        }
        self.allocated = to;
        Ok(())
    }
}

pub(super) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
