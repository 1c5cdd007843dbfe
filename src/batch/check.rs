//! The running check of an open batch.
//!
//! An open batch has no checksum yet, and a crash may leave any part of it. So the stage keeps
//! this value beside the batch's length and count: it chains who the chunk belongs to, the
//! batch's own fields and every record's [hash](super::record_hash), offset and timestamp, in
//! order. Recovery takes the prefix whose check it can compute again, and nothing more.
//!
//! Like the hash it is part of the format; each step is one folded multiply per two words.

use super::hash::{P, fold};

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

    /// Adds a record by its [hash](super::record_hash): one multiplication, for the appender
    /// is under its partition's lock.
    #[inline]
    #[must_use]
    pub fn record(self, hash: u64, offset_delta: u32, ts_delta: Option<i32>) -> Self {
        let (ts, p) = match ts_delta {
            Some(delta) => (delta.cast_unsigned(), P[7]),
            // Another constant, for all 64 bits of the word are taken.
            None => (0, P[3]),
        };
        self.step(hash, u64::from(offset_delta) | u64::from(ts) << 32, p)
    }

    #[inline]
    fn step(self, a: u64, b: u64, p: u64) -> Self {
        Self(fold(self.0 ^ a, b ^ p))
    }
}

#[cfg(test)]
mod tests;
