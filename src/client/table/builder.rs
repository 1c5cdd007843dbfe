//! How a table is made.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::{Backend, TopicRoute};
use crate::base::{Error, ErrorKind, Result};

use super::super::routes::door;
use super::catch_up::{Shared, Snapshot};
use super::latest::Latest;
use super::part::Part;
use super::snapshot::{Restored, load};
use super::state::State;
use super::stats::TableStats;
use super::table::Table;

/// Makes a [`Table`]. From `EventLog::table`.
///
/// ```
/// use alluvium::{EventLog, NewTopic};
///
/// let log = EventLog::in_memory();
/// log.create_topic(NewTopic::new("profiles").compacted().partitions(3))?;
/// let some = log.table("profiles").partitions([0, 2]).build()?;
/// assert_eq!(some.len()?, 0);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[must_use = "a table is made by build()"]
pub struct TableBuilder {
    backend: Arc<dyn Backend>,
    topic: String,
    chosen: Option<Vec<u32>>,
    snapshot: Option<PathBuf>,
}

impl TableBuilder {
    pub(crate) fn new(backend: Arc<dyn Backend>, topic: &str) -> Self {
        Self { backend, topic: topic.to_owned(), chosen: None, snapshot: None }
    }

    /// Reads these partitions only. Default: all, also those that the topic gets later (G02).
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = u32>) -> Self {
        self.chosen = Some(partitions.into_iter().collect());
        self
    }

    /// A file to begin with, and to [`save`](Table::save) to, on the disk that the log is on. Its
    /// directory must exist. Default: none, the table is read from the log.
    ///
    /// It is a cache, bound to this log, topic and choice of partitions: a file that is missing,
    /// damaged, foreign, or of a state that the log cannot prove any more, is not used, and
    /// [`Table::restored`] tells why. One table at a time has a file.
    pub fn snapshot(mut self, path: impl AsRef<Path>) -> Self {
        self.snapshot = Some(path.as_ref().to_owned());
        self
    }

    /// The table. All that is visible at the call is applied when this returns.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition` for the topic, or naming a chosen partition that it does not
    /// have; `InvalidRequest` when none was chosen; what reading the topic can meet:
    /// `CorruptMessage` and `StorageError`, naming partition and offset; `Closed`.
    pub fn build(self) -> Result<Table> {
        let route = self.backend.resolve(&self.topic)?;
        let numbers = self.numbers(&route)?;
        let mut parts = Vec::with_capacity(numbers.len());
        for number in numbers {
            parts.push(Part::new(number, Arc::clone(door(&route, number)?)));
        }
        let stats = TableStats::default();
        let mut state = State { route, parts, latest: Latest::new(), stats };
        let is_chosen = self.chosen.is_some();
        let (losses, _) = self.backend.losses_since(u64::MAX);
        let restored = match &self.snapshot {
            None => Restored::NotAsked,
            Some(path) => load(self.backend.side_files()?, path, &mut state, is_chosen),
        };
        let snapshot = Snapshot::new(self.snapshot, restored, losses);
        let shared = Shared::new(self.backend, state, is_chosen, snapshot);
        shared.catch_up()?;
        Ok(Table(Arc::new(shared)))
    }

    /// The partitions to read, in order.
    fn numbers(&self, route: &TopicRoute) -> Result<Vec<u32>> {
        let Some(chosen) = &self.chosen else {
            let count = u32::try_from(route.partitions.len()).unwrap_or(u32::MAX);
            return Ok((0..count).collect());
        };
        if chosen.is_empty() {
            let message = "no partition was chosen: a table reads one at least";
            return Err(Error::new(ErrorKind::InvalidRequest, message).with_topic(&route.name));
        }
        let mut numbers = chosen.clone();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

impl fmt::Debug for TableBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableBuilder")
            .field("topic", &self.topic)
            .field("partitions", &self.chosen)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}
