//! Where the batches that stand in chunks are, for readers.
//!
//! The appender adds an entry when it opens a batch, not for every record; how far the newest
//! batch reaches is told by the chunk's published mark.

use std::collections::VecDeque;

use crate::batch::BatchHeader;
use crate::disk::{BlockPin, BlockReader};
use crate::stage::CHUNK_HEAD;

/// A batch in a chunk.
#[derive(Clone, Debug)]
pub struct StagedBatch {
    /// Base offset, base timestamp and attributes; counts and lengths may be those of an
    /// earlier moment.
    pub header: BatchHeader,
    /// Where its payload begins, from the chunk's beginning.
    pub position: usize,
    /// Which chunk.
    pub generation: (u32, u64),
    /// The chunk's memory.
    pub reader: BlockReader,
}

/// The staged batches of one partition, oldest first.
#[derive(Debug, Default)]
pub struct Staged(VecDeque<StagedBatch>);

impl Staged {
    /// Adds the newest batch.
    pub fn push(&mut self, batch: StagedBatch) {
        debug_assert!(
            self.0.back().is_none_or(|b| b.header.base_offset < batch.header.base_offset)
        );
        if self.0.capacity() == 0 {
            // Most of very many partitions never have a second one.
            self.0.reserve_exact(1);
        }
        self.0.push_back(batch);
    }

    /// Forgets the batches of one chunk.
    pub fn forget_chunk(&mut self, generation: (u32, u64)) {
        while self.0.front().is_some_and(|batch| batch.generation == generation) {
            self.0.pop_front();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The newest batch.
    pub fn newest(&self) -> Option<&StagedBatch> {
        self.0.back()
    }

    /// The oldest batch.
    pub fn first(&self) -> Option<&StagedBatch> {
        self.0.front()
    }

    /// The batch that holds `offset` and the ones behind it. When `offset` is older than what is
    /// staged: everything if it stands in a hole before it, else nothing.
    pub fn from(&self, offset: u64, in_hole: bool) -> impl Iterator<Item = &StagedBatch> {
        let after = self.0.partition_point(|batch| batch.header.base_offset <= offset);
        let older = if in_hole { 0 } else { self.0.len() };
        self.0.range(after.checked_sub(1).unwrap_or(older)..)
    }
}

/// The bytes from `start` to `end` of a pinned chunk, counted from the chunk's beginning; what
/// is not published yet is left out.
pub fn slice<'p>(pin: &'p BlockPin<'_>, start: usize, end: usize) -> &'p [u8] {
    let published = pin.bytes();
    let end = end.saturating_sub(CHUNK_HEAD).min(published.len());
    let start = start.saturating_sub(CHUNK_HEAD).min(end);
    &published[start..end]
}
