//! Floor 1: the one door to the operating system.
//!
//! Everything that a log does to files goes through [`Disk`] and [`DiskFile`]. There are three
//! bodies: [`OsDisk`] (real files), [`MemoryDisk`] (in-memory logs) and [`SimDisk`] (a hostile
//! twin with a live and a durable image). Memory is shared between one writer and many readers
//! through [`Span`] and the block types, the only places of this crate that say `unsafe`.

mod block;
mod budget;
mod map;
mod memory;
mod os;
mod pins;
pub mod sim;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use block::{BlockPin, BlockReader, BlockWriter, Span};
pub use budget::{BudgetDisk, DiskBudget};
pub use map::prefetch;
pub use memory::MemoryDisk;
pub use os::OsDisk;

/// What [`Disk::list`] tells of one directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name inside its directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length in bytes; 0 for a directory.
    pub len: u64,
}

/// A file system, or something that behaves like one.
///
/// Names are durable only after [`sync_dir`](Disk::sync_dir) of their directory, file contents
/// and lengths only after [`DiskFile::sync`].
///
/// # Errors
///
/// Every call fails with what the system says. The kinds that callers tell apart are `NotFound`,
/// `AlreadyExists`, `WouldBlock`, `StorageFull`, `CrossesDevices` and `Unsupported`.
#[allow(clippy::missing_errors_doc)]
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Creates `dir`, whose parent must exist. An existing directory is not an error.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// What stands at `path`: `None` when nothing does.
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>>;

    /// The entries of `dir`, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Creates a new empty file; `AlreadyExists` when the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what stood there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Open handles and maps of it stay valid.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Tells that `path` is going to be removed as soon as nobody reads it.
    fn give_up(&self, _path: &Path) {}

    /// Gives the file `from` a second name `to`; `AlreadyExists` when that is taken. The file's
    /// space is freed when both are removed. `Unsupported` or `CrossesDevices` where that does
    /// not work: the caller copies.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes the directory `from`, with everything in it, out of this disk: the only one of a
    /// new disk, as `to`. `Unsupported` where disks are real.
    fn split(&self, from: &Path, to: &Path) -> io::Result<Arc<dyn Disk>> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes creations, links, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock on the file `path` (created if missing) until the guard drops.
    /// `WouldBlock` when somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;

    /// Maps an existing file of exactly `len` bytes as memory that outlives the process. Whoever
    /// uses a part of it [brings it in](Span::bring_in) first. `Unsupported` where such maps do not work.
    fn map_shared(&self, path: &Path, len: usize) -> io::Result<SharedMap>;

    /// The file system of the directory `dir`, to sync it as a whole. `Unsupported` where that is
    /// not certain to reach the device, or to tell of a failure.
    fn file_system(&self, dir: &Path) -> io::Result<Box<dyn FileSystem>> {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// How many files the process may have open; `None` when that is not known, or not bounded.
    fn open_files_limit(&self) -> Option<usize> {
        None
    }

    /// Identity of the running operating system since its last boot, if it is known.
    fn boot_id(&self) -> Option<u128>;
}

/// A file of a [`Disk`]. All calls may run concurrently.
///
/// # Errors
///
/// As for [`Disk`].
#[allow(clippy::len_without_is_empty, clippy::missing_errors_doc)]
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Reads at `position`; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// As [`read_at`](Self::read_at), into fresh memory.
    fn read_fresh(&self, len: usize, position: u64) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; len];
        let read = self.read_at(&mut buffer, position)?;
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Writes all `parts`, one behind the other, from `position` on. After an error any part of
    /// them may have been written.
    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()>;

    /// Reserves space for `len` bytes from `position` on and lengthens the file to their end
    /// (never shortens it); what was not written before reads as zeros.
    fn allocate(&self, position: u64, len: u64) -> io::Result<()>;

    /// Cuts or lengthens the file.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes contents and length durable. After a failure nothing may be concluded about what
    /// was written since the last success, and calling again proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// As [`sync`](Self::sync) for a part of the contents, where that saves something: others may
    /// or may not become durable too. A failure is one of all that was written.
    fn sync_part(&self, position: u64, len: u64) -> io::Result<()> {
        let _ = (position, len);
        self.sync()
    }

    /// The first `len` bytes as shared read-only memory, for a file that nobody will change
    /// again. `Unsupported` where maps are off; the caller reads instead.
    fn map(&self, len: usize) -> io::Result<Bytes>;

    /// Maps a file that is still written, to read of it what will not change again: of `len`
    /// bytes now, and up to `reach` as it grows. `Unsupported` as for [`map`](Self::map), where a
    /// map may be older than what was written to the file, and as long as `len` is too few.
    fn map_front(&self, len: u64, reach: usize) -> io::Result<Arc<dyn Front>> {
        let _ = (len, reach);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The map of a file that grows.
pub trait Front: Send + Sync + fmt::Debug {
    /// The first `len` bytes, but for some that may share a page, or whatever the system loses as
    /// a whole, with the byte behind them.
    ///
    /// The file has as many, the caller has made all of them durable, and nobody will write to
    /// them or cut them off.
    fn lend(&self, len: u64) -> Bytes;

    /// The most that can be lent.
    fn reach(&self) -> u64;
}

/// A whole file system, for whoever has very many files to make durable.
///
/// # Errors
///
/// As for [`Disk`].
#[allow(clippy::missing_errors_doc)]
pub trait FileSystem: Send + Sync + fmt::Debug {
    /// Makes every file and every name durable, as they were before the call. Fails when any
    /// write since the last call of this handle did not reach the device, whosever it was; what
    /// [`DiskFile::sync`] says of a failure holds for every file then.
    fn sync(&self) -> io::Result<()>;
}

/// A mapped file: its memory, and the file to make it durable with.
#[derive(Debug)]
pub struct SharedMap {
    /// The whole mapped memory.
    pub memory: Span,
    /// Syncing this file makes all stores to `memory` before the call durable.
    pub file: Arc<dyn DiskFile>,
}
