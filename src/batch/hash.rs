//! The hash of a record's content: what the running check of the stage is made of.
//!
//! It guards against torn and stale bytes, not against an adversary. It is part of the format:
//! neither the constants nor the order of operations may change within a version.
//!
//! The step is the folded multiply of wyhash: the two halves of a 128-bit product, xored. Parts
//! of up to 64 bytes are read by one to four independent steps, longer ones by four lanes of 16
//! bytes; reads at the end overlap instead of branching by length. Lengths and nulls stand in the
//! record's head, which the check adds, and those of headers are hashed here, so that no byte can
//! move between parts unnoticed.

use super::reader::RecordView;
use crate::base::record::{Header, RawRecord};

/// Odd, dense and unlike one another; otherwise arbitrary (the first are wyhash's).
pub(super) const P: [u64; 8] = [
    0xa076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db,
    0x8ebc_6af0_9c88_c6e3,
    0x5899_65cc_7537_4cc3,
    0x1d8e_4e27_c47d_124f,
    0xeb44_acca_b455_d165,
    0x9c6e_6877_736c_46e3,
    0x3bd6_6e9b_5a0f_c7a9,
];

/// The folded multiply.
#[inline]
pub(super) const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

/// The hash of a record's key, value and headers.
///
/// Equal to [`RecordView::hash`] of the same record after encoding. What stands in the record's
/// first 16 bytes (lengths, nulls, timestamp, offset) is not part of it:
/// [`RunningCheck::record`](super::RunningCheck::record) adds them.
#[inline(always)]
#[must_use]
pub fn record_hash(record: &RawRecord<'_>) -> u64 {
    let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
    let hash = content(key, value);
    if record.headers.is_empty() {
        return hash;
    }
    headers(hash, value.len(), record.headers.iter().copied())
}

/// The hash of a key: what the key index goes by.
#[inline]
#[must_use]
pub fn key_hash(key: &[u8]) -> u64 {
    bytes(key, P[2])
}

impl RecordView<'_> {
    /// The hash of the content; see [`record_hash`].
    #[inline]
    #[must_use]
    pub fn hash(&self) -> u64 {
        let (key, value) = (self.key.unwrap_or_default(), self.value.unwrap_or_default());
        let hash = content(key, value);
        if self.headers().is_empty() {
            return hash;
        }
        headers(hash, value.len(), self.headers().iter())
    }
}

/// The parts have seeds of their own, so that they do not cancel out where they are alike.
#[inline(always)]
fn content(key: &[u8], value: &[u8]) -> u64 {
    let key = if key.len() <= 16 { few(key, P[2]) } else { bytes_apart(key, P[2]) };
    key ^ bytes(value, P[3])
}

/// As [`bytes`], not inline: most keys are short.
#[inline(never)]
fn bytes_apart(part: &[u8], seed: u64) -> u64 {
    bytes(part, seed)
}

#[inline(never)]
fn headers<'a>(hash: u64, value_len: usize, all: impl ExactSizeIterator<Item = Header<'a>>) -> u64 {
    // Values have 27 bits, counts 16: they do not overlap.
    let second_head = value_len as u64 | (all.len() as u64) << 32;
    let hash = fold(hash ^ P[0], second_head ^ P[1]);
    all.fold(hash, |hash, (name, value)| {
        let null = u64::from(value.is_none()) << 63;
        let value = value.unwrap_or_default();
        let lengths = name.len() as u64 | (value.len() as u64) << 32 | null;
        let shape = fold(hash ^ P[5], lengths ^ P[6]);
        fold(bytes(name.as_bytes(), P[2]) ^ shape, bytes(value, P[3]) ^ P[7])
    })
}

/// The hash of one part, whose length the caller has hashed.
///
/// Inline, and with the lengths in a tree: every second instruction of a small record was a
/// comparison or a call.
#[inline(always)]
fn bytes(part: &[u8], seed: u64) -> u64 {
    if part.len() > 16 { many(part, seed) } else { few(part, seed) }
}

/// Up to 16 bytes.
#[inline(always)]
fn few(part: &[u8], seed: u64) -> u64 {
    match part.len() {
        8.. => {
            let (first, last) = ends::<8>(part);
            fold(first ^ P[1], last ^ seed)
        }
        4.. => fold(ends::<4>(part).0 << 32 ^ ends::<4>(part).1 ^ P[1], seed),
        1.. => fold(word(part) ^ P[1], seed),
        0 => seed,
    }
}

/// More than 16 bytes.
#[inline(always)]
fn many(part: &[u8], seed: u64) -> u64 {
    match part.len() {
        129.. => long(part, seed),
        65.. => {
            let first = part.first_chunk().unwrap_or(&[0; 64]);
            finish(absorb(lanes(seed), first), part)
        }
        33.. => {
            let (first, last) = (part.first_chunk::<32>(), part.last_chunk::<32>());
            let (first, last) = (first.unwrap_or(&[0; 32]), last.unwrap_or(&[0; 32]));
            pair(first, seed, P[4], P[5]) ^ pair(last, seed, P[6], P[7])
        }
        _ => pair(part, seed, P[4], P[5]),
    }
}

/// Two independent steps over the first and the last 16 bytes.
#[inline(always)]
fn pair(part: &[u8], seed: u64, p: u64, q: u64) -> u64 {
    let first = part.first_chunk::<16>().unwrap_or(&[0; 16]);
    let last = part.last_chunk::<16>().unwrap_or(&[0; 16]);
    step(first, p, seed) ^ step(last, q, seed)
}

/// More than 64 bytes: whole stripes, then the last 64 bytes, whatever the stripes have read.
#[inline(never)]
fn long(part: &[u8], seed: u64) -> u64 {
    let mut lanes = lanes(seed);
    let mut rest = part;
    while rest.len() > 64
        && let Some((stripe, behind)) = rest.split_first_chunk::<64>()
    {
        lanes = absorb(lanes, stripe);
        rest = behind;
    }
    finish(lanes, part)
}

#[inline(always)]
fn lanes(seed: u64) -> [u64; 4] {
    [seed, seed ^ P[0], seed ^ P[1], seed ^ P[6]]
}

#[inline(always)]
fn finish(lanes: [u64; 4], part: &[u8]) -> u64 {
    let [a, b, c, d] = absorb(lanes, part.last_chunk().unwrap_or(&[0; 64]));
    a ^ b ^ c ^ d
}

#[inline(always)]
fn absorb(lanes: [u64; 4], stripe: &[u8; 64]) -> [u64; 4] {
    let block = |at: usize| {
        let mut block = [0; 16];
        block.copy_from_slice(&stripe[at..at + 16]);
        block
    };
    let [a, b, c, d] = lanes;
    [
        step(&block(0), P[2], a),
        step(&block(16), P[3], b),
        step(&block(32), P[4], c),
        step(&block(48), P[5], d),
    ]
}

#[inline(always)]
fn step(block: &[u8; 16], p: u64, state: u64) -> u64 {
    let all = u128::from_le_bytes(*block);
    fold(all as u64 ^ p, (all >> 64) as u64 ^ state)
}

/// The first and the last `N` bytes as words, `N` at most 8.
#[inline(always)]
fn ends<const N: usize>(part: &[u8]) -> (u64, u64) {
    let word = |bytes: Option<&[u8; N]>| {
        let mut wide = [0; 8];
        if let Some(bytes) = bytes {
            wide[..N].copy_from_slice(bytes);
        }
        u64::from_le_bytes(wide)
    };
    (word(part.first_chunk()), word(part.last_chunk()))
}

/// One to three bytes as a word.
#[inline]
fn word(part: &[u8]) -> u64 {
    part.iter().fold(0, |word, &byte| word << 8 | u64::from(byte))
}
