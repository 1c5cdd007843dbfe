//! Offsets, as an operator sees them.

use crate::admin::Admin;
use crate::base::{Isolation, Result, TopicPartition};
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
        self.list_offsets_at(Isolation::ReadUncommitted, wanted)
    }

    /// As [`list_offsets`](Self::list_offsets), as a consumer of this isolation sees them: at
    /// [`Isolation::ReadCommitted`] the latest offset is the last stable one (B34), and no record
    /// at or behind it is an answer (A29).
    ///
    /// # Errors
    ///
    /// Those of [`list_offsets`](Self::list_offsets).
    #[must_use = "each partition has an answer of its own"]
    pub fn list_offsets_at(
        &self,
        isolation: Isolation,
        wanted: impl IntoIterator<Item = (TopicPartition, OffsetSpec)>,
    ) -> Vec<Result<Option<ListedOffset>>> {
        let answer = |(at, spec)| self.node().list_offset(&at, spec, isolation);
        wanted.into_iter().map(answer).collect()
    }
}
