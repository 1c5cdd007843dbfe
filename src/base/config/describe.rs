//! What is told of settings: value, source, type, documentation.

use std::collections::BTreeMap;

use super::durability::Durability;
use super::key::Key;
use super::log_config::LogConfig;
use super::log_keys::LOG_KEYS;
use super::settings::{ConfigSource, ConfigSynonym, Settings};
use super::topic_config::TopicConfig;
use super::topic_keys::TOPIC_KEYS;
use super::value::ConfigType;
use crate::base::error::Result;

/// One setting of a topic or a log, as
/// [`Admin::describe_configs`](crate::Admin::describe_configs) tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// The value in force; `None` when there is none.
    pub value: Option<String>,
    /// Who has set it.
    pub source: ConfigSource,
    /// Its type.
    pub config_type: ConfigType,
    /// Every value that it has anywhere, the strongest first.
    pub synonyms: Vec<ConfigSynonym>,
    /// Whether it cannot be altered while the log is open.
    pub read_only: bool,
    /// Whether its value is a secret: never.
    pub sensitive: bool,
    /// What it does, with its unit; and, where that is so, that it does nothing.
    pub documentation: String,
    /// Whether it does all that its documentation says. Some keys are accepted because Kafka's
    /// tools set them.
    pub has_effect: bool,
}

impl ConfigEntry {
    /// Whether nobody has set it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.source == ConfigSource::DefaultConfig
    }
}

/// Every setting of a topic that was given `configs`.
pub fn describe_topic(
    configs: &BTreeMap<String, String>,
    log: &LogConfig,
) -> Result<Vec<ConfigEntry>> {
    let settings = Settings::new(configs, log)?;
    let level = TopicConfig::resolve(configs, log)?.durability;
    let entry = |key: &'static Key| {
        let (value, source) = match key.name {
            "flush.messages" => flush_messages(&settings, key, level),
            "durability" => (Some(level.name().into()), settings.value(key).1),
            _ => settings.value(key),
        };
        let synonyms = settings.synonyms(key);
        told(key, key.name, value.map(|value| value.into_owned()), source, synonyms, false)
    };
    Ok(TOPIC_KEYS.iter().map(entry).collect())
}

/// 1 exactly where the level is `PowerLoss`: whoever looks there must not be misled.
fn flush_messages<'a>(
    settings: &Settings<'a>,
    key: &'static Key,
    level: Durability,
) -> (Option<std::borrow::Cow<'a, str>>, ConfigSource) {
    let (given, source) = settings.value(key);
    let is = if level == Durability::PowerLoss { "1" } else { "9223372036854775807" };
    if level == Durability::Memory {
        return given.map_or((Some(is.into()), ConfigSource::DefaultConfig), |g| (Some(g), source));
    }
    if given.is_some_and(|given| given == is) {
        return (Some(is.into()), source);
    }
    let decided_by = super::topic_keys::topic_key("durability").map(|key| settings.value(key).1);
    (Some(is.into()), decided_by.unwrap_or(ConfigSource::DefaultConfig))
}

/// Every setting of a log: its own, and those that it sets for its topics.
pub fn describe_log(log: &LogConfig) -> Vec<ConfigEntry> {
    let own = LOG_KEYS.iter().map(|key| (key, key.name));
    let for_topics =
        TOPIC_KEYS.iter().flat_map(|key| key.log_names.iter().map(move |(name, _)| (key, *name)));
    let entry = |(key, name): (&'static Key, &'static str)| {
        let synonyms = log.synonyms(key);
        let canonical = key.log_names.first().is_none_or(|(first, _)| *first == name);
        // Names in another unit tell what was set; the first one tells what holds.
        let (value, source) = match log.given(name) {
            Some(given) => (Some(given.to_owned()), ConfigSource::StaticBrokerConfig),
            None if !canonical => (None, ConfigSource::DefaultConfig),
            None => match log.value_for_topics(key) {
                Some(value) => (Some(value.into_owned()), ConfigSource::StaticBrokerConfig),
                None => (log.default_of(key).map(str::to_owned), ConfigSource::DefaultConfig),
            },
        };
        told(key, name, value, source, synonyms, true)
    };
    let mut entries: Vec<_> = own.chain(for_topics).map(entry).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

fn told(
    key: &Key,
    name: &str,
    value: Option<String>,
    source: ConfigSource,
    synonyms: Vec<ConfigSynonym>,
    read_only: bool,
) -> ConfigEntry {
    ConfigEntry {
        name: name.to_owned(),
        value,
        source,
        config_type: key.kind.config_type(),
        synonyms,
        read_only,
        sensitive: false,
        documentation: key.documentation(),
        has_effect: key.has_effect(),
    }
}
