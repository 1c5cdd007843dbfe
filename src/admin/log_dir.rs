//! The room that a log takes, as an operator sees it.

use crate::admin::Admin;
use crate::base::Result;
use crate::node::LogDirInfo;

impl Admin {
    /// How many bytes the log takes: on disk as a whole, and by partition.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, TopicPartition};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders").partitions(2))?;
    /// log.producer().build()?.send(orders.record("v").partition(1))?.wait()?;
    /// let told = log.admin().describe_log_dir()?;
    /// let of = |number| {
    ///     let wanted = TopicPartition::new("orders", number);
    ///     told.partitions.iter().find(|size| size.partition == wanted).unwrap()
    /// };
    /// let bytes = |number| of(number).segment_bytes + of(number).staged_bytes;
    /// assert_eq!(bytes(0), 0);
    /// assert!(bytes(1) > 0);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Closed`; `StorageError` when the directory cannot be listed.
    pub fn describe_log_dir(&self) -> Result<LogDirInfo> {
        self.node().log_dir()
    }
}
