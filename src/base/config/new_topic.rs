//! A topic that is to be made.

use std::collections::BTreeMap;

use super::durability::Durability;

/// The least and the greatest partition count of a topic.
pub(crate) const PARTITIONS: std::ops::RangeInclusive<u32> = 1..=100_000;

/// A topic to be created: a name, a partition count, settings.
///
/// Settings are checked when the topic is created, all at once; an error names the key, the
/// value and the bounds, and nothing is created.
///
/// ```
/// use alluvium::{Durability, EventLog, NewTopic};
///
/// let log = EventLog::in_memory();
/// let orders = log.create_topic(NewTopic::new("orders").partitions(3).config("segment.ms", "3600000"))?;
/// assert_eq!(orders.partition_count(), 3);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a topic exists once it is passed to create_topic or ensure_topic"]
pub struct NewTopic {
    pub(crate) name: String,
    /// `None`: the log's `num.partitions`.
    pub(crate) partitions: Option<u32>,
    pub(crate) configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with the log's `num.partitions` (1) partitions and the log's settings.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), partitions: None, configs: BTreeMap::new() }
    }

    /// The number of partitions, 1 to 100,000. Default: the log's `num.partitions`, which is 1.
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// A topic that keeps the last record of each key (`cleanup.policy=compact`): every record
    /// must have a key. In this version nothing is compacted yet: every record stays.
    pub fn compacted(self) -> Self {
        self.config("cleanup.policy", "compact")
    }

    /// Whether records are found by their keys ([`Topic::latest`](crate::Topic::latest),
    /// [`Topic::history`](crate::Topic::history)), and appends may depend on them
    /// ([`Expect`](crate::Expect)). Default: no. It holds for the topic's life, and the topic
    /// keeps its number of partitions: with another one keys would belong elsewhere.
    pub fn key_index(self, indexed: bool) -> Self {
        self.config("key.index", if indexed { "true" } else { "false" })
    }

    /// Accepted and ignored: a log is one node and keeps one copy, as a cluster does with a
    /// factor of 1. So programs and tests that ask a cluster for three run unchanged.
    pub fn replication_factor(self, _factor: u16) -> Self {
        self
    }

    /// What an acknowledged record of this topic survives. Default: the log's level.
    pub fn durability(self, level: Durability) -> Self {
        self.config("durability", level.name())
    }

    /// One of Kafka's string settings, for example `("segment.bytes", "1048576")`.
    ///
    /// `docs/configuration.md` lists the keys with their units, bounds, defaults and effects;
    /// [`Admin::describe_configs`](crate::Admin::describe_configs) tells what is in force.
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.configs.insert(key.to_owned(), value.to_owned());
        self
    }
}
