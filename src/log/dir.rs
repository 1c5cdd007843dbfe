//! Durable names: one directory sync covers all files that were created before it.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::{Error, ErrorKind, Result};
use crate::disk::{Disk, FileSystem};

/// The mark of names that were there at open: whoever made them may have died too early.
pub(super) const FOUND_MARK: u64 = 1;

/// The directory of the segment files, and how many of its names are durable.
#[derive(Debug)]
pub(super) struct SegmentDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    created: AtomicU64,
    synced: Mutex<Names>,
    /// Where one call syncs everything.
    file_system: Option<Box<dyn FileSystem>>,
}

#[derive(Debug, Default)]
struct Names {
    /// Names up to this mark are durable, unless they are lost.
    durable: u64,
    /// Names that a failed sync may have lost: a later success proves nothing for them.
    lost: Vec<RangeInclusive<u64>>,
}

impl Names {
    fn is_lost(&self, mark: u64) -> bool {
        self.lost.iter().any(|range| range.contains(&mark))
    }
}

impl SegmentDir {
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        // From now on: a later handle may not hear of an earlier failure.
        let file_system = disk.file_system(&path).ok();
        let created = AtomicU64::new(FOUND_MARK);
        Self { disk, path, created, synced: Mutex::default(), file_system }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes note of a name that exists from now on; its mark.
    pub(super) fn note_created(&self) -> u64 {
        self.created.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Makes all names up to `mark` durable. Who waits for the lock finds the work done.
    pub(super) fn sync_to(&self, mark: u64) -> Result<()> {
        let mut names = self.synced.lock();
        if names.is_lost(mark) {
            let path = self.path.display();
            let message = format!("an earlier sync of {path} failed, the name may be lost");
            return Err(Error::new(ErrorKind::StorageError, message).with_path(&self.path));
        }
        if mark <= names.durable {
            return Ok(());
        }
        self.sync_names(&mut names, || self.disk.sync_dir(&self.path))
    }

    /// Makes all files of the log durable with one call, names included; `None` where that does
    /// not work.
    pub(super) fn sync_everything(&self) -> Option<Result<()>> {
        let file_system = self.file_system.as_ref()?;
        let mut names = self.synced.lock();
        Some(self.sync_names(&mut names, || file_system.sync()))
    }

    fn sync_names(&self, names: &mut Names, sync: impl FnOnce() -> io::Result<()>) -> Result<()> {
        let upto = self.created.load(Ordering::Acquire);
        let result = sync();
        if result.is_err() {
            let first = names.durable + 1;
            names.lost.push(first..=upto);
        }
        names.durable = upto;
        result.map_err(|error| Error::io("sync", &self.path, error))
    }
}
