//! What all partitions of a log share: disk, directory, manifest, open files, file numbers.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

use super::cache::{FileCache, Loaded};
use super::dir::{FOUND_MARK, SegmentDir};
use super::key::PartitionKey;
use super::layout::{parse_segment_name, segment_name};
use super::manifest::{
    Manifest, ManifestState, PartitionEnd, PartitionState, Record, UNFINISHED, Witness,
};
use super::report::OpenReport;
use super::room::Room;
use crate::base::{Error, ErrorKind, Result, TopicId};
use crate::disk::{Disk, DiskFile};

pub(super) mod copied;

const LOCK: &str = "LOCK";
/// The directory of segment files.
pub const SEGMENTS: &str = "segments";
/// No more warnings than this are kept for whoever asks.
const MAX_WARNINGS: usize = 64;

/// Bounds of how many files are kept open, whatever the process may have.
const LEAST_FILES: usize = 16;
const MOST_FILES: usize = 1_024;

/// How the files of a log are opened.
#[derive(Clone, Debug)]
pub struct FilesOptions {
    /// What somebody else remembers of the manifest's synced length.
    pub witness: Witness,
    /// The identity of the log if it has to be made.
    pub new_log_id: u128,
    /// Read sealed segments through maps where the disk has them.
    pub maps: bool,
    /// The most files that are open at a time.
    pub max_open_files: usize,
    /// The most sealed segments that are mapped, or have their index in memory, at a time; and the
    /// most of others that are mapped as far as they are synced.
    pub max_loaded: usize,
    /// What the log may take of its disk, if that is limited.
    pub room: Option<Room>,
}

impl FilesOptions {
    /// The defaults, for a log that gets this identity if it has to be made.
    #[must_use]
    pub fn new(new_log_id: u128) -> Self {
        let witness = Witness::NONE;
        let (max_open_files, max_loaded) = (MOST_FILES, MOST_FILES);
        Self { witness, new_log_id, maps: true, max_open_files, max_loaded, room: None }
    }

    /// Leaves most of the files that the process may have open to others: the log keeps a
    /// quarter open to write, and as many at most to read.
    #[must_use]
    pub fn within(mut self, open_files_limit: Option<usize>) -> Self {
        let share = open_files_limit.map_or(MOST_FILES, |limit| limit / 4);
        self.max_open_files = share.clamp(LEAST_FILES, MOST_FILES);
        self.max_loaded = self.max_open_files;
        self
    }
}

/// The exclusive right to a log's directory; ends when it is dropped.
pub struct DirLock {
    /// Whether the directory was there before.
    was_there: bool,
    _guard: Box<dyn Send + Sync>,
}

impl fmt::Debug for DirLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirLock").field("was_there", &self.was_there).finish_non_exhaustive()
    }
}

/// Makes `dir` if it is missing, and takes its lock.
///
/// # Errors
/// `Locked` when another handle or process has it, `NotALog` when `dir` holds something else,
/// `StorageError` from the disk.
pub fn lock_dir(disk: &dyn Disk, dir: &Path) -> Result<DirLock> {
    let there = disk.entry(dir).map_err(|e| Error::io("look for", dir, e))?.is_some();
    if there {
        check_is_a_log(disk, dir)?;
    } else {
        disk.create_dir(dir).map_err(|e| Error::io("create", dir, e))?;
    }
    take_lock(disk, dir, there)
}

fn take_lock(disk: &dyn Disk, dir: &Path, was_there: bool) -> Result<DirLock> {
    let path = dir.join(LOCK);
    let lock = disk.lock(&path).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            let message = format!("{} is in use by another process or handle", dir.display());
            Error::new(ErrorKind::Locked, message).with_path(dir)
        } else {
            Error::io("lock", &path, error)
        }
    })?;
    Ok(DirLock { was_there, _guard: lock })
}

/// Makes the names of the log's directory, and of what stands in it, durable.
///
/// Not needed where the witness speaks of the manifest that is there: it was noted by an open
/// that had done this before.
fn sync_names(disk: &dyn Disk, dir: &Path, was_there: bool) -> Result<()> {
    sync_parent(disk, dir, was_there)?;
    disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
}

/// The directory's own name must survive what is acknowledged in it; and whoever made it may
/// have died before its name was durable.
fn sync_parent(disk: &dyn Disk, dir: &Path, was_there: bool) -> Result<()> {
    let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    match disk.sync_dir(parent) {
        // Somebody else made the directory for a log that may not read beside it.
        Err(error) if was_there && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        done => done.map_err(|error| Error::io("sync", parent, error)),
    }
}

fn check_is_a_log(disk: &dyn Disk, dir: &Path) -> Result<()> {
    if matches!(Manifest::exists(disk, dir), Ok(true)) {
        return Ok(());
    }
    let entries = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let names = || entries.iter().map(|entry| entry.name.as_str());
    // A crash while the log is made leaves some of our names and no manifest.
    let ours = |name: &str| {
        matches!(name, LOCK | SEGMENTS | "manifest.tmp" | "lost+found")
            || name.starts_with("stage-")
    };
    if names().all(ours) {
        return Ok(());
    }
    let what = if names().any(|name| name == UNFINISHED) {
        "holds an unfinished snapshot: take it again, or remove the directory"
    } else {
        "is not empty and holds no log"
    };
    let message = format!("{} {what}", dir.display());
    Err(Error::new(ErrorKind::NotALog, message).with_path(dir))
}

/// What all partitions of one open log share.
#[derive(Debug)]
pub struct LogFiles {
    disk: Arc<dyn Disk>,
    dir_path: PathBuf,
    manifest: Manifest,
    /// What the manifest said before this open: how the log was left.
    boot: ManifestState,
    /// The operating system's boot, read once.
    boot_id: Option<u128>,
    /// Lengths of the segment files that were there at open.
    found: HashMap<u64, u64>,
    log_id: u128,
    incarnation: u32,
    maps: bool,
    pub(super) room: Option<Room>,
    pub(super) dir: SegmentDir,
    pub(super) cache: FileCache,
    /// Topics whose segments get postings when they are sealed.
    indexed: Mutex<HashSet<TopicId>>,
    /// The disk cannot reserve space: no use in asking again.
    pub(super) cannot_allocate: AtomicBool,
    /// How long a silent producer is remembered.
    producer_expiration_ms: AtomicI64,
    warnings: Mutex<Vec<Error>>,
    lock: Mutex<Option<DirLock>>,
}

impl LogFiles {
    /// Opens the files of the log in `dir`, or makes a new log there.
    ///
    /// Writes nothing but the record of this open. Removes only files that the manifest proves
    /// to be nobody's.
    ///
    /// # Errors
    /// `CorruptMessage` for damaged or missing metadata, `UnsupportedVersion` for a newer
    /// format, `StorageError` and `StorageFull` from the disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        lock: DirLock,
        options: FilesOptions,
        report: &mut OpenReport,
    ) -> Result<Arc<LogFiles>> {
        let segments = dir.join(SEGMENTS);
        let found = list_segments(&*disk, &segments, report)?;
        if !Manifest::exists(&*disk, dir)? {
            if !found.is_empty() || options.witness != Witness::NONE {
                return Err(Error::corrupt(dir, "the manifest of this log is missing"));
            }
            Manifest::create(Arc::clone(&disk), dir, options.new_log_id)?;
        }
        let (manifest, boot, read) = Manifest::open(Arc::clone(&disk), dir, options.witness)?;
        if options.witness.generation != read.generation {
            sync_names(&*disk, dir, lock.was_there)?;
        }
        report.clean = boot.is_clean();
        report.manifest_cut_bytes = read.torn_bytes;
        let incarnation = boot.incarnation().saturating_add(1);
        // As long as recovery is not complete the log stands as the power cut left it: a death in
        // the middle of it must not make the next open believe that the power stayed on.
        let boot_id_now = disk.boot_id();
        let boot_id =
            if boot.may_have_lost_power(boot_id_now) { boot.boot_id() } else { boot_id_now };
        let opened = Record::Opened { incarnation, boot_id };
        // Before anything is written under this incarnation it must be impossible that another
        // open gets the same one; and what was read of the manifest must be durable before a
        // file is removed because of it.
        let position = manifest.append(&[opened])?;
        manifest.sync_to(position)?;
        let files = Arc::new(LogFiles {
            dir: SegmentDir::new(Arc::clone(&disk), segments),
            log_id: boot.log_id(),
            cache: FileCache::new(options.max_open_files, options.max_loaded),
            indexed: Mutex::default(),
            cannot_allocate: AtomicBool::new(false),
            producer_expiration_ms: AtomicI64::new(i64::MAX),
            warnings: Mutex::default(),
            maps: options.maps,
            room: options.room,
            dir_path: dir.to_owned(),
            lock: Mutex::new(Some(lock)),
            disk,
            manifest,
            boot,
            boot_id: boot_id_now,
            found,
            incarnation,
        });
        files.remove_proven(read.torn_bytes > 0, report);
        Ok(files)
    }

    /// How long a silent producer is remembered, in milliseconds.
    #[must_use]
    pub fn producer_expiration_ms(&self) -> i64 {
        self.producer_expiration_ms.load(Ordering::Relaxed)
    }

    /// Says how long a silent producer is remembered: before partitions are opened.
    pub fn set_producer_expiration_ms(&self, ms: i64) {
        self.producer_expiration_ms.store(ms, Ordering::Relaxed);
    }

    /// The log's identity.
    #[must_use]
    pub fn log_id(&self) -> u128 {
        self.log_id
    }

    /// Lets segments of the topic have postings from now on: the topic has a key index.
    pub(super) fn set_indexed(&self, topic: TopicId) {
        self.indexed.lock().insert(topic);
    }

    pub(super) fn is_indexed(&self, topic: TopicId) -> bool {
        self.indexed.lock().contains(&topic)
    }

    /// Grows with every open; the leader epoch of what is written now.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The log's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir_path
    }

    /// The directory of the segments.
    #[must_use]
    pub fn segments_path(&self) -> &Path {
        self.dir.path()
    }

    /// The disk that everything is on.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the manifest said before this open: how the log was left.
    #[must_use]
    pub fn boot_state(&self) -> &ManifestState {
        &self.boot
    }

    /// Whether the log was left open and the operating system may not have run without a break
    /// since then.
    #[must_use]
    pub fn may_have_lost_power(&self) -> bool {
        self.boot.may_have_lost_power(self.boot_id)
    }

    /// The life that closed the log, where the operating system has run without a break since then.
    #[must_use]
    pub fn closed_by(&self) -> Option<u32> {
        let same_boot = self.boot_id.is_some() && self.boot_id == self.boot.boot_id();
        (self.boot.is_clean() && same_boot).then(|| self.boot.incarnation())
    }

    /// The record that recovery is complete, after a loss of power.
    #[must_use]
    pub fn recovered(&self) -> Record {
        Record::Opened { incarnation: self.incarnation, boot_id: self.boot_id }
    }

    /// Deletes all partitions of these topics, durably. Each of their
    /// [`SegmentLog`](super::SegmentLog)s is to be [deleted](super::SegmentLog::delete) then;
    /// files of those that are not are removed by the next open, or by
    /// [`remove_files_of`](Self::remove_files_of).
    ///
    /// # Errors
    /// `StorageError` from the manifest.
    pub fn retire_topics(&self, ids: &[TopicId]) -> Result<()> {
        let mut position = None;
        for &topic_id in ids {
            position = Some(self.manifest.append(&[Record::PartitionsRetired { topic_id }])?);
        }
        position.map_or(Ok(()), |position| self.manifest.sync_to(position))
    }

    /// Removes the files that these topics had when the log was opened. Nobody has opened them
    /// since, and their retirement is durable.
    pub fn remove_files_of(&self, ids: &[TopicId]) {
        let ids: HashSet<&TopicId> = ids.iter().collect();
        let gone = self.boot.partitions().filter(|(key, _)| ids.contains(&key.topic_id));
        for segment in gone.flat_map(|(_, partition)| partition.segments()) {
            self.remove_segment(segment.number, &self.segment_path(segment.number));
        }
    }

    /// Records that the log is closed in order; nothing may be changed afterwards. `ends` are
    /// the ends of the partitions that have staged records.
    ///
    /// # Errors
    /// `StorageError` from the manifest: the next open will scan.
    pub fn mark_closed(&self, ends: Vec<PartitionEnd>) -> Result<()> {
        let closed = Record::Closed { incarnation: self.incarnation, ends };
        let position = self.manifest.append(&[closed])?;
        self.manifest.sync_to(position)
    }

    /// Says again, after an open that failed and changed nothing, how the log was closed: what
    /// the close promised is asked for by the next open too.
    ///
    /// # Errors
    /// `StorageError` from the manifest: the next open will scan, and promise nothing.
    pub fn restore_clean_close(&self) -> Result<()> {
        if !self.boot.is_clean() {
            return Ok(());
        }
        let mut records = Vec::new();
        for (_, partition) in self.boot.partitions() {
            for segment in partition.segments() {
                let known = self.boot.checkpoint(segment.number);
                let number = segment.number;
                records.extend(known.map(|end| Record::Checkpoint { number, end: *end }));
            }
        }
        let promised = self.boot.staged_ends();
        let ends = promised.map(|(key, offset)| PartitionEnd { key: *key, offset }).collect();
        records.push(Record::Closed { incarnation: self.incarnation, ends });
        let position = self.manifest.append(&records)?;
        self.manifest.sync_to(position)
    }

    /// Lets others open the log. Nothing may be written after this.
    pub fn unlock(&self) {
        drop(self.lock.lock().take());
    }

    /// What went wrong in the background and stopped nobody, oldest first; each is told once.
    #[must_use]
    pub fn take_warnings(&self) -> Vec<Error> {
        std::mem::take(&mut *self.warnings.lock())
    }

    /// Keeps what went wrong in the background until somebody asks.
    pub fn warn(&self, error: Error) {
        let mut warnings = self.warnings.lock();
        if warnings.len() < MAX_WARNINGS {
            warnings.push(error);
        }
    }

    pub(super) fn boot_partition(&self, key: &PartitionKey) -> Option<&PartitionState> {
        self.boot.partition(key)
    }

    /// The length at open of segment file `number`; `None` when it was not there.
    pub(super) fn found_len(&self, number: u64) -> Option<u64> {
        self.found.get(&number).copied()
    }

    pub(super) fn segment_path(&self, number: u64) -> PathBuf {
        self.dir.path().join(segment_name(number))
    }

    /// The open file of segment `number`, opened again if it was closed meanwhile.
    pub(super) fn segment_file(&self, number: u64, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.cache.file(number) {
            return Ok(file);
        }
        let file = self.disk.open(path)?;
        self.cache.keep_file(number, Arc::clone(&file));
        Ok(file)
    }

    /// A new segment file: its number, and its name's mark.
    pub(super) fn create_segment(&self) -> Result<(u64, u64)> {
        loop {
            let number = self.manifest.next_number();
            let path = self.segment_path(number);
            match self.disk.create(&path) {
                Ok(file) => {
                    let mark = self.dir.note_created();
                    self.cache.keep_file(number, file);
                    return Ok((number, mark));
                }
                // A file that a torn end of the manifest may have named: it stays.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", &path, error)),
            }
        }
    }

    /// The file is going to be removed when nobody reads it any more.
    pub(super) fn give_up(&self, path: &Path) {
        self.disk.give_up(path);
    }

    /// Removes a file that the manifest durably does not need.
    pub(super) fn remove_segment(&self, number: u64, path: &Path) {
        self.cache.forget(number);
        match self.disk.remove(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It costs space and nothing else; the next open tries again.
            Err(error) => self.warn(Error::io("remove", path, error)),
        }
    }

    pub(super) fn loaded(
        &self,
        number: u64,
        load: impl FnOnce() -> Result<Loaded>,
    ) -> Result<Loaded> {
        if let Some(loaded) = self.cache.loaded(number) {
            return Ok(loaded);
        }
        let loaded = load()?;
        self.cache.keep_loaded(number, loaded.clone());
        Ok(loaded)
    }

    pub(super) fn maps(&self) -> bool {
        self.maps
    }

    /// Asks for the reservation of space, unless the disk has said that it has none to give.
    pub(super) fn allocate(&self, file: &dyn DiskFile, at: u64, len: u64) -> io::Result<()> {
        if self.cannot_allocate.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        file.allocate(at, len).inspect_err(|error| {
            if error.kind() == io::ErrorKind::Unsupported {
                self.cannot_allocate.store(true, Ordering::Relaxed);
            }
        })
    }

    fn remove_proven(&self, torn: bool, report: &mut OpenReport) {
        let mut left = false;
        let mut numbers: Vec<u64> = self.found.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if self.boot.owner(number).is_some() {
                continue;
            }
            let path = self.segment_path(number);
            // A torn end of the manifest may have named the file: then nothing is proven.
            if torn || !self.boot.is_removable(number) {
                report.strangers.push(path);
                left = true;
            } else if let Err(error) = self.disk.remove(&path) {
                self.warn(Error::io("remove", &path, error));
                left = true;
            } else {
                report.removed_files += 1;
            }
        }
        // Only after the removals are durable may the manifest forget the numbers.
        let any = report.removed_files > 0 || self.boot.remembers_numbers();
        if any && !left && self.dir.sync_to(FOUND_MARK).is_ok() {
            self.manifest.forget(0..=u64::MAX);
        }
    }
}

fn list_segments(
    disk: &dyn Disk,
    segments: &Path,
    report: &mut OpenReport,
) -> Result<HashMap<u64, u64>> {
    let there = disk.entry(segments).map_err(|e| Error::io("look for", segments, e))?;
    if there.is_none() {
        disk.create_dir(segments).map_err(|e| Error::io("create", segments, e))?;
    }
    let mut found = HashMap::new();
    for entry in disk.list(segments).map_err(|e| Error::io("list", segments, e))? {
        match parse_segment_name(&entry.name).filter(|_| !entry.is_dir) {
            Some(number) => {
                found.insert(number, entry.len);
            }
            None => report.strangers.push(segments.join(&entry.name)),
        }
    }
    Ok(found)
}
