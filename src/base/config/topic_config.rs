//! A topic's settings in force, typed.

use std::collections::BTreeMap;

use super::durability::Durability;
use super::log_config::LogConfig;
use super::settings::Settings;
use super::topic_keys::{TOPIC_KEYS, topic_key};
use super::value::{invalid, items, number};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::record::TimestampType;

/// A topic's settings in force: its own, those of the log where it has none, the defaults where
/// nobody has.
///
/// `docs/configuration.md` tells of each key its unit, bounds, default and effect;
/// [`Admin::describe_configs`](crate::Admin::describe_configs) tells who has set what.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TopicConfig {
    /// How old records go (`cleanup.policy`).
    pub cleanup_policy: CleanupPolicy,
    /// How batches are compressed (`compression.type`).
    pub compression_type: CompressionType,
    /// The effort of gzip (`compression.gzip.level`).
    pub compression_gzip_level: i32,
    /// The effort of lz4 (`compression.lz4.level`).
    pub compression_lz4_level: i32,
    /// The effort of zstd (`compression.zstd.level`).
    pub compression_zstd_level: i32,
    /// How long compaction keeps tombstones.
    pub delete_retention_ms: i64,
    /// What an acknowledged record survives.
    pub durability: Durability,
    /// How long files outlive their segment.
    pub file_delete_delay_ms: i64,
    /// The longest that an appended record stays unsynced without a waiter.
    pub flush_ms: i64,
    /// One index entry per this many bytes of batches.
    pub index_interval_bytes: u32,
    /// Whether records are found by their keys.
    pub key_index: bool,
    /// The most memory that the keys of unsealed records of one partition take.
    pub key_index_memory_bytes: u32,
    /// Compaction considers a record after this time at the latest.
    pub max_compaction_lag_ms: i64,
    /// The most bytes that the encoded records of one send call may have.
    pub max_message_bytes: u32,
    /// The furthest that a record's own timestamp may be ahead of the clock.
    pub message_timestamp_after_max_ms: i64,
    /// The furthest that a record's own timestamp may be behind the clock.
    pub message_timestamp_before_max_ms: i64,
    /// Whose time a record carries.
    pub message_timestamp_type: TimestampType,
    /// Compaction waits until this share of the log is not compacted.
    pub min_cleanable_dirty_ratio: f64,
    /// Compaction leaves records alone that are younger.
    pub min_compaction_lag_ms: i64,
    /// Whether a segment reserves its space when it is made.
    pub preallocate: bool,
    /// The size above which the oldest segments of a partition go; negative: none.
    pub retention_bytes: i64,
    /// The age at which segments go; -1: never.
    pub retention_ms: i64,
    /// A segment rolls before it would grow beyond this many bytes.
    pub segment_bytes: u32,
    /// A segment rolls when its index would grow beyond this many bytes.
    pub segment_index_bytes: u32,
    /// `segment_ms` is shortened by a random part of at most this.
    pub segment_jitter_ms: i64,
    /// A segment rolls when record time has moved this far since its first batch.
    pub segment_ms: i64,
}

/// How old records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CleanupPolicy {
    /// Old segments are deleted.
    pub delete: bool,
    /// The last record of each key stays.
    pub compact: bool,
}

/// How batches are compressed: in this version not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompressionType {
    /// As the producer did; producers do not compress.
    Producer,
    /// Not at all.
    Uncompressed,
}

impl TopicConfig {
    /// The defaults of this version, at this level.
    pub(crate) fn defaults(durability: Durability) -> Self {
        Self {
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            compression_type: CompressionType::Producer,
            compression_gzip_level: -1,
            compression_lz4_level: 9,
            compression_zstd_level: 3,
            delete_retention_ms: 24 * 3_600_000,
            durability,
            file_delete_delay_ms: 60_000,
            flush_ms: 100,
            index_interval_bytes: 4_096,
            key_index: false,
            key_index_memory_bytes: 16 << 20,
            max_compaction_lag_ms: i64::MAX,
            max_message_bytes: 1_048_588,
            message_timestamp_after_max_ms: 3_600_000,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_type: TimestampType::CreateTime,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            preallocate: false,
            retention_bytes: -1,
            retention_ms: -1,
            segment_bytes: 64 << 20,
            segment_index_bytes: 10 << 20,
            segment_jitter_ms: 0,
            segment_ms: 7 * 24 * 3_600_000,
        }
    }

    /// The settings of a topic that was given `topic`, on a log of `log`.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` for a key that does not exist, a value out of its bounds, or two that
    /// contradict each other; the error names them.
    pub fn resolve(topic: &BTreeMap<String, String>, log: &LogConfig) -> Result<Self> {
        let settings = Settings::new(topic, log)?;
        let mut config = Self::defaults(level(&settings)?);
        for key in TOPIC_KEYS {
            if let (Some(value), _) = settings.value(key) {
                config.take(key.name, &value)?;
            }
        }
        if let (Some(bytes), _) = settings.value(known("internal.segment.bytes")?) {
            config.segment_bytes = whole("internal.segment.bytes", &bytes)?;
        }
        config.check_lags()?;
        Ok(config)
    }

    /// Takes one value, which has been checked.
    fn take(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "cleanup.policy" => {
                let has = |policy| items(value).any(|item| item == policy);
                let (delete, compact) = (has("delete"), has("compact"));
                self.cleanup_policy = CleanupPolicy { delete, compact };
            }
            "compression.type" if value == "uncompressed" => {
                self.compression_type = CompressionType::Uncompressed;
            }
            "compression.gzip.level" => self.compression_gzip_level = whole(name, value)?,
            "compression.lz4.level" => self.compression_lz4_level = whole(name, value)?,
            "compression.zstd.level" => self.compression_zstd_level = whole(name, value)?,
            "delete.retention.ms" => self.delete_retention_ms = whole(name, value)?,
            "file.delete.delay.ms" => self.file_delete_delay_ms = whole(name, value)?,
            "flush.messages" => check_flush_messages(name, value)?,
            "flush.ms" => self.flush_ms = whole(name, value)?,
            "index.interval.bytes" => self.index_interval_bytes = whole(name, value)?,
            "key.index" => self.key_index = value.eq_ignore_ascii_case("true"),
            "key.index.memory.bytes" => self.key_index_memory_bytes = whole(name, value)?,
            "max.compaction.lag.ms" => self.max_compaction_lag_ms = whole(name, value)?,
            "max.message.bytes" => self.max_message_bytes = whole(name, value)?,
            "message.timestamp.after.max.ms" => {
                self.message_timestamp_after_max_ms = whole(name, value)?;
            }
            "message.timestamp.before.max.ms" => {
                self.message_timestamp_before_max_ms = whole(name, value)?;
            }
            "message.timestamp.type" if value == "LogAppendTime" => {
                self.message_timestamp_type = TimestampType::LogAppendTime;
            }
            "min.cleanable.dirty.ratio" => {
                self.min_cleanable_dirty_ratio = number(name, value, 0.0, 1.0)?;
            }
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = whole(name, value)?,
            "preallocate" => self.preallocate = value.eq_ignore_ascii_case("true"),
            "retention.bytes" => self.retention_bytes = whole(name, value)?,
            "retention.ms" => self.retention_ms = whole(name, value)?,
            "segment.bytes" => self.segment_bytes = whole(name, value)?,
            "segment.index.bytes" => self.segment_index_bytes = whole(name, value)?,
            "segment.jitter.ms" => self.segment_jitter_ms = whole(name, value)?,
            "segment.ms" => self.segment_ms = whole(name, value)?,
            // Those that have no effect, and the two that are read elsewhere.
            _ => {}
        }
        Ok(())
    }

    fn check_lags(&self) -> Result<()> {
        let (least, most) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        if least <= most {
            return Ok(());
        }
        let reason = format!("it must not be above max.compaction.lag.ms, which is {most}");
        Err(invalid("min.compaction.lag.ms", &least.to_string(), &reason))
    }

    /// The record time after which a segment rolls: a compacted topic must give compaction its
    /// records in time, and only what has rolled is compacted (A20).
    pub(crate) fn roll_ms(&self) -> i64 {
        if self.cleanup_policy.compact {
            return self.segment_ms.min(self.max_compaction_lag_ms);
        }
        self.segment_ms
    }
}

fn known(name: &str) -> Result<&'static super::key::Key> {
    topic_key(name).ok_or_else(|| Error::new(ErrorKind::Unknown, format!("no row for {name}")))
}

/// The bounds were those of the key.
fn whole<T: TryFrom<i64>>(name: &str, value: &str) -> Result<T> {
    let number = number::<i64>(name, value, i64::MIN, i64::MAX)?;
    T::try_from(number).map_err(|_| invalid(name, value, "it is out of bounds"))
}

fn check_flush_messages(name: &str, value: &str) -> Result<()> {
    match whole::<i64>(name, value)? {
        1 | i64::MAX => Ok(()),
        _ => Err(invalid(name, value, &format!("1 and {} are understood", i64::MAX))),
    }
}

/// The level that a topic asks for; the log's if it does not.
fn level(settings: &Settings<'_>) -> Result<Durability> {
    let log = settings.log().durability;
    if log == Durability::Memory {
        // A memory log accepts what a disk log would: the same program runs on both.
        return Ok(log);
    }
    let named = settings.of_topic("durability").and_then(Durability::parse);
    match settings.of_topic("flush.messages") {
        Some("1") if named.is_some_and(|level| level != Durability::PowerLoss) => {
            Err(invalid("flush.messages", "1", "it contradicts durability"))
        }
        Some("1") => Ok(Durability::PowerLoss),
        _ => Ok(named.unwrap_or(log)),
    }
}
