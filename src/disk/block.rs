//! Memory that one writer fills and many readers look at while it grows.
//!
//! The argument for every `unsafe` block here, in four steps:
//!
//! 1. A [`Region`] is memory that nobody else touches (heap, or a file mapped once, see `map.rs`)
//!    and that lives as long as somebody holds it.
//! 2. A [`Span`] owns a range of its region like a `&mut [u8]` would: there is no `Clone`, the
//!    only ways to make one are a fresh region, splitting, joining and reclaiming.
//! 3. A [`BlockWriter`] gives its range away in two parts. Bytes in `[head..mark)` are never
//!    written again and are lent as `&[u8]`, to the writer and to pins. All other bytes are lent
//!    by the writer alone, as `&mut [u8]` under `&mut self`. The mark only grows, by `publish`,
//!    which needs `&mut self`: no `&mut` over newly published bytes can be alive. `Release` in
//!    `publish` and `Acquire` in `pin` order the writer's stores before the reader's loads.
//! 4. [`BlockWriter::reclaim`] makes a span of it again only when no pin lives and none can be
//!    taken any more; see `pins.rs` for the order of the reads before.

use std::fmt;
use std::io;
use std::slice;
use std::sync::{Arc, Weak};

use crossbeam::utils::CachePadded;

use super::map::Region;
use super::pins::PinState;
use crate::base::sync::{AtomicUsize, Ordering};

/// Owns a range of a memory region, alone, like a `&mut [u8]` that keeps its memory alive.
///
/// Spans of one region never overlap, so they may be written from different threads.
pub struct Span {
    region: Arc<Region>,
    start: usize,
    len: usize,
}

impl Span {
    /// Zeroed memory from the heap, which is a region of its own.
    #[must_use]
    pub fn heap(len: usize) -> Span {
        Span::whole(Region::heap(len))
    }

    /// All of a region. It comes by value, so nobody else has a part of it.
    pub(super) fn whole(region: Region) -> Span {
        let len = region.len();
        Span { region: Arc::new(region), start: 0, len }
    }

    /// Tells whether the region still lives, without keeping it alive.
    pub(super) fn keeper(&self) -> Weak<Region> {
        Arc::downgrade(&self.region)
    }

    /// How many bytes this span owns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it owns none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it begins within its region: for a mapped file, the position in the file.
    #[must_use]
    pub fn position(&self) -> usize {
        self.start
    }

    /// Tells regions apart as long as a span, block or pin of them lives.
    #[must_use]
    pub fn region(&self) -> u64 {
        region_identity(&self.region)
    }

    /// Makes sure that its bytes can be read and written without a signal: brings its pages into
    /// memory if that was not done before. A new map has none of them there.
    ///
    /// # Errors
    ///
    /// What the system says of a page that cannot be brought in: a broken sector, no space left
    /// behind a hole. Whoever touches the span then risks the signal.
    pub fn bring_in(&self) -> io::Result<()> {
        self.region.bring_in(self.start, self.len)
    }

    /// Cuts it in two: the first `mid` bytes and the others.
    ///
    /// # Panics
    ///
    /// If `mid` is greater than the length.
    #[must_use]
    pub fn split_at(self, mid: usize) -> (Span, Span) {
        assert!(mid <= self.len, "split at {mid} of a span of {} bytes", self.len);
        let next =
            Span { region: self.region.clone(), start: self.start + mid, len: self.len - mid };
        (Span { len: mid, ..self }, next)
    }

    /// Makes one span of two neighbours, the reverse of [`split_at`](Self::split_at).
    ///
    /// # Errors
    ///
    /// Both spans, unchanged, when `next` does not begin in the same region where this one ends.
    pub fn join(self, next: Span) -> Result<Span, (Span, Span)> {
        let adjacent =
            Arc::ptr_eq(&self.region, &next.region) && self.start + self.len == next.start;
        if !adjacent {
            return Err((self, next));
        }
        Ok(Span { len: self.len + next.len, ..self })
    }

    /// The bytes, to read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the region has these bytes and lives through `self`; this span owns them alone
        // and `&self` keeps every `bytes_mut` away.
        unsafe { slice::from_raw_parts(self.base(), self.len) }
    }

    /// The bytes, to write.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; `&mut self` makes this the only reference to them.
        unsafe { slice::from_raw_parts_mut(self.base(), self.len) }
    }

    /// Makes it a block whose first `head` bytes readers never see and of which nothing is
    /// published yet.
    ///
    /// # Panics
    ///
    /// If `head` is greater than the length.
    #[must_use]
    pub fn into_block(self, head: usize) -> BlockWriter {
        assert!(head <= self.len, "a head of {head} in a span of {} bytes", self.len);
        let pins = CachePadded::new(PinState::new());
        let block = Block { span: self, head, mark: AtomicUsize::new(head), pins };
        BlockWriter { block: Arc::new(block), mark: head }
    }

    fn base(&self) -> *mut u8 {
        // SAFETY: `start` is within the region (or at its end, when the span is empty).
        unsafe { self.region.base().add(self.start) }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({:p}: {}..{})", self.region.base(), self.start, self.start + self.len)
    }
}

fn region_identity(region: &Arc<Region>) -> u64 {
    Arc::as_ptr(region).addr() as u64
}

/// What writer and readers share. Once it exists, nobody calls `span.bytes` or `bytes_mut`: those
/// would claim the whole range.
#[derive(Debug)]
struct Block {
    span: Span,
    head: usize,
    /// End of the published bytes. Only the writer moves it, only up.
    mark: AtomicUsize,
    /// Readers write it; the writer would have to fetch it back for every record.
    pins: CachePadded<PinState>,
}

impl Block {
    /// The bytes `[from..to)`, to read.
    ///
    /// # Safety
    ///
    /// `from <= to <= len`; while the result lives nobody has or makes a `&mut` over any of them.
    unsafe fn bytes(&self, from: usize, to: usize) -> &[u8] {
        // SAFETY: within the span's range and so within its region, which `self` keeps; freedom
        // from `&mut` is the caller's promise.
        unsafe { slice::from_raw_parts(self.span.base().add(from), to - from) }
    }

    /// The bytes `[from..to)`, to write.
    ///
    /// # Safety
    ///
    /// `from <= to <= len`, and while the result lives there is no other reference to any of them.
    #[allow(clippy::mut_from_ref)]
    unsafe fn bytes_mut(&self, from: usize, to: usize) -> &mut [u8] {
        // SAFETY: as in `bytes`; uniqueness is the caller's promise.
        unsafe { slice::from_raw_parts_mut(self.span.base().add(from), to - from) }
    }
}

/// The one writer of a block: fills spare bytes and publishes them to readers.
///
/// Dropped without [`reclaim`](Self::reclaim), the range is lost until its whole region ends.
#[derive(Debug)]
pub struct BlockWriter {
    block: Arc<Block>,
    /// The writer's own copy of `block.mark`.
    mark: usize,
}

impl BlockWriter {
    /// The head: bytes that readers never see.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        // SAFETY: no reader sees `[0..head)`; every `&mut` over it borrows `self` mutably.
        unsafe { self.block.bytes(0, self.block.head) }
    }

    /// The head, to write.
    #[must_use]
    pub fn head_mut(&mut self) -> &mut [u8] {
        self.parts_mut().0
    }

    /// The published bytes, from the head to the mark.
    #[must_use]
    pub fn published(&self) -> &[u8] {
        // SAFETY: `[head..mark)` is never lent as `&mut` again before `reclaim`, which takes
        // `self` by value and so cannot run while this borrow lives.
        unsafe { self.block.bytes(self.block.head, self.mark) }
    }

    /// The bytes behind the mark, to write.
    #[must_use]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        self.parts_mut().2
    }

    /// Head, published bytes and spare bytes at once.
    #[must_use]
    pub fn parts_mut(&mut self) -> (&mut [u8], &[u8], &mut [u8]) {
        let Block { head, span, .. } = &*self.block;
        // SAFETY: three disjoint ranges. The head and the spare bytes are visible to this writer
        // only, and `&mut self` makes these the only references to them: pins end at a mark that
        // is not greater than `self.mark`. The middle is only ever lent as `&[u8]`.
        unsafe {
            (
                self.block.bytes_mut(0, *head),
                self.block.bytes(*head, self.mark),
                self.block.bytes_mut(self.mark, span.len),
            )
        }
    }

    /// End of the published bytes, counted from the start of the block (so at least the head).
    #[must_use]
    pub fn mark(&self) -> usize {
        self.mark
    }

    /// Lets readers see everything below `upto`.
    ///
    /// # Panics
    ///
    /// If `upto` is below the mark or beyond the end of the block.
    #[inline(always)]
    pub fn publish(&mut self, upto: usize) {
        let len = self.block.span.len;
        if upto < self.mark || len < upto {
            out_of_block(upto, self.mark, len);
        }
        self.mark = upto;
        // Release: the stores to the bytes come first for whoever sees the new mark.
        self.block.mark.store(upto, Ordering::Release);
    }

    /// A reader of this block.
    #[must_use]
    pub fn reader(&self) -> BlockReader {
        BlockReader { block: self.block.clone() }
    }

    /// How many bytes the block has, with its head.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.block.span.len
    }

    /// Where it begins within its region.
    #[must_use]
    pub fn position(&self) -> usize {
        self.block.span.start
    }

    /// Identity of its region, see [`Span::region`].
    #[must_use]
    pub fn region(&self) -> u64 {
        self.block.span.region()
    }

    /// Takes the memory back. From then on no reader can pin the block.
    ///
    /// # Errors
    ///
    /// The writer itself, as long as a reader pins the block; ask again later.
    pub fn reclaim(self) -> Result<Span, BlockWriter> {
        if !self.block.pins.retire() {
            return Err(self);
        }
        // Unique again: no pin lives, none can be taken, the writer ends here. What readers
        // still hold of `block` gives them no bytes.
        let Span { region, start, len } = &self.block.span;
        Ok(Span { region: region.clone(), start: *start, len: *len })
    }
}

#[cold]
fn out_of_block(upto: usize, mark: usize, len: usize) -> ! {
    panic!("publish {upto} of {mark}..{len}")
}

/// Looks at a block while it is written, as long as it lives.
#[derive(Clone, Debug)]
pub struct BlockReader {
    block: Arc<Block>,
}

impl BlockReader {
    /// Holds the block where it is; `None` once it was reclaimed. Keep a pin for one bounded
    /// copy only: as long as it lives the writer cannot have its memory back.
    #[must_use]
    #[inline]
    pub fn pin(&self) -> Option<BlockPin<'_>> {
        if !self.block.pins.try_pin() {
            return None;
        }
        // Acquire: pairs with `publish`. Read under the pin, so it bounds this block's bytes.
        let mark = self.block.mark.load(Ordering::Acquire);
        Some(BlockPin { block: &self.block, mark })
    }

    /// End of the published bytes; of a reclaimed block, where it ended.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.block.mark.load(Ordering::Acquire)
    }
}

/// A block that cannot be reclaimed as long as this lives.
#[derive(Debug)]
pub struct BlockPin<'a> {
    block: &'a Block,
    mark: usize,
}

impl BlockPin<'_> {
    /// What was published when the pin was taken, without the head.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mark was loaded from the block and only grows, so the writer never lends
        // `[head..mark)` as `&mut`; the pin keeps `reclaim` away for as long as `&self` lives.
        unsafe { self.block.bytes(self.block.head, self.mark) }
    }

    /// The mark when the pin was taken, counted from the start of the block.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.mark
    }
}

impl Drop for BlockPin<'_> {
    #[inline]
    fn drop(&mut self) {
        self.block.pins.unpin();
    }
}

#[cfg(test)]
#[cfg(not(alluvium_loom))]
mod tests;

#[cfg(test)]
#[cfg(alluvium_loom)]
mod loom_tests {
    //! The block's promises under a model checker. Real memory hides reordering, so a shadow cell
    //! that `loom` watches stands for the published byte and is touched together with it.

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::{BlockReader, Span};

    struct Shadow(UnsafeCell<u8>);

    // SAFETY: not a promise but the question: `loom` fails the test on any unordered access.
    unsafe impl Send for Shadow {}
    // SAFETY: as above.
    unsafe impl Sync for Shadow {}

    impl Shadow {
        fn write(&self, value: u8) {
            // SAFETY: `loom` checks that nobody else is here.
            self.0.with_mut(|byte| unsafe { *byte = value });
        }

        fn read(&self) -> u8 {
            // SAFETY: `loom` checks that nobody writes.
            self.0.with(|byte| unsafe { *byte })
        }
    }

    fn look(reader: &BlockReader, shadow: &Shadow) {
        let Some(pin) = reader.pin() else { return };
        if let Some(&byte) = pin.bytes().first() {
            assert_eq!((byte, shadow.read()), (7, 7));
        }
    }

    #[test]
    fn published_bytes_seen_are_the_written_ones() {
        loom::model(|| {
            let shadow = Arc::new(Shadow(UnsafeCell::new(0)));
            let mut writer = Span::heap(16).into_block(8);
            let (reader, other) = (writer.reader(), shadow.clone());
            let thread = thread::spawn(move || {
                look(&reader, &other);
                look(&reader, &other);
            });
            writer.spare_mut()[0] = 7;
            shadow.write(7);
            writer.publish(9);
            thread.join().unwrap();
        });
    }

    #[test]
    fn reclaimed_bytes_are_never_read() {
        loom::model(|| {
            let shadow = Arc::new(Shadow(UnsafeCell::new(7)));
            let mut writer = Span::heap(16).into_block(8);
            writer.spare_mut()[0] = 7;
            writer.publish(9);
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (reader, shadow) = (writer.reader(), shadow.clone());
                    thread::spawn(move || look(&reader, &shadow))
                })
                .collect();
            if let Ok(mut span) = writer.reclaim() {
                span.bytes_mut().fill(9);
                shadow.write(9);
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }
}
