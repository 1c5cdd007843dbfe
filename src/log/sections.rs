//! What a footer holds behind its index: sections, each for a reader who knows its kind.
//!
//! ```text
//! section  0 kind u32   4 length u32   8 the bytes, then zeros up to a multiple of 8
//! ```
//!
//! A reader passes over kinds that it does not know. The footer's checksum covers all of them.

use std::ops::Range;

/// Producers and aborted transactions; see `producers/codec.rs`.
pub const PRODUCERS: u32 = 1;
/// Where the records of each key stand; see `postings.rs`.
pub const KEYS: u32 = 2;

const HEAD_BYTES: usize = 8;

/// Adds a section to the rest of a footer. `bytes` are fewer than 2^32.
pub fn put(rest: &mut Vec<u8>, kind: u32, bytes: &[u8]) {
    let Ok(len) = u32::try_from(bytes.len()) else { return };
    rest.extend_from_slice(&kind.to_le_bytes());
    rest.extend_from_slice(&len.to_le_bytes());
    rest.extend_from_slice(bytes);
    rest.resize(rest.len().next_multiple_of(HEAD_BYTES), 0);
}

/// Where in the rest of a footer the bytes of the first section of this kind stand.
#[must_use]
pub fn find(rest: &[u8], kind: u32) -> Option<Range<usize>> {
    let word = |at: usize| {
        let bytes = rest.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let mut at = 0;
    loop {
        let (found, len) = (word(at)?, word(at + 4)? as usize);
        let start = at + HEAD_BYTES;
        let end = start.checked_add(len).filter(|end| *end <= rest.len())?;
        if found == kind {
            return Some(start..end);
        }
        at = end.next_multiple_of(HEAD_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_found_behind_others_and_a_cut_one_is_not() {
        let mut rest = Vec::new();
        put(&mut rest, 7, b"of a later version");
        put(&mut rest, KEYS, b"keys");
        put(&mut rest, 9, b"");
        assert_eq!(find(&rest, KEYS).map(|range| &rest[range]), Some(&b"keys"[..]));
        assert_eq!(find(&rest, 9).map(|range| range.len()), Some(0));
        assert_eq!(find(&rest, PRODUCERS), None);
        assert_eq!(find(&rest[..37], KEYS), None, "its end is missing");
        assert_eq!(find(&[], KEYS), None);
    }
}
