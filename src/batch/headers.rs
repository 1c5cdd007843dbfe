//! The headers of a record, as they stand in a payload.

use std::fmt;

use super::damage::Damage;
use crate::base::record::Header;

/// The bytes in front of each header's name: `name_len u16`, `value_len i32`.
pub(super) const HEADER_HEAD_BYTES: usize = 6;
/// The `value_len` of a null value.
pub(super) const NULL_VALUE: i32 = -1;

/// The headers of one record: in order, duplicates kept, null and empty values told apart.
#[derive(Clone, Copy, Default)]
pub struct HeadersView<'a> {
    raw: &'a [u8],
    count: u32,
}

impl<'a> HeadersView<'a> {
    /// Takes `raw` as `count` headers.
    ///
    /// Everything is checked here, so that iterating cannot fail.
    pub(super) fn parse(raw: &'a [u8], count: u32) -> Result<Self, Damage> {
        let mut rest = raw;
        for _ in 0..count {
            (_, rest) = split(rest)?;
        }
        if !rest.is_empty() {
            return Err(Damage::new("record has bytes behind its headers"));
        }
        Ok(Self { raw, count })
    }

    /// How many headers there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers in order.
    #[must_use]
    pub const fn iter(&self) -> HeadersIter<'a> {
        HeadersIter { rest: self.raw, left: self.count }
    }

    /// The value of the last header of that name: the outer `None` means there is none.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|(n, _)| *n == name).map(|(_, value)| value).last()
    }
}

/// Splits the first header off.
fn split(raw: &[u8]) -> Result<(Header<'_>, &[u8]), Damage> {
    const SHORT: Damage = Damage::new("record header reaches behind the record");
    let (head, rest) = raw.split_first_chunk::<HEADER_HEAD_BYTES>().ok_or(SHORT)?;
    let [n0, n1, v0, v1, v2, v3] = *head;
    let name_len = usize::from(u16::from_le_bytes([n0, n1]));
    let (name, rest) = rest.split_at_checked(name_len).ok_or(SHORT)?;
    let name = str::from_utf8(name).map_err(|_| Damage::new("header name is not UTF-8"))?;
    match i32::from_le_bytes([v0, v1, v2, v3]) {
        NULL_VALUE => Ok(((name, None), rest)),
        len => {
            let len = usize::try_from(len)
                .map_err(|_| Damage::new("header value has a negative length"))?;
            let (value, rest) = rest.split_at_checked(len).ok_or(SHORT)?;
            Ok(((name, Some(value)), rest))
        }
    }
}

/// Iterates over the headers of a record.
#[derive(Clone)]
pub struct HeadersIter<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (header, rest) = split(self.rest).ok()?;
        self.rest = rest;
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for HeadersIter<'_> {}

impl<'a> IntoIterator for HeadersView<'a> {
    type Item = Header<'a>;
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for HeadersView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for HeadersIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
