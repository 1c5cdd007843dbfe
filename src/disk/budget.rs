//! A ceiling over everything that a log takes of its disk.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Disk, DiskFile, Entry, FileSystem, Front, SharedMap};

/// File systems give whole blocks.
const BLOCK: u64 = 4_096;

/// How many bytes a log may take, and how many it has taken: the allocated blocks of its files,
/// with what is reserved, and with files that are removed but still read. What the file system
/// needs for itself (names, inodes) is not counted.
#[derive(Debug)]
pub struct DiskBudget {
    limit: u64,
    /// What files of the first kind leave to the others.
    spare: u64,
    used: AtomicU64,
    /// Of these: files that go when nobody reads them any more.
    held: AtomicU64,
    /// Bytes of all files that have gone so far.
    gone: AtomicU64,
}

impl DiskBudget {
    /// The most that may be taken.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What is taken.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// What is taken by files that are given up and still read.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// What files that have gone had taken, all of them so far.
    #[must_use]
    pub fn gone(&self) -> u64 {
        self.gone.load(Ordering::Acquire)
    }

    /// What is left for files whose names end in the suffix that the budget was made with.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.spare).saturating_sub(self.used())
    }

    /// What has to be given back until `goal` bytes are free, with what was taken beyond the limit.
    #[must_use]
    pub fn missing(&self, goal: u64) -> u64 {
        let wanted = self.used().saturating_add(self.spare).saturating_add(goal);
        wanted.saturating_sub(self.limit)
    }

    fn take(&self, bytes: u64, leave: u64) -> io::Result<()> {
        let more = |used: u64| {
            let after = used.checked_add(bytes)?;
            (after.saturating_add(leave) <= self.limit).then_some(after)
        };
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.map(drop).map_err(|used| {
            let limit = self.limit;
            let message =
                format!("{bytes} bytes more than the {used} taken: max_disk_bytes is {limit}");
            io::Error::new(io::ErrorKind::StorageFull, message)
        })
    }

    fn give(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        debug_assert!(before >= bytes, "more was given back than taken");
    }
}

/// What one file has taken; given back when the file is removed and nobody has it open.
#[derive(Debug)]
struct Account {
    budget: Arc<DiskBudget>,
    /// What it leaves free.
    leave: u64,
    state: Mutex<AccountState>,
}

#[derive(Debug)]
struct AccountState {
    taken: u64,
    /// So many of its names are not given up.
    names: u32,
    /// What of `taken` is told as held: nothing while there is a name.
    held: u64,
}

impl Account {
    /// Takes what a file of `len` bytes needs, if that is more than it has.
    fn grow(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let need = blocks(len);
        if need > state.taken {
            self.budget.take(need - state.taken, self.leave)?;
            state.taken = need;
        }
        Ok(())
    }

    /// Gives back what a file of `len` bytes does not need.
    fn shrink(&self, len: u64) {
        let mut state = self.state.lock();
        let need = blocks(len).min(state.taken);
        self.budget.give(state.taken - need);
        state.taken = need;
    }

    fn gain_name(&self) {
        let mut state = self.state.lock();
        state.names += 1;
        self.budget.held.fetch_sub(std::mem::take(&mut state.held), Ordering::AcqRel);
    }

    fn lose_name(&self) {
        let mut state = self.state.lock();
        state.names = state.names.saturating_sub(1);
        if state.names == 0 {
            state.held = state.taken;
            self.budget.held.fetch_add(state.held, Ordering::AcqRel);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        // In this order, so that what is held is never told as less than nothing.
        self.budget.give(state.taken);
        self.budget.gone.fetch_add(state.taken, Ordering::AcqRel);
        self.budget.held.fetch_sub(state.held, Ordering::AcqRel);
    }
}

fn blocks(len: u64) -> u64 {
    len.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// A disk that refuses what would go beyond a budget, as a full disk would: `StorageFull`.
pub struct BudgetDisk {
    inner: Arc<dyn Disk>,
    budget: Arc<DiskBudget>,
    suffix: &'static str,
    /// Of the files that have a name.
    accounts: Mutex<HashMap<PathBuf, Name>>,
}

/// A file's name.
#[derive(Debug)]
struct Name {
    account: Arc<Account>,
    /// It is about to go.
    given_up: bool,
}

impl Name {
    fn of(account: Arc<Account>) -> Self {
        Self { account, given_up: false }
    }

    fn give_up(&mut self) {
        if !std::mem::replace(&mut self.given_up, true) {
            self.account.lose_name();
        }
    }

    /// It stays after all.
    fn keep(&mut self) {
        if std::mem::replace(&mut self.given_up, false) {
            self.account.gain_name();
        }
    }
}

impl BudgetDisk {
    /// `inner`, with at most `limit` bytes in all files. Files whose names end in `suffix` leave
    /// the last `spare` bytes to the others. What stands in `dirs` already counts, even if it is
    /// more than the limit.
    ///
    /// # Errors
    /// Those of [`Disk::list`].
    pub fn new(
        inner: Arc<dyn Disk>,
        limit: u64,
        (suffix, spare): (&'static str, u64),
        dirs: &[PathBuf],
    ) -> io::Result<(Arc<Self>, Arc<DiskBudget>)> {
        let (used, held, gone) = Default::default();
        let budget = Arc::new(DiskBudget { limit, spare, used, held, gone });
        let (accounts, shared) = (Mutex::default(), Arc::clone(&budget));
        let disk = Self { inner, budget: shared, suffix, accounts };
        for dir in dirs {
            if disk.inner.entry(dir)?.is_none() {
                continue;
            }
            for entry in disk.inner.list(dir)?.into_iter().filter(|entry| !entry.is_dir) {
                let path = dir.join(&entry.name);
                let account = disk.account(&path);
                account.state.lock().taken = blocks(entry.len);
                budget.used.fetch_add(blocks(entry.len), Ordering::AcqRel);
            }
        }
        Ok((Arc::new(disk), budget))
    }

    fn account(&self, path: &Path) -> Arc<Account> {
        let segment = path.to_str().is_some_and(|path| path.ends_with(self.suffix));
        let fresh = || {
            let leave = if segment { self.budget.spare } else { 0 };
            let budget = Arc::clone(&self.budget);
            let state = AccountState { taken: 0, names: 1, held: 0 };
            Name::of(Arc::new(Account { budget, leave, state: Mutex::new(state) }))
        };
        let mut accounts = self.accounts.lock();
        Arc::clone(&accounts.entry(path.to_owned()).or_insert_with(fresh).account)
    }

    fn file(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(BudgetFile { inner: file, account: self.account(path) })
    }
}

impl fmt::Debug for BudgetDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetDisk")
            .field("inner", &self.inner)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

impl Disk for BudgetDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.inner.entry(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.inner.create(path)?;
        Ok(self.file(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.inner.open(path)?;
        Ok(self.file(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)?;
        let mut accounts = self.accounts.lock();
        let replaced = match accounts.remove(from) {
            Some(account) => accounts.insert(to.to_owned(), account),
            None => accounts.remove(to),
        };
        drop(accounts);
        if let Some(mut name) = replaced {
            name.give_up();
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.inner.remove(path);
        let mut accounts = self.accounts.lock();
        if removed.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            accounts.get_mut(path).into_iter().for_each(Name::keep);
            return removed;
        }
        let name = accounts.remove(path);
        drop(accounts);
        if let Some(mut name) = name {
            name.give_up();
        }
        removed
    }

    fn give_up(&self, path: &Path) {
        if let Some(name) = self.accounts.lock().get_mut(path) {
            name.give_up();
        }
    }

    /// Both names are one file's: its blocks are given back when both are removed.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)?;
        let account = self.account(from);
        account.gain_name();
        self.accounts.lock().insert(to.to_owned(), Name::of(account));
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.inner.lock(path)
    }

    fn map_shared(&self, path: &Path, len: usize) -> io::Result<SharedMap> {
        let SharedMap { memory, file } = self.inner.map_shared(path, len)?;
        Ok(SharedMap { memory, file: self.file(path, file) })
    }

    fn file_system(&self, dir: &Path) -> io::Result<Box<dyn FileSystem>> {
        self.inner.file_system(dir)
    }

    fn open_files_limit(&self) -> Option<usize> {
        self.inner.open_files_limit()
    }

    fn boot_id(&self) -> Option<u128> {
        self.inner.boot_id()
    }
}

#[derive(Debug)]
struct BudgetFile {
    inner: Arc<dyn DiskFile>,
    account: Arc<Account>,
}

impl BudgetFile {
    /// After a failure: what the file has now.
    fn look_again<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err()
            && let Ok(len) = self.inner.len()
        {
            self.account.shrink(len);
        }
        result
    }
}

impl DiskFile for BudgetFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, position)
    }

    fn read_fresh(&self, len: usize, position: u64) -> io::Result<Vec<u8>> {
        self.inner.read_fresh(len, position)
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        self.account.grow(position.saturating_add(len))?;
        let written = self.inner.write_at(parts, position);
        self.look_again(written)
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        self.account.grow(position.saturating_add(len))?;
        let allocated = self.inner.allocate(position, len);
        self.look_again(allocated)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.account.grow(len)?;
        self.inner.set_len(len)?;
        self.account.shrink(len);
        Ok(())
    }

    fn sync_part(&self, position: u64, len: u64) -> io::Result<()> {
        self.inner.sync_part(position, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn map(&self, len: usize) -> io::Result<Bytes> {
        let bytes = self.inner.map(len)?;
        Ok(Bytes::from_owner(Mapped { bytes, _account: Arc::clone(&self.account) }))
    }

    fn map_front(&self, len: u64, reach: usize) -> io::Result<Arc<dyn Front>> {
        let inner = self.inner.map_front(len, reach)?;
        Ok(Arc::new(BudgetFront { inner, account: Arc::clone(&self.account) }))
    }
}

/// Its bytes keep the blocks of a removed file too.
#[derive(Debug)]
struct BudgetFront {
    inner: Arc<dyn Front>,
    account: Arc<Account>,
}

impl Front for BudgetFront {
    fn lend(&self, len: u64) -> Bytes {
        let bytes = self.inner.lend(len);
        Bytes::from_owner(Mapped { bytes, _account: Arc::clone(&self.account) })
    }

    fn reach(&self) -> u64 {
        self.inner.reach()
    }
}

/// Mapped bytes keep the blocks of a removed file.
struct Mapped {
    bytes: Bytes,
    _account: Arc<Account>,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryDisk;
    use super::super::sim::{Fault, Operation, SimDisk};
    use super::*;

    fn disk(limit: u64) -> (Arc<BudgetDisk>, Arc<DiskBudget>) {
        let inner = Arc::new(MemoryDisk::new());
        inner.create_dir(Path::new("d")).unwrap();
        BudgetDisk::new(inner, limit, (".seg", BLOCK), &[PathBuf::from("d")]).unwrap()
    }

    #[test]
    fn whole_blocks_are_taken_and_what_goes_beyond_is_refused() {
        let (disk, budget) = disk(4 * BLOCK);
        let file = disk.create(Path::new("d/a")).unwrap();
        file.write_at(&[b"x"], 0).unwrap();
        assert_eq!(budget.used(), BLOCK);
        file.write_at(&[b"x", b"y"], BLOCK - 1).unwrap();
        assert_eq!(budget.used(), 2 * BLOCK);
        let refused = file.allocate(0, 4 * BLOCK + 1).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert!(refused.to_string().contains("max_disk_bytes is 16384"), "{refused}");
        assert_eq!(file.len().unwrap(), BLOCK + 1, "nothing has changed");
        file.set_len(1).unwrap();
        assert_eq!(budget.used(), BLOCK);
    }

    #[test]
    fn files_of_the_suffix_leave_the_spare_bytes_to_others() {
        let (disk, budget) = disk(4 * BLOCK);
        let segment = disk.create(Path::new("d/a.seg")).unwrap();
        assert!(segment.allocate(0, 3 * BLOCK + 1).is_err());
        segment.allocate(0, 3 * BLOCK).unwrap();
        assert_eq!(budget.free(), 0);
        disk.create(Path::new("d/manifest")).unwrap().allocate(0, BLOCK).unwrap();
        assert_eq!(budget.used(), budget.limit());
    }

    #[test]
    fn a_removed_file_counts_until_nobody_has_it_open() {
        let (disk, budget) = disk(9 * BLOCK);
        let file = disk.create(Path::new("d/a.seg")).unwrap();
        file.write_at(&[&[7; 5]], 0).unwrap();
        let mapped = file.map(5);
        disk.remove(Path::new("d/a.seg")).unwrap();
        assert_eq!((budget.used(), budget.held()), (BLOCK, BLOCK));
        drop(file);
        assert_eq!(budget.used(), if mapped.is_ok() { BLOCK } else { 0 });
        drop(mapped);
        assert_eq!((budget.used(), budget.held()), (0, 0));
    }

    #[test]
    fn what_is_given_up_is_held_until_it_is_gone() {
        let (disk, budget) = disk(9 * BLOCK);
        let (one, two) = (Path::new("d/a.seg"), Path::new("d/b.seg"));
        let file = disk.create(one).unwrap();
        file.set_len(3 * BLOCK).unwrap();
        assert_eq!((budget.held(), budget.gone()), (0, 0));
        disk.hard_link(one, two).unwrap();
        disk.give_up(one);
        assert_eq!(budget.held(), 0, "the other name keeps it");
        disk.remove(one).unwrap();
        disk.give_up(two);
        disk.give_up(two);
        assert_eq!(budget.held(), 3 * BLOCK);
        disk.remove(two).unwrap();
        assert_eq!((budget.held(), budget.used()), (3 * BLOCK, 3 * BLOCK));
        drop(file);
        assert_eq!((budget.held(), budget.used(), budget.gone()), (0, 0, 3 * BLOCK));
    }

    #[test]
    fn what_cannot_be_removed_is_not_held() {
        let inner = SimDisk::new();
        inner.create_dir(Path::new("/d")).unwrap();
        let (disk, budget) =
            BudgetDisk::new(Arc::new(inner.clone()), 9 * BLOCK, (".seg", 0), &[]).unwrap();
        let path = Path::new("/d/a.seg");
        disk.create(path).unwrap().set_len(BLOCK).unwrap();
        disk.give_up(path);
        inner.fail_next(Operation::Remove, ".seg", Fault::Eio);
        disk.remove(path).unwrap_err();
        assert_eq!((budget.used(), budget.held()), (BLOCK, 0), "nobody is to wait for it");
        disk.remove(path).unwrap();
        assert_eq!((budget.used(), budget.held()), (0, 0));
    }

    #[test]
    fn a_rename_gives_back_what_it_replaces() {
        let (disk, budget) = disk(9 * BLOCK);
        for (name, len) in [("d/manifest", 3), ("d/manifest.tmp", 2)] {
            disk.create(Path::new(name)).unwrap().set_len(len * BLOCK).unwrap();
        }
        assert_eq!(budget.used(), 5 * BLOCK);
        disk.rename(Path::new("d/manifest.tmp"), Path::new("d/manifest")).unwrap();
        assert_eq!(budget.used(), 2 * BLOCK);
        disk.remove(Path::new("d/manifest")).unwrap();
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_file_with_two_names_counts_once_until_both_are_removed() {
        let (disk, budget) = disk(9 * BLOCK);
        disk.create(Path::new("d/a.seg")).unwrap().set_len(2 * BLOCK).unwrap();
        disk.hard_link(Path::new("d/a.seg"), Path::new("d/b.seg")).unwrap();
        assert_eq!(budget.used(), 2 * BLOCK);
        let taken = disk.hard_link(Path::new("d/a.seg"), Path::new("d/b.seg")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        disk.remove(Path::new("d/a.seg")).unwrap();
        assert_eq!(budget.used(), 2 * BLOCK);
        disk.remove(Path::new("d/b.seg")).unwrap();
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_there_counts_even_beyond_the_limit() {
        let inner = Arc::new(MemoryDisk::new());
        inner.create_dir(Path::new("d")).unwrap();
        inner.create(Path::new("d/a.seg")).unwrap().set_len(5 * BLOCK).unwrap();
        let dirs = [PathBuf::from("d"), PathBuf::from("d/none")];
        let (disk, budget) = BudgetDisk::new(inner, 2 * BLOCK, (".seg", 0), &dirs).unwrap();
        assert_eq!((budget.used(), budget.free()), (5 * BLOCK, 0));
        let file = disk.open(Path::new("d/a.seg")).unwrap();
        file.write_at(&[b"in place"], 0).unwrap();
        assert!(file.set_len(6 * BLOCK).is_err());
        drop(file);
        disk.remove(Path::new("d/a.seg")).unwrap();
        assert_eq!(budget.free(), 2 * BLOCK);
    }
}
