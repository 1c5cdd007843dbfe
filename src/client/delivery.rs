//! The answer to a send: where the record is, and a way to wait until it is safe.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::PartitionBackend;
use crate::base::Result;

use super::producer::Shared;
use super::routes::Entry;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Placed {
    /// The partition, from 0.
    pub partition: u32,
    /// The offset in the partition.
    pub offset: u64,
    /// The record's own timestamp, or the one it was given at the append, in milliseconds since
    /// the Unix epoch.
    pub timestamp_ms: i64,
    /// The bytes of the key; `None` when it is null.
    pub key_size: Option<usize>,
    /// The bytes of the value; `None` when it is null.
    pub value_size: Option<usize>,
}

/// A record that was placed. Borrows the producer; [`into_owned`](Self::into_owned) keeps it
/// for later.
///
/// ```
/// use alluvium::{EventLog, NewTopic, Record};
///
/// let log = EventLog::in_memory();
/// log.create_topic(NewTopic::new("orders"))?;
/// let producer = log.producer().build()?;
/// let delivery = producer.send(Record::new("orders", "one espresso"))?;
/// assert_eq!(delivery.placed().offset, 0); // known at once
/// delivery.wait()?; // as durable as the topic asks for
/// # Ok::<(), alluvium::Error>(())
/// ```
#[must_use = "the record is placed but not yet durable: wait(), flush(), or drop it on purpose \
              with `let _ =`"]
#[derive(Clone, Copy)]
pub struct Delivery<'p> {
    producer: &'p Arc<Shared>,
    entry: &'p Entry,
    door: &'p Arc<dyn PartitionBackend>,
    placed: Placed,
}

impl<'p> Delivery<'p> {
    pub(super) fn new(
        producer: &'p Arc<Shared>,
        entry: &'p Entry,
        door: &'p Arc<dyn PartitionBackend>,
        placed: Placed,
    ) -> Self {
        Self { producer, entry, door, placed }
    }

    /// Topic, partition and place.
    pub(super) fn parts(&self) -> (&'p Arc<str>, &'p Arc<dyn PartitionBackend>, Placed) {
        (&self.entry.route.name, self.door, self.placed)
    }

    /// The name of the record's topic.
    #[must_use]
    pub fn topic(&self) -> &'p str {
        &self.entry.route.name
    }

    /// Where the record stands, known since the send.
    #[must_use]
    pub fn placed(&self) -> Placed {
        self.placed
    }

    /// Waits until the record has reached its topic's level, `delivery.timeout.ms` from now at
    /// most.
    ///
    /// # Errors
    ///
    /// `DeliveryTimeout`, with what held it up as its source: the record is in the log and may
    /// still reach its level; sending it again makes a duplicate. `Closed` when the log is
    /// closed, or the producer's close has ended without it, `UnknownTopicOrPartition` when the topic was deleted, before that.
    pub fn wait(&self) -> Result<Placed> {
        self.wait_timeout(self.producer.delivery_timeout())
    }

    /// Like [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Placed> {
        wait(self.producer, &**self.door, self.placed, timeout)
    }

    /// A delivery that borrows nothing and keeps the producer's log alive.
    pub fn into_owned(self) -> OwnedDelivery {
        OwnedDelivery {
            producer: Arc::clone(self.producer),
            topic: Arc::clone(&self.entry.route.name),
            door: Arc::clone(self.door),
            placed: self.placed,
        }
    }
}

/// A [`Delivery`] that can be kept, moved to other threads and waited for by many.
#[must_use = "the record is placed but not yet durable: wait() or flush()"]
#[derive(Clone)]
pub struct OwnedDelivery {
    producer: Arc<Shared>,
    topic: Arc<str>,
    door: Arc<dyn PartitionBackend>,
    placed: Placed,
}

impl OwnedDelivery {
    /// The name of the record's topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Where the record stands, known since the send.
    #[must_use]
    pub fn placed(&self) -> Placed {
        self.placed
    }

    /// Waits until the record has reached its topic's level, `delivery.timeout.ms` from now at
    /// most.
    ///
    /// # Errors
    ///
    /// Those of [`Delivery::wait`].
    pub fn wait(&self) -> Result<Placed> {
        self.wait_timeout(self.producer.delivery_timeout())
    }

    /// Like [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// Those of [`Delivery::wait`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Placed> {
        wait(&self.producer, &*self.door, self.placed, timeout)
    }
}

fn wait(
    producer: &Shared,
    door: &dyn PartitionBackend,
    placed: Placed,
    timeout: Duration,
) -> Result<Placed> {
    let deadline = producer.deadline(timeout);
    let reached = producer.wait_reached(door, placed.offset.saturating_add(1), deadline);
    producer.tell_interceptors();
    reached.map(|()| placed)
}

impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Delivery", self.topic(), self.placed)
    }
}

impl fmt::Debug for OwnedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "OwnedDelivery", self.topic(), self.placed)
    }
}

fn debug(f: &mut fmt::Formatter<'_>, name: &str, topic: &str, placed: Placed) -> fmt::Result {
    f.debug_struct(name).field("topic", &topic).field("placed", &placed).finish()
}
