//! A log that begins as a copy of another one, as that one was at one moment.
//!
//! | file | holds |
//! |---|---|
//! | `cut` | what a partition held at that moment, and what of it is written anew |
//! | `transfer` | a sealed file under a second name, or its bytes in another place |

mod cut;
mod transfer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::copied::{claim_dir, give_up_dir};
use super::files::{DirLock, LogFiles, SEGMENTS};
use super::layout::segment_name;
use super::manifest::{Manifest, Record};
use super::report::OpenReport;
use super::segment_log::SegmentLog;
use crate::base::{Error, Result};
use crate::disk::Disk;

pub use cut::PartitionCut;
use transfer::{Moved, Mover};

/// What it took to make a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyReport {
    /// Sealed segments that both logs share, and their bytes.
    pub linked: (usize, u64),
    /// Sealed segments that were copied, and their bytes.
    pub copied: (usize, u64),
    /// Why they were not shared.
    pub no_links: Option<String>,
    /// Bytes of records that were written anew: those that stood in no sealed segment.
    pub tail_bytes: u64,
}

/// A directory that nobody else can use any more, for a copy to be.
#[derive(Debug)]
pub struct CopyTarget {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    lock: Option<DirLock>,
}

impl CopyTarget {
    /// Takes `dir`, which must be absent (its parent must be there), empty, or what an unfinished
    /// copy has left. When the copy does not come about everything in it is removed again.
    ///
    /// # Errors
    /// `InvalidRequest` when there is something else, `Locked` when another copy is made there,
    /// `StorageError` from the disk.
    pub fn claim(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let lock = Some(claim_dir(&*disk, dir)?);
        Ok(Self { disk, dir: dir.to_owned(), lock })
    }

    fn was_there(&self) -> bool {
        self.lock.as_ref().is_some_and(DirLock::was_there)
    }
}

impl Drop for CopyTarget {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            give_up_dir(&*self.disk, &self.dir, lock);
        }
    }
}

/// A copy that is being made. Dropped before it is [finished](LogCopy::finish), it is removed.
#[derive(Debug)]
pub struct LogCopy {
    files: Arc<LogFiles>,
    /// Partitions with records that were written anew.
    logs: Vec<SegmentLog>,
    report: CopyReport,
    target: CopyTarget,
}

impl LogCopy {
    /// Begins a copy, under the identity `log_id`, of the log of `source` as `cuts` has it: the
    /// manifest, which no open takes for one yet, and the sealed segments.
    ///
    /// Order of effects: the manifest under its preliminary name, durable; the files. So a death
    /// in between leaves what an open refuses, and the next copy clears.
    ///
    /// # Errors
    /// `StorageError` and `StorageFull`.
    pub fn begin(
        source: &LogFiles,
        target: CopyTarget,
        log_id: u128,
        cuts: &[PartitionCut],
    ) -> Result<Self> {
        let (disk, dir) = (Arc::clone(&target.disk), target.dir.clone());
        let records = first_records(source, log_id, cuts)?;
        let manifest = Manifest::begin(Arc::clone(&disk), &dir, &records)?;
        let segments = dir.join(SEGMENTS);
        disk.create_dir(&segments).map_err(|e| Error::io("create", &segments, e))?;
        let mut found = HashMap::new();
        let mut report = CopyReport::default();
        let mut mover = Mover::new(source, &*disk);
        for (layer, end) in cuts.iter().flat_map(PartitionCut::sealed) {
            let number = layer.segment.number;
            let to = segments.join(segment_name(number));
            let count = match mover.file(&layer.segment.path, &to, end.file_len)? {
                Moved::Linked => &mut report.linked,
                Moved::Copied => &mut report.copied,
            };
            *count = (count.0 + 1, count.1 + end.file_len);
            found.insert(number, end.file_len);
        }
        report.no_links = mover.no_links();
        let files = LogFiles::of_copy(disk, &dir, manifest, found);
        files.set_producer_expiration_ms(source.producer_expiration_ms());
        Ok(Self { files, logs: Vec::new(), report, target })
    }

    /// Writes what a partition has in no sealed segment.
    ///
    /// # Errors
    /// `CorruptMessage` for a damaged batch, `StorageError` and `StorageFull`.
    pub fn add_tail(&mut self, cut: &PartitionCut, now_ms: i64) -> Result<()> {
        if !cut.has_tail() {
            return Ok(());
        }
        let (files, config) = (Arc::clone(&self.files), Arc::clone(&cut.config));
        let (name, mut report) = (cut.name.clone(), OpenReport::default());
        let mut log = SegmentLog::open(files, cut.key, name, config, now_ms, &mut report)?;
        self.report.tail_bytes += cut.write_tail(&mut log, now_ms)?;
        self.logs.push(log);
        Ok(())
    }

    /// Makes everything durable, and then the copy a log.
    ///
    /// Order of effects: the new segments, sealed; their names and those of the shared ones; the record
    /// that the log was closed in order; the manifest's real name. A death in front of the last
    /// step leaves no log, behind it a whole one.
    ///
    /// # Errors
    /// `StorageError` and `StorageFull`: then there is no copy.
    pub fn finish(mut self) -> Result<CopyReport> {
        for log in &mut self.logs {
            log.roll();
            log.seal_behind()?;
        }
        self.files.complete_copy(self.target.was_there())?;
        // It is somebody's log now.
        drop(self.target.lock.take());
        Ok(self.report.clone())
    }
}

/// What the manifest of a copy begins with.
fn first_records(source: &LogFiles, log_id: u128, cuts: &[PartitionCut]) -> Result<Vec<Record>> {
    let mut records = vec![Record::LogCreated { log_id }];
    let sealed = cuts.iter().flat_map(PartitionCut::sealed);
    let numbers = sealed.map(|(layer, _)| layer.segment.number);
    let origins = source.boot_state().origins().of_copy(source.log_id(), numbers);
    records.extend(origins.records());
    // Batches of the source's incarnation are in it: the next open gets a higher one.
    records.push(Record::Opened { incarnation: source.incarnation(), boot_id: None });
    for cut in cuts {
        cut.add_records(&mut records)?;
    }
    Ok(records)
}
