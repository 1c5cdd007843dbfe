//! The hash by which the map finds keys.
//!
//! Nothing depends on it but speed, and how much a pass leaves for a later one: a record is only
//! taken away when its key was compared with the newer one's, byte by byte. It is seeded anew for
//! each pass, so that nobody can choose keys that collide.

/// The seeds of one pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHash {
    seeds: [u64; 3],
    /// Tests take bits away to make keys collide.
    mask: u64,
}

impl KeyHash {
    pub(super) fn new(seed: u128) -> Self {
        let (low, high) = (seed as u64, (seed >> 64) as u64);
        Self { seeds: [low | 1, high | 1, fold(low ^ SPREAD, high ^ !SPREAD)], mask: u64::MAX }
    }

    /// One that tells so few keys apart.
    #[cfg(test)]
    pub(super) fn weak(seed: u128, bits: u32) -> Self {
        Self { mask: u64::MAX << (64 - bits), ..Self::new(seed) }
    }

    #[inline]
    pub(super) fn of(&self, key: &[u8]) -> u64 {
        let [a, b, c] = self.seeds;
        let mut x = c ^ key.len() as u64;
        let mut rest = key;
        while let Some((block, behind)) = rest.split_first_chunk::<16>() {
            if behind.is_empty() {
                break;
            }
            x = mix(block, x, a, b);
            rest = behind;
        }
        if let Some(last) = key.last_chunk::<16>() {
            x = mix(last, x, b, a);
        } else {
            let mut last = [0; 16];
            if let Some(to) = last.get_mut(..rest.len()) {
                to.copy_from_slice(rest);
            }
            x = mix(&last, x, b, a);
        }
        fold(x ^ a, c ^ SPREAD) & self.mask
    }
}

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn mix(block: &[u8; 16], x: u64, p: u64, q: u64) -> u64 {
    let both = u128::from_le_bytes(*block);
    fold(both as u64 ^ p ^ x, (both >> 64) as u64 ^ q).wrapping_add(x)
}

/// The two halves of a product, xored.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_of_every_length_differ_in_each_byte_and_in_length() {
        let hash = KeyHash::new(0x1234_5678_9abc_def0_0fed_cba9_8765_4321);
        let mut seen = HashSet::new();
        for len in 0..70_usize {
            let key = vec![0_u8; len];
            assert!(seen.insert(hash.of(&key)), "{len}");
            for at in 0..len {
                let mut other = key.clone();
                other[at] = 1;
                assert!(seen.insert(hash.of(&other)), "{len} {at}");
            }
        }
    }

    #[test]
    fn counted_keys_spread_evenly() {
        let hash = KeyHash::new(7);
        let mut buckets = [0_u32; 64];
        for number in 0_u64..64_000 {
            buckets[(hash.of(&number.to_le_bytes()) >> 58) as usize] += 1;
        }
        assert!(buckets.iter().all(|count| (800..1_200).contains(count)), "{buckets:?}");
    }

    #[test]
    fn another_seed_is_another_hash() {
        let of = |seed| KeyHash::new(seed).of(b"key");
        assert_ne!(of(1), of(2));
        assert_eq!(of(1), of(1));
        assert_eq!(KeyHash::weak(1, 2).of(b"key") << 2, 0, "two bits are left");
    }
}
