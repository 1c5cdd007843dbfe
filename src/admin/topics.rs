//! Topics, as an operator sees them.

use crate::admin::Admin;
use crate::base::{NewTopic, Result};
use crate::node::TopicInfo;

/// How topics are created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateTopicsOptions {
    /// Check everything, answer as if the topics had been created, and change nothing.
    pub validate_only: bool,
}

impl CreateTopicsOptions {
    /// Check everything, answer as if the topics had been created, and change nothing. Default:
    /// no. The identities in the answer are not those that a later creation gives.
    #[must_use]
    pub fn validate_only(mut self, only: bool) -> Self {
        self.validate_only = only;
        self
    }
}

/// Which topics are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListTopicsOptions {
    /// The log's own topics too.
    pub internal: bool,
}

impl ListTopicsOptions {
    /// The log's own topics too. Default: no.
    #[must_use]
    pub fn internal(mut self, internal: bool) -> Self {
        self.internal = internal;
        self
    }
}

impl Admin {
    /// Creates topics, durably. Each succeeds or fails alone; the answers are in the order of
    /// `topics`. All of them wait for the disk together: ten thousand topics take few syncs.
    ///
    /// ```
    /// use alluvium::{CreateTopicsOptions, ErrorKind, EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let wanted = [NewTopic::new("orders").partitions(3), NewTopic::new("no/name")];
    /// let answers = log.admin().create_topics(wanted, CreateTopicsOptions::default());
    /// assert_eq!(answers[0].as_ref().unwrap().partition_count, 3);
    /// assert_eq!(answers[1].as_ref().unwrap_err().kind(), ErrorKind::InvalidTopic);
    /// ```
    ///
    /// # Errors
    ///
    /// Of each topic: those of [`EventLog::create_topic`](crate::EventLog::create_topic).
    #[must_use = "each topic has an answer of its own"]
    pub fn create_topics(
        &self,
        topics: impl IntoIterator<Item = NewTopic>,
        options: CreateTopicsOptions,
    ) -> Vec<Result<TopicInfo>> {
        let topics: Vec<NewTopic> = topics.into_iter().collect();
        if options.validate_only {
            self.node().rehearse_topics(&topics)
        } else {
            self.node().create_topics(&topics)
        }
    }

    /// Gives a topic more partitions, `total` in all, durably. The number only ever grows.
    ///
    /// What is stored stays where it is. Producers and handles at work see the new partitions
    /// from the return of this call on: a key may move to another partition then, and not
    /// before. Records that come later under such a key are not ordered after those that came
    /// before; choose a count that lasts where this matters.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// log.admin().create_partitions("orders", 12)?;
    /// assert_eq!(orders.partition_count(), 12);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidPartitions` when the topic has as many already, or beyond 100,000;
    /// `UnknownTopicOrPartition`; `InvalidTopic` for one of the log's own; `Closed`; what the disk
    /// says: the partitions may come into
    /// being nevertheless then.
    pub fn create_partitions(&self, topic: &str, total: u32) -> Result<()> {
        self.node().create_partitions(topic, total)
    }

    /// The names of all topics but the log's own, in order.
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn list_topics(&self) -> Result<Vec<String>> {
        self.list_topics_with(ListTopicsOptions::default())
    }

    /// The names of topics, in order.
    ///
    /// ```
    /// use alluvium::{EventLog, ListTopicsOptions};
    ///
    /// let admin = EventLog::in_memory().admin();
    /// let all = admin.list_topics_with(ListTopicsOptions::default().internal(true))?;
    /// assert!(all.iter().all(|name| name.starts_with("__")));
    /// assert!(admin.describe_topic(&all[0])?.internal);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn list_topics_with(&self, options: ListTopicsOptions) -> Result<Vec<String>> {
        self.node().topic_names(options.internal)
    }

    /// A topic's identity, partition count and settings in force.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, or `Closed`.
    pub fn describe_topic(&self, name: &str) -> Result<TopicInfo> {
        self.node().describe_topic(name)
    }

    /// Deletes a topic and all its records, durably. Producers and consumers of it get
    /// `UnknownTopicOrPartition`. A topic created later under the name is another one: its
    /// offsets begin at 0 and nothing of the old one is in it.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`; `InvalidTopic` for one of the log's own; `Closed`, or what the
    /// disk says.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.delete_topics(&[name]).pop().unwrap_or(Ok(()))
    }

    /// Deletes topics like [`delete_topic`](Self::delete_topic), each for itself, with the same
    /// few syncs for all. The answers are in the order of `names`.
    ///
    /// # Errors
    ///
    /// Of each topic: those of [`delete_topic`](Self::delete_topic).
    #[must_use = "each topic has an answer of its own"]
    pub fn delete_topics(&self, names: &[&str]) -> Vec<Result<()>> {
        self.node().delete_topics(names)
    }
}
