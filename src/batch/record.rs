//! Encoding one record: the hottest code of the crate.
//!
//! ```text
//!  0 len u32 (without padding)   4 offset_delta u32   8 ts_delta i32
//! 12 key_len u24, attributes u8 (1 key, 2 value, 4 headers, 8 no timestamp)
//! 16 with headers only: value_len u32, header_count u32
//!    key, value, then each header: name_len u16, value_len i32 (-1 null), name, value
//!    zeros up to a multiple of 8
//! ```
//!
//! One content has exactly one encoding; the reader takes anything else for damage.

use super::hash::record_hash;
use super::header::BatchHeader;
use super::headers::{HEADER_HEAD_BYTES, NULL_VALUE};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::record::{
    MAX_HEADER_NAME, MAX_HEADERS, MAX_KEY_BYTES, MAX_RECORD_BYTES, RawRecord,
};

/// Records begin at multiples of this, so that their heads are read with aligned loads.
pub const RECORD_ALIGN: usize = 8;
/// The fixed part of every record; no record is shorter.
pub const RECORD_HEAD_BYTES: usize = 16;
/// The further fixed part of a record with headers.
pub(super) const HEADERS_HEAD_BYTES: usize = 8;
/// The delete horizon in front of the first record of some batches.
pub(super) const HORIZON_BYTES: usize = 8;

pub(super) const KEY_LEN_MASK: u32 = MAX_KEY_BYTES as u32;
pub(super) const HAS_KEY: u32 = 1 << 24;
pub(super) const HAS_VALUE: u32 = 1 << 25;
pub(super) const HAS_HEADERS: u32 = 1 << 26;
pub(super) const NO_TIMESTAMP: u32 = 1 << 27;
pub(super) const KNOWN_FLAGS: u32 = HAS_KEY | HAS_VALUE | HAS_HEADERS | NO_TIMESTAMP;

/// `len` up to the next multiple of 8.
#[inline]
pub(super) const fn padded(len: usize) -> usize {
    len.next_multiple_of(RECORD_ALIGN)
}

/// What a record needs, and what of it can be known before its place is.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Encoded bytes, padding included.
    pub len: usize,
    /// Hash of key, value and headers.
    pub hash: u64,
    /// Its head, as far as it does not depend on the place.
    head: RecordHead,
}

impl Measure {
    /// Measures `record`.
    ///
    /// # Errors
    ///
    /// As [`encoded_len`].
    #[inline(always)]
    pub fn of(record: &RawRecord<'_>) -> Result<Self> {
        Ok(Self::sized(record, bare_len(record)?))
    }

    #[inline(always)]
    fn sized(record: &RawRecord<'_>, len: usize) -> Self {
        let (hash, head) = (record_hash(record), RecordHead::placeless(record, len));
        Self { len: padded(len), hash, head }
    }

    /// As [`of`](Self::of), for a record whose limits were checked before.
    #[inline(always)]
    #[must_use]
    pub fn of_checked(record: &RawRecord<'_>) -> Self {
        Self::sized(record, valid_len(record).unwrap_or_default())
    }

    /// As [`of`](Self::of), for a record of at most `most` encoded bytes: `None`, before it is
    /// hashed, when it has more or cannot be encoded.
    #[inline(always)]
    #[must_use]
    pub fn up_to(record: &RawRecord<'_>, most: usize) -> Option<Self> {
        let len = valid_len(record)?;
        if padded(len) > most {
            return None;
        }
        Some(Self::sized(record, len))
    }

    /// The record's head at its place.
    #[inline(always)]
    #[must_use]
    pub fn head(&self, offset_delta: u32, ts_delta: i32) -> RecordHead {
        self.head.at(offset_delta, ts_delta)
    }
}

/// The bytes that `record` takes in a payload, padding included.
///
/// # Errors
///
/// A key, header or record over a limit of the format: the message names the value and the
/// limit. This and [`Measure::of`] are the only checks of limits, so one of them must come before
/// [`encode_record`].
#[inline]
pub fn encoded_len(record: &RawRecord<'_>) -> Result<usize> {
    bare_len(record).map(padded)
}

/// As [`encoded_len`], where an error need not say what it is.
#[inline(always)]
#[must_use]
pub fn valid_encoded_len(record: &RawRecord<'_>) -> Option<usize> {
    valid_len(record).map(padded)
}

/// As [`valid_encoded_len`], without the padding.
#[inline(always)]
fn valid_len(record: &RawRecord<'_>) -> Option<usize> {
    let key = record.key.map_or(0, <[u8]>::len);
    let value = record.value.map_or(0, <[u8]>::len);
    if record.headers.is_empty() && key <= MAX_KEY_BYTES && value <= MAX_RECORD_BYTES {
        let len = RECORD_HEAD_BYTES + key + value;
        return (len <= MAX_RECORD_BYTES).then_some(len);
    }
    slow_valid_len(record)
}

#[inline(never)]
fn slow_valid_len(record: &RawRecord<'_>) -> Option<usize> {
    bare_len(record).ok()
}

/// As [`encoded_len`], without the padding.
#[inline]
fn bare_len(record: &RawRecord<'_>) -> Result<usize> {
    let key = record.key.map_or(0, <[u8]>::len);
    let value = record.value.map_or(0, <[u8]>::len);
    if record.headers.is_empty() && key <= MAX_KEY_BYTES && value <= MAX_RECORD_BYTES {
        let len = RECORD_HEAD_BYTES + key + value;
        if len <= MAX_RECORD_BYTES {
            return Ok(len);
        }
    }
    bare_len_slow(record, key, value)
}

/// Records with headers, and the ones to be refused.
#[inline(never)]
fn bare_len_slow(record: &RawRecord<'_>, key: usize, value: usize) -> Result<usize> {
    let invalid = |what: &str, is: usize, unit: &str, limit: usize| {
        let message = format!("{what} has {is} {unit}, the limit is {limit}");
        Err(Error::new(ErrorKind::InvalidRecord, message))
    };
    if key > MAX_KEY_BYTES {
        return invalid("the key", key, "bytes", MAX_KEY_BYTES);
    }
    if record.headers.len() > MAX_HEADERS {
        return invalid("the record", record.headers.len(), "headers", MAX_HEADERS);
    }
    let mut len = RECORD_HEAD_BYTES.saturating_add(key).saturating_add(value);
    if !record.headers.is_empty() {
        len = len.saturating_add(HEADERS_HEAD_BYTES);
    }
    for (name, value) in record.headers {
        if name.len() > MAX_HEADER_NAME {
            return invalid("a header name", name.len(), "bytes", MAX_HEADER_NAME);
        }
        let value = value.map_or(0, <[u8]>::len);
        len = len.saturating_add(HEADER_HEAD_BYTES + name.len()).saturating_add(value);
    }
    if len > MAX_RECORD_BYTES {
        let message = format!("the record has {len} bytes, the limit is {MAX_RECORD_BYTES}");
        return Err(Error::new(ErrorKind::MessageTooLarge, message));
    }
    Ok(len)
}

/// The distance of a timestamp from its batch's base; `None` when a batch cannot say it.
///
/// `i32::MIN` is not a distance: in a batch header it says that there is no timestamp.
#[inline]
#[must_use]
pub fn timestamp_delta(base: i64, timestamp: i64) -> Option<i32> {
    let delta = i32::try_from(timestamp.checked_sub(base)?).ok()?;
    (delta != BatchHeader::NO_TIMESTAMP).then_some(delta)
}

/// The first 16 bytes of an encoded record, as two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead(pub [u64; 2]);

impl RecordHead {
    /// The head of the record that `bytes` begin with; of what is too short for one, zeros.
    #[inline]
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let all = u128::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; RECORD_HEAD_BYTES]));
        Self([all as u64, (all >> 64) as u64])
    }

    /// All but offset and timestamp. The casts are in range: `bare_len` has checked the limits.
    #[inline(always)]
    fn placeless(record: &RawRecord<'_>, len: usize) -> Self {
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        let flags = flag(record.key.is_some(), HAS_KEY)
            | flag(record.value.is_some(), HAS_VALUE)
            | flag(!record.headers.is_empty(), HAS_HEADERS);
        let key_len = record.key.map_or(0, <[u8]>::len);
        Self([len as u64, u64::from(key_len as u32 | flags) << 32])
    }

    #[inline(always)]
    fn at(self, offset_delta: u32, ts_delta: i32) -> Self {
        let Self([low, high]) = self;
        Self([low | u64::from(offset_delta) << 32, high | u64::from(ts_delta.cast_unsigned())])
    }

    fn without_timestamp(self) -> Self {
        let Self([low, high]) = self;
        Self([low, high | u64::from(NO_TIMESTAMP) << 32])
    }
}

/// Encodes `record` into `out`, which must have exactly its [`encoded_len`].
///
/// # Panics
///
/// When `out` is shorter than that.
pub fn encode_record(
    out: &mut [u8],
    record: &RawRecord<'_>,
    offset_delta: u32,
    ts_delta: Option<i32>,
) {
    let head = RecordHead::placeless(record, bare_len(record).unwrap_or_default());
    let head = match ts_delta {
        Some(delta) => head.at(offset_delta, delta),
        None => head.at(offset_delta, 0).without_timestamp(),
    };
    encode_at(out, record, head);
}

/// As [`encode_record`], for a record that was measured: `head` is its [`Measure::head`].
///
/// # Panics
///
/// When `out` is shorter than the record's [`encoded_len`].
#[inline(always)]
pub fn encode_at(out: &mut [u8], record: &RawRecord<'_>, head: RecordHead) {
    debug_assert_eq!(encoded_len(record).ok(), Some(out.len()));
    if let Some(last) = out.last_chunk_mut::<RECORD_ALIGN>() {
        // The padding; what is not padding is overwritten below.
        *last = [0; RECORD_ALIGN];
    }
    let RecordHead([low, high]) = head;
    let rest = put(out, &(u128::from(low) | u128::from(high) << 64).to_le_bytes());
    if !record.headers.is_empty() {
        return put_with_headers(rest, record);
    }
    let rest = put_key(rest, record.key.unwrap_or_default());
    put(rest, record.value.unwrap_or_default());
}

#[inline(never)]
fn put_with_headers(out: &mut [u8], record: &RawRecord<'_>) {
    let value = record.value.unwrap_or_default();
    let headers = record.headers;
    // All casts below are in range: `bare_len` has checked every limit.
    let rest = put(out, &(value.len() as u32).to_le_bytes());
    let rest = put(rest, &(headers.len() as u32).to_le_bytes());
    let rest = put(rest, record.key.unwrap_or_default());
    let mut rest = put(rest, value);
    for (name, value) in headers {
        let value_len = value.map_or(NULL_VALUE, |v| v.len() as i32);
        rest = put(rest, &(name.len() as u16).to_le_bytes());
        rest = put(rest, &value_len.to_le_bytes());
        rest = put(rest, name.as_bytes());
        rest = put(rest, value.unwrap_or_default());
    }
}

/// Copies `bytes` to the front of `out` and returns what is behind them.
///
/// A plain copy: fixed-size moves by length class were measured and lost to `memcpy`, 6.5
/// against 4.5 ns for a record with a key of 16 and a value of 32 to 100 bytes.
#[inline(always)]
fn put<'o>(out: &'o mut [u8], bytes: &[u8]) -> &'o mut [u8] {
    let (to, rest) = out.split_at_mut(bytes.len());
    to.copy_from_slice(bytes);
    rest
}

/// The same for a key: most are so short that two moves, which may overlap, are all there is to do.
#[inline(always)]
fn put_key<'o>(out: &'o mut [u8], key: &[u8]) -> &'o mut [u8] {
    let (to, rest) = out.split_at_mut(key.len());
    match key.len() {
        8..=16 => put_ends::<8>(to, key),
        17..=32 => put_ends::<16>(to, key),
        _ => to.copy_from_slice(key),
    }
    rest
}

/// Copies the first and the last `N` bytes: all of them, where there are `N` to twice as many.
#[inline(always)]
fn put_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let Some((to, from)) = to.first_chunk_mut::<N>().zip(from.first_chunk::<N>()) {
        *to = *from;
    }
    if let Some((to, from)) = to.last_chunk_mut::<N>().zip(from.last_chunk::<N>()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests;
