//! Offsets, as an operator sees them.

use crate::admin::Admin;
use crate::base::{Result, TopicPartition};
use crate::node::{ListedOffset, OffsetSpec};

impl Admin {
    /// Offsets of partitions: where they begin and end, or where a record of some time stands.
    /// Each answer stands for itself, in the order of `wanted`; `None` when there is no such
    /// record. Only what consumers can see counts.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, OffsetSpec, TopicPartition};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// let producer = log.producer().build()?;
    /// for time in [10, 30, 20] {
    ///     producer.send(orders.record("v").timestamp_ms(time))?.wait()?;
    /// }
    /// let at = TopicPartition::new("orders", 0);
    /// let specs = [OffsetSpec::Latest, OffsetSpec::MaxTimestamp, OffsetSpec::ForTimestamp(99)];
    /// let answers = log.admin().list_offsets(specs.map(|spec| (at.clone(), spec)));
    /// let offsets: Vec<_> = answers.iter().map(|a| a.as_ref().unwrap().map(|o| o.offset)).collect();
    /// assert_eq!(offsets, [Some(3), Some(1), None]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Of each: `UnknownTopicOrPartition`, naming it; `InvalidRequest` for a negative time;
    /// `Closed`; what a search in stored records can meet.
    #[must_use = "each partition has an answer of its own"]
    pub fn list_offsets(
        &self,
        wanted: impl IntoIterator<Item = (TopicPartition, OffsetSpec)>,
    ) -> Vec<Result<Option<ListedOffset>>> {
        wanted.into_iter().map(|(at, spec)| self.node().list_offset(&at, spec)).collect()
    }
}
