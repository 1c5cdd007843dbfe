//! Which partitions a consumer reads, and which of them rest.

use crate::base::{Result, TopicPartition};

use super::super::slot::Slot;
use super::Consumer;

impl Consumer {
    /// Reads these partitions from now on, instead of those before; none at all unassigns.
    ///
    /// A partition that stays keeps its position and what was fetched of it. A new one begins
    /// where the reset policy says, at the moment its position is first needed.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, naming it, and `IllegalState` for a consumer that subscribes to
    /// topics; then nothing has changed. Where the log has `auto.create.topics.enable`, and the
    /// consumer does not say `allow.auto.create.topics=false`, an unknown topic is created, and
    /// `InvalidTopic` says that it cannot have that name.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) -> Result<()> {
        self.backend.check_open()?;
        self.check_not_subscribed()?;
        let partitions: Vec<_> = partitions.into_iter().collect();
        if self.settings.allow_auto_create {
            self.make_topics(&partitions)?;
        }
        self.fetcher.assign(&*self.backend, partitions)?;
        let count = self.fetcher.partitions().len();
        self.events.get_mut().fit(count);
        Ok(())
    }

    /// Has the backend create topics that do not exist, if it does so.
    fn make_topics(&self, partitions: &[TopicPartition]) -> Result<()> {
        let mut last = None;
        let is_new = |tp: &&TopicPartition| self.fetcher.slot(tp).is_none_or(Slot::is_deleted);
        for topic in partitions.iter().filter(is_new).map(TopicPartition::topic) {
            if last.replace(topic) == Some(topic) {
                continue;
            }
            self.backend.resolve_or_create(topic)?;
        }
        Ok(())
    }

    /// The assigned partitions, in the order of topic and number.
    pub fn assignment(&self) -> impl ExactSizeIterator<Item = &TopicPartition> {
        self.fetcher.partitions()
    }

    /// Returns nothing of these partitions until [`resume`](Self::resume).
    ///
    /// Positions stay, and what was fetched is kept: it comes first afterwards. A partition that
    /// an [`assign`](Self::assign) leaves out forgets its pause. A poll while everything is
    /// paused waits and returns nothing.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, OffsetReset, TopicPartition};
    /// use std::time::Duration;
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// log.producer().build()?.send(orders.record("tea"))?.wait()?;
    /// let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
    /// let tp = TopicPartition::new("orders", 0);
    /// consumer.assign([tp.clone()])?;
    /// consumer.pause(&[tp.clone()])?;
    /// assert!(consumer.poll(Duration::ZERO)?.is_empty());
    /// consumer.resume(&[tp])?;
    /// assert_eq!(consumer.poll(Duration::ZERO)?.len(), 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IllegalState` when a partition is not assigned; then nothing has changed.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, true)
    }

    /// Returns records of these partitions again. One that is not paused goes on as it was.
    ///
    /// # Errors
    ///
    /// `IllegalState` when a partition is not assigned; then nothing has changed.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, false)
    }

    /// The paused partitions, in the order of topic and number.
    pub fn paused(&self) -> impl Iterator<Item = &TopicPartition> {
        self.fetcher.paused()
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<()> {
        self.check_assigned(partitions)?;
        for partition in partitions {
            if self.slot(partition)?.is_paused() != paused {
                self.fetcher.change(partition, |slot| slot.set_paused(paused));
            }
        }
        Ok(())
    }

    pub(super) fn check_assigned(&self, partitions: &[TopicPartition]) -> Result<()> {
        partitions.iter().try_for_each(|partition| self.slot(partition).map(drop))
    }
}
