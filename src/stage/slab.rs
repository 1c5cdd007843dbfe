//! Pages of the stage that are cut into small chunks, for partitions that hold little.
//!
//! ```text
//! page    0 head (64)   64 chunk 0 (400)   464 chunk 1   ...   3664 chunk 9   4064 nothing (32)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::disk::Span;

use super::layout::{MIN_CHUNK, SMALL_CHUNK};
use super::recover::{FoundChunk, wipe};

/// Bytes before the first chunk of a page.
const HEAD: usize = 64;
/// Chunks of a page.
const CHUNKS: usize = (MIN_CHUNK - HEAD) / SMALL_CHUNK;
/// `SLAB`
const MAGIC: u32 = 0x4241_4C53;
const VERSION: u32 = 1;
/// Bytes that the chunks of a page have together.
pub(super) const USABLE: usize = CHUNKS * SMALL_CHUNK;
/// Bytes of the head that say something.
const FIELDS: usize = 16;

/// The pages that are cut, by position; at least one chunk of each is in use.
#[derive(Debug, Default)]
pub(super) struct Slabs {
    pages: BTreeMap<usize, Slab>,
    /// The pages that have a free chunk.
    open: BTreeSet<usize>,
}

/// A page that is cut.
#[derive(Debug)]
pub(super) struct Slab {
    head: Span,
    rest: Span,
    free: Vec<Span>,
}

/// What an earlier life left of a page.
pub(super) struct FoundSlab {
    pub(super) slab: Slab,
    pub(super) chunks: Vec<FoundChunk>,
    /// Chunks that claim something and prove nothing; they are wiped.
    pub(super) torn: usize,
}

impl Slab {
    /// Cuts a page. Whatever an earlier use of it left in it is no chunk any more.
    fn cut(page: Span) -> Slab {
        let (mut head, rest, mut free) = Slab::split(page);
        for chunk in &mut free {
            wipe(chunk);
        }
        head.bytes_mut()[..FIELDS].copy_from_slice(&fields());
        Slab { head, rest, free }
    }

    fn split(page: Span) -> (Span, Span, Vec<Span>) {
        let (head, mut rest) = page.split_at(HEAD);
        let mut chunks = Vec::with_capacity(CHUNKS);
        for _ in 0..CHUNKS {
            let (chunk, behind) = rest.split_at(SMALL_CHUNK);
            chunks.push(chunk);
            rest = behind;
        }
        (head, rest, chunks)
    }

    /// Finds the chunks in a page that is cut; the page itself where it is not.
    pub(super) fn find(page: Span) -> Result<FoundSlab, Span> {
        if page.len() < MIN_CHUNK || page.bytes().get(..FIELDS) != Some(&fields()) {
            return Err(page);
        }
        let (head, rest, places) = Slab::split(page);
        let mut found =
            FoundSlab { slab: Slab { head, rest, free: Vec::new() }, chunks: Vec::new(), torn: 0 };
        for place in places {
            match FoundChunk::read(place) {
                Ok(chunk) => found.chunks.push(chunk),
                Err(mut place) => {
                    found.torn += usize::from(wipe(&mut place));
                    found.slab.free.push(place);
                }
            }
        }
        Ok(found)
    }

    /// Whether the beginning of `page` is the head of a page that is cut, or nearly so: what bits
    /// flipped in it have left is to be counted.
    pub(super) fn is_claimed(page: &[u8]) -> bool {
        let expected = fields();
        let words = page.chunks_exact(4).zip(expected.chunks_exact(4));
        words.filter(|(word, expected)| word == expected).count() > 1
    }

    fn position(&self) -> usize {
        self.head.position()
    }

    /// Bytes that no chunk has taken.
    pub(super) fn free_bytes(&self) -> usize {
        self.free.len() * SMALL_CHUNK
    }

    /// The page in one piece. Every chunk is free.
    fn dissolve(mut self) -> Span {
        self.head.bytes_mut().fill(0);
        self.free.sort_unstable_by_key(Span::position);
        let mut page = self.head;
        for part in self.free.into_iter().chain([self.rest]) {
            page = join(page, part);
        }
        page
    }
}

/// Parts of one page follow each other.
fn join(page: Span, part: Span) -> Span {
    page.join(part).unwrap_or_else(|(page, _)| {
        debug_assert!(false, "parts of a page that are no neighbours");
        page
    })
}

fn fields() -> [u8; FIELDS] {
    let mut fields = [0; FIELDS];
    fields[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    fields[4..8].copy_from_slice(&VERSION.to_le_bytes());
    fields[8..12].copy_from_slice(&(SMALL_CHUNK as u32).to_le_bytes());
    let crc = crc32fast::hash(&fields[..12]);
    fields[12..16].copy_from_slice(&crc.to_le_bytes());
    fields
}

impl Slabs {
    /// Takes a free chunk of a page that is cut already.
    pub(super) fn take(&mut self) -> Option<Span> {
        let position = *self.open.first()?;
        let slab = self.pages.get_mut(&position)?;
        let chunk = slab.free.pop();
        if slab.free.is_empty() {
            self.open.remove(&position);
        }
        chunk
    }

    /// Cuts a page, and takes a chunk of it.
    pub(super) fn cut(&mut self, page: Span) -> Option<Span> {
        self.insert(Slab::cut(page));
        self.take()
    }

    /// Takes a page over; in one piece if none of its chunks is in use.
    #[must_use]
    pub(super) fn adopt(&mut self, slab: Slab) -> Option<Span> {
        if slab.free.len() == CHUNKS {
            return Some(slab.dissolve());
        }
        self.insert(slab);
        None
    }

    fn insert(&mut self, mut slab: Slab) {
        // From the page's beginning on: its first sectors are written in any case.
        slab.free.sort_unstable_by_key(|chunk| std::cmp::Reverse(chunk.position()));
        if !slab.free.is_empty() {
            self.open.insert(slab.position());
        }
        self.pages.insert(slab.position(), slab);
    }

    /// Takes a chunk back. The page in one piece when that was the last one in use.
    #[must_use]
    pub(super) fn give(&mut self, chunk: Span) -> Option<Span> {
        let position = chunk.position() / MIN_CHUNK * MIN_CHUNK;
        let slab = self.pages.get_mut(&position)?;
        slab.free.push(chunk);
        if slab.free.len() < CHUNKS {
            self.open.insert(position);
            return None;
        }
        self.open.remove(&position);
        self.pages.remove(&position).map(Slab::dissolve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Span {
        Span::heap(MIN_CHUNK)
    }

    #[test]
    fn a_page_comes_back_in_one_piece_in_whatever_order_its_chunks_do() {
        let mut slabs = Slabs::default();
        let mut chunks = vec![slabs.cut(page()).unwrap()];
        chunks.extend(std::iter::from_fn(|| slabs.take()));
        assert_eq!(chunks.len(), CHUNKS);
        assert!(chunks.iter().all(|chunk| chunk.len() == SMALL_CHUNK));
        chunks.rotate_left(3);
        let whole: Vec<_> = chunks.into_iter().filter_map(|chunk| slabs.give(chunk)).collect();
        assert_eq!(whole.iter().map(Span::len).collect::<Vec<_>>(), [MIN_CHUNK]);
        assert!(slabs.take().is_none());
        assert_eq!(whole[0].bytes()[..HEAD], [0; HEAD], "it says that it is cut");
    }

    #[test]
    fn a_chunk_that_is_given_back_is_taken_again() {
        let mut slabs = Slabs::default();
        let kept = slabs.cut(page()).unwrap();
        let chunk = slabs.take().unwrap();
        let position = chunk.position();
        assert!(slabs.give(chunk).is_none());
        assert_eq!(slabs.take().unwrap().position(), position);
        drop(kept);
    }

    #[test]
    fn cutting_wipes_what_an_earlier_use_left() {
        let mut old = page();
        old.bytes_mut().fill(0xAA);
        let mut slabs = Slabs::default();
        let first = slabs.cut(old).unwrap();
        let all = std::iter::once(first).chain(std::iter::from_fn(|| slabs.take()));
        assert!(all.into_iter().all(|chunk| chunk.bytes()[..64].iter().all(|&byte| byte == 0)));
    }

    #[test]
    fn only_a_whole_head_makes_a_page_one_that_is_cut() {
        let mut cut = page();
        cut.bytes_mut()[..FIELDS].copy_from_slice(&fields());
        assert!(Slab::find(cut).is_ok());
        for bit in 0..FIELDS * 8 {
            let mut bad = page();
            bad.bytes_mut()[..FIELDS].copy_from_slice(&fields());
            bad.bytes_mut()[bit / 8] ^= 1 << (bit % 8);
            assert!(Slab::find(bad).is_err(), "bit {bit}");
        }
    }
}
