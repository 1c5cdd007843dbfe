//! Who may use which part of the stage: a buddy allocator over spans.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::disk::Span;

use super::chunk::Chunk;
use super::layout::{MAX_CHUNK, MIN_CHUNK, SMALL_CHUNK};
use super::slab::{Slab, Slabs, USABLE};

/// Orders from 4 KiB to 256 KiB.
const ORDERS: usize = (MAX_CHUNK / MIN_CHUNK).ilog2() as usize + 1;
/// Kept back for internal topics: two of the chunks that they begin with.
const RESERVED: usize = 2 * MIN_CHUNK;

/// The free part of the stage. Full is an answer, never a wait.
#[derive(Debug)]
pub struct Pool {
    inner: Mutex<Inner>,
    free: AtomicUsize,
    total: usize,
}

#[derive(Debug)]
struct Inner {
    /// Free spans by order and position. Heap spans all have position 0 and stand in `loose`.
    orders: [BTreeMap<usize, Span>; ORDERS],
    loose: [Vec<Span>; ORDERS],
    /// Pages that are cut into small chunks.
    slabs: Slabs,
    /// Free bytes in small chunks, and all others.
    free_small: usize,
    whole: usize,
    /// Bytes of heap that may still be taken; 0 for a mapped stage.
    unborn: usize,
    /// Chunks that a reader pinned when they were given back.
    pinned: Vec<Chunk>,
    /// Spans of which pages could not be brought in: they count as taken.
    missing: Vec<Span>,
    heap: bool,
}

impl Pool {
    /// A pool of at most `bytes` that takes its chunks from the heap on first use.
    pub fn heap(bytes: usize) -> Self {
        let bytes = bytes - bytes % MIN_CHUNK;
        Self::build(bytes, bytes, true)
    }

    /// A pool without free parts yet; `total` bytes will be given to it or stand in adopted chunks.
    pub fn mapped(total: usize) -> Self {
        Self::build(total, 0, false)
    }

    fn build(total: usize, unborn: usize, heap: bool) -> Self {
        let inner = Inner {
            orders: std::array::from_fn(|_| BTreeMap::new()),
            loose: std::array::from_fn(|_| Vec::new()),
            missing: Vec::new(),
            slabs: Slabs::default(),
            free_small: 0,
            whole: unborn,
            unborn,
            pinned: Vec::new(),
            heap,
        };
        Self { inner: Mutex::new(inner), free: AtomicUsize::new(unborn), total }
    }

    /// Bytes that no chunk holds.
    pub fn free_bytes(&self) -> usize {
        self.free.load(Ordering::Relaxed)
    }

    /// Bytes in all.
    pub fn total_bytes(&self) -> usize {
        self.total
    }

    /// A length that a chunk can surely have, once nothing else holds one. Spans are aligned in
    /// their region, so this is half of what fits.
    pub fn longest(&self) -> usize {
        let fitting = self.total.checked_ilog2().map_or(0, |order| 1_usize << order);
        (fitting / 2).min(MAX_CHUNK)
    }

    /// A span of `wanted` bytes, or a smaller one of whole pages and at least `least` bytes; both are
    /// lengths of chunks, `wanted` is not below `least`. Its pages are there.
    /// `None` when there is none, or only what is kept back and `internal` is false.
    ///
    /// # Errors
    ///
    /// What the system says of pages that cannot be brought in, where there are no others. They are
    /// not asked for again.
    pub fn take(&self, least: usize, wanted: usize, internal: bool) -> io::Result<Option<Span>> {
        let mut inner = self.inner.lock();
        inner.retry_pinned();
        let mut size = wanted.clamp(SMALL_CHUNK, MAX_CHUNK);
        let taken = loop {
            let span = inner.take_sized(size, internal);
            // A small chunk is no substitute for a page: who fills pages would soon be back, and
            // settle for every few records.
            let found = matches!(span, Ok(Some(_)));
            if found || size <= MIN_CHUNK || size / 2 < least {
                break span;
            }
            size /= 2;
        };
        self.note(&inner);
        taken
    }

    /// Takes a span back, or receives it for the first time.
    pub fn give(&self, span: Span) {
        let mut inner = self.inner.lock();
        inner.give_back(span);
        self.note(&inner);
    }

    /// Receives a page that an earlier life cut into small chunks.
    pub(super) fn adopt_slab(&self, slab: Slab) {
        let mut inner = self.inner.lock();
        inner.free_small += slab.free_bytes();
        if let Some(page) = inner.slabs.adopt(slab) {
            inner.free_small -= USABLE;
            inner.give_whole(page);
        }
        self.note(&inner);
    }

    fn note(&self, inner: &Inner) {
        self.free.store(inner.whole + inner.free_small, Ordering::Relaxed);
    }

    /// Where no chunk stands: position and length of each free span, in no particular order.
    /// Nothing for a stage on the heap.
    pub(super) fn free_spans(&self) -> Vec<(usize, usize)> {
        let inner = self.inner.lock();
        let spans = inner.orders.iter().flat_map(BTreeMap::values);
        spans.map(|span| (span.position(), span.len())).collect()
    }

    /// Gives all free memory up, for a log that is closed.
    pub fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.orders = std::array::from_fn(|_| BTreeMap::new());
        inner.loose = std::array::from_fn(|_| Vec::new());
        inner.slabs = Slabs::default();
        inner.pinned.clear();
        (inner.unborn, inner.whole, inner.free_small) = (0, 0, 0);
        self.note(&inner);
    }

    /// Takes a chunk back. While a reader pins it, it waits here.
    pub fn give_chunk(&self, chunk: Chunk) {
        match chunk.reclaim() {
            Ok(span) => self.give(span),
            Err(chunk) => self.inner.lock().pinned.push(*chunk),
        }
    }
}

impl Inner {
    fn retry_pinned(&mut self) {
        for chunk in std::mem::take(&mut self.pinned) {
            match chunk.reclaim() {
                Ok(span) => self.give_back(span),
                Err(chunk) => self.pinned.push(*chunk),
            }
        }
    }

    fn take_sized(&mut self, size: usize, internal: bool) -> io::Result<Option<Span>> {
        let kept_back = if internal { 0 } else { RESERVED };
        if size == SMALL_CHUNK {
            return self.take_small(kept_back);
        }
        if self.whole < size + kept_back {
            return Ok(None);
        }
        if self.heap { Ok(self.take_heap(size)) } else { self.take_mapped(order_of(size)) }
    }

    fn take_small(&mut self, kept_back: usize) -> io::Result<Option<Span>> {
        if let Some(span) = self.slabs.take() {
            self.free_small -= SMALL_CHUNK;
            return Ok(Some(span));
        }
        // On the heap a small chunk comes and goes alone.
        let cost = if self.heap { SMALL_CHUNK } else { MIN_CHUNK };
        if self.whole < cost + kept_back {
            return Ok(None);
        }
        if self.heap {
            return Ok(self.take_heap(SMALL_CHUNK));
        }
        let Some(page) = self.take_mapped(0)? else { return Ok(None) };
        self.free_small += USABLE - SMALL_CHUNK;
        Ok(self.slabs.cut(page))
    }

    fn give_back(&mut self, span: Span) {
        if span.len() != SMALL_CHUNK {
            return self.give_whole(span);
        }
        if self.heap {
            self.unborn += SMALL_CHUNK;
            self.whole += SMALL_CHUNK;
            return;
        }
        self.free_small += SMALL_CHUNK;
        if let Some(page) = self.slabs.give(span) {
            self.free_small -= USABLE;
            self.give_whole(page);
        }
    }

    fn take_mapped(&mut self, order: usize) -> io::Result<Option<Span>> {
        let mut failure = None;
        while let Some(span) = self.cut(order) {
            match span.bring_in() {
                Ok(()) => return Ok(Some(span)),
                // It would be met again and again: the others do without it.
                Err(error) => {
                    self.missing.push(span);
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// A free span of that order, which is none any more.
    fn cut(&mut self, order: usize) -> Option<Span> {
        let (from, mut span) = self.first_of(order)?;
        for smaller in (order..from).rev() {
            let (first, second) = span.split_at(MIN_CHUNK << smaller);
            self.orders[smaller].insert(second.position(), second);
            span = first;
        }
        self.whole -= span.len();
        Some(span)
    }

    /// The first free span of the least order that is not below `order`.
    fn first_of(&mut self, order: usize) -> Option<(usize, Span)> {
        let from = (order..ORDERS).find(|&o| !self.orders[o].is_empty())?;
        let (_, span) = self.orders[from].pop_first()?;
        Some((from, span))
    }

    /// New memory of the heap, or what an earlier chunk of that length gave back.
    fn take_heap(&mut self, size: usize) -> Option<Span> {
        if size != SMALL_CHUNK
            && let Some(span) = self.loose[order_of(size)].pop()
        {
            self.whole -= size;
            return Some(span);
        }
        // Idle spans of other sizes are given up for one of this size.
        while self.unborn < size {
            let idle = (0..ORDERS).find_map(|o| self.loose[o].pop())?;
            self.unborn += idle.len();
        }
        self.unborn -= size;
        self.whole -= size;
        Some(Span::heap(size))
    }

    fn give_whole(&mut self, span: Span) {
        self.whole += span.len();
        let mut order = order_of(span.len());
        if self.heap {
            self.loose[order].push(span);
            return;
        }
        let mut span = span;
        while order + 1 < ORDERS {
            let size = MIN_CHUNK << order;
            let buddy = span.position() ^ size;
            let Some(other) = self.orders[order].remove(&buddy) else { break };
            let (low, high) = if buddy < span.position() { (other, span) } else { (span, other) };
            match low.join(high) {
                Ok(joined) => span = joined,
                Err((low, high)) => {
                    // Neighbours of one region always join; keep both if they are not.
                    self.orders[order].insert(low.position(), low);
                    span = high;
                    break;
                }
            }
            order += 1;
        }
        self.orders[order].insert(span.position(), span);
    }
}

fn order_of(size: usize) -> usize {
    (size / MIN_CHUNK).max(1).ilog2() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(bytes: usize) -> Pool {
        let pool = Pool::mapped(bytes);
        let mut rest = Span::heap(bytes);
        while rest.len() > MAX_CHUNK {
            let (first, second) = rest.split_at(MAX_CHUNK);
            pool.give(first);
            rest = second;
        }
        pool.give(rest);
        pool
    }

    #[test]
    fn what_is_given_back_joins_to_what_it_was() {
        let pool = mapped(4 * MAX_CHUNK);
        let mut taken = Vec::new();
        while let Some(span) = pool.take(MIN_CHUNK, MIN_CHUNK, true).unwrap() {
            taken.push(span);
        }
        assert_eq!(taken.len(), 4 * MAX_CHUNK / MIN_CHUNK);
        assert_eq!(pool.free_bytes(), 0);
        // An odd order of return must not matter.
        taken.rotate_left(37);
        taken.into_iter().for_each(|span| pool.give(span));
        let all: Vec<_> =
            std::iter::from_fn(|| pool.take(MAX_CHUNK, MAX_CHUNK, true).unwrap()).collect();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn small_chunks_share_pages_and_leave_them_whole() {
        for pool in [mapped(2 * MAX_CHUNK), Pool::heap(2 * MAX_CHUNK)] {
            let take = |internal| pool.take(SMALL_CHUNK, SMALL_CHUNK, internal).unwrap();
            let mut taken: Vec<_> = std::iter::from_fn(|| take(false)).collect();
            assert!(taken.len() >= 10 * (2 * MAX_CHUNK - RESERVED) / MIN_CHUNK);
            assert!((RESERVED..RESERVED + SMALL_CHUNK).contains(&pool.free_bytes()));
            taken.extend(std::iter::from_fn(|| take(true)));
            assert!(pool.free_bytes() < SMALL_CHUNK);
            taken.rotate_left(1_234);
            taken.into_iter().for_each(|span| pool.give(span));
            assert_eq!(pool.free_bytes(), 2 * MAX_CHUNK);
            let all = std::iter::from_fn(|| pool.take(MAX_CHUNK, MAX_CHUNK, true).unwrap());
            assert_eq!(all.count(), 2);
        }
    }

    #[test]
    fn a_small_chunk_is_there_where_no_page_is() {
        let pool = mapped(RESERVED + 2 * MIN_CHUNK);
        let span = pool.take(SMALL_CHUNK, SMALL_CHUNK, false).unwrap().unwrap();
        assert_eq!(pool.take(MIN_CHUNK, MIN_CHUNK, false).unwrap().unwrap().len(), MIN_CHUNK);
        assert!(pool.take(SMALL_CHUNK, MIN_CHUNK, false).unwrap().is_none(), "it is no substitute");
        assert_eq!(pool.take(SMALL_CHUNK, SMALL_CHUNK, false).unwrap().unwrap().len(), SMALL_CHUNK);
        assert_eq!(pool.take(MIN_CHUNK, MIN_CHUNK, true).unwrap().unwrap().len(), MIN_CHUNK);
        drop(span);
    }

    #[test]
    fn a_full_stage_keeps_room_for_internal_topics() {
        for pool in [mapped(MAX_CHUNK), Pool::heap(MAX_CHUNK)] {
            let mut taken = Vec::new();
            while let Some(span) = pool.take(MIN_CHUNK, MIN_CHUNK, false).unwrap() {
                taken.push(span);
            }
            assert_eq!(pool.free_bytes(), RESERVED);
            assert!(pool.take(MIN_CHUNK, MIN_CHUNK, true).unwrap().is_some());
            assert!(pool.take(MIN_CHUNK, MIN_CHUNK, true).unwrap().is_some());
            assert!(pool.take(MIN_CHUNK, MIN_CHUNK, true).unwrap().is_none());
        }
    }

    #[test]
    fn a_smaller_chunk_serves_when_the_wanted_one_is_not_there() {
        let pool = mapped(2 * MIN_CHUNK + RESERVED);
        let span = pool.take(MIN_CHUNK, MAX_CHUNK, false).unwrap().unwrap();
        assert_eq!(span.len(), 2 * MIN_CHUNK);
        assert!(pool.take(2 * MIN_CHUNK, MAX_CHUNK, false).unwrap().is_none());
    }

    #[test]
    fn idle_heap_chunks_of_another_size_are_given_up() {
        let pool = Pool::heap(MAX_CHUNK + RESERVED);
        let small: Vec<_> =
            std::iter::from_fn(|| pool.take(MIN_CHUNK, MIN_CHUNK, false).unwrap()).collect();
        small.into_iter().for_each(|span| pool.give(span));
        assert_eq!(
            pool.take(MAX_CHUNK, MAX_CHUNK, false).unwrap().map(|s| s.len()),
            Some(MAX_CHUNK)
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn pages_that_cannot_be_brought_in_keep_nobody_from_the_others() {
        use crate::disk::{Disk, OsDisk};

        let dir = tempfile::tempdir().unwrap();
        let (disk, path) = (OsDisk::new(), dir.path().join("stage"));
        let file = disk.create(&path).unwrap();
        file.write_at(&[&vec![1; 8 * MIN_CHUNK]], 0).unwrap();
        let map = disk.map_shared(&path, 8 * MIN_CHUNK).unwrap();
        let pool = Pool::mapped(8 * MIN_CHUNK);
        let (good, rest) = map.memory.split_at(MIN_CHUNK);
        let (_, bad) = rest.split_at(5 * MIN_CHUNK);
        pool.give(good);
        pool.give(bad);
        file.set_len(6 * MIN_CHUNK as u64).unwrap();
        let taken = pool.take(MIN_CHUNK, 2 * MIN_CHUNK, true).unwrap().unwrap();
        assert_eq!((taken.position(), taken.len()), (0, MIN_CHUNK));
        assert!(
            pool.take(MIN_CHUNK, MIN_CHUNK, true).unwrap().is_none(),
            "they are not tried again"
        );
        pool.give(taken);
        assert!(pool.take(MIN_CHUNK, 2 * MIN_CHUNK, true).unwrap().is_some());
    }
}
