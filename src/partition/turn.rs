//! A producer's turn: as long as one producer with an id is the only one to append, what its
//! records are follows from their offsets.

use crate::backend::ProducerStamp;
use crate::log::producers::{Producers, Run, behind};

/// A turn ends before so many records: a run of sequence numbers has a bound.
const LONGEST: u64 = 1 << 30;

/// The producer that has appended the last record, and what is not noted of it yet: everything
/// from `base_offset` to the partition's end is its, with numbers from `sequence` on.
///
/// So an append that goes on costs a comparison, and the state of the producer is looked up when
/// somebody else appends or asks.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    id: i64,
    epoch: i16,
    transactional: bool,
    sequence: i32,
    base_offset: u64,
    touched_ms: i64,
    last_timestamp: i64,
}

impl Turn {
    /// The turn of a producer whose records below `next_offset` are noted.
    pub fn begin(stamp: &ProducerStamp, sequence: i32, next_offset: u64) -> Self {
        let ProducerStamp { id, epoch, transactional, .. } = *stamp;
        let base_offset = next_offset;
        Self { id, epoch, transactional, sequence, base_offset, touched_ms: 0, last_timestamp: -1 }
    }

    /// Whether records with this stamp go on at `next_offset`.
    #[inline]
    pub fn goes_on(&self, stamp: &ProducerStamp, next_offset: u64) -> bool {
        let count = next_offset - self.base_offset;
        self.id == stamp.id
            && self.epoch == stamp.epoch
            && self.transactional == stamp.transactional
            && count < LONGEST
            && behind(self.sequence, count as u32) == stamp.sequence
    }

    /// Notes when the last record came, and what time it has.
    #[inline]
    pub fn touch(&mut self, now_ms: i64, timestamp_ms: i64) {
        self.touched_ms = now_ms;
        self.last_timestamp = timestamp_ms;
    }

    /// Notes everything below `next_offset` in `producers`.
    pub fn end(self, next_offset: u64, producers: &mut Producers) {
        let count = u32::try_from(next_offset - self.base_offset).unwrap_or(u32::MAX);
        if count == 0 {
            return;
        }
        let run = Run { base_offset: self.base_offset, sequence: self.sequence, count };
        producers.push(self.id, self.epoch, self.transactional, run, self.touched_ms);
        producers.note_timestamp(self.id, self.last_timestamp);
    }
}
