//! What an operator asks of a log.

mod compaction;
mod configs;
mod groups;
mod housekeeping;
mod log_dir;
mod offsets;
mod records;
mod topics;
mod transactions;

use std::sync::Arc;

use crate::base::{Error, LogConfig};
use crate::log::OpenReport;
use crate::node::Node;

pub use compaction::CompactionOptions;
pub use groups::GroupDescription;
pub use topics::{CreateTopicsOptions, ListTopicsOptions};
pub use transactions::ProducerDescription;

/// Topics created, listed, described, grown and deleted; what recovery did.
///
/// ```
/// use alluvium::{EventLog, NewTopic};
///
/// let log = EventLog::in_memory();
/// log.create_topic(NewTopic::new("orders").partitions(3))?;
/// let admin = log.admin();
/// assert_eq!(admin.list_topics()?, ["orders"]);
/// assert_eq!(admin.describe_topic("orders")?.partition_count, 3);
/// admin.delete_topic("orders")?;
/// assert!(admin.list_topics()?.is_empty());
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Admin(Arc<Node>);

impl Admin {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self(node)
    }

    fn node(&self) -> &Node {
        &self.0
    }

    /// The settings that the log was opened with.
    #[must_use]
    pub fn log_config(&self) -> &LogConfig {
        self.0.config()
    }

    /// What went wrong in the background and stopped nobody, oldest first: a file that could not
    /// be removed, say. Each is told once.
    #[must_use]
    pub fn take_warnings(&self) -> Vec<Error> {
        self.0.take_warnings()
    }

    /// What was adopted, cut and found strange when the log was opened.
    ///
    /// ```
    /// use alluvium::testing::SimDisk;
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let disk = SimDisk::new();
    /// let open = |disk: &SimDisk| EventLog::builder().path("/log").disk(disk.clone()).open();
    /// let log = open(&disk)?;
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// log.producer().build()?.send(orders.record("v"))?.wait()?;
    /// // The process is killed: nothing was closed, the record is found in the stage.
    /// let killed = disk.kill();
    /// let log = open(&killed)?;
    /// let admin = log.admin();
    /// let report = admin.open_report();
    /// assert!(!report.clean);
    /// assert_eq!(report.adopted_chunks, 2, "of the topic, and of the catalogue");
    /// assert_eq!(report.adopted_records, 2);
    /// assert_eq!((report.cut_bytes(), report.strangers.len(), report.gaps.len()), (0, 0, 0));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn open_report(&self) -> &OpenReport {
        self.0.report()
    }
}
