//! The running check of an open batch.
//!
//! An open batch has no checksum yet, and a crash may leave any part of it. So the stage keeps
//! this value beside the batch's length and count: it chains who the chunk belongs to, the
//! batch's own fields and every record's [hash](super::record_hash), offset and timestamp, in
//! order. Recovery takes the prefix whose check it can compute again, and nothing more.
//!
//! Like the hash it is part of the format; each step is one folded multiply per two words.

use super::hash::{P, fold};
use super::record::RecordHead;

/// The check of everything so far. A value: each step returns the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningCheck(pub u64);

impl RunningCheck {
    /// The check of nothing, in a chunk of this identity (generation, partition, incarnation).
    #[must_use]
    pub fn start(identity: [u64; 6]) -> Self {
        let [a, b, c, d, e, f] = identity;
        Self(P[0]).step(a, b, P[1]).step(c, d, P[2]).step(e, f, P[3])
    }

    /// Begins a batch: the fields that its records are relative to, and where it stands.
    #[must_use]
    pub fn batch(
        self,
        base_offset: u64,
        base_timestamp: i64,
        producer_id: i64,
        epoch_seq_attrs: u64,
        position: u32,
    ) -> Self {
        self.step(base_offset, base_timestamp.cast_unsigned(), P[4])
            .step(producer_id.cast_unsigned(), epoch_seq_attrs, P[5])
            .step(u64::from(position), 0, P[6])
    }

    /// Adds a record by its [hash](super::record_hash) and its first 16 bytes, in which lengths,
    /// nulls, offset and timestamp stand: one multiplication, for the appender is under its
    /// partition's lock.
    #[inline]
    #[must_use]
    pub fn record(self, hash: u64, head: RecordHead) -> Self {
        let RecordHead([low, high]) = head;
        self.step(low, hash, high)
    }

    #[inline]
    fn step(self, a: u64, b: u64, p: u64) -> Self {
        Self(fold(self.0 ^ a, b ^ p))
    }
}

#[cfg(test)]
mod tests;
