//! Tables of topics and partitions. Their ids are the log's own and nobody can choose them, so a
//! multiplication is hash enough.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::base::TopicId;

use super::topics::Part;

/// A table by partition.
pub(super) type PartMap<V> = HashMap<Part, V, BuildHasherDefault<IdHasher>>;
/// A table by topic.
pub(super) type TopicMap<V> = HashMap<TopicId, V, BuildHasherDefault<IdHasher>>;

/// Hashes ids and numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64(number as u64);
        self.write_u64((number >> 64) as u64);
    }

    /// The table takes its place from the low bits, which a product has not mixed.
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn neighbours_are_spread_over_a_table() {
        let state = BuildHasherDefault::<IdHasher>::default();
        for topic in [TopicId(0), TopicId(7), TopicId(0x1234_5678_9abc_def0 << 64)] {
            let low = |number: u32| state.hash_one((topic, number)) & 0x3fff;
            let places: HashSet<u64> = (0..10_000).map(low).collect();
            // By chance 7,500 of 16,384 places would be taken.
            assert!(places.len() > 7_000, "{} places", places.len());
            let high = |number: u32| state.hash_one((topic, number)) >> 57;
            assert_eq!((0..10_000).map(high).collect::<HashSet<_>>().len(), 128);
        }
    }
}
