//! A bounded number of open files and loaded segments, whatever the number of partitions.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::front::MappedFront;
use super::producers::AbortedTxn;
use super::source::Source;
use crate::disk::DiskFile;

/// Of so many segments are postings kept in memory that are missing on disk.
const MOST_REBUILT: usize = 64;

/// A sealed segment made ready for reading.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    /// Its bytes: a map, or the file to read from.
    pub(super) source: Source,
    /// Its index entries, as in the footer.
    pub(super) entries: Bytes,
    /// The transactions that markers in it abort.
    pub(super) aborted: Arc<[AbortedTxn]>,
    /// Where its postings stand, if it has some.
    pub(super) keys: Option<Range<u64>>,
}

/// Open files and loaded segments by file number; the least recently used ones go first.
///
/// Dropping an entry closes the file only when nobody works with it: a sync that is under way
/// and a reader hold their own handle.
#[derive(Debug)]
pub(super) struct FileCache {
    files: Mutex<Lru<Arc<dyn DiskFile>>>,
    loaded: Mutex<Lru<Loaded>>,
    /// Of segments that are still written.
    fronts: Mutex<Lru<Arc<Mutex<MappedFront>>>>,
    /// Postings of segments that have none in their footer.
    rebuilt: Mutex<Lru<Bytes>>,
    /// How many files syncs hold open, whether they are in `files` or not, and how many may be.
    held: AtomicUsize,
    max_held: usize,
}

impl FileCache {
    pub(super) fn new(max_files: usize, max_loaded: usize) -> Self {
        let (files, loaded) = (Lru::new(max_files), Lru::new(max_loaded));
        let (files, loaded) = (Mutex::new(files), Mutex::new(loaded));
        let fronts = Mutex::new(Lru::new(max_loaded));
        let rebuilt = Mutex::new(Lru::new(MOST_REBUILT));
        Self { files, loaded, fronts, rebuilt, held: AtomicUsize::new(0), max_held: max_files / 2 }
    }

    /// Asks to hold one more file open, however many are in the cache.
    pub(super) fn hold(&self) -> bool {
        let more = |held| (held < self.max_held).then_some(held + 1);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Ends what `hold` allowed.
    pub(super) fn let_go(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn file(&self, number: u64) -> Option<Arc<dyn DiskFile>> {
        self.files.lock().get(number)
    }

    pub(super) fn keep_file(&self, number: u64, file: Arc<dyn DiskFile>) {
        let evicted = self.files.lock().insert(number, file);
        // Closing a file is a system call: not under the lock.
        drop(evicted);
    }

    /// Says whether file `number` has bytes that no sync has covered: such a file is closed only
    /// when there is no other, because a later handle may not hear of a failed write-back.
    pub(super) fn set_dirty(&self, number: u64, dirty: bool) {
        self.files.lock().set_held(number, dirty);
    }

    pub(super) fn loaded(&self, number: u64) -> Option<Loaded> {
        self.loaded.lock().get(number)
    }

    pub(super) fn keep_loaded(&self, number: u64, loaded: Loaded) {
        let evicted = self.loaded.lock().insert(number, loaded);
        drop(evicted);
    }

    /// What of `file`, which is still written, can be lent: see [`MappedFront::of`].
    pub(super) fn front(&self, number: u64, file: &dyn DiskFile, synced: u64) -> Bytes {
        let known = self.fronts.lock().get(number);
        let known = known.unwrap_or_else(|| {
            let fresh = Arc::<Mutex<MappedFront>>::default();
            let evicted = self.fronts.lock().insert(number, Arc::clone(&fresh));
            drop(evicted);
            fresh
        });
        known.lock().of(file, synced)
    }

    /// The file is not written any more.
    pub(super) fn forget_front(&self, number: u64) {
        let front = self.fronts.lock().remove(number);
        drop(front);
    }

    pub(super) fn rebuilt(&self, number: u64) -> Option<Bytes> {
        self.rebuilt.lock().get(number)
    }

    pub(super) fn keep_rebuilt(&self, number: u64, postings: Bytes) {
        let evicted = self.rebuilt.lock().insert(number, postings);
        drop(evicted);
    }

    pub(super) fn forget(&self, number: u64) {
        let file = self.files.lock().remove(number);
        let loaded = self.loaded.lock().remove(number);
        let rebuilt = self.rebuilt.lock().remove(number);
        self.forget_front(number);
        drop((file, loaded, rebuilt));
    }

    #[cfg(test)]
    pub(super) fn open_files(&self) -> usize {
        self.files.lock().items.len()
    }
}

#[derive(Debug)]
struct Lru<T> {
    max: usize,
    clock: u64,
    items: HashMap<u64, Slot<T>>,
    /// The numbers in the order in which they go: those that are held last.
    order: BTreeMap<Turn, u64>,
}

/// Whether an item is held, and when it was used.
type Turn = (bool, u64);

#[derive(Debug)]
struct Slot<T> {
    item: T,
    turn: Turn,
    /// Whether it was used since it got its turn. Then it gets another one when that comes: to
    /// move it at each use would cost every reader more than the use.
    used: bool,
}

impl<T: Clone> Lru<T> {
    fn new(max: usize) -> Self {
        let (items, order) = (HashMap::new(), BTreeMap::new());
        Self { max: max.max(1), clock: 0, items, order }
    }

    /// A turn behind all others of its kind.
    fn turn(&mut self, held: bool) -> Turn {
        self.clock += 1;
        (held, self.clock)
    }

    fn get(&mut self, number: u64) -> Option<T> {
        let slot = self.items.get_mut(&number)?;
        slot.used = true;
        Some(slot.item.clone())
    }

    fn insert(&mut self, number: u64, item: T) -> Option<T> {
        let old = self.remove(number);
        let evicted = if self.items.len() >= self.max { self.evict() } else { None };
        let turn = self.turn(false);
        self.items.insert(number, Slot { item, turn, used: false });
        self.order.insert(turn, number);
        evicted.or(old)
    }

    fn evict(&mut self) -> Option<T> {
        // Each look takes the mark of one away: after all of them there is one without.
        for _ in 0..=self.items.len() {
            let (&(held, _), &number) = self.order.first_key_value()?;
            match self.items.get_mut(&number) {
                Some(slot) if slot.used => slot.used = false,
                _ => return self.remove(number),
            }
            self.set_held(number, held);
        }
        None
    }

    fn remove(&mut self, number: u64) -> Option<T> {
        let slot = self.items.remove(&number)?;
        self.order.remove(&slot.turn);
        Some(slot.item)
    }

    /// Takes note that an item is used now, and whether it is held from now on.
    fn set_held(&mut self, number: u64, held: bool) {
        let turn = self.turn(held);
        if let Some(slot) = self.items.get_mut(&number) {
            let old = std::mem::replace(&mut slot.turn, turn);
            self.order.remove(&old);
            self.order.insert(turn, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first_and_what_is_held_goes_last() {
        let mut lru = Lru::new(3);
        for number in 0..3 {
            lru.insert(number, number);
        }
        lru.get(0);
        lru.set_held(1, true);
        assert_eq!(lru.insert(3, 3), Some(2), "1 is older, but held");
        assert_eq!(lru.insert(4, 4), Some(0));
        assert_eq!(lru.insert(5, 5), Some(3));
        lru.set_held(4, true);
        lru.set_held(5, true);
        assert_eq!(lru.insert(6, 6), Some(1), "the bound holds even when all are held");
        assert_eq!(lru.items.len(), 3);
    }
}
