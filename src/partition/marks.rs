//! The offsets that say how far each guarantee reaches. They only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// `start <= end`, `synced <= settled <= end`, `synced <= durable <= end`.
///
/// Each stands on a cache line of its own: the appender writes `end` for every record while
/// readers poll it and a round moves `durable`.
#[derive(Debug, Default)]
pub struct Marks {
    start: CachePadded<AtomicU64>,
    end: CachePadded<AtomicU64>,
    settled: CachePadded<AtomicU64>,
    synced: CachePadded<AtomicU64>,
    durable: CachePadded<AtomicU64>,
    /// Where the earliest open transaction begins; `u64::MAX` while there is none.
    unstable: CachePadded<AtomicU64>,
    /// Everything below was visible when the level was raised.
    shown: AtomicU64,
}

impl Marks {
    /// Marks of a partition as it was opened.
    pub fn new(start: u64, end: u64, settled: u64, synced: u64) -> Self {
        let marks = Self::default();
        marks.start.store(start, Ordering::Relaxed);
        marks.end.store(end, Ordering::Relaxed);
        marks.settled.store(settled, Ordering::Relaxed);
        marks.synced.store(synced, Ordering::Relaxed);
        marks.unstable.store(u64::MAX, Ordering::Relaxed);
        marks.durable.store(synced, Ordering::Release);
        debug_assert!(synced <= settled && settled <= end && start <= end);
        marks
    }

    /// The log start offset.
    pub fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    /// The log end offset: everything below is appended and survives a kill where the stage is
    /// shared memory.
    #[inline]
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Everything below stands in segment files.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Everything below stands in segment files that are synced and named by a synced manifest.
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Everything below survives a power cut, in segments or in the stage.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Everything below was visible when the level was raised, and stays so.
    pub fn shown(&self) -> u64 {
        self.shown.load(Ordering::Acquire)
    }

    /// Notes that everything below `offset` is visible.
    pub fn show(&self, offset: u64) {
        debug_assert!(offset <= self.end());
        self.shown.fetch_max(offset, Ordering::AcqRel);
    }

    /// Where the earliest open transaction begins; `u64::MAX` while there is none. To be read
    /// after the end: whoever sees a record of a transaction then sees that it is open, or that
    /// it has ended.
    pub fn unstable(&self) -> u64 {
        self.unstable.load(Ordering::Acquire)
    }

    /// Notes where the earliest open transaction begins: before the end passes its first record,
    /// and after what readers need to know of one that has ended. Under the append lock.
    pub fn set_unstable(&self, offset: u64) {
        self.unstable.store(offset, Ordering::Release);
    }

    /// Only the appender moves the end, under its lock.
    #[inline]
    pub fn set_end(&self, end: u64) {
        debug_assert!(end >= self.end.load(Ordering::Relaxed));
        self.end.store(end, Ordering::Release);
    }

    /// Moves `settled` up to `offset`.
    pub fn settle(&self, offset: u64) {
        debug_assert!(offset <= self.end());
        self.settled.fetch_max(offset, Ordering::AcqRel);
    }

    /// Moves `synced`, and with it `durable`, up to `offset`.
    pub fn sync(&self, offset: u64) {
        debug_assert!(offset <= self.settled());
        self.synced.fetch_max(offset, Ordering::AcqRel);
        self.durable.fetch_max(offset, Ordering::AcqRel);
    }

    /// Moves `start` up to `offset`. Nobody needs to hear of what is below it any more, so it may
    /// not pass what consumers have been shown.
    pub fn begin(&self, offset: u64) {
        debug_assert!(offset <= self.end());
        self.start.fetch_max(offset, Ordering::AcqRel);
    }

    /// Moves `durable` up to `offset`.
    pub fn endure(&self, offset: u64) {
        debug_assert!(offset <= self.end());
        self.durable.fetch_max(offset, Ordering::AcqRel);
    }
}
