//! Who may use which part of the stage: a buddy allocator over spans.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::disk::Span;

use super::chunk::Chunk;
use super::layout::{MAX_CHUNK, MIN_CHUNK};

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
    /// Bytes of heap that may still be taken; 0 for a mapped stage.
    unborn: usize,
    /// Chunks that a reader pinned when they were given back.
    pinned: Vec<Chunk>,
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

    /// A span of `wanted` bytes, or a smaller one of at least `least`; both are powers of two.
    /// `None` when there is none, or only what is kept back and `internal` is false.
    pub fn take(&self, least: usize, wanted: usize, internal: bool) -> Option<Span> {
        let mut inner = self.inner.lock();
        inner.retry_pinned(&self.free);
        let kept_back = if internal { 0 } else { RESERVED };
        let mut size = wanted.clamp(MIN_CHUNK, MAX_CHUNK);
        while size >= least.max(MIN_CHUNK) {
            if self.free_bytes() >= size + kept_back
                && let Some(span) = inner.take(order_of(size))
            {
                self.free.fetch_sub(span.len(), Ordering::Relaxed);
                return Some(span);
            }
            size /= 2;
        }
        None
    }

    /// Takes a span back, or receives it for the first time.
    pub fn give(&self, span: Span) {
        self.free.fetch_add(span.len(), Ordering::Relaxed);
        self.inner.lock().give(span);
    }

    /// Gives all free memory up, for a log that is closed.
    pub fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.orders = std::array::from_fn(|_| BTreeMap::new());
        inner.loose = std::array::from_fn(|_| Vec::new());
        inner.pinned.clear();
        inner.unborn = 0;
        self.free.store(0, Ordering::Relaxed);
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
    fn retry_pinned(&mut self, free: &AtomicUsize) {
        for chunk in std::mem::take(&mut self.pinned) {
            match chunk.reclaim() {
                Ok(span) => {
                    free.fetch_add(span.len(), Ordering::Relaxed);
                    self.give(span);
                }
                Err(chunk) => self.pinned.push(*chunk),
            }
        }
    }

    fn take(&mut self, order: usize) -> Option<Span> {
        if self.heap {
            return self.take_heap(order);
        }
        let from = (order..ORDERS).find(|&o| !self.orders[o].is_empty())?;
        let (_, mut span) = self.orders[from].pop_first()?;
        for smaller in (order..from).rev() {
            let (first, second) = span.split_at(MIN_CHUNK << smaller);
            self.orders[smaller].insert(second.position(), second);
            span = first;
        }
        Some(span)
    }

    fn take_heap(&mut self, order: usize) -> Option<Span> {
        if let Some(span) = self.loose[order].pop() {
            return Some(span);
        }
        let size = MIN_CHUNK << order;
        // Idle spans of other sizes are given up for one of this size.
        while self.unborn < size {
            let idle = (0..ORDERS).find_map(|o| self.loose[o].pop())?;
            self.unborn += idle.len();
        }
        self.unborn -= size;
        Some(Span::heap(size))
    }

    fn give(&mut self, span: Span) {
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
        while let Some(span) = pool.take(MIN_CHUNK, MIN_CHUNK, true) {
            taken.push(span);
        }
        assert_eq!(taken.len(), 4 * MAX_CHUNK / MIN_CHUNK);
        assert_eq!(pool.free_bytes(), 0);
        // An odd order of return must not matter.
        taken.rotate_left(37);
        taken.into_iter().for_each(|span| pool.give(span));
        let all: Vec<_> = std::iter::from_fn(|| pool.take(MAX_CHUNK, MAX_CHUNK, true)).collect();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_full_stage_keeps_room_for_internal_topics() {
        for pool in [mapped(MAX_CHUNK), Pool::heap(MAX_CHUNK)] {
            let mut taken = Vec::new();
            while let Some(span) = pool.take(MIN_CHUNK, MIN_CHUNK, false) {
                taken.push(span);
            }
            assert_eq!(pool.free_bytes(), RESERVED);
            assert!(pool.take(MIN_CHUNK, MIN_CHUNK, true).is_some());
            assert!(pool.take(MIN_CHUNK, MIN_CHUNK, true).is_some());
            assert!(pool.take(MIN_CHUNK, MIN_CHUNK, true).is_none());
        }
    }

    #[test]
    fn a_smaller_chunk_serves_when_the_wanted_one_is_not_there() {
        let pool = mapped(2 * MIN_CHUNK + RESERVED);
        let span = pool.take(MIN_CHUNK, MAX_CHUNK, false).unwrap();
        assert_eq!(span.len(), 2 * MIN_CHUNK);
        assert!(pool.take(2 * MIN_CHUNK, MAX_CHUNK, false).is_none());
    }

    #[test]
    fn idle_heap_chunks_of_another_size_are_given_up() {
        let pool = Pool::heap(MAX_CHUNK + RESERVED);
        let small: Vec<_> = std::iter::from_fn(|| pool.take(MIN_CHUNK, MIN_CHUNK, false)).collect();
        small.into_iter().for_each(|span| pool.give(span));
        assert_eq!(pool.take(MAX_CHUNK, MAX_CHUNK, false).map(|s| s.len()), Some(MAX_CHUNK));
    }
}
