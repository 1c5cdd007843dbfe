//! Copies of the whole log: a snapshot in a directory, a fork.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::backend::Backend;
use crate::base::ids::random_u128;
use crate::base::{Error, ErrorKind, Result};
use crate::disk::Disk;
use crate::log::{CopyReport, CopyTarget, LogCopy, PartitionCut};
use crate::partition::cut;

use super::Node;
use super::boot::MEMORY_HOME;
use super::options::Options;

/// What [`EventLog::snapshot`](crate::EventLog::snapshot) has made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// Where it is.
    pub path: PathBuf,
    /// How many partitions are in it, those of the log's own topics too.
    pub partitions: usize,
    /// How many sealed segment files it shares with the log (hard links), and how many bytes they
    /// have. They take no space of their own as long as the log has them too.
    pub linked_segments: usize,
    /// See `linked_segments`.
    pub linked_bytes: u64,
    /// How many sealed segment files were copied, because the target could not share them.
    pub copied_segments: usize,
    /// See `copied_segments`.
    pub copied_bytes: u64,
    /// Why they could not be shared: what the system said of the first of them.
    pub copied_because: Option<String>,
    /// Bytes of the batches that were in no sealed segment, and were copied.
    pub tail_bytes: u64,
    /// How long appends to any partition were kept waiting, on the log's monotonic clock.
    pub barrier: Duration,
}

impl Node {
    /// Makes a copy in the directory `dir`, of everything as it is at one moment.
    ///
    /// Order of effects: the directory is taken; the cut; the copy. The cut is made while nobody
    /// deletes topics or alters settings and no partition is being opened; the copying goes on
    /// beside everything.
    pub fn snapshot(&self, dir: &Path) -> Result<SnapshotReport> {
        self.check_open()?;
        let Some(home) = &self.options.home else {
            let message = "a log in memory has no durable copy: fork it";
            return Err(Error::new(ErrorKind::IllegalState, message));
        };
        refuse_inside(home, dir)?;
        let (report, partitions, barrier) = self.copy_to(self.raw_disk(), dir)?;
        Ok(SnapshotReport {
            path: dir.to_owned(),
            partitions,
            linked_segments: report.linked.0,
            linked_bytes: report.linked.1,
            copied_segments: report.copied.0,
            copied_bytes: report.copied.1,
            copied_because: report.no_links,
            tail_bytes: report.tail_bytes,
            barrier,
        })
    }

    /// Another log in memory with the same content.
    pub fn fork(&self) -> Result<Arc<Node>> {
        self.check_open()?;
        if self.options.home.is_some() {
            let message = "a log on disk is forked into a directory: fork_to";
            return Err(Error::new(ErrorKind::IllegalState, message));
        }
        let disk = self.fork_disk()?;
        Node::open(Options { disk: Some(disk), ..self.options.clone() })
    }

    /// A snapshot, opened as this log was.
    pub fn fork_to(&self, dir: &Path) -> Result<Arc<Node>> {
        self.snapshot(dir)?;
        Node::open(Options { home: Some(dir.to_owned()), ..self.options.clone() })
    }

    /// The disk, without the log's budget: a copy is another log's, and counts for its own.
    fn raw_disk(&self) -> Arc<dyn Disk> {
        let given = self.options.disk.as_ref();
        given.map_or_else(|| Arc::clone(self.shared.files().disk()), Arc::clone)
    }

    /// A disk with a copy of this log in memory. Segments are shared where the disk can do that.
    fn fork_disk(&self) -> Result<Arc<dyn Disk>> {
        static FORKS: AtomicU64 = AtomicU64::new(0);
        let number = FORKS.fetch_add(1, Ordering::Relaxed);
        let (disk, home) = (self.raw_disk(), Path::new(MEMORY_HOME));
        let beside = PathBuf::from(format!("fork-{number}"));
        if disk.split(&beside, home).is_err_and(|e| e.kind() == io::ErrorKind::Unsupported) {
            let message = "the disk that the log was given cannot be divided";
            return Err(Error::new(ErrorKind::IllegalState, message));
        }
        self.copy_to(Arc::clone(&disk), &beside)?;
        disk.split(&beside, home).map_err(|e| Error::io("split", &beside, e))
    }

    fn copy_to(&self, disk: Arc<dyn Disk>, dir: &Path) -> Result<(CopyReport, usize, Duration)> {
        let target = CopyTarget::claim(disk, dir)?;
        let (cuts, barrier) = self.cut()?;
        let files = self.shared.files();
        let now_ms = self.clock().unix_ms();
        let mut copy = LogCopy::begin(files, target, random_u128(), &cuts)?;
        for cut in &cuts {
            copy.add_tail(cut, now_ms)?;
        }
        Ok((copy.finish()?, cuts.len(), barrier))
    }

    /// Everything as it is at one moment.
    fn cut(&self) -> Result<(Vec<PartitionCut>, Duration)> {
        let _nothing_is_deleted = self.topics_change.read();
        let _nothing_is_opened = self.opening.lock();
        self.check_open()?;
        let mut partitions = self.all_partitions();
        partitions.sort_unstable_by_key(|partition| partition.key());
        cut(&partitions, self.clock())
    }
}

/// A log does not take what is not its own into its directory.
fn refuse_inside(home: &Path, dir: &Path) -> Result<()> {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if !whole(dir).starts_with(whole(home)) {
        return Ok(());
    }
    let message = format!("{} is in the directory of the log itself", dir.display());
    Err(Error::new(ErrorKind::InvalidRequest, message).with_path(dir))
}
