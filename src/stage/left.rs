//! What a life that closed its log notes in the stage's first page: where chunks stand. The next
//! open then looks nowhere else, and need not bring the rest of the stage into memory.
//!
//! ```text
//! 96 incarnation (4)   100 count (4)   104 CRC (4)   108 places: first page (4), pages (4)
//! ```

use std::ops::Range;

use super::layout::{MIN_CHUNK, read_u32};

/// Where the note stands in the first page.
const AT: usize = 96;
/// Bytes of the note before its places.
const HEAD: usize = 12;
/// Bytes of a place.
const PLACE: usize = 8;
/// So many places fit into the first page.
const MOST: usize = (MIN_CHUNK - AT - HEAD) / PLACE;

/// Writes into the first `page` where chunks stand: everywhere in a stage of `len` bytes but in the
/// spans that are `free` (position and length). Nothing where that is too long.
pub(super) fn note(page: &mut [u8], len: usize, incarnation: u32, free: Vec<(usize, usize)>) {
    let used = all_but(len, free);
    let Ok(count) = u32::try_from(used.len()) else { return };
    let mut bytes = Vec::with_capacity(HEAD + used.len() * PLACE);
    bytes.extend_from_slice(&incarnation.to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for Range { start, end } in used {
        let (first, pages) = (start / MIN_CHUNK, (end - start) / MIN_CHUNK);
        bytes.extend_from_slice(&(first as u32).to_le_bytes());
        bytes.extend_from_slice(&(pages as u32).to_le_bytes());
    }
    let crc = checksum(&bytes);
    bytes[8..HEAD].copy_from_slice(&crc.to_le_bytes());
    if let Some(out) = page.get_mut(AT..AT + bytes.len()) {
        out.copy_from_slice(&bytes);
    }
}

/// Where the life `incarnation` left chunks in a stage of `len` bytes, in order; `None` when its
/// first `page` does not say it.
pub(super) fn find(page: &[u8], len: usize, incarnation: u32) -> Option<Vec<Range<usize>>> {
    let note = page.get(AT..)?;
    let count = read_u32(note, 4).map(|count| count as usize).filter(|&count| count <= MOST)?;
    let note = note.get(..HEAD + count * PLACE)?;
    if read_u32(note, 0)? != incarnation || read_u32(note, 8)? != checksum(note) {
        return None;
    }
    let mut used = Vec::with_capacity(count);
    let mut behind = MIN_CHUNK;
    for place in note.get(HEAD..)?.chunks_exact(PLACE) {
        let start = (read_u32(place, 0)? as usize).checked_mul(MIN_CHUNK)?;
        let end = (read_u32(place, 4)? as usize).checked_mul(MIN_CHUNK)?.checked_add(start)?;
        if start < behind || end <= start || end > len {
            return None;
        }
        behind = end;
        used.push(start..end);
    }
    Some(used)
}

/// Of incarnation, count and places.
fn checksum(note: &[u8]) -> u32 {
    let (head, places) = note.split_at(HEAD);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head[..8]);
    crc.update(places);
    crc.finalize()
}

/// What lies behind the first page and in none of these spans, in order.
fn all_but(len: usize, mut free: Vec<(usize, usize)>) -> Vec<Range<usize>> {
    free.sort_unstable();
    let mut used = Vec::new();
    let mut behind = MIN_CHUNK;
    for (position, bytes) in free.into_iter().chain([(len - len % MIN_CHUNK, 0)]) {
        if position > behind {
            used.push(behind..position);
        }
        behind = position + bytes;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = MIN_CHUNK;

    #[test]
    fn what_is_noted_is_found_by_the_life_after_and_by_no_other() {
        let mut page = vec![0; PAGE];
        assert_eq!(find(&page, 9 * PAGE, 0), None, "no note");
        let free = vec![(5 * PAGE, 2 * PAGE), (2 * PAGE, PAGE), (3 * PAGE, PAGE)];
        note(&mut page, 9 * PAGE, 7, free);
        let used = vec![PAGE..2 * PAGE, 4 * PAGE..5 * PAGE, 7 * PAGE..9 * PAGE];
        assert_eq!(find(&page, 9 * PAGE, 7), Some(used));
        assert_eq!(find(&page, 9 * PAGE, 8), None, "another life was in between");
        assert_eq!(find(&page, 8 * PAGE, 7), None, "a shorter stage");
        note(&mut page, 9 * PAGE, 8, vec![(PAGE, 8 * PAGE)]);
        assert_eq!(find(&page, 9 * PAGE, 8), Some(Vec::new()));
        note(&mut page, 9 * PAGE, 9, Vec::new());
        let used = find(&page, 9 * PAGE, 9).unwrap();
        assert!(used.iter().eq([&(PAGE..9 * PAGE)]), "no span is free");
    }

    #[test]
    fn no_flipped_bit_moves_a_place() {
        let mut page = vec![0; PAGE];
        note(&mut page, 9 * PAGE, 7, vec![(2 * PAGE, PAGE), (5 * PAGE, PAGE)]);
        let bytes = AT..AT + HEAD + 3 * PLACE;
        for bit in bytes.start * 8..bytes.end * 8 {
            let mut bad = page.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(find(&bad, 9 * PAGE, 7), None, "bit {bit}");
        }
    }

    #[test]
    fn more_places_than_fit_are_not_noted() {
        let every_other = |pages: usize| (1..pages).map(|page| (2 * page * PAGE, PAGE)).collect();
        let (mut page, len) = (vec![0; PAGE], |pages| 2 * pages * PAGE);
        note(&mut page, len(MOST), 1, every_other(MOST));
        assert_eq!(find(&page, len(MOST), 1).map(|used| used.len()), Some(MOST));
        note(&mut page, len(MOST + 1), 2, every_other(MOST + 1));
        assert_eq!(find(&page, len(MOST + 1), 2), None);
    }
}
