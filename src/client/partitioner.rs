//! Which partition a record goes to: named, by key, or sticky.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// Kafka's hash of a key (`Utils.murmur2`): 32-bit MurmurHash2 with Kafka's seed.
pub(super) fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // Kafka's keys are shorter than 2^31 bytes, ours than 2^24.
    let mut h = SEED ^ (key.len() as u32);
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        h = (h ^ tail).wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

/// The partition of a key: Kafka's `toPositive(murmur2(key)) % count`.
pub(super) fn partition_of(key: &[u8], count: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % count.max(1)
}

/// A small generator (SplitMix64) that threads may share.
#[derive(Debug)]
pub(super) struct Random(AtomicU64);

impl Random {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A generator that starts elsewhere each time, seeded by the standard library's hash keys.
    pub(super) fn unseeded() -> Self {
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
    fn below(&self, bound: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u32
    }
}

/// Where records without a key go: one partition until enough bytes went there (B04).
///
/// The partition stands in the upper half of the word, the bytes in the lower.
#[derive(Debug)]
pub(super) struct Sticky(AtomicU64);

impl Sticky {
    pub(super) fn new(count: u32, random: &Random) -> Self {
        Self(AtomicU64::new(u64::from(random.below(count)) << 32))
    }

    /// The partition of the moment.
    pub(super) fn current(&self) -> u32 {
        (self.0.load(Ordering::Relaxed) >> 32) as u32
    }

    /// Counts `bytes` that went to `partition`; moves on at `batch_size` of them.
    pub(super) fn produced(&self, at: Produced, count: u32, random: &Random) {
        let next = |word: u64| {
            let (partition, before) = ((word >> 32) as u32, word & u64::from(u32::MAX));
            if partition != at.partition {
                return None; // Another thread has moved on.
            }
            let after = before.saturating_add(at.bytes as u64).min(u64::from(u32::MAX));
            let next = if after >= u64::from(at.batch_size) {
                u64::from(another(partition, count, random)) << 32
            } else {
                u64::from(partition) << 32 | after
            };
            Some(next)
        };
        // An error says that another thread has moved on: then there is nothing to count.
        let _moved = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

/// Bytes that a sticky partition took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Produced {
    pub(super) partition: u32,
    pub(super) bytes: usize,
    pub(super) batch_size: u32,
}

/// Any partition but `current`, each as likely.
fn another(current: u32, count: u32, random: &Random) -> u32 {
    if count < 2 {
        return 0;
    }
    let drawn = random.below(count - 1);
    if drawn < current { drawn } else { drawn + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b02_the_hash_is_kafkas() {
        let vectors: [(&str, i32); 5] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("abc", 479_470_107),
            ("", 275_646_681),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()), hash as u32, "{key:?}");
        }
    }

    #[test]
    fn b02_the_hash_is_kafkas_for_long_keys_too() {
        // From UtilsTest.testMurmur2.
        let a = b"a-little-bit-longer-string";
        let b = b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8";
        assert_eq!(murmur2(a), -1_486_304_829_i32 as u32);
        assert_eq!(murmur2(b), -58_897_971_i32 as u32);
    }

    #[test]
    fn b03_a_key_has_kafkas_partition() {
        for (key, partition) in [("foobar", 6), ("abc", 3), ("21", 0), ("", 9)] {
            assert_eq!(partition_of(key.as_bytes(), 12), partition, "{key:?} of 12");
        }
        assert_eq!(partition_of(b"key", 3), 1);
        assert_eq!(partition_of(b"abc", 3), 0);
    }

    #[test]
    fn b04_the_sticky_partition_changes_after_batch_size_bytes() {
        let random = Random::seeded(7);
        let sticky = Sticky::new(5, &random);
        let first = sticky.current();
        let produced = |bytes| Produced { partition: first, bytes, batch_size: 100 };
        sticky.produced(produced(99), 5, &random);
        assert_eq!(sticky.current(), first);
        sticky.produced(produced(1), 5, &random);
        assert_ne!(sticky.current(), first, "another, never the same again");
        let second = sticky.current();
        sticky.produced(produced(1_000), 5, &random);
        assert_eq!(sticky.current(), second, "bytes of the old partition no longer count");
    }

    #[test]
    fn another_reaches_every_partition_but_the_current() {
        let random = Random::seeded(1);
        let seen: std::collections::BTreeSet<_> =
            (0..200).map(|_| another(2, 5, &random)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 3, 4]);
        assert_eq!(another(0, 1, &random), 0);
    }
}
