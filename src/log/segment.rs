//! One segment file: its identity, and what all snapshots that name it share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::files::LogFiles;
use super::index::Entry;
use super::key::PartitionKey;
use super::layout::{self, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::manifest::SegmentEnd;
use super::producers::{self, AbortedTxn, Producers};
use super::source::Source;
use crate::base::{Error, ErrorKind, Result, TopicPartition};
use crate::disk::DiskFile;

/// A segment file of one partition.
///
/// A retired segment's file is removed when the last snapshot that names it is gone, so a
/// reader that began before finishes its read (A35).
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) files: Arc<LogFiles>,
    pub(super) name: TopicPartition,
    pub(super) key: PartitionKey,
    pub(super) number: u64,
    pub(super) base_offset: u64,
    pub(super) salt: u32,
    pub(super) path: PathBuf,
    /// The directory's mark of this file's name.
    pub(super) name_mark: u64,
    /// The index while the segment is not sealed.
    pub(super) live: RwLock<Vec<Entry>>,
    /// How it ends, once it is sealed and its index stands in its footer; set before `live` goes.
    pub(super) end: OnceLock<SegmentEnd>,
    /// The greatest timestamp of its first batch, once somebody has asked for it.
    pub(super) first_timestamp: OnceLock<Option<i64>>,
    /// The transactions that markers in it abort, while it is not sealed.
    pub(super) aborted: RwLock<Vec<AbortedTxn>>,
    /// What its footer is to say of producers and aborted transactions.
    stored: RwLock<Vec<u8>>,
    /// Whether there is anything to say of them.
    stateful: AtomicBool,
    /// Bytes from the front that are known to be durable. Only the writer moves it.
    pub(super) synced_len: AtomicU64,
    /// Syncs of one file follow each other: the error of a failed write-back is reported once,
    /// and a second sync that overtook it would report success.
    sync: Mutex<()>,
    failed: AtomicBool,
    retired: AtomicBool,
    /// The file's header was damaged and is to be written again.
    pub(super) repair: AtomicBool,
}

impl Segment {
    pub(super) fn new(
        files: &Arc<LogFiles>,
        name: &TopicPartition,
        key: PartitionKey,
        number: u64,
        base_offset: u64,
        name_mark: u64,
    ) -> Self {
        Self {
            files: Arc::clone(files),
            name: name.clone(),
            key,
            number,
            base_offset,
            salt: layout::salt(files.writer_of(number), &key, number),
            path: files.segment_path(number),
            name_mark,
            live: RwLock::default(),
            end: OnceLock::new(),
            first_timestamp: OnceLock::new(),
            aborted: RwLock::default(),
            stored: RwLock::default(),
            stateful: AtomicBool::new(false),
            synced_len: AtomicU64::new(0),
            sync: Mutex::default(),
            failed: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            repair: AtomicBool::new(false),
        }
    }

    /// The header that belongs into this file.
    pub(super) fn header(&self, created_ms: i64) -> SegmentHeader {
        let Self { key, number, base_offset, salt, .. } = *self;
        SegmentHeader { key, number, base_offset, created_ms, salt }
    }

    /// The open file.
    pub(super) fn file(&self) -> Result<Arc<dyn DiskFile>> {
        let opened = self.files.segment_file(self.number, &self.path);
        opened.map_err(|error| self.place(Error::io("open", &self.path, error)))
    }

    /// Its bytes for a reader, while it is not sealed.
    pub(super) fn source(&self) -> Result<Source> {
        let file = self.file()?;
        // A header that is to be repaired will be written to.
        let stays = self.files.maps() && !self.repair.load(Ordering::Acquire);
        let synced = if stays { self.synced_len() } else { 0 };
        let front = self.files.cache.front(self.number, &*file, synced);
        Ok(Source::with_front(file, front))
    }

    /// Writes `parts` from `position` on.
    pub(super) fn write(&self, parts: &[&[u8]], position: u64) -> Result<()> {
        let file = self.file()?;
        self.files.cache.set_dirty(self.number, true);
        let written = file.write_at(parts, position);
        written.map_err(|error| self.place(Error::io("write", &self.path, error)))
    }

    /// Cuts or lengthens the file.
    pub(super) fn set_len(&self, len: u64) -> Result<()> {
        let file = self.file()?;
        self.files.cache.set_dirty(self.number, true);
        let cut = file.set_len(len);
        cut.map_err(|error| self.place(Error::io("change the length of", &self.path, error)))
    }

    /// Makes the file's contents durable. After the first failure every call fails.
    pub(super) fn sync(&self, file: &dyn DiskFile) -> Result<()> {
        let _one_after_the_other = self.sync.lock();
        if self.has_failed() {
            let message = format!("an earlier sync of {} failed", self.path.display());
            let error = Error::new(ErrorKind::StorageError, message).with_path(&self.path);
            return Err(self.place(error));
        }
        file.sync().map_err(|error| {
            self.set_failed();
            self.place(Error::io("sync", &self.path, error))
        })
    }

    /// Makes the file and its name durable.
    pub(super) fn sync_with_name(&self, file: &dyn DiskFile) -> Result<()> {
        self.sync(file)?;
        self.sync_name()
    }

    /// Makes the file's name durable.
    pub(super) fn sync_name(&self) -> Result<()> {
        self.files.dir.sync_to(self.name_mark).map_err(|error| {
            self.set_failed();
            self.place(error)
        })
    }

    /// Notes what its footer is to say: of the producers as of its end, and of the transactions
    /// that markers in it abort.
    pub(super) fn store(&self, producers: &Producers) {
        let bytes = producers::encode(producers, &self.aborted.read());
        self.set_stored(bytes);
    }

    /// As `store`, as it will stand in the footer.
    pub(super) fn set_stored(&self, bytes: Vec<u8>) {
        self.set_stateful(!bytes.is_empty());
        *self.stored.write() = bytes;
    }

    /// What was noted for the footer.
    pub(super) fn stored(&self) -> Vec<u8> {
        self.stored.read().clone()
    }

    /// Lets go of what stands in the footer now.
    pub(super) fn forget_live(&self) {
        self.files.cache.forget_front(self.number);
        self.live.write().clear();
        *self.aborted.write() = Vec::new();
        *self.stored.write() = Vec::new();
    }

    pub(super) fn is_stateful(&self) -> bool {
        self.stateful.load(Ordering::Acquire)
    }

    pub(super) fn set_stateful(&self, stateful: bool) {
        self.stateful.fetch_or(stateful, Ordering::AcqRel);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn set_failed(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(super) fn synced_len(&self) -> u64 {
        self.synced_len.load(Ordering::Acquire)
    }

    pub(super) fn raise_synced_len(&self, len: u64) {
        self.synced_len.fetch_max(len, Ordering::AcqRel);
    }

    /// Has the file removed once nobody reads it. The manifest must durably say so before.
    pub(super) fn retire(&self) {
        if !self.retired.swap(true, Ordering::AcqRel) {
            self.files.give_up(&self.path);
        }
    }

    /// `error` with the partition's name.
    pub(super) fn place(&self, error: Error) -> Error {
        error.with_partition(&self.name)
    }

    /// Damage in this file, at `position`, in front of the record with `offset`.
    pub(super) fn damaged(&self, position: u64, offset: u64, reason: &str) -> Error {
        damaged(&self.path, position, offset, reason).with_partition(&self.name)
    }

    /// Checks the header that the file begins with.
    pub(super) fn check_header(&self, bytes: &[u8]) -> Result<SegmentHeader, HeaderFlaw> {
        match SegmentHeader::decode(bytes) {
            Ok(header) if header == self.header(header.created_ms) => Ok(header),
            Ok(_) => Err(HeaderFlaw::Foreign),
            Err(layout::Flaw::Bad(reason)) => Err(HeaderFlaw::Damaged(reason)),
            Err(layout::Flaw::Unknown(reason)) => Err(HeaderFlaw::Unknown(reason)),
        }
    }

    /// The error that a header with this flaw is.
    pub(super) fn header_error(&self, flaw: HeaderFlaw) -> Error {
        match flaw {
            HeaderFlaw::Damaged(reason) => self.damaged(0, self.base_offset, reason),
            HeaderFlaw::Foreign => {
                self.damaged(0, self.base_offset, "the file is another segment's")
            }
            HeaderFlaw::Unknown(reason) => {
                let message = format!("{}: {reason}", self.path.display());
                let error = Error::new(ErrorKind::UnsupportedVersion, message);
                self.place(error.with_path(&self.path))
            }
        }
    }
}

/// What is wrong with a segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFlaw {
    Damaged(&'static str),
    Foreign,
    Unknown(&'static str),
}

/// The position of a segment's first batch.
pub(super) const FIRST_BATCH: u64 = SEGMENT_HEADER_BYTES as u64;

fn damaged(path: &Path, position: u64, offset: u64, reason: &str) -> Error {
    let message = format!("damaged at byte {position}, at or behind offset {offset}: {reason}");
    Error::corrupt(path, message).with_offset(offset)
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire) {
            self.files.remove_segment(self.number, &self.path);
        }
    }
}
