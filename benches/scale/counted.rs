//! Real files, with every sync and every opening counted.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alluvium::testing::{Disk, DiskFile, Entry, FileSystem, OsDisk, SharedMap};
use bytes::Bytes;

/// How often the disk was asked for what.
#[derive(Debug, Default)]
pub struct Counts {
    syncs: AtomicU64,
    created: AtomicU64,
}

impl Counts {
    /// Syncs of files, directories and whole file systems.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Files that were created.
    pub fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }
}

/// The system's disk, counted.
#[derive(Clone, Debug, Default)]
pub struct CountedDisk {
    disk: OsDisk,
    counts: Arc<Counts>,
}

impl CountedDisk {
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(CountedFile { file, counts: self.counts() })
    }
}

impl Disk for CountedDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.disk.entry(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.counts.created.fetch_add(1, Ordering::Relaxed);
        self.disk.create(path).map(|file| self.file(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path).map(|file| self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(path)
    }

    fn map_shared(&self, path: &Path, len: usize) -> io::Result<SharedMap> {
        let SharedMap { memory, file } = self.disk.map_shared(path, len)?;
        Ok(SharedMap { memory, file: self.file(file) })
    }

    fn file_system(&self, dir: &Path) -> io::Result<Box<dyn FileSystem>> {
        let file_system = self.disk.file_system(dir)?;
        Ok(Box::new(CountedFileSystem { file_system, counts: self.counts() }))
    }

    fn open_files_limit(&self) -> Option<usize> {
        self.disk.open_files_limit()
    }

    fn boot_id(&self) -> Option<u128> {
        self.disk.boot_id()
    }
}

#[derive(Debug)]
struct CountedFileSystem {
    file_system: Box<dyn FileSystem>,
    counts: Arc<Counts>,
}

impl FileSystem for CountedFileSystem {
    fn sync(&self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.file_system.sync()
    }
}

#[derive(Debug)]
struct CountedFile {
    file: Arc<dyn DiskFile>,
    counts: Arc<Counts>,
}

impl DiskFile for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        self.file.write_at(parts, position)
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        self.file.allocate(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync()
    }

    fn map(&self, len: usize) -> io::Result<Bytes> {
        self.file.map(len)
    }
}
