//! A topic that was looked up once.

use std::fmt;
use std::sync::Arc;

use crate::backend::TopicRoute;
use crate::base::TopicId;

use super::record::{Record, Target};

/// A handle to a topic: its name is resolved once, records made by it need no look-up.
///
/// It stands for the topic that it was resolved to. When that topic is deleted, sending by the
/// handle fails with `UnknownTopicOrPartition`, even if a new topic has taken the name.
///
/// ```
/// use alluvium::{EventLog, NewTopic};
///
/// let log = EventLog::in_memory();
/// let orders = log.create_topic(NewTopic::new("orders").partitions(3))?;
/// let producer = log.producer().build()?;
/// producer.send(orders.record("one espresso").key("table-7"))?.wait()?;
/// producer.send(orders.tombstone("table-7"))?.wait()?;
/// assert_eq!((orders.name(), orders.partition_count()), ("orders", 3));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct Topic {
    route: Arc<TopicRoute>,
}

impl Topic {
    pub(crate) fn new(route: Arc<TopicRoute>) -> Self {
        Self { route }
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.route.name
    }

    /// The topic's identity: a topic deleted and created again has another one.
    #[must_use]
    pub fn id(&self) -> TopicId {
        self.route.id
    }

    /// How many partitions the topic has now: it may have grown since the handle was made.
    #[must_use]
    pub fn partition_count(&self) -> u32 {
        u32::try_from(self.route.newest().partitions.len()).unwrap_or(u32::MAX)
    }

    /// A record with this value for this topic.
    pub fn record<'a>(&'a self, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Record<'a> {
        Record::of(Target::Handle(self), None, Some(value.as_ref()))
    }

    /// A record whose value is null: it says that `key` is gone.
    pub fn tombstone<'a>(&'a self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Record<'a> {
        Record::of(Target::Handle(self), Some(key.as_ref()), None)
    }

    /// A record whose key and value are null, for this topic.
    pub fn null(&self) -> Record<'_> {
        Record::of(Target::Handle(self), None, None)
    }

    pub(super) fn route(&self) -> &Arc<TopicRoute> {
        &self.route
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("partitions", &self.partition_count())
            .finish()
    }
}
