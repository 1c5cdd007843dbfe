//! Floor 5: one embedded log: its partitions, its tables, its background thread.

mod auto_create;
mod boot;
mod compaction;
mod compaction_report;
mod configs;
mod creation;
mod deletion;
mod group_wait;
mod groups;
mod housekeeping;
mod housekeeping_event;
mod log_dir;
mod offsets;
mod options;
#[cfg(test)]
mod producer_tests;
mod records;
mod roll;
mod side_files;
mod snapshot;
mod topics;
mod transactions;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::backend::{Backend, Changes, GroupBackend, SideFiles, TopicRoute, TransactionBackend};
use crate::base::stop::Stop;
use crate::base::wait::Deadline;
use crate::base::{Clock, Error, LogConfig, Result};
use crate::coord::groups::Coordinator;
use crate::coord::transactions::Coordinator as Transactions;
use crate::coord::{Catalogue, Table};
use crate::log::{Footing, OpenReport, PartitionEnd};
use crate::partition::{Partition, Shared};

use housekeeping::{Housekeeping, OpenTopics};
use worker::{Chore, Worker};

pub use compaction_report::{
    CompactedPartition, CompactionOutcome, CompactionReport, PartitionCompaction,
};
pub use groups::{GroupLag, OffsetChange, ResetTo};
pub use housekeeping::RetentionReport;
pub use housekeeping_event::{DeletedSegments, HousekeepingEvent};
pub use log_dir::{LogDirInfo, PartitionSize};
pub use offsets::{ListedOffset, OffsetSpec};
pub use options::Options;
pub use records::RecordsToDelete;
pub use roll::PartitionRoll;
pub use snapshot::SnapshotReport;
pub use topics::TopicInfo;

/// A topic that is open: what clients see of it, and its partitions.
#[derive(Clone, Debug)]
struct OpenTopic {
    route: Arc<TopicRoute>,
    partitions: Vec<Arc<Partition>>,
}

/// One open log.
pub struct Node {
    options: Options,
    config: LogConfig,
    shared: Arc<Shared>,
    catalogue: Table<Catalogue>,
    groups: Arc<Coordinator>,
    transactions: Arc<Transactions>,
    topics: Arc<OpenTopics>,
    housekeeping: Arc<Housekeeping>,
    /// Where changes of topics are announced, once they can be seen.
    changes: Changes,
    /// Shared by those who create topics or partitions; whoever deletes, alters settings or closes
    /// is alone.
    topics_change: RwLock<()>,
    /// Held while partitions are opened; never over a sync.
    opening: Mutex<()>,
    /// Held while the log is closed: a second close returns when that is done.
    closing: Mutex<()>,
    report: OpenReport,
    /// The background threads, where the log has any, until it is closed.
    workers: Mutex<Vec<Worker>>,
    has_threads: Arc<AtomicBool>,
    closed: Stop,
}

impl Node {
    /// Whether all that is due is done by threads of the log's own.
    fn has_threads(&self) -> bool {
        self.has_threads.load(Ordering::Acquire)
    }

    /// What recovery did when the log was opened.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// The settings that the log was opened with.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// What went wrong in the background and stopped nobody; each is told once.
    pub fn take_warnings(&self) -> Vec<Error> {
        self.shared.files().take_warnings()
    }

    /// Does what is due and returns how long until there is more.
    pub fn tick(&self) -> Option<Duration> {
        let coordinated = [self.transactions.run_due(), self.groups.run_due()];
        let kept = [self.housekeeping.run_due(), self.shared.run_due()];
        coordinated.into_iter().chain(kept).flatten().min()
    }

    /// Whether a [`tick`](Self::tick) would find something to do, by a clock that may be late.
    fn is_due(&self) -> bool {
        let housekeeping = self.shared.agenda().is_due(self.clock());
        self.transactions.is_due() || self.groups.is_due() || housekeeping || self.shared.is_due()
    }

    /// Closes the log for all handles; later calls answer `Closed`.
    ///
    /// Order of effects: no more appends, one last round, segments, the record that says so.
    /// What does not fit on the disk stays in the stage, synced, and is adopted by the next open.
    pub fn close(&self) -> Result<()> {
        self.close_within(self.options.close_timeout)
    }

    /// As `close`, trying for `timeout`; at least once.
    fn close_within(&self, timeout: Duration) -> Result<()> {
        let _until_it_is_closed = self.closing.lock();
        if !self.closed.set() {
            return Ok(());
        }
        self.transactions.close();
        self.groups.close();
        // Whoever creates a topic and waits for the disk gives up, and is waited for.
        self.catalogue.partition().close();
        let _no_topic_is_created = self.topics_change.write();
        self.changes.announce();
        let partitions = self.all_partitions();
        partitions.iter().for_each(|partition| partition.close());
        let workers = std::mem::take(&mut *self.workers.lock());
        workers.into_iter().for_each(Worker::stop);
        self.housekeeping.compactor().close();
        let outcome = self.close_files(&partitions, timeout);
        self.shared.clear();
        partitions.iter().for_each(|partition| partition.drop_chunks());
        self.shared.stage().unmap();
        self.shared.files().unlock();
        outcome
    }

    fn close_files(&self, partitions: &[Arc<Partition>], timeout: Duration) -> Result<()> {
        let deadline = Deadline::after(self.clock(), timeout);
        self.shared.flush(true, deadline)?;
        let mut ends = Vec::new();
        let mut outcome = Ok(());
        let mut begun = Vec::with_capacity(partitions.len());
        for partition in partitions {
            match partition.begin_close_files() {
                Ok(footing) => begun.push((partition, footing)),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        let footings = begun.iter().filter_map(|(_, footing)| footing.as_ref());
        let mut synced = Footing::sync_all(footings).into_iter();
        for (partition, footing) in begun {
            let synced = if footing.is_some() { synced.next() } else { None };
            match partition.end_close_files(footing, synced.unwrap_or(Ok(()))) {
                Ok(end) => {
                    ends.extend(end.map(|offset| PartitionEnd { key: partition.key(), offset }))
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome?;
        self.shared.files().mark_closed(ends)?;
        self.shared.note_manifest();
        self.shared.stage().note_left();
        Ok(())
    }

    fn all_partitions(&self) -> Vec<Arc<Partition>> {
        let topics = self.topics.read();
        let open = topics.values().flat_map(|topic| topic.partitions.iter().cloned());
        open.chain(self.own_partitions()).collect()
    }

    /// Those of the log's own topics, which have one each.
    fn own_partitions(&self) -> [Arc<Partition>; 3] {
        let (groups, transactions) = (self.groups.partition(), self.transactions.partition());
        [self.catalogue.partition(), groups, transactions].map(Arc::clone)
    }
}

impl Backend for Node {
    fn resolve(&self, topic: &str) -> Result<Arc<TopicRoute>> {
        self.check_open()?;
        let topics = self.topics.read();
        let open = topics.get(topic).ok_or_else(|| Error::unknown_topic(topic))?;
        Ok(Arc::clone(&open.route))
    }

    fn resolve_or_create(&self, topic: &str) -> Result<Arc<TopicRoute>> {
        self.resolve_or_make(topic)
    }

    fn topic_changes(&self) -> &Changes {
        &self.changes
    }

    fn clock(&self) -> &dyn Clock {
        &**self.shared.clock()
    }

    fn flush(&self, deadline: Deadline) -> Result<()> {
        self.check_open()?;
        self.shared.flush(false, deadline)
    }

    fn losses_since(&self, seen: u64) -> (u64, Option<Error>) {
        self.shared.losses().since(seen)
    }

    fn run_due(&self) -> Option<Duration> {
        if self.has_threads() { self.transactions.run_due() } else { self.tick() }
    }

    fn do_due(&self) -> bool {
        let due = self.transactions.is_due() || !self.has_threads() && self.is_due();
        if due {
            self.run_due();
        }
        due
    }

    fn side_files(&self) -> Result<&dyn SideFiles> {
        Ok(self)
    }

    fn groups(&self) -> Result<&dyn GroupBackend> {
        Ok(&*self.groups)
    }

    fn transactions(&self) -> Result<&dyn TransactionBackend> {
        Ok(&*self.transactions)
    }

    fn plans(&self) -> Option<&Changes> {
        Some(self.transactions.plans())
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.is_set() { Err(Error::closed()) } else { Ok(()) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure, and what was acknowledged is durable at its
        // level: one attempt, for a drop must not wait for a disk that fails.
        drop(self.close_within(Duration::ZERO));
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("home", &self.options.home)
            .field("topics", &self.topics.read().len())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
