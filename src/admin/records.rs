//! Records, as an operator takes them away.

use crate::admin::Admin;
use crate::base::{Result, TopicPartition};
use crate::node::RecordsToDelete;

impl Admin {
    /// Deletes the records of a partition from its beginning up to an offset. The log start
    /// offset is there when this returns, durably; also in the middle of a batch. Returns where
    /// the log starts then: Kafka's low watermark.
    ///
    /// A partition that starts there or later stays as it is. Space is freed by whole segments,
    /// once nobody reads them, and it takes no free space to do so. Readers below the start get
    /// `OffsetOutOfRange`, and their reset policy decides. (KIP-107)
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, RecordsToDelete, TopicPartition};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// let producer = log.producer().build()?;
    /// for value in ["one", "two", "three"] {
    ///     producer.send(orders.record(value))?.wait()?;
    /// }
    /// let at = TopicPartition::new("orders", 0);
    /// let start = log.admin().delete_records(&at, RecordsToDelete::BeforeOffset(2))?;
    /// assert_eq!(start, 2);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `OffsetOutOfRange` above the visible end, with the offset; `PolicyViolation` for a topic
    /// that is only compacted (`cleanup.policy=compact`); `UnknownTopicOrPartition`; `Closed`.
    /// `StorageError` and `StorageFull` from the disk: a part may be deleted, and the call can be
    /// repeated.
    pub fn delete_records(&self, at: &TopicPartition, records: RecordsToDelete) -> Result<u64> {
        self.node().delete_records(at, records)
    }
}
