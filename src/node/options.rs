//! How a log is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, Durability, Error, ErrorKind, Result, SystemClock};
use crate::disk::Disk;

/// 4 MiB.
const DEFAULT_STAGE_BYTES: usize = 4 << 20;
const STAGE_GRAIN: usize = 4 << 10;
const STAGE_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=1 << 30;

/// How a log is opened.
pub struct Options {
    /// The directory of a log on disk; `None` for a log in memory.
    pub home: Option<PathBuf>,
    /// The file system; the operating system's, or memory, unless a test brings its own.
    pub disk: Option<Arc<dyn Disk>>,
    /// The level of topics that name none. `None`: `PowerLoss` on disk.
    pub durability: Option<Durability>,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// The size of the stage.
    pub stage_bytes: usize,
    /// The longest that a record stays unsynced without a waiter.
    pub flush_interval: Duration,
    /// Whether a background thread does what is due. Only on disk.
    pub background: bool,
    /// Whether sealed segments are read through maps where the disk has them.
    pub maps: bool,
    /// How long a close tries to make everything durable.
    pub close_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            home: None,
            disk: None,
            durability: None,
            clock: Arc::new(SystemClock),
            stage_bytes: DEFAULT_STAGE_BYTES,
            flush_interval: Duration::from_millis(100),
            background: true,
            maps: cfg!(target_pointer_width = "64"),
            close_timeout: Duration::from_secs(30),
        }
    }
}

impl Options {
    /// Checks every option; the error names it and its bounds.
    pub fn check(&self) -> Result<()> {
        if !STAGE_BYTES.contains(&self.stage_bytes) || !self.stage_bytes.is_multiple_of(STAGE_GRAIN)
        {
            let (least, most) = (STAGE_BYTES.start(), STAGE_BYTES.end());
            let bytes = self.stage_bytes;
            let message = format!(
                "stage_bytes={bytes}: {least} to {most} bytes, a multiple of {STAGE_GRAIN}"
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        if self.home.is_some() && self.durability == Some(Durability::Memory) {
            let message = "durability=memory: a log on disk is process-crash or power-loss";
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        if self.flush_interval.as_millis() == 0 {
            let message = format!("flush_interval={:?}: the least is 1 ms", self.flush_interval);
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        Ok(())
    }

    /// The level of topics that name none.
    pub fn level(&self) -> Durability {
        match self.home {
            None => Durability::Memory,
            Some(_) => self.durability.unwrap_or(Durability::PowerLoss),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("home", &self.home)
            .field("durability", &self.level())
            .field("stage_bytes", &self.stage_bytes)
            .field("flush_interval", &self.flush_interval)
            .field("background", &self.background)
            .finish_non_exhaustive()
    }
}
