//! How a log is opened.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, Error, ErrorKind, LogConfig, Planted, Result, SystemClock, Validators};
use crate::coord::groups::Assignor;
use crate::disk::Disk;

/// 4 MiB.
const DEFAULT_STAGE_BYTES: usize = 4 << 20;
const STAGE_GRAIN: usize = 4 << 10;
/// A budget holds the stage, the manifest twice while it is written anew, the log's own topics,
/// and some segments.
const LEAST_BESIDE_STAGE: u64 = 1 << 20;
const STAGE_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=1 << 30;

/// How a log is opened.
#[derive(Clone)]
pub struct Options {
    /// The directory of a log on disk; `None` for a log in memory.
    pub home: Option<PathBuf>,
    /// The file system; the operating system's, or memory, unless a test brings its own.
    pub disk: Option<Arc<dyn Disk>>,
    /// The log's settings, by Kafka's names.
    pub settings: BTreeMap<String, String>,
    /// Whether what is not set is as in a cluster.
    pub cluster_defaults: bool,
    /// Assignors beside the log's own.
    pub assignors: Vec<Arc<dyn Assignor>>,
    /// What the program asks of records before they are appended.
    pub validators: Validators,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// The size of the stage.
    pub stage_bytes: usize,
    /// Whether a background thread does what is due. Only on disk.
    pub background: bool,
    /// Whether sealed segments are read through maps where the disk has them.
    pub maps: bool,
    /// The most bytes that the log's files may take.
    pub max_disk_bytes: Option<u64>,
    /// A fault that a test has put in.
    pub planted: Option<Planted>,
    /// Whether transactions that an earlier life has left open are ended. Tests of what partitions
    /// remember leave them.
    pub ends_transactions: bool,
    /// How long a close tries to make everything durable.
    pub close_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            home: None,
            disk: None,
            settings: BTreeMap::new(),
            cluster_defaults: false,
            assignors: Vec::new(),
            validators: Validators::default(),
            clock: Arc::new(SystemClock),
            stage_bytes: DEFAULT_STAGE_BYTES,
            background: true,
            maps: cfg!(target_pointer_width = "64"),
            max_disk_bytes: None,
            planted: None,
            ends_transactions: true,
            close_timeout: Duration::from_secs(30),
        }
    }
}

impl Options {
    /// Checks every option; the error names it and its bounds. Returns the log's settings.
    pub fn check(&self) -> Result<LogConfig> {
        if !STAGE_BYTES.contains(&self.stage_bytes) || !self.stage_bytes.is_multiple_of(STAGE_GRAIN)
        {
            let (least, most) = (STAGE_BYTES.start(), STAGE_BYTES.end());
            let bytes = self.stage_bytes;
            let message = format!(
                "stage_bytes={bytes}: {least} to {most} bytes, a multiple of {STAGE_GRAIN}"
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        let least = self.stage_bytes as u64 + LEAST_BESIDE_STAGE;
        if let Some(bytes) = self.max_disk_bytes.filter(|bytes| *bytes < least) {
            let message = format!(
                "max_disk_bytes={bytes}: at least {least} bytes with a stage of {}",
                self.stage_bytes
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        LogConfig::resolve(self.settings.clone(), self.cluster_defaults, self.home.is_none())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("home", &self.home)
            .field("settings", &self.settings)
            .field("stage_bytes", &self.stage_bytes)
            .field("background", &self.background)
            .finish_non_exhaustive()
    }
}
