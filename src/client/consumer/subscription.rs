//! Topics that a group shares out among its members.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Subscription;
use crate::base::ids::check_topic_name;
use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::super::group::{GroupMetadata, Membership};
use super::Consumer;

impl Consumer {
    /// Reads these topics from now on, together with the other members of the group: each
    /// partition is read by one of them. Replaces an earlier subscription; no topics at all is
    /// [`unsubscribe`](Self::unsubscribe).
    ///
    /// The next poll joins the group. Topics need not exist yet; where the log has
    /// `auto.create.topics.enable`, and the consumer does not say
    /// `allow.auto.create.topics=false`, they are created.
    ///
    /// # Errors
    ///
    /// `InvalidGroupId` without a group, `IllegalState` while partitions are assigned by hand,
    /// `InvalidTopic` for a name that no topic can have, what creating a topic fails with; then
    /// the subscription has not changed.
    pub fn subscribe<'a>(&mut self, topics: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut names: Vec<Arc<str>> = topics.into_iter().map(Arc::from).collect();
        names.iter().try_for_each(|name| check_topic_name(name))?;
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return self.unsubscribe();
        }
        self.check_may_subscribe()?;
        if self.settings.allow_auto_create {
            names.iter().try_for_each(|name| self.make_topic(name))?;
        }
        self.subscribe_to(Subscription::Topics(names))
    }

    /// As [`subscribe`](Self::subscribe), to every topic whose whole name matches `pattern`, a
    /// regular expression; also to those that are created later. Never to internal topics.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, OffsetReset};
    /// use std::time::Duration;
    ///
    /// let log = EventLog::in_memory();
    /// let mut audit = log.consumer().group("audit").offset_reset(OffsetReset::Earliest).build()?;
    /// audit.subscribe_pattern("orders-.*")?;
    /// assert!(audit.poll(Duration::ZERO)?.is_empty());
    /// let north = log.create_topic(NewTopic::new("orders-north"))?;
    /// log.producer().build()?.send(north.record("tea"))?.wait()?;
    /// assert_eq!(audit.poll(Duration::from_secs(1))?.len(), 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe). `InvalidRegularExpression` comes from here for a member
    /// of the group, and else from the poll that joins.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<()> {
        self.subscribe_to(Subscription::Pattern(pattern.into()))
    }

    /// Reads nothing any more: leaves the group, as [`close`](Self::close) does, or forgets the
    /// partitions that were assigned by hand.
    ///
    /// # Errors
    ///
    /// What the last commit or the listener fails with; the group is left nevertheless.
    pub fn unsubscribe(&mut self) -> Result<()> {
        self.backend.check_open()?;
        if !self.is_subscribed() {
            return self.assign([]);
        }
        let Some((group, mut parts)) = self.members_parts() else { return Ok(()) };
        group.leave(&mut parts, true)
    }

    /// The topics that it subscribes to, in order; none for a pattern.
    pub fn subscription(&self) -> impl ExactSizeIterator<Item = &str> {
        let topics = match self.group.as_ref().and_then(Membership::subscription) {
            Some(Subscription::Topics(topics)) => topics.as_slice(),
            _ => &[],
        };
        topics.iter().map(|topic| &**topic)
    }

    /// The pattern that it subscribes to, if it does.
    #[must_use]
    pub fn subscribed_pattern(&self) -> Option<&str> {
        match self.group.as_ref().and_then(Membership::subscription) {
            Some(Subscription::Pattern(pattern)) => Some(pattern),
            _ => None,
        }
    }

    /// Who the consumer is in its group. Without a group, the group's id is empty.
    #[must_use]
    pub fn group_metadata(&self) -> GroupMetadata {
        self.group.as_ref().map_or_else(GroupMetadata::nobody, Membership::metadata)
    }

    /// Joins the group, and waits until the consumer owns partitions, with their positions
    /// known, and waits for no other member. Returns what it owns.
    ///
    /// What is sent after it returns is not missed, also where `auto.offset.reset` is `latest`.
    /// It counts as a poll and returns no records.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    /// use std::time::Duration;
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders").partitions(3))?;
    /// let mut kitchen = log.consumer().group("kitchen").topics(["orders"]).build()?;
    /// assert_eq!(kitchen.await_assignment(Duration::from_secs(1))?.len(), 3);
    /// log.producer().build()?.send(orders.record("tea"))?.wait()?;
    /// assert_eq!(kitchen.poll(Duration::from_secs(1))?.len(), 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Timeout` after `timeout`, saying who holds what; `IllegalState` without a subscription;
    /// those of [`poll`](Self::poll).
    pub fn await_assignment(&mut self, timeout: Duration) -> Result<&[TopicPartition]> {
        if !self.is_subscribed() {
            let message = "nothing to wait for: the consumer does not subscribe to anything";
            return Err(Error::new(ErrorKind::IllegalState, message));
        }
        let backend = std::sync::Arc::clone(&self.backend);
        let deadline = Deadline::after(backend.clock(), timeout);
        if !self.await_group(deadline, |group| group.is_settled() && group.owns_any())? {
            return Err(self.not_assigned(timeout));
        }
        Ok(self.group.as_ref().map_or(&[], Membership::owned))
    }

    fn not_assigned(&self, timeout: Duration) -> Error {
        let Some(group) = &self.group else { return Error::closed() };
        let holders = group.holders(&*self.backend);
        let message = format!(
            "group {:?} has given no partitions to {} within {timeout:?}; {holders}",
            group.group(),
            group.name(),
        );
        Error::new(ErrorKind::Timeout, message)
    }

    /// Creates a topic that does not exist, if the log does so.
    fn make_topic(&self, name: &str) -> Result<()> {
        match self.backend.resolve_or_create(name) {
            Err(error) if error.kind() != ErrorKind::UnknownTopicOrPartition => Err(error),
            _ => Ok(()),
        }
    }

    fn check_may_subscribe(&self) -> Result<()> {
        self.backend.check_open()?;
        if self.group.is_none() {
            return Err(no_group());
        }
        if !self.is_subscribed() && !self.fetcher.is_empty() {
            let message = "partitions are assigned by hand: assign none before subscribing";
            return Err(Error::new(ErrorKind::IllegalState, message));
        }
        Ok(())
    }

    fn subscribe_to(&mut self, subscription: Subscription) -> Result<()> {
        self.check_may_subscribe()?;
        self.group.as_mut().ok_or_else(no_group)?.subscribe(subscription)
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.group.as_ref().is_some_and(Membership::is_subscribed)
    }

    pub(super) fn check_not_subscribed(&self) -> Result<()> {
        if self.is_subscribed() {
            let message = "the consumer subscribes to topics: unsubscribe before assigning";
            return Err(Error::new(ErrorKind::IllegalState, message));
        }
        Ok(())
    }
}

pub(super) fn no_group() -> Error {
    let message = "the consumer has no group: name one with group() or group.id";
    Error::new(ErrorKind::InvalidGroupId, message)
}
