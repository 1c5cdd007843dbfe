//! The front of a segment that is still written: what of it is synced is read through a map.
//!
//! It is as good as a sealed file's. The bytes are on the disk as they are in the system's pages,
//! so that whatever happens to a page they come back the same. Nobody writes to them or cuts them
//! off: appends go behind them, and so do the footer, and the cut after a failed write. A sync that
//! fails later may lose what was written after the last good one, and whatever shares a page or a
//! block with it; so the end of the synced part is not lent, as far as it may do so.

use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{DiskFile, Front};

/// The least that is mapped, and how much more than there is: each new map costs a fault for every
/// sixteen pages, so there are few. It is address space and nothing else.
const LEAST_REACH: u64 = 16 << 20;

/// What is known of one segment's front.
#[derive(Debug, Default)]
pub(super) struct MappedFront {
    map: Option<Arc<dyn Front>>,
    /// How much was synced when the disk was asked last.
    asked: u64,
    lent: Bytes,
}

impl MappedFront {
    /// The front of `file`, of which `synced` bytes will not change; empty where it is not to be had.
    pub(super) fn of(&mut self, file: &dyn DiskFile, synced: u64) -> Bytes {
        if synced > self.asked {
            self.asked = synced;
            self.grow(file, synced);
        }
        self.lent.clone()
    }

    fn grow(&mut self, file: &dyn DiskFile, synced: u64) {
        // Shorter than what was synced: somebody else has cut it, and reads will say so.
        if file.len().is_ok_and(|len| len >= synced) {
            if self.map.as_ref().is_none_or(|map| map.reach() < synced) {
                let reach = usize::try_from(synced.saturating_mul(2).max(LEAST_REACH));
                let map = reach.ok().and_then(|reach| file.map_front(synced, reach).ok());
                self.map = map.or(self.map.take());
            }
            self.lent = self.map.as_ref().map_or_else(Bytes::new, |map| map.lend(synced));
        }
    }
}
