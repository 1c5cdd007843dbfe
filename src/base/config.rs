//! What a topic is made with: typed settings beside Kafka's strings.

use std::collections::BTreeMap;

use super::error::{Error, ErrorKind, Result};

/// What an acknowledged record survives.
///
/// Set for a log and for each topic. [`Delivery::wait`](crate::Delivery::wait) and
/// [`Producer::flush`](crate::Producer::flush) return when the topic's level is reached, and
/// consumers see a record from that moment on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: the log lives in memory. The only level of an in-memory log.
    Memory,
    /// The death of the process (`kill -9`, panic, abort), not a power cut.
    ProcessCrash,
    /// A power cut or a crash of the operating system. The default on disk.
    PowerLoss,
}

impl Durability {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Durability::Memory => "memory",
            Durability::ProcessCrash => "process-crash",
            Durability::PowerLoss => "power-loss",
        }
    }
}

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
    pub(crate) partitions: u32,
    pub(crate) configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with one partition and the defaults of the log.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), partitions: 1, configs: BTreeMap::new() }
    }

    /// The number of partitions, 1 to 100,000. Default 1.
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = count;
        self
    }

    /// What an acknowledged record of this topic survives. Default: the log's level.
    pub fn durability(self, level: Durability) -> Self {
        self.config("durability", level.name())
    }

    /// One of Kafka's string settings, for example `("segment.bytes", "1048576")`.
    ///
    /// [`TopicConfig`] lists the keys with their units, bounds and defaults.
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.configs.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// A topic's settings in force.
///
/// | key | unit | bounds | default |
/// |---|---|---|---|
/// | `segment.bytes` | bytes | 1 MiB ..= 1 GiB | 64 MiB |
/// | `internal.segment.bytes` | bytes | 256 ..= 1 GiB | unset; wins over `segment.bytes` |
/// | `segment.ms` | ms | 1 ..= i64::MAX | 604,800,000 (7 days) |
/// | `segment.jitter.ms` | ms | 0 ..= i64::MAX | 0 |
/// | `segment.index.bytes` | bytes | 64 ..= 1 GiB | 10 MiB |
/// | `index.interval.bytes` | bytes | 0 ..= 1 GiB | 4,096 |
/// | `max.message.bytes` | bytes | 0 ..= 64 MiB | 1,048,588 |
/// | `flush.messages` | records | 1 ..= i64::MAX | unset; 1 means `durability=power-loss` |
/// | `flush.ms` | ms | 1 ..= i64::MAX | the log's flush interval (100); the shortest wins for the log |
/// | `durability` | | `process-crash`, `power-loss` | the log's |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicConfig {
    /// A segment rolls before it would grow beyond this many bytes.
    pub segment_bytes: u32,
    /// A segment rolls when record time has moved this far since its first batch.
    pub segment_ms: i64,
    /// `segment_ms` is shortened by a random part of at most this.
    pub segment_jitter_ms: i64,
    /// A segment rolls when its index would grow beyond this many bytes.
    pub segment_index_bytes: u32,
    /// One index entry per this many bytes of batches.
    pub index_interval_bytes: u32,
    /// The most bytes that the encoded records of one send call may have.
    pub max_message_bytes: u32,
    /// The longest that an appended record stays unsynced without a waiter.
    pub flush_ms: i64,
    /// What an acknowledged record survives.
    pub durability: Durability,
}

impl TopicConfig {
    pub(crate) fn defaults(durability: Durability) -> Self {
        Self {
            segment_bytes: 64 << 20,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4_096,
            max_message_bytes: 1_048_588,
            flush_ms: 100,
            durability,
        }
    }

    /// The settings that `configs` ask for on a log of level `log`.
    pub(crate) fn parse(configs: &BTreeMap<String, String>, log: Durability) -> Result<Self> {
        let mut parsed = Self::defaults(log);
        let mut internal_segment_bytes = None;
        let mut flush_messages = None;
        for (key, value) in configs {
            match key.as_str() {
                "segment.bytes" => parsed.segment_bytes = number(key, value, 1 << 20, 1 << 30)?,
                "internal.segment.bytes" => {
                    internal_segment_bytes = Some(number(key, value, 256, 1 << 30)?);
                }
                "segment.ms" => parsed.segment_ms = number(key, value, 1, i64::MAX)?,
                "segment.jitter.ms" => parsed.segment_jitter_ms = number(key, value, 0, i64::MAX)?,
                "segment.index.bytes" => {
                    parsed.segment_index_bytes = number(key, value, 64, 1 << 30)?;
                }
                "index.interval.bytes" => {
                    parsed.index_interval_bytes = number(key, value, 0, 1 << 30)?;
                }
                "max.message.bytes" => parsed.max_message_bytes = number(key, value, 0, 64 << 20)?,
                "flush.ms" => parsed.flush_ms = number(key, value, 1, i64::MAX)?,
                "flush.messages" => flush_messages = Some(number(key, value, 1_i64, i64::MAX)?),
                "durability" => parsed.durability = level(value, log)?,
                _ => return Err(invalid(key, value, "there is no such key")),
            }
        }
        parsed.segment_bytes = internal_segment_bytes.unwrap_or(parsed.segment_bytes);
        parsed.apply_flush_messages(flush_messages, configs, log)?;
        Ok(parsed)
    }

    fn apply_flush_messages(
        &mut self,
        messages: Option<i64>,
        configs: &BTreeMap<String, String>,
        log: Durability,
    ) -> Result<()> {
        match messages {
            Some(1) if log == Durability::Memory => {}
            Some(1) if configs.get("durability").is_some_and(|v| v != "power-loss") => {
                return Err(invalid("flush.messages", "1", "it contradicts durability"));
            }
            Some(1) => self.durability = Durability::PowerLoss,
            Some(i64::MAX) | None => {}
            Some(other) => {
                let reason = format!("1 and {} are understood", i64::MAX);
                return Err(invalid("flush.messages", &other.to_string(), &reason));
            }
        }
        Ok(())
    }
}

fn level(value: &str, log: Durability) -> Result<Durability> {
    match value {
        // A memory log accepts what a disk log would: the same program runs on both.
        "memory" | "process-crash" | "power-loss" if log == Durability::Memory => Ok(log),
        "process-crash" => Ok(Durability::ProcessCrash),
        "power-loss" => Ok(Durability::PowerLoss),
        _ => Err(invalid("durability", value, "it must be process-crash or power-loss")),
    }
}

pub(crate) fn number<T>(key: &str, value: &str, least: T, most: T) -> Result<T>
where
    T: Copy + PartialOrd + std::str::FromStr + std::fmt::Display,
{
    match value.trim().parse::<T>() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(invalid(key, value, &format!("it must be a whole number from {least} to {most}"))),
    }
}

pub(crate) fn invalid(key: &str, value: &str, reason: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("{key}={value}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)], log: Durability) -> Result<TopicConfig> {
        let configs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        TopicConfig::parse(&configs, log)
    }

    #[test]
    fn a72_flush_messages_1_is_power_loss() {
        let config = parse(&[("flush.messages", "1")], Durability::ProcessCrash).unwrap();
        assert_eq!(config.durability, Durability::PowerLoss);
        assert!(parse(&[("flush.messages", "7")], Durability::ProcessCrash).is_err());
        let both = [("flush.messages", "1"), ("durability", "process-crash")];
        assert!(parse(&both, Durability::PowerLoss).is_err());
    }

    #[test]
    fn a_bad_value_is_named_with_its_bounds() {
        let error = parse(&[("segment.bytes", "12")], Durability::PowerLoss).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        let text = error.to_string();
        assert!(text.contains("segment.bytes=12") && text.contains("1048576"), "{text}");
        assert!(parse(&[("no.such.key", "1")], Durability::PowerLoss).is_err());
        assert!(parse(&[("segment.ms", "soon")], Durability::PowerLoss).is_err());
    }

    #[test]
    fn the_internal_key_has_no_floor_of_a_mebibyte() {
        let config = parse(&[("internal.segment.bytes", "256")], Durability::PowerLoss).unwrap();
        assert_eq!(config.segment_bytes, 256);
    }

    #[test]
    fn a_memory_log_has_one_level_and_takes_every_name() {
        for name in ["memory", "process-crash", "power-loss"] {
            let config = parse(&[("durability", name)], Durability::Memory).unwrap();
            assert_eq!(config.durability, Durability::Memory);
        }
        assert!(parse(&[("durability", "memory")], Durability::PowerLoss).is_err());
    }
}
