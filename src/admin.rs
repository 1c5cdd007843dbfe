//! What an operator asks of a log.

mod configs;
mod groups;

use std::sync::Arc;

use crate::base::{Error, LogConfig, Result};
use crate::log::OpenReport;
use crate::node::{Node, TopicInfo};

pub use groups::GroupDescription;

/// Topics listed, described and deleted; what recovery did.
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

    /// The names of all topics, in order.
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn list_topics(&self) -> Result<Vec<String>> {
        self.0.topic_names()
    }

    /// A topic's identity, partition count and settings in force.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, or `Closed`.
    pub fn describe_topic(&self, name: &str) -> Result<TopicInfo> {
        self.0.describe_topic(name)
    }

    /// Deletes a topic and all its records, durably. Producers and consumers of it get
    /// `UnknownTopicOrPartition`. A topic created later under the name is another one: its
    /// offsets begin at 0 and nothing of the old one is in it.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, `Closed`, or what the disk says.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.0.delete_topic(name)
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
    #[must_use]
    pub fn open_report(&self) -> &OpenReport {
        self.0.report()
    }
}
