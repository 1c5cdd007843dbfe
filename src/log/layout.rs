//! The bytes around the batches of a segment file: name, header, footer.
//!
//! ```text
//! header   0 magic u32        4 version u8       5 must_understand u8   6 zeros u16
//!          8 topic_id u128   24 number u64      32 base_offset u64
//!         40 created_ms i64  48 partition u32   52 salt u32             56 zeros u32
//!         60 crc u32 over bytes 0..60
//! batches  back to back, from byte 64 to data_len
//! footer   0 magic u32        4 version u8       5 must_understand u8
//!          6 flags u16 (bit 0: there is a greatest timestamp)
//!          8 data_len u64    16 next_offset u64 24 max_timestamp i64
//!         32 entries u32     36 rest u32        40 zeros u32
//!         44 crc u32 over bytes 0..44 and everything behind
//!         48 entries of 16 bytes: offset_delta u32, position u32, max_timestamp_before i64
//!         .. `rest` bytes: sections (see `sections.rs`)
//! ```
//!
//! The footer begins with its fixed part, so that a scan that runs into one recognises it.

use bytes::Bytes;

use super::index::{ENTRY_BYTES, Entry};
use super::key::PartitionKey;
use super::sections;
use crate::base::TopicId;

/// Bytes in front of the first batch.
/// How the names of segment files end.
pub const SEGMENT_SUFFIX: &str = ".seg";
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Bytes of a footer in front of its index entries.
pub const FOOTER_HEAD_BYTES: usize = 48;

const SEGMENT_MAGIC: u32 = u32::from_le_bytes(*b"ALsg");
const FOOTER_MAGIC: u32 = u32::from_le_bytes(*b"ALft");
const VERSION: u8 = 1;
const HAS_TIMESTAMP: u16 = 1;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// They are damaged.
    Bad(&'static str),
    /// They are of a later version, or need a feature that this build does not have.
    Unknown(&'static str),
}

/// The name of segment file `number`.
#[must_use]
pub fn segment_name(number: u64) -> String {
    format!("{number:016x}{SEGMENT_SUFFIX}")
}

/// The number in a segment file's name; `None` for every other name.
#[must_use]
pub fn parse_segment_name(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name.strip_suffix(SEGMENT_SUFFIX)?, 16).ok()?;
    // Only the one spelling that this crate writes is its own.
    (segment_name(number) == name).then_some(number)
}

/// The salt of a segment's batch headers.
///
/// It follows from names that the manifest keeps, so a damaged file header cannot make the
/// batches behind it unreadable, and batches of another file never pass for this file's.
#[must_use]
pub fn salt(log_id: u128, key: &PartitionKey, number: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&log_id.to_le_bytes());
    hasher.update(&key.topic_id.0.to_le_bytes());
    hasher.update(&key.partition.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.finalize()
}

/// The first bytes of a segment file: whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The partition.
    pub key: PartitionKey,
    /// The file's number.
    pub number: u64,
    /// The offset of its first record.
    pub base_offset: u64,
    /// Wall time of its creation.
    pub created_ms: i64,
    /// Seeds the CRC of every batch header in the file.
    pub salt: u32,
}

impl SegmentHeader {
    /// The bytes of this header.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        put(&mut out, 0, &SEGMENT_MAGIC.to_le_bytes());
        put(&mut out, 4, &[VERSION, 0]);
        put(&mut out, 8, &self.key.topic_id.0.to_le_bytes());
        put(&mut out, 24, &self.number.to_le_bytes());
        put(&mut out, 32, &self.base_offset.to_le_bytes());
        put(&mut out, 40, &self.created_ms.to_le_bytes());
        put(&mut out, 48, &self.key.partition.to_le_bytes());
        put(&mut out, 52, &self.salt.to_le_bytes());
        let crc = crc32fast::hash(out.get(..60).unwrap_or_default());
        put(&mut out, 60, &crc.to_le_bytes());
        out
    }

    /// Reads a header.
    ///
    /// # Errors
    /// The reason why `bytes` are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Flaw> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES).ok_or(Flaw::Bad("it is cut short"))?;
        let short = Flaw::Bad("it is cut short");
        if u32_at(bytes, 0) != Some(SEGMENT_MAGIC) {
            return Err(Flaw::Bad("it does not begin like a segment"));
        }
        if u32_at(bytes, 60) != bytes.get(..60).map(crc32fast::hash) {
            return Err(Flaw::Bad("the header's checksum does not match"));
        }
        understood(bytes)?;
        Ok(Self {
            key: PartitionKey {
                topic_id: TopicId(u128_at(bytes, 8).ok_or(short)?),
                partition: u32_at(bytes, 48).ok_or(short)?,
            },
            number: u64_at(bytes, 24).ok_or(short)?,
            base_offset: u64_at(bytes, 32).ok_or(short)?,
            created_ms: i64_at(bytes, 40).ok_or(short)?,
            salt: u32_at(bytes, 52).ok_or(short)?,
        })
    }
}

/// What stands behind the batches of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Where it begins: the length of header and batches.
    pub data_len: u64,
    /// The offset behind the last record.
    pub next_offset: u64,
    /// The greatest record timestamp.
    pub max_timestamp: Option<i64>,
    /// Its checksum, which the manifest repeats.
    pub crc: u32,
    /// The index entries, as they stand in the file.
    pub entries: Bytes,
    /// What stands behind them: sections.
    pub rest: Bytes,
    /// Bytes of the whole footer.
    pub len: u64,
}

impl Footer {
    /// The bytes of a footer, and their checksum.
    #[must_use]
    pub fn encode(
        entries: &[Entry],
        data_len: u64,
        next_offset: u64,
        max_timestamp: Option<i64>,
        rest: &[u8],
    ) -> (Vec<u8>, u32) {
        let mut out = vec![0; FOOTER_HEAD_BYTES];
        out.reserve_exact(entries.len() * ENTRY_BYTES + rest.len());
        put(&mut out, 0, &FOOTER_MAGIC.to_le_bytes());
        put(&mut out, 4, &[VERSION, 0]);
        let flags = if max_timestamp.is_some() { HAS_TIMESTAMP } else { 0 };
        put(&mut out, 6, &flags.to_le_bytes());
        put(&mut out, 8, &data_len.to_le_bytes());
        put(&mut out, 16, &next_offset.to_le_bytes());
        put(&mut out, 24, &max_timestamp.unwrap_or(0).to_le_bytes());
        // A segment has fewer than 2^32 bytes, hence fewer entries.
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        put(&mut out, 32, &count.to_le_bytes());
        put(&mut out, 36, &u32::try_from(rest.len()).unwrap_or(u32::MAX).to_le_bytes());
        entries.iter().for_each(|entry| out.extend_from_slice(&entry.encode()));
        out.extend_from_slice(rest);
        let crc = footer_crc(&out);
        put(&mut out, 44, &crc.to_le_bytes());
        (out, crc)
    }

    /// Reads the footer that `bytes` begin with; what is behind it is ignored.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn decode(bytes: &Bytes) -> Result<Self, Flaw> {
        let short = Flaw::Bad("the footer is cut short");
        let len = Self::len_of(bytes)?;
        let end = usize::try_from(len).map_err(|_| short)?;
        let whole = bytes.get(..end).ok_or(short)?;
        if u32_at(whole, 44) != Some(footer_crc(whole)) {
            return Err(Flaw::Bad("the footer's checksum does not match"));
        }
        understood(whole)?;
        let count = usize::try_from(u32_at(whole, 32).ok_or(short)?).map_err(|_| short)?;
        let behind = FOOTER_HEAD_BYTES + count * ENTRY_BYTES;
        let timestamp = i64_at(whole, 24).ok_or(short)?;
        let flags = whole.get(6).copied().unwrap_or(0);
        Ok(Self {
            data_len: u64_at(whole, 8).ok_or(short)?,
            next_offset: u64_at(whole, 16).ok_or(short)?,
            max_timestamp: (u16::from(flags) & HAS_TIMESTAMP != 0).then_some(timestamp),
            crc: u32_at(whole, 44).ok_or(short)?,
            entries: bytes.slice(FOOTER_HEAD_BYTES..behind),
            rest: bytes.slice(behind..end),
            len,
        })
    }

    /// What it says of producers and aborted transactions; nothing where it has no such section.
    #[must_use]
    pub fn producers(&self) -> Bytes {
        let found = sections::find(&self.rest, sections::PRODUCERS);
        found.map_or_else(Bytes::new, |range| self.rest.slice(range))
    }

    /// The length of the footer that `head` begins, if it looks like one.
    ///
    /// # Errors
    /// The reason why it does not.
    pub fn len_of(head: &[u8]) -> Result<u64, Flaw> {
        let short = Flaw::Bad("the footer is cut short");
        let head = head.get(..FOOTER_HEAD_BYTES).ok_or(short)?;
        if u32_at(head, 0) != Some(FOOTER_MAGIC) {
            return Err(Flaw::Bad("it does not begin like a footer"));
        }
        let entries = u64::from(u32_at(head, 32).ok_or(short)?) * ENTRY_BYTES as u64;
        Ok(FOOTER_HEAD_BYTES as u64 + entries + u64::from(u32_at(head, 36).ok_or(short)?))
    }
}

fn footer_crc(footer: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(footer.get(..44).unwrap_or_default());
    hasher.update(footer.get(FOOTER_HEAD_BYTES..).unwrap_or_default());
    hasher.finalize()
}

fn understood(bytes: &[u8]) -> Result<(), Flaw> {
    match (bytes.get(4), bytes.get(5)) {
        (Some(&VERSION), Some(0)) => Ok(()),
        (Some(&VERSION), _) => Err(Flaw::Unknown("it needs a feature that this build lacks")),
        _ => Err(Flaw::Unknown("it has a later format version")),
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(field) = out.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    array(bytes, at).map(i64::from_le_bytes)
}

fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    array(bytes, at).map(u128::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        let key = PartitionKey { topic_id: TopicId(7), partition: 3 };
        let salt = salt(9, &key, 0x1f);
        SegmentHeader { key, number: 0x1f, base_offset: 12, created_ms: -5, salt }
    }

    #[test]
    fn a_name_is_a_segments_only_in_its_one_spelling() {
        assert_eq!(parse_segment_name(&segment_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(parse_segment_name("000000000000001f.seg"), Some(0x1f));
        for other in ["1f.seg", "000000000000001F.seg", "+00000000000001f.seg", "x", ".seg"] {
            assert_eq!(parse_segment_name(other), None, "{other}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let bytes = header().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_footer_is_noticed() {
        let entries = [Entry { offset_delta: 4, position: 999, max_timestamp_before: i64::MIN }];
        let (bytes, crc) = Footer::encode(&entries, 5_000, 40, Some(-1), b"the rest");
        let footer = Footer::decode(&Bytes::from(bytes.clone())).unwrap();
        assert_eq!((footer.crc, footer.len), (crc, bytes.len() as u64));
        assert_eq!((footer.data_len, footer.next_offset), (5_000, 40));
        assert_eq!((footer.max_timestamp, &footer.rest[..]), (Some(-1), &b"the rest"[..]));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(&Bytes::from(flipped)).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Footer::decode(&Bytes::copy_from_slice(&bytes[..len])).is_err(), "{len}");
        }
    }
}
