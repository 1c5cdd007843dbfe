//! The way out: the door of a consumer.

mod assignment;
mod commits;
mod for_each;
mod poll;
mod positions;
mod queries;
mod subscription;

pub(super) use for_each::InHand;
use poll::Eager;
pub(super) use poll::Heed;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use crate::backend::Backend;
use crate::base::Result;

use super::bell::Bell;
use super::consumer_event::{ConsumerEvent, Events};
use super::consumer_settings::ConsumerSettings;
use super::fetcher::Fetcher;
use super::group::{self, GroupSettings, Membership, Parts, RebalanceListener};
use super::slot::Context;
use super::wakeup::{StopHandle, WakeupHandle};

/// Reads records of assigned partitions.
///
/// [`poll`](Self::poll) returns what there is; [`for_each`](Self::for_each) is the whole loop.
/// One thread at a time uses a consumer; it may be sent to another. To end its poll from
/// elsewhere there is [`wakeup_handle`](Self::wakeup_handle), to end its loop
/// [`stop_handle`](Self::stop_handle).
///
/// ```
/// use alluvium::{EventLog, NewTopic, OffsetReset, TopicPartition};
/// use std::time::Duration;
///
/// let log = EventLog::in_memory();
/// let orders = log.create_topic(NewTopic::new("orders").partitions(2))?;
/// let producer = log.producer().build()?;
/// for value in ["one", "two", "three"] {
///     producer.send(orders.record(value).partition(1))?.wait()?;
/// }
/// let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
/// let tp = TopicPartition::new("orders", 1);
/// consumer.assign([tp.clone()])?;
/// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 3);
/// consumer.seek(&tp, 2)?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// let last = records.iter().next().map(|record| record.value());
/// assert_eq!(last, Some(Some("three".as_bytes())));
/// assert_eq!(consumer.position(&tp)?, 3);
/// # Ok::<(), alluvium::Error>(())
/// ```
pub struct Consumer {
    backend: Arc<dyn Backend>,
    settings: ConsumerSettings,
    fetcher: Fetcher,
    bell: Arc<Bell>,
    /// A cell, because asking for a position may apply the reset policy.
    events: RefCell<Events>,
    /// How many changes of topics there were at the last look.
    topics_seen: u64,
    /// Likewise of what is due.
    plans_seen: u64,
    eager: Eager,
    /// None without a group.
    group: Option<Membership>,
}

impl Consumer {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        settings: ConsumerSettings,
        group: Option<GroupSettings>,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Self {
        let bell = Arc::<Bell>::default();
        let fetcher = Fetcher::new(Arc::clone(&bell), settings.isolation);
        let group = group.map(|settings| Membership::new(settings, listener, &bell));
        let events = RefCell::default();
        let (topics_seen, plans_seen, eager) = (0, 0, Eager::default());
        Self { backend, settings, fetcher, bell, events, topics_seen, plans_seen, eager, group }
    }

    /// A handle that ends a poll of this consumer from another thread.
    #[must_use]
    pub fn wakeup_handle(&self) -> WakeupHandle {
        WakeupHandle(Arc::clone(&self.bell))
    }

    /// A handle that ends a [`for_each`](Self::for_each) of this consumer, from another thread
    /// or from within it.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(Arc::clone(&self.bell))
    }

    /// What happened since the last call of this: where the reset policy has moved a position,
    /// and damage that was stepped over. At least the last 1,024 events are kept.
    ///
    /// ```
    /// use alluvium::{ConsumerEvent, EventLog, NewTopic, TopicPartition};
    /// use std::time::Duration;
    ///
    /// let log = EventLog::in_memory();
    /// log.create_topic(NewTopic::new("orders"))?;
    /// let mut consumer = log.consumer().build()?;
    /// let tp = TopicPartition::new("orders", 0);
    /// consumer.assign([tp.clone()])?;
    /// consumer.seek(&tp, 100)?; // There are no 100 records.
    /// consumer.poll(Duration::ZERO)?;
    /// let events = consumer.take_events();
    /// assert!(matches!(events[..], [ConsumerEvent::Reset { wanted: Some(100), to: 0, .. }]));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    #[must_use]
    pub fn take_events(&mut self) -> Vec<ConsumerEvent> {
        self.events.get_mut().take()
    }

    /// Ends the consumer. Of a group: commits where earlier polls have come to, if that is what
    /// the consumer does by itself (`enable.auto.commit`), and waits for that; tells the listener
    /// that the partitions go; tells of asynchronous commits; and leaves, so that others get the
    /// partitions at once. A static member (`group.instance.id`) does not leave: its partitions
    /// wait for it, `session.timeout.ms` long. (C24, C43)
    ///
    /// Dropping a consumer leaves too, and commits nothing: records that a failed program has
    /// not finished with come again.
    ///
    /// # Errors
    ///
    /// What the last commit fails with, or the listener; the group is left nevertheless. A
    /// consumer that was removed from its group before, without a poll since, has lost its
    /// partitions: the listener is told that, nothing is committed, and where it would have been,
    /// the error says why.
    pub fn close(mut self) -> Result<()> {
        match self.members_parts() {
            Some((group, mut parts)) => group.leave(&mut parts, false),
            None => Ok(()),
        }
    }

    /// The membership, and the parts of the consumer that it works on.
    fn members_parts(&mut self) -> Option<(&mut Membership, Parts<'_>)> {
        let Self { backend, settings, fetcher, events, group, .. } = self;
        let parts = Parts { backend: &**backend, settings, events, fetcher };
        group.as_mut().map(|group| (group, parts))
    }

    fn context(&self) -> Context<'_> {
        group::context(&*self.backend, &self.settings, &self.events)
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("settings", &self.settings)
            .field("assignment", &self.assignment().collect::<Vec<_>>())
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
