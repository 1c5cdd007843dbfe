//! How a consumer is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::Backend;
use crate::base::{Isolation, Result};

use super::consumer::Consumer;
use super::consumer_settings::ConsumerSettings;
use super::group::{GroupSettings, RebalanceListener};
use super::offset_reset::OffsetReset;

/// Makes a [`Consumer`]. From `EventLog::consumer`.
///
/// Settings are checked together in [`build`](Self::build).
///
/// ```
/// use alluvium::{EventLog, OffsetReset};
///
/// let log = EventLog::in_memory();
/// let consumer = log
///     .consumer()
///     .offset_reset(OffsetReset::Earliest)
///     .set("max.poll.records", "100")
///     .build()?;
/// # drop(consumer);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[must_use = "a consumer is made by build()"]
pub struct ConsumerBuilder {
    backend: Arc<dyn Backend>,
    reset: Option<OffsetReset>,
    skip_corrupt: bool,
    check_crcs: Option<bool>,
    isolation: Option<Isolation>,
    settings: Vec<(String, String)>,
    group: Option<String>,
    topics: Vec<String>,
    auto_commit: Option<Option<Duration>>,
    listener: Option<Box<dyn RebalanceListener>>,
}

impl ConsumerBuilder {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            reset: None,
            skip_corrupt: false,
            check_crcs: None,
            isolation: None,
            settings: Vec::new(),
            group: None,
            topics: Vec::new(),
            auto_commit: None,
            listener: None,
        }
    }

    /// The consumer group: its members share the partitions of the topics that they subscribe
    /// to, and each goes on where the group has committed. Wins over `group.id`.
    pub fn group(mut self, id: &str) -> Self {
        self.group = Some(id.to_owned());
        self
    }

    /// What to subscribe to: see [`Consumer::subscribe`]. Needs a [`group`](Self::group).
    pub fn topics<'a>(mut self, topics: impl IntoIterator<Item = &'a str>) -> Self {
        self.topics.extend(topics.into_iter().map(str::to_owned));
        self
    }

    /// How often polls commit by themselves what *earlier* polls have returned; `None`: never,
    /// the program commits. Default: every 5 s. Wins over `enable.auto.commit` and
    /// `auto.commit.interval.ms`. Only of a consumer with a group. (C16)
    pub fn auto_commit(mut self, every: Option<Duration>) -> Self {
        self.auto_commit = Some(every);
        self
    }

    /// Who is told when partitions come and go.
    pub fn listener(mut self, listener: impl RebalanceListener) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Where to read from when no position is known or it is out of range. Default:
    /// [`OffsetReset::Latest`]. Wins over `auto.offset.reset`.
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.reset = Some(reset);
        self
    }

    /// What polls return of transactions. Default: [`Isolation::ReadUncommitted`]. Wins over
    /// `isolation.level`. (B32, B33)
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Whether polls step over stored data that is damaged. Default: no, such a poll fails with
    /// `CorruptMessage` and the position stays.
    ///
    /// What is stepped over is told: as a gap ([`Records::gaps`](crate::Records::gaps)) and, with
    /// the cause, as [`ConsumerEvent::SkippedDamage`](crate::ConsumerEvent::SkippedDamage). It is
    /// one batch where its beginning can be read, else everything up to the next batch that can
    /// be found. A disk that fails to read is not damage, and remains an error.
    pub fn skip_corrupt(mut self, skip: bool) -> Self {
        self.skip_corrupt = skip;
        self
    }

    /// Whether the checksum of every batch that is read from a file is verified. Default: yes.
    /// Wins over `check.crcs`.
    ///
    /// Without it a scan is faster, and stored bytes that have changed are not found: they come
    /// as records with other contents. Only batches whose bytes are no records any more are
    /// still refused, with `CorruptMessage`. Offsets, and how many there are, are proven by a
    /// checksum of their own either way.
    pub fn check_crcs(mut self, check: bool) -> Self {
        self.check_crcs = Some(check);
        self
    }

    /// One of Kafka's string settings. The last value of a key counts.
    ///
    /// | key | unit | bounds | default |
    /// |---|---|---|---|
    /// | `auto.offset.reset` | | `earliest`, `latest`, `none`, `by_duration:PnDTnHnMn.nS` | `latest` |
    /// | `max.poll.records` | records | 1 ..= i32::MAX | 500: the most that one poll returns |
    /// | `max.partition.fetch.bytes` | bytes | 1 ..= i32::MAX | 1 MiB: read from one partition at a time |
    /// | `fetch.max.bytes` | bytes | 1 ..= i32::MAX | 50 MiB: read and not yet returned, over all partitions |
    /// | `isolation.level` | | `read_uncommitted`, `read_committed` | `read_uncommitted`: see [`isolation`](Self::isolation) |
    /// | `check.crcs` | | `true`, `false` | `true`: see [`check_crcs`](Self::check_crcs) |
    /// | `allow.auto.create.topics` | | `true`, `false` | `true`: an assigned or subscribed topic that does not exist is created, where the log has `auto.create.topics.enable` |
    /// | `group.id` | | not empty | none: see [`group`](Self::group) |
    /// | `client.id` | | | `consumer`: what the member's id begins with |
    /// | `group.instance.id` | bytes | 1 to 249 | none; names a static member, which keeps its partitions between two lives |
    /// | `session.timeout.ms` | ms | 1 ..= i32::MAX | 45,000: how long they wait for a static member |
    /// | `max.poll.interval.ms` | ms | 1 ..= i32::MAX | 300,000: a member that does not poll for so long loses its partitions |
    /// | `group.remote.assignor`, `partition.assignment.strategy` | | `uniform`, `range`, `round-robin`, or one that the log was given | `uniform` |
    /// | `enable.auto.commit` | | `true`, `false` | `true` |
    /// | `auto.commit.interval.ms` | ms | 0 ..= i32::MAX | 5,000 |
    ///
    /// More of Kafka's keys are taken and have no effect; they stand with the reason in
    /// `docs/configuration.md`.
    ///
    /// A batch that exceeds the limits in bytes is read nevertheless when its turn comes.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The consumer, with no partitions assigned yet; a member of a group gets them by its first
    /// poll.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` for a key that is unknown or a value outside of its bounds, naming both;
    /// `InvalidGroupId` for an empty one, and for topics without a group; `InvalidTopic`;
    /// `Closed` when the log is closed.
    pub fn build(self) -> Result<Consumer> {
        let mut settings = ConsumerSettings::default();
        let named = self.settings.iter().rev().find(|(key, _)| key == "group.id");
        let id = self.group.as_deref().or(named.map(|(_, id)| id.as_str()));
        // Without a group its settings are checked all the same.
        let mut group = GroupSettings::new(id.unwrap_or("-"))?;
        for (key, value) in self.settings.iter().filter(|(key, _)| key != "group.id") {
            if !group.set(key, value)? {
                settings.set(key, value)?;
            }
        }
        settings.reset = self.reset.unwrap_or(settings.reset);
        settings.skip_corrupt = self.skip_corrupt;
        settings.check_crcs = self.check_crcs.unwrap_or(settings.check_crcs);
        settings.isolation = self.isolation.unwrap_or(settings.isolation);
        if let Some(every) = self.auto_commit {
            group.set_auto_commit(every);
        }
        self.backend.check_open()?;
        let group = id.is_some().then_some(group);
        let mut consumer = Consumer::new(self.backend, settings, group, self.listener);
        if !self.topics.is_empty() {
            consumer.subscribe(self.topics.iter().map(String::as_str))?;
        }
        Ok(consumer)
    }
}

impl fmt::Debug for ConsumerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerBuilder")
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
