//! The 64 bytes in front of a batch's records.
//!
//! ```text
//!  0 magic u16          2 version u8          3 attributes u8
//!  4 must_understand u8 5 may_ignore u8       6 producer_epoch i16
//!  8 payload_len u32   12 payload_crc u32    16 base_offset u64
//! 24 base_timestamp i64                      32 last_offset_delta u32
//! 36 count u32         40 max_timestamp_delta i32
//! 44 leader_epoch u32  48 producer_id i64    56 base_sequence i32
//! 60 header_crc u32
//! ```
//!
//! Every later version keeps the magic, the version byte and the checksum where they are, so
//! that a batch of an unknown version is told from a damaged one.

use super::attributes::Attributes;
use super::damage::Damage;
use super::record::{RECORD_ALIGN, RECORD_HEAD_BYTES};

/// The length of an encoded [`BatchHeader`].
pub const HEADER_BYTES: usize = 64;

const MAGIC: u16 = 0xA11F;
const VERSION: u8 = 1;
/// Where the header's own checksum stands.
const CRC_AT: usize = HEADER_BYTES - 4;

/// What is known of a batch without reading its records.
///
/// Its checksum is seeded with a salt of the file that it stands in, so that a header left over
/// from another life of the same blocks is not taken for a live one; the payload's is not, so
/// that payloads move between files verbatim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// What kind of batch it is.
    pub attributes: Attributes,
    /// The producer's epoch; -1 without a producer id.
    pub producer_epoch: i16,
    /// The bytes behind the header, a multiple of 8.
    pub payload_len: u32,
    /// The [`payload_crc`] of these bytes.
    pub payload_crc: u32,
    /// The offset that the records' deltas are relative to.
    pub base_offset: u64,
    /// The time, in milliseconds since the epoch, that the records' deltas are relative to.
    pub base_timestamp: i64,
    /// The last offset, as a delta. Compaction keeps it, whatever records remain.
    pub last_offset_delta: u32,
    /// How many records the payload holds.
    pub count: u32,
    /// The greatest timestamp, as a delta; [`BatchHeader::NO_TIMESTAMP`] when no record has one.
    pub max_timestamp_delta: i32,
    /// The incarnation of the log that placed the batch (Kafka's leader epoch).
    pub leader_epoch: u32,
    /// The producer's id; -1 without one.
    pub producer_id: i64,
    /// The sequence number of the first record; -1 without a producer id.
    pub base_sequence: i32,
}

impl BatchHeader {
    /// The [`max_timestamp_delta`](Self::max_timestamp_delta) of a batch without timestamps.
    pub const NO_TIMESTAMP: i32 = i32::MIN;

    /// The header of a batch without records at `base_offset`, of no producer: fill in the rest.
    #[must_use]
    pub const fn empty(base_offset: u64) -> Self {
        Self {
            attributes: Attributes::NONE,
            producer_epoch: -1,
            payload_len: 0,
            payload_crc: 0,
            base_offset,
            base_timestamp: 0,
            last_offset_delta: 0,
            count: 0,
            max_timestamp_delta: Self::NO_TIMESTAMP,
            leader_epoch: 0,
            producer_id: -1,
            base_sequence: -1,
        }
    }

    /// The bytes of this header in a file with this salt.
    #[must_use]
    pub fn encode(&self, salt: u32) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        put(&mut out, 0, MAGIC.to_le_bytes());
        put(&mut out, 2, [VERSION, self.attributes.0]);
        // 4 and 5, the feature flags, are 0 in version 1.
        put(&mut out, 6, self.producer_epoch.to_le_bytes());
        put(&mut out, 8, self.payload_len.to_le_bytes());
        put(&mut out, 12, self.payload_crc.to_le_bytes());
        put(&mut out, 16, self.base_offset.to_le_bytes());
        put(&mut out, 24, self.base_timestamp.to_le_bytes());
        put(&mut out, 32, self.last_offset_delta.to_le_bytes());
        put(&mut out, 36, self.count.to_le_bytes());
        put(&mut out, 40, self.max_timestamp_delta.to_le_bytes());
        put(&mut out, 44, self.leader_epoch.to_le_bytes());
        put(&mut out, 48, self.producer_id.to_le_bytes());
        put(&mut out, 56, self.base_sequence.to_le_bytes());
        let crc = header_crc(&out, salt);
        put(&mut out, CRC_AT, crc.to_le_bytes());
        out
    }

    /// The header that `bytes` begin with, in a file with this salt.
    ///
    /// # Errors
    ///
    /// Too few bytes, a wrong magic number or checksum, or fields that contradict each other;
    /// with [`Damage::version`] when the checksum holds but the format is newer than this build.
    pub fn decode(bytes: &[u8], salt: u32) -> Result<BatchHeader, Damage> {
        let Some(raw) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Damage::new("fewer bytes than a batch header"));
        };
        // The magic first: a scan over arbitrary bytes then rarely computes a checksum.
        if u16::from_le_bytes(get(raw, 0)) != MAGIC {
            return Err(Damage::new("batch magic number does not match"));
        }
        if u32::from_le_bytes(get(raw, CRC_AT)) != header_crc(raw, salt) {
            return Err(Damage::new("batch header checksum does not match"));
        }
        let [version, _, must_understand, _may_ignore] = get(raw, 2);
        if version != VERSION {
            return Err(Damage::unknown("batch format version is unknown"));
        }
        if must_understand != 0 {
            return Err(Damage::unknown("batch needs a feature that is unknown"));
        }
        let header = Self::fields(raw);
        header.check_fields()?;
        Ok(header)
    }

    /// The fields that `bytes` hold, whatever they say: for a header whose batch is still open,
    /// which something else vouches for. `None` when there are fewer than 64 bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<BatchHeader> {
        bytes.first_chunk().map(Self::fields)
    }

    fn fields(raw: &[u8; HEADER_BYTES]) -> BatchHeader {
        BatchHeader {
            attributes: Attributes(raw[3]),
            producer_epoch: i16::from_le_bytes(get(raw, 6)),
            payload_len: u32::from_le_bytes(get(raw, 8)),
            payload_crc: u32::from_le_bytes(get(raw, 12)),
            base_offset: u64::from_le_bytes(get(raw, 16)),
            base_timestamp: i64::from_le_bytes(get(raw, 24)),
            last_offset_delta: u32::from_le_bytes(get(raw, 32)),
            count: u32::from_le_bytes(get(raw, 36)),
            max_timestamp_delta: i32::from_le_bytes(get(raw, 40)),
            leader_epoch: u32::from_le_bytes(get(raw, 44)),
            producer_id: i64::from_le_bytes(get(raw, 48)),
            base_sequence: i32::from_le_bytes(get(raw, 56)),
        }
    }

    /// What a sound checksum does not prove: that whoever wrote the header counted right.
    /// Readers size and place things by these fields.
    fn check_fields(&self) -> Result<(), Damage> {
        if !(self.payload_len as usize).is_multiple_of(RECORD_ALIGN) {
            return Err(Damage::new("batch payload length is not a multiple of 8"));
        }
        let span = u64::from(self.last_offset_delta) + 1;
        if self.base_offset.checked_add(span).is_none() {
            return Err(Damage::new("batch offsets overflow"));
        }
        if u64::from(self.count) > span {
            return Err(Damage::new("batch has more records than offsets"));
        }
        let least = u64::from(self.count) * RECORD_HEAD_BYTES as u64;
        if self.attributes.codec() == 0 && least > u64::from(self.payload_len) {
            return Err(Damage::new("batch has more records than its payload can hold"));
        }
        Ok(())
    }

    /// The first offset behind the batch.
    #[must_use]
    pub const fn next_offset(&self) -> u64 {
        // `decode` proves that this does not saturate; headers made here never come near.
        self.base_offset.saturating_add(self.last_offset_delta as u64 + 1)
    }

    /// The last offset of the batch, whether or not a record with it remains.
    #[must_use]
    pub const fn last_offset(&self) -> u64 {
        self.base_offset.saturating_add(self.last_offset_delta as u64)
    }

    /// The greatest timestamp of the records, when any of them has one.
    #[must_use]
    pub const fn max_timestamp(&self) -> Option<i64> {
        if self.max_timestamp_delta == Self::NO_TIMESTAMP {
            return None;
        }
        Some(self.base_timestamp.saturating_add(self.max_timestamp_delta as i64))
    }

    /// The timestamp of a record with this delta.
    #[must_use]
    pub fn timestamp(&self, ts_delta: Option<i32>) -> Option<i64> {
        ts_delta.map(|delta| self.base_timestamp.saturating_add(i64::from(delta)))
    }

    /// Header and payload together, in bytes.
    #[must_use]
    pub const fn total_len(&self) -> u64 {
        HEADER_BYTES as u64 + self.payload_len as u64
    }
}

/// The checksum of a payload.
#[must_use]
pub fn payload_crc(payload: &[u8]) -> u32 {
    crc32fast::hash(payload)
}

/// Whether `payload` is the payload that `header` was sealed with.
///
/// # Errors
///
/// Another length or another checksum.
pub fn verify(header: &BatchHeader, payload: &[u8]) -> Result<(), Damage> {
    verify_in_pieces(header, payload, usize::MAX, |_| ())
}

/// As [`verify`], and calls `before` with the position of each piece of `piece` bytes before it
/// reads that, so that the caller can see to it that bytes are near when they are needed.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_in_pieces(
    header: &BatchHeader,
    payload: &[u8],
    piece: usize,
    mut before: impl FnMut(usize),
) -> Result<(), Damage> {
    if payload.len() as u64 != u64::from(header.payload_len) {
        return Err(Damage::new("batch payload has another length than its header says"));
    }
    let (mut hasher, mut position) = (crc32fast::Hasher::new(), 0);
    for bytes in payload.chunks(piece) {
        before(position);
        hasher.update(bytes);
        position += bytes.len();
    }
    if hasher.finalize() != header.payload_crc {
        return Err(Damage::new("batch payload checksum does not match"));
    }
    Ok(())
}

fn header_crc(raw: &[u8; HEADER_BYTES], salt: u32) -> u32 {
    let (covered, _) = raw.split_at(CRC_AT);
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(covered);
    hasher.finalize()
}

/// Positions are constants below 64 - N: the compiler sees that nothing is out of bounds.
#[inline]
fn put<const N: usize>(out: &mut [u8; HEADER_BYTES], at: usize, value: [u8; N]) {
    out[at..at + N].copy_from_slice(&value);
}

#[inline]
fn get<const N: usize>(raw: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&raw[at..at + N]);
    out
}

#[cfg(test)]
mod tests;
