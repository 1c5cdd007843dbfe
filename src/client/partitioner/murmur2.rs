//! Kafka's partition of a key.

/// Kafka's hash of a key (`Utils.murmur2`): 32-bit MurmurHash2 with Kafka's seed.
#[inline(never)]
fn murmur2(key: &[u8]) -> u32 {
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
#[inline]
pub(in crate::client) fn partition_of(key: &[u8], count: u32) -> u32 {
    if count == 1 {
        return 0;
    }
    (murmur2(key) & 0x7fff_ffff) % count.max(1)
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
}
