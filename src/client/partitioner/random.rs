//! Chance, for partitions that nobody chose.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// A small generator (SplitMix64) that threads may share.
#[derive(Debug)]
pub(in crate::client) struct Random(AtomicU64);

impl Random {
    pub(in crate::client) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A generator that starts elsewhere each time, seeded by the standard library's hash keys.
    pub(in crate::client) fn unseeded() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is.
    pub(super) fn below(&self, bound: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u32
    }
}
