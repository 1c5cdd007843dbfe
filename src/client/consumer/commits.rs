//! Where the group goes on after this consumer.

use std::collections::BTreeMap;

use crate::base::{Result, TopicPartition};

use super::super::consumer_record::ConsumerRecord;
use super::super::group::{Membership, OffsetAndMetadata, Parts};
use super::super::offsets::Offsets;
use super::super::positions::Position;
use super::Consumer;
use super::subscription::no_group;

impl Consumer {
    /// Commits the positions of all assigned partitions: everything that polls have returned is
    /// processed. Waits until that is as durable as the topics, up to 60 s.
    ///
    /// # Errors
    ///
    /// Those of [`commit_offsets`](Self::commit_offsets).
    pub fn commit(&mut self) -> Result<()> {
        let (group, parts) = self.grouped()?;
        group.commit_all(&parts)
    }

    /// Commits that this record, and all before it in its partition, is processed; waits as
    /// [`commit`](Self::commit).
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, OffsetReset, TopicPartition};
    /// use std::time::Duration;
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// let producer = log.producer().build()?;
    /// for value in ["tea", "milk"] {
    ///     producer.send(orders.record(value))?.wait()?;
    /// }
    /// let kitchen = || log.consumer().group("kitchen").topics(["orders"]);
    /// let mut first = kitchen().offset_reset(OffsetReset::Earliest).build()?;
    /// let records = first.poll(Duration::from_secs(1))?;
    /// first.commit_record(&records.iter().next().unwrap())?;
    /// drop(first); // As if it had failed: the other record comes again.
    ///
    /// let mut second = kitchen().build()?;
    /// let records = second.poll(Duration::from_secs(1))?;
    /// assert_eq!(records.iter().next().unwrap().value_str()?, "milk");
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`commit_offsets`](Self::commit_offsets).
    pub fn commit_record(&mut self, record: &ConsumerRecord<'_>) -> Result<()> {
        let next = record.offset().saturating_add(1);
        self.commit_offsets(&Offsets::from_iter([(record.topic_partition().clone(), next)]))
    }

    /// Commits these offsets, each the *next* to be read, of any partitions, forwards or
    /// backwards: the last commit counts. Waits as [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// What is refused is refused partition by partition: the error is the first one, names its
    /// partition, and the others are committed.
    ///
    /// - `InvalidGroupId`: the consumer has no group.
    /// - `UnknownMemberId`, `FencedInstanceId`, `FencedMemberEpoch`: the consumer was removed
    ///   from the group, or is none of its members while it has some. The partitions may have
    ///   another owner, so nothing is committed; the next poll joins again (C17, C18, C45).
    /// - `StaleMemberEpoch`: another member owns the partition now.
    /// - `UnknownTopicOrPartition`, `InvalidRequest` for an offset above i64::MAX.
    /// - `DeliveryTimeout`: it is committed, and not yet durable.
    pub fn commit_offsets(&mut self, offsets: &Offsets) -> Result<()> {
        let (group, parts) = self.grouped()?;
        group.commit(parts.backend, offsets)
    }

    /// As [`commit_offsets`](Self::commit_offsets), with text and epochs to be found again.
    ///
    /// # Errors
    ///
    /// Those of [`commit_offsets`](Self::commit_offsets), and `OffsetMetadataTooLarge`.
    pub fn commit_with_metadata(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) -> Result<()> {
        let offsets: Vec<_> = offsets.into_iter().collect();
        let (group, parts) = self.grouped()?;
        group.commit_detailed(parts.backend, &offsets)
    }

    /// Commits these offsets and does not wait. `done` is told of the outcome in the thread that
    /// calls the consumer: by a later poll, commit or close, in the order of the commits. Nothing
    /// is tried again. A consumer that is dropped tells nobody.
    ///
    /// # Errors
    ///
    /// `InvalidGroupId` without a group. All others are told to `done`.
    pub fn commit_async(
        &mut self,
        offsets: &Offsets,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) -> Result<()> {
        let (group, parts) = self.grouped()?;
        group.commit_async(parts.backend, offsets, Box::new(done));
        Ok(())
    }

    /// What the group has committed for these partitions, those that there are; needs no
    /// subscription.
    ///
    /// # Errors
    ///
    /// `InvalidGroupId` without a group; `Closed`.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let group = self.group.as_ref().ok_or_else(no_group)?;
        Ok(group.committed(&*self.backend, partitions)?.into_iter().collect())
    }

    /// Reads every assigned partition from where the group has committed; where it has not, from
    /// where the reset policy says at the next poll. What was fetched is forgotten.
    ///
    /// # Errors
    ///
    /// Those of [`committed`](Self::committed); then nothing has changed.
    pub fn rewind_to_committed(&mut self) -> Result<()> {
        let all: Vec<_> = self.assignment().cloned().collect();
        let committed = self.committed(&all)?;
        for partition in &all {
            let known = committed.get(partition).map(|committed| committed.offset);
            let position = known.map_or(Position::Unset, Position::At);
            self.fetcher.change(partition, |slot| slot.seek(position));
        }
        Ok(())
    }

    fn grouped(&mut self) -> Result<(&mut Membership, Parts<'_>)> {
        self.backend.check_open()?;
        self.members_parts().ok_or_else(no_group)
    }
}
