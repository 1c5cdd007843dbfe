//! The files of a log that begins as a copy of another one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};

use parking_lot::Mutex;

use super::{DirLock, FilesOptions, LOCK, LogFiles, SEGMENTS, sync_parent, take_lock};
use crate::base::{Error, ErrorKind, Result};
use crate::disk::Disk;
use crate::log::cache::FileCache;
use crate::log::dir::SegmentDir;
use crate::log::layout::parse_segment_name;
use crate::log::manifest::{Manifest, ManifestState, UNFINISHED};

/// Takes the directory of a copy to be: absent, empty, or with what an unfinished copy has left,
/// which is removed.
pub(in crate::log) fn claim_dir(disk: &dyn Disk, dir: &Path) -> Result<DirLock> {
    let there = disk.entry(dir).map_err(|e| Error::io("look for", dir, e))?;
    match &there {
        Some(entry) if !entry.is_dir => return Err(taken(dir, "is a file")),
        Some(_) => check_may_be_used(disk, dir)?,
        None => disk.create_dir(dir).map_err(|e| Error::io("create", dir, e))?,
    }
    let lock = take_lock(disk, dir, there.is_some())?;
    // Somebody else may have made a log there while the lock was free.
    check_may_be_used(disk, dir)?;
    clear(disk, dir)?;
    Ok(lock)
}

/// Removes what a copy that has failed has left, as far as the disk lets it: the directory too,
/// if the copy made it.
pub(in crate::log) fn give_up_dir(disk: &dyn Disk, dir: &Path, lock: DirLock) {
    let ours = !lock.was_there;
    drop(disk.remove(&dir.join("manifest")));
    let cleared = clear(disk, dir).is_ok();
    drop(lock);
    if cleared && disk.remove(&dir.join(LOCK)).is_ok() && ours {
        drop(disk.remove_dir(dir));
    }
}

/// The name that says what this is goes last.
fn clear(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let segments = dir.join(SEGMENTS);
    let there = |path: &Path| {
        disk.entry(path).map(|entry| entry.is_some()).map_err(|e| Error::io("look for", path, e))
    };
    if there(&segments)? {
        for entry in disk.list(&segments).map_err(|e| Error::io("list", &segments, e))? {
            let path = segments.join(&entry.name);
            disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        disk.remove_dir(&segments).map_err(|e| Error::io("remove", &segments, e))?;
    }
    let marker = dir.join(UNFINISHED);
    if there(&marker)? {
        disk.remove(&marker).map_err(|e| Error::io("remove", &marker, e))?;
    }
    Ok(())
}

fn check_may_be_used(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let entries = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    let unfinished = has(UNFINISHED) && only_segments(disk, dir, has(SEGMENTS))?;
    let ours = |name: &str| name == LOCK || unfinished && matches!(name, UNFINISHED | SEGMENTS);
    if entries.iter().all(|entry| ours(&entry.name)) {
        return Ok(());
    }
    Err(taken(dir, "is not empty"))
}

fn only_segments(disk: &dyn Disk, dir: &Path, any: bool) -> Result<bool> {
    if !any {
        return Ok(true);
    }
    let segments = dir.join(SEGMENTS);
    let entries = disk.list(&segments).map_err(|e| Error::io("list", &segments, e))?;
    Ok(entries.iter().all(|e| !e.is_dir && parse_segment_name(&e.name).is_some()))
}

fn taken(dir: &Path, why: &str) -> Error {
    let message = format!("{} {why}: a copy needs a directory of its own", dir.display());
    Error::new(ErrorKind::InvalidRequest, message).with_path(dir)
}

impl LogFiles {
    /// The log that wrote segment file `number`: this one, or the one that this is a copy of.
    pub(in crate::log) fn writer_of(&self, number: u64) -> u128 {
        self.boot.writer_of(number)
    }

    /// The files of a copy that is under way: `found` are the lengths of those that it has taken
    /// over already.
    pub(in crate::log) fn of_copy(
        disk: Arc<dyn Disk>,
        dir: &Path,
        (manifest, boot): (Manifest, ManifestState),
        found: HashMap<u64, u64>,
    ) -> Arc<LogFiles> {
        let options = FilesOptions::new(boot.log_id()).within(disk.open_files_limit());
        let segments = dir.join(SEGMENTS);
        Arc::new(LogFiles {
            dir: SegmentDir::new(Arc::clone(&disk), segments),
            log_id: boot.log_id(),
            cache: FileCache::new(options.max_open_files, options.max_loaded),
            cannot_allocate: AtomicBool::new(false),
            producer_expiration_ms: AtomicI64::new(i64::MAX),
            indexed: Mutex::default(),
            warnings: Mutex::default(),
            maps: false,
            room: None,
            dir_path: dir.to_owned(),
            lock: Mutex::new(None),
            incarnation: boot.incarnation(),
            boot_id: disk.boot_id(),
            disk,
            manifest,
            boot,
            found,
        })
    }

    /// Makes the log: its files are written and synced, and closed in order. From here on an open
    /// finds it.
    pub(in crate::log) fn complete_copy(&self, was_there: bool) -> Result<()> {
        let (disk, segments) = (&*self.disk, self.segments_path());
        disk.sync_dir(segments).map_err(|e| Error::io("sync", segments, e))?;
        disk.sync_dir(&self.dir_path).map_err(|e| Error::io("sync", &self.dir_path, e))?;
        sync_parent(disk, &self.dir_path, was_there)?;
        self.mark_closed(Vec::new())?;
        self.manifest.publish()
    }
}

impl DirLock {
    /// Whether the directory was there before.
    pub(in crate::log) fn was_there(&self) -> bool {
        self.was_there
    }
}
