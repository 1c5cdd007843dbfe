//! The settings of a log.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::durability::Durability;
use super::key::Key;
use super::log_keys::{LOG_KEYS, log_key};
use super::settings::{ConfigSource, ConfigSynonym};
use super::topic_config::TopicConfig;
use super::value::{double, invalid, number};
use crate::base::error::Result;

/// The settings of a log, in force from its open to its close.
///
/// From [`EventLogBuilder::set`](crate::EventLogBuilder::set); they are not stored, each open
/// brings its own.
///
/// ```
/// use alluvium::EventLog;
///
/// let log = EventLog::builder().set("num.partitions", "3").open()?;
/// let admin = log.admin();
/// assert_eq!(admin.log_config().num_partitions, 3);
/// assert_eq!(admin.log_config().topics.segment_bytes, 64 << 20);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogConfig {
    /// How many partitions a topic gets that is created without a number.
    pub num_partitions: u32,
    /// Whether a producer that names an unknown topic creates it.
    pub auto_create_topics: bool,
    /// How long the offsets of an empty group are kept, in minutes; `None`: for ever.
    pub offsets_retention_minutes: Option<u32>,
    /// How often it is looked for offsets that have expired, in milliseconds.
    pub offsets_retention_check_ms: u32,
    /// The most bytes of the metadata of a committed offset.
    pub offset_metadata_max_bytes: u32,
    /// How many members a group may have.
    pub group_max_size: u32,
    /// The longest `transaction.timeout.ms` of a producer.
    pub transaction_max_timeout_ms: u32,
    /// How often it is looked for transactional ids that have expired, in milliseconds.
    pub transaction_remove_expired_check_ms: u32,
    /// How long a transactional id is remembered that nobody uses, in milliseconds.
    pub transactional_id_expiration_ms: u32,
    /// How often it is looked for segments that are too old or too many, in milliseconds.
    pub retention_check_ms: u64,
    /// Whether the log compacts by itself.
    pub cleaner_enable: bool,
    /// The most bytes of compaction's map of keys.
    pub cleaner_dedupe_buffer_bytes: u64,
    /// How many bytes a second compaction reads and writes at most.
    pub cleaner_io_max_bytes_per_second: f64,
    /// How long compaction rests when time alone can give it something to do, in milliseconds.
    pub cleaner_backoff_ms: u64,
    /// How long a producer with an id that appends nothing is remembered, in milliseconds.
    pub producer_id_expiration_ms: u32,
    /// The level of topics that name none.
    pub durability: Durability,
    /// What holds for a topic that sets nothing.
    pub topics: TopicConfig,
    /// What was set, by the log's keys.
    given: BTreeMap<String, String>,
    /// Whether the defaults are those of a cluster.
    cluster: bool,
}

impl LogConfig {
    /// What `given` asks for. `in_memory`: the only level is `Memory`.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` naming key, value and bounds.
    pub fn resolve(
        given: BTreeMap<String, String>,
        cluster: bool,
        in_memory: bool,
    ) -> Result<Self> {
        for (name, value) in &given {
            check(name, value.trim(), in_memory)?;
        }
        let durability = level(&given, in_memory)?;
        let topics = TopicConfig::defaults(durability);
        let mut config = Self {
            num_partitions: 1,
            auto_create_topics: false,
            offsets_retention_minutes: None,
            offsets_retention_check_ms: 600_000,
            offset_metadata_max_bytes: 4_096,
            group_max_size: i32::MAX as u32,
            transaction_max_timeout_ms: 900_000,
            transaction_remove_expired_check_ms: 3_600_000,
            transactional_id_expiration_ms: 604_800_000,
            producer_id_expiration_ms: 86_400_000,
            retention_check_ms: 300_000,
            cleaner_enable: true,
            cleaner_dedupe_buffer_bytes: 128 << 20,
            cleaner_io_max_bytes_per_second: f64::MAX,
            cleaner_backoff_ms: 15_000,
            durability,
            topics,
            given,
            cluster,
        };
        config.num_partitions =
            number("num.partitions", config.own("num.partitions"), 1, u32::MAX)?;
        config.auto_create_topics =
            config.own("auto.create.topics.enable").eq_ignore_ascii_case("true");
        config.offsets_retention_minutes = config.own("offsets.retention.minutes").parse().ok();
        config.offsets_retention_check_ms =
            config.own_number("offsets.retention.check.interval.ms", 1)?;
        config.offset_metadata_max_bytes = config.own_number("offset.metadata.max.bytes", 0)?;
        let check = "log.retention.check.interval.ms";
        config.retention_check_ms = number(check, config.own(check), 1, u64::MAX)?;
        config.take_cleaner()?;
        config.group_max_size = config.own_number("group.max.size", 1)?;
        config.transaction_max_timeout_ms = config.own_number("transaction.max.timeout.ms", 1)?;
        config.transaction_remove_expired_check_ms =
            config.own_number("transaction.remove.expired.transaction.cleanup.interval.ms", 1)?;
        config.transactional_id_expiration_ms =
            config.own_number("transactional.id.expiration.ms", 1)?;
        config.producer_id_expiration_ms = config.own_number("producer.id.expiration.ms", 1)?;
        config.topics = TopicConfig::resolve(&BTreeMap::new(), &config)?;
        Ok(config)
    }

    fn take_cleaner(&mut self) -> Result<()> {
        self.cleaner_enable = self.own("log.cleaner.enable").eq_ignore_ascii_case("true");
        let name = "log.cleaner.dedupe.buffer.size";
        self.cleaner_dedupe_buffer_bytes = number(name, self.own(name), 0, u64::MAX)?;
        let name = "log.cleaner.io.max.bytes.per.second";
        self.cleaner_io_max_bytes_per_second = double(name, self.own(name), 1.0, f64::MAX)?;
        let name = "log.cleaner.backoff.ms";
        self.cleaner_backoff_ms = number(name, self.own(name), 0, u64::MAX)?;
        Ok(())
    }

    /// The value in force of a key that only the log has.
    fn own(&self, name: &str) -> &str {
        let default = || {
            let key = LOG_KEYS.iter().find(|key| key.name == name);
            key.and_then(|key| key.default_of(self.cluster)).unwrap_or_default()
        };
        self.given(name).unwrap_or_else(default)
    }

    fn own_number(&self, name: &str, least: u32) -> Result<u32> {
        number(name, self.own(name), least, i32::MAX as u32)
    }

    /// What was set under this name.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|value| value.trim())
    }

    /// The default of a key in this log.
    pub(super) fn default_of(&self, key: &Key) -> Option<&'static str> {
        match key.name {
            // What a log in memory has cannot be set, and a log on disk has its level.
            "durability" if self.durability == Durability::Memory => Some("memory"),
            "durability" => Some("power-loss"),
            _ => key.default_of(self.cluster),
        }
    }

    /// What the log sets for topics, in the topic's unit.
    pub(super) fn value_for_topics(&self, key: &Key) -> Option<Cow<'_, str>> {
        let mut names = key.log_names.iter();
        names.find_map(|(name, factor)| Some(in_unit(self.given(name)?, *factor)))
    }

    /// Every value that the log has for a key, the one that holds first, the default last.
    pub(super) fn synonyms(&self, key: &Key) -> Vec<ConfigSynonym> {
        let given = |(name, _): &(&str, i64)| {
            let value = Some(self.given(name)?.to_owned());
            let source = ConfigSource::StaticBrokerConfig;
            Some(ConfigSynonym { name: (*name).to_owned(), value, source })
        };
        let name = key.log_names.first().map_or(key.name, |(name, _)| *name);
        let own = [(key.name, 1)];
        let names = if key.log_names.is_empty() { &own } else { key.log_names };
        let mut all: Vec<_> = names.iter().filter_map(given).collect();
        if let Some(default) = self.default_of(key) {
            let (name, value) = (name.to_owned(), Some(default.to_owned()));
            all.push(ConfigSynonym { name, value, source: ConfigSource::DefaultConfig });
        }
        all
    }
}

fn check(name: &str, value: &str, in_memory: bool) -> Result<()> {
    let Some((key, factor)) = log_key(name) else {
        return Err(invalid(name, value, "a log has no such key"));
    };
    if key.name == "durability" && value == "memory" {
        let reason = "a log on disk is process-crash or power-loss";
        return if in_memory { Ok(()) } else { Err(invalid(name, value, reason)) };
    }
    if factor != 1 {
        let least = number::<i64>(name, value, -1, i64::MAX)?;
        if least > i64::MAX / factor {
            return Err(invalid(name, value, &format!("the most is {}", i64::MAX / factor)));
        }
    }
    key.check(name, &in_unit(value, factor))
}

/// A value of a log's key in the topic's unit; -1 is "none" in every unit.
fn in_unit(value: &str, factor: i64) -> Cow<'_, str> {
    match value.parse::<i64>() {
        Ok(number) if factor != 1 && number > 0 => number.saturating_mul(factor).to_string().into(),
        _ => value.into(),
    }
}

/// The level of topics that name none.
fn level(given: &BTreeMap<String, String>, in_memory: bool) -> Result<Durability> {
    if in_memory {
        return Ok(Durability::Memory);
    }
    let named = given.get("durability").and_then(|name| Durability::parse(name.trim()));
    let messages = "log.flush.interval.messages";
    match given.get(messages).map(|value| value.trim()) {
        Some("1") if named.is_some_and(|level| level != Durability::PowerLoss) => {
            Err(invalid(messages, "1", "it contradicts durability"))
        }
        _ => Ok(named.unwrap_or(Durability::PowerLoss)),
    }
}
