//! How a consumer is made.

use std::sync::Arc;

use crate::backend::Backend;
use crate::base::Result;
use crate::base::config::{boolean, invalid, number};

use super::consumer::Consumer;
use super::offset_reset::OffsetReset;

/// What a consumer goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConsumerSettings {
    pub(super) reset: OffsetReset,
    pub(super) max_poll_records: usize,
    pub(super) max_partition_fetch_bytes: usize,
    pub(super) fetch_max_bytes: usize,
    pub(super) skip_corrupt: bool,
    pub(super) allow_auto_create: bool,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            reset: OffsetReset::default(),
            max_poll_records: 500,
            max_partition_fetch_bytes: 1 << 20,
            fetch_max_bytes: 50 << 20,
            allow_auto_create: true,
            skip_corrupt: false,
        }
    }
}

impl ConsumerSettings {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        const MOST: usize = i32::MAX as usize;
        match key {
            "auto.offset.reset" => self.reset = OffsetReset::parse(key, value)?,
            "max.poll.records" => self.max_poll_records = number(key, value, 1, MOST)?,
            "max.partition.fetch.bytes" => {
                self.max_partition_fetch_bytes = number(key, value, 1, MOST)?;
            }
            "fetch.max.bytes" => self.fetch_max_bytes = number(key, value, 1, MOST)?,
            "allow.auto.create.topics" => self.allow_auto_create = boolean(key, value)?,
            "fetch.min.bytes" => {
                let reason = "it can only be 1: a poll returns as soon as there is a record";
                if value.trim() != "1" {
                    return Err(invalid(key, value, reason));
                }
            }
            "isolation.level" => {
                let reason = "it can only be read_uncommitted: there are no transactions yet";
                if value.trim() != "read_uncommitted" {
                    return Err(invalid(key, value, reason));
                }
            }
            _ => return Err(invalid(key, value, KEYS)),
        }
        Ok(())
    }
}

const KEYS: &str = "there is no such key; a consumer has auto.offset.reset, max.poll.records, \
                    max.partition.fetch.bytes, fetch.max.bytes, fetch.min.bytes, \
                    allow.auto.create.topics, isolation.level";

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
#[derive(Clone, Debug)]
#[must_use = "a consumer is made by build()"]
pub struct ConsumerBuilder {
    backend: Arc<dyn Backend>,
    reset: Option<OffsetReset>,
    skip_corrupt: bool,
    settings: Vec<(String, String)>,
}

impl ConsumerBuilder {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, reset: None, skip_corrupt: false, settings: Vec::new() }
    }

    /// Where to read from when no position is known or it is out of range. Default:
    /// [`OffsetReset::Latest`]. Wins over `auto.offset.reset`.
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.reset = Some(reset);
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

    /// One of Kafka's string settings. The last value of a key counts.
    ///
    /// | key | unit | bounds | default |
    /// |---|---|---|---|
    /// | `auto.offset.reset` | | `earliest`, `latest`, `none`, `by_duration:PnDTnHnMn.nS` | `latest` |
    /// | `max.poll.records` | records | 1 ..= i32::MAX | 500: the most that one poll returns |
    /// | `max.partition.fetch.bytes` | bytes | 1 ..= i32::MAX | 1 MiB: read from one partition at a time |
    /// | `fetch.max.bytes` | bytes | 1 ..= i32::MAX | 50 MiB: read and not yet returned, over all partitions |
    /// | `allow.auto.create.topics` | | `true`, `false` | `true`: an assigned topic that does not exist is created, where the log has `auto.create.topics.enable` |
    /// | `fetch.min.bytes` | bytes | 1 | 1: a poll returns as soon as there is a record |
    /// | `isolation.level` | | `read_uncommitted` | `read_uncommitted`: there are no transactions yet |
    ///
    /// A batch that exceeds the limits in bytes is read nevertheless when its turn comes.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The consumer, with no partitions assigned yet.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` for a key that is unknown or a value outside of its bounds, naming both;
    /// `Closed` when the log is closed.
    pub fn build(self) -> Result<Consumer> {
        let mut settings = ConsumerSettings::default();
        for (key, value) in &self.settings {
            settings.set(key, value)?;
        }
        settings.reset = self.reset.unwrap_or(settings.reset);
        settings.skip_corrupt = self.skip_corrupt;
        self.backend.check_open()?;
        Ok(Consumer::new(self.backend, settings))
    }
}
