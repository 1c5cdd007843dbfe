//! Records out of a payload: borrowed, nothing copied, nothing trusted.

use super::attributes::Attributes;
use super::damage::Damage;
use super::headers::HeadersView;
use super::record::{
    HAS_HEADERS, HAS_KEY, HAS_VALUE, HEADERS_HEAD_BYTES, HORIZON_BYTES, KEY_LEN_MASK, KNOWN_FLAGS,
    NO_TIMESTAMP, RECORD_ALIGN, RECORD_HEAD_BYTES, padded,
};
use crate::base::record::{MAX_HEADERS, MAX_RECORD_BYTES};

/// Reads the records of one payload, front to back.
#[derive(Clone, Debug)]
pub struct RecordReader<'a> {
    payload: &'a [u8],
    position: usize,
    /// Why there is nothing to read at all; the payload is then empty.
    refused: Option<Damage>,
}

impl<'a> RecordReader<'a> {
    /// Reads `payload` from its first record, which stands behind a delete horizon if the
    /// attributes speak of one. A payload with a codec is refused by the first
    /// [`next`](Self::next).
    #[must_use]
    pub fn new(attributes: Attributes, payload: &'a [u8]) -> Self {
        let position = if attributes.has_delete_horizon() { HORIZON_BYTES } else { 0 };
        if attributes.codec() != 0 {
            let codec = "records are compressed with a codec that is not built in";
            return Self { payload: &[], position, refused: Some(Damage::unknown(codec)) };
        }
        Self { payload, position, refused: None }
    }

    /// Reads `payload` from the record at `position`, a value that
    /// [`position`](Self::position) gave for the same payload.
    #[must_use]
    pub const fn at(payload: &'a [u8], position: usize) -> Self {
        Self { payload, position, refused: None }
    }

    /// Where in the payload the next record stands.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The next record; `None` at the end of the payload. After an error the position stays.
    ///
    /// # Errors
    ///
    /// Bytes that are not a record.
    #[allow(clippy::should_implement_trait, reason = "fallible: `while let Some(r) = next()?`")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<RecordView<'a>>, Damage> {
        let next = self.peek()?;
        self.position += next.map_or(0, |record| record.encoded_len());
        Ok(next)
    }

    /// Checks the next record as [`next`](Self::next) does, steps over it, and tells no more than
    /// its offset delta.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    #[inline(always)]
    pub fn step(&mut self) -> Result<Option<u32>, Damage> {
        let next = self.peek()?;
        self.position += next.map_or(0, |record| record.encoded_len());
        Ok(next.map(|record| record.offset_delta))
    }

    /// As [`next`](Self::next), and the position stays.
    #[inline(always)]
    pub(super) fn peek(&self) -> Result<Option<RecordView<'a>>, Damage> {
        let Some(rest) = self.payload.get(self.position..).filter(|rest| !rest.is_empty()) else {
            return self.end();
        };
        RecordView::parse(rest).map(Some)
    }

    /// Moves the position over `bytes` that are known to be records.
    #[inline(always)]
    pub(super) fn advance(&mut self, bytes: usize) {
        self.position += bytes;
    }

    /// The payload from the position on.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.payload.get(self.position..).unwrap_or_default()
    }

    #[cold]
    fn end(&self) -> Result<Option<RecordView<'a>>, Damage> {
        match self.refused {
            Some(damage) => Err(damage),
            None if self.position == self.payload.len() => Ok(None),
            None => Err(Damage::new("payload ends before its first record")),
        }
    }
}

/// A record in a payload.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// The offset, relative to the batch's base offset.
    pub offset_delta: u32,
    /// The timestamp, relative to the batch's base timestamp; `None` when it has none.
    pub ts_delta: Option<i32>,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null.
    pub value: Option<&'a [u8]>,
    headers: HeadersView<'a>,
    encoded: &'a [u8],
}

const BEHIND: Damage = Damage::new("record reaches behind its payload");
const LENGTH: Damage = Damage::new("record length is out of bounds");
const PADDING: Damage = Damage::new("record padding is not zero");
const FLAGS: Damage = Damage::new("record has unknown attributes");
const TIMESTAMP: Damage = Damage::new("record has a timestamp and says that it has none");
const NULL: Damage = Damage::new("record has bytes where it says null");
const INSIDE: Damage = Damage::new("record's parts are longer than the record");

impl<'a> RecordView<'a> {
    /// The record that `bytes` begin with.
    ///
    /// Inlined into whoever walks over records, so that it computes only what that one wants.
    #[inline(always)]
    fn parse(bytes: &'a [u8]) -> Result<Self, Damage> {
        let head = bytes.first_chunk::<RECORD_HEAD_BYTES>().ok_or(BEHIND)?;
        let [len, offset_delta, ts_delta, key_word] = words(head);
        let len = len as usize;
        if !(RECORD_HEAD_BYTES..=MAX_RECORD_BYTES).contains(&len) {
            return Err(LENGTH);
        }
        let end = padded(len);
        let record = bytes.get(..end).ok_or(BEHIND)?;
        check_padding(record, end - len)?;
        let flags = key_word & !KEY_LEN_MASK;
        if flags & !KNOWN_FLAGS != 0 {
            return Err(FLAGS);
        }
        if flags & NO_TIMESTAMP != 0 && ts_delta != 0 {
            return Err(TIMESTAMP);
        }
        let body = record.get(RECORD_HEAD_BYTES..len).ok_or(BEHIND)?;
        let parts = Parts::split(body, (key_word & KEY_LEN_MASK) as usize, flags)?;
        Ok(Self {
            offset_delta,
            ts_delta: (flags & NO_TIMESTAMP == 0).then_some(ts_delta.cast_signed()),
            key: nullable(parts.key, flags & HAS_KEY)?,
            value: nullable(parts.value, flags & HAS_VALUE)?,
            headers: parts.headers,
            encoded: record,
        })
    }

    /// The record that `bytes` begin with, which was checked before, and what is behind it. Of
    /// anything else: none, or one with the wrong parts.
    #[inline(always)]
    #[must_use]
    pub fn lend(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let [len, ..] = words(bytes.first_chunk()?);
        let (record, rest) = bytes.split_at_checked(padded(len as usize))?;
        Some((Self::lend_whole(record)?, rest))
    }

    /// The record that `record` is, neither more nor less, and which was checked before. Of
    /// anything else: none, or one with the wrong parts.
    #[inline(always)]
    #[must_use]
    pub fn lend_whole(record: &'a [u8]) -> Option<Self> {
        let [len, offset_delta, ts_delta, key_word] = words(record.first_chunk()?);
        let key_len = (key_word & KEY_LEN_MASK) as usize;
        let body = record.get(RECORD_HEAD_BYTES..len as usize)?;
        let parts = Parts::split(body, key_len, key_word & HAS_HEADERS).ok()?;
        Some(Self {
            offset_delta,
            ts_delta: (key_word & NO_TIMESTAMP == 0).then_some(ts_delta.cast_signed()),
            key: (key_word & HAS_KEY != 0).then_some(parts.key),
            value: (key_word & HAS_VALUE != 0).then_some(parts.value),
            headers: parts.headers,
            encoded: record,
        })
    }

    /// The key of the record that `bytes` begin with, as far as they reach: a record's first
    /// bytes will do. Checks nothing; of anything else: none, or any bytes.
    #[inline]
    #[must_use]
    pub fn key_in(bytes: &'a [u8]) -> Option<&'a [u8]> {
        let [_, _, _, key_word] = words(bytes.first_chunk()?);
        let headers = if key_word & HAS_HEADERS != 0 { HEADERS_HEAD_BYTES } else { 0 };
        let start = RECORD_HEAD_BYTES + headers;
        let key = bytes.get(start..start + (key_word & KEY_LEN_MASK) as usize)?;
        (key_word & HAS_KEY != 0).then_some(key)
    }

    /// The headers, in order.
    #[must_use]
    pub const fn headers(&self) -> HeadersView<'a> {
        self.headers
    }

    /// The bytes that the record takes in its payload, padding included.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        self.encoded.len()
    }

    /// These bytes.
    #[must_use]
    pub const fn encoded(&self) -> &'a [u8] {
        self.encoded
    }
}

/// The body of a record, cut into its parts.
struct Parts<'a> {
    key: &'a [u8],
    value: &'a [u8],
    headers: HeadersView<'a>,
}

impl<'a> Parts<'a> {
    #[inline(always)]
    fn split(body: &'a [u8], key_len: usize, flags: u32) -> Result<Self, Damage> {
        if flags & HAS_HEADERS != 0 {
            return Self::split_with_headers(body, key_len);
        }
        let (key, value) = body.split_at_checked(key_len).ok_or(INSIDE)?;
        Ok(Self { key, value, headers: HeadersView::default() })
    }

    #[inline(never)]
    fn split_with_headers(body: &'a [u8], key_len: usize) -> Result<Self, Damage> {
        let (head, rest) = body.split_first_chunk::<HEADERS_HEAD_BYTES>().ok_or(INSIDE)?;
        let [v0, v1, v2, v3, c0, c1, c2, c3] = *head;
        let value_len = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
        let count = u32::from_le_bytes([c0, c1, c2, c3]);
        // Bounded before it is used, and never zero: one content has one encoding.
        if count == 0 || count as usize > MAX_HEADERS {
            return Err(Damage::new("record header count is out of bounds"));
        }
        let (key, rest) = rest.split_at_checked(key_len).ok_or(INSIDE)?;
        let (value, raw) = rest.split_at_checked(value_len).ok_or(INSIDE)?;
        Ok(Self { key, value, headers: HeadersView::parse(raw, count)? })
    }
}

/// The last `padding` bytes, at most 7, must be zero: one content has one encoding.
#[inline(always)]
fn check_padding(record: &[u8], padding: usize) -> Result<(), Damage> {
    let last = record.last_chunk::<RECORD_ALIGN>().ok_or(BEHIND)?;
    // In two steps, because a shift by 64 is none.
    let rest = u64::from_le_bytes(*last) >> 8 >> (56 - 8 * padding);
    if padding != 0 && rest != 0 { Err(PADDING) } else { Ok(()) }
}

/// Null when the flag is clear; a null must not have bytes.
#[inline(always)]
fn nullable(bytes: &[u8], flag: u32) -> Result<Option<&[u8]>, Damage> {
    match (flag != 0, bytes.is_empty()) {
        (true, _) => Ok(Some(bytes)),
        (false, true) => Ok(None),
        (false, false) => Err(NULL),
    }
}

#[inline]
fn words(head: &[u8; RECORD_HEAD_BYTES]) -> [u32; 4] {
    let all = u128::from_le_bytes(*head);
    [all as u32, (all >> 32) as u32, (all >> 64) as u32, (all >> 96) as u32]
}

#[cfg(test)]
mod tests;
