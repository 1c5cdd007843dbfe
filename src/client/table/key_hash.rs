//! The hash of a key, under a secret that every table draws for itself.
//!
//! Whoever writes keys must not be able to choose a table's collisions, as with the standard
//! library's maps; but theirs takes four times as long for a key of some bytes. The step is the
//! folded multiply of wyhash: the two halves of a 128-bit product, xored. Both factors hold a
//! part of the secret, so that nobody can make one of them zero. Nothing stored depends on it.

use crate::base::ids::random_u128;

/// A secret, and the hash that it makes.
#[derive(Clone, Copy)]
pub(super) struct KeyHash {
    a: u64,
    b: u64,
    c: u64,
    d: u64,
}

/// Odd and dense; spreads lengths.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl KeyHash {
    pub(super) fn new() -> Self {
        let halves = |word: u128| (word as u64, (word >> 64) as u64);
        let ((a, b), (c, d)) = (halves(random_u128()), halves(random_u128()));
        Self { a, b, c, d }
    }

    /// All bits depend on all bits of the key.
    #[inline]
    pub(super) fn of(&self, key: &[u8]) -> u64 {
        let (x, y) = match key.len() {
            0 => (0, 0),
            len @ 1..=3 => {
                (u64::from(key[0]) | u64::from(key[len / 2]) << 8, u64::from(key[len - 1]))
            }
            4..=7 => (
                u64::from(u32::from_le_bytes(first(key))),
                u64::from(u32::from_le_bytes(last(key))),
            ),
            8..=16 => (u64::from_le_bytes(first(key)), u64::from_le_bytes(last(key))),
            _ => self.long(key),
        };
        let length = (key.len() as u64).wrapping_mul(SPREAD);
        let hash = fold(x ^ self.a, y ^ self.b ^ length);
        fold(hash ^ self.c, self.d)
    }

    fn long(&self, key: &[u8]) -> (u64, u64) {
        let mut lane = self.d;
        for chunk in key.as_chunks::<16>().0 {
            let (low, high) = halves(chunk);
            lane = fold(low ^ lane, high ^ self.c);
        }
        let (low, high) = halves(&last(key));
        (lane, fold(low ^ self.b, high ^ self.a))
    }
}

#[inline(always)]
fn halves(chunk: &[u8; 16]) -> (u64, u64) {
    let all = u128::from_le_bytes(*chunk);
    (all as u64, (all >> 64) as u64)
}

/// The first `N` bytes, of a key that is not shorter.
#[inline(always)]
fn first<const N: usize>(key: &[u8]) -> [u8; N] {
    key.first_chunk().copied().unwrap_or([0; N])
}

/// The last `N` bytes, of a key that is not shorter.
#[inline(always)]
fn last<const N: usize>(key: &[u8]) -> [u8; N] {
    key.last_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_byte_of_a_key_and_its_length_count() {
        let hash = KeyHash::new();
        for len in 0..80 {
            let key = vec![0; len];
            let mut seen = HashSet::from([hash.of(&key)]);
            for at in 0..len {
                let mut other = key.clone();
                other[at] = 1;
                assert!(seen.insert(hash.of(&other)), "byte {at} of {len}");
            }
            assert!(seen.insert(hash.of(&vec![0; len + 1])), "length {len}");
        }
    }

    #[test]
    fn hashes_spread_over_the_low_and_the_high_bits() {
        let hash = KeyHash::new();
        let (mut low, mut high) = (vec![0; 256], vec![0; 256]);
        for n in 0..65_536_u32 {
            let of = hash.of(format!("key-{n}").as_bytes());
            low[(of >> 24 & 255) as usize] += 1;
            high[(of >> 56) as usize] += 1;
        }
        for count in low.iter().chain(&high) {
            assert!((128..=384).contains(count), "{count} of 256 that were to be expected");
        }
    }

    #[test]
    fn every_table_has_a_secret_of_its_own() {
        assert_ne!(KeyHash::new().of(b"key"), KeyHash::new().of(b"key"));
    }
}
