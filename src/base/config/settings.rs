//! Which value of a setting holds: the topic's wins over the log's, and that over the default.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::durability::Durability;
use super::key::Key;
use super::log_config::LogConfig;
use super::topic_keys::{GONE_KEYS, topic_key};
use super::value::invalid;
use crate::base::error::Result;

/// Who has set a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigSource {
    /// The topic: when it was created, or by an alteration.
    DynamicTopicConfig,
    /// The log: when it was opened.
    StaticBrokerConfig,
    /// Nobody: the default of this version.
    DefaultConfig,
}

/// A value that a setting has, or would have if the ones before it were not set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigSynonym {
    /// The name under which it is set.
    pub name: String,
    /// The value, in the unit of that name; `None` when there is none.
    pub value: Option<String>,
    /// Who has set it.
    pub source: ConfigSource,
}

/// The settings of a topic, those of its log behind them.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    topic: &'a BTreeMap<String, String>,
    log: &'a LogConfig,
}

impl<'a> Settings<'a> {
    /// The settings of a topic that was given these.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` for a key that does not exist, or a value that it cannot have.
    pub fn new(topic: &'a BTreeMap<String, String>, log: &'a LogConfig) -> Result<Self> {
        for (name, value) in topic {
            let is_only_level = name == "durability" && value.trim() == "memory";
            if !(is_only_level && log.durability == Durability::Memory) {
                known(name, value)?.check(name, value.trim())?;
            }
        }
        Ok(Self { topic, log })
    }

    /// The log's.
    pub fn log(&self) -> &'a LogConfig {
        self.log
    }

    /// What the topic itself says.
    pub fn of_topic(&self, name: &str) -> Option<&'a str> {
        self.topic.get(name).map(|value| value.trim())
    }

    /// What holds, and who has said so.
    pub fn value(&self, key: &'static Key) -> (Option<Cow<'a, str>>, ConfigSource) {
        if let Some(value) = self.of_topic(key.name) {
            return (Some(value.into()), ConfigSource::DynamicTopicConfig);
        }
        match self.log.value_for_topics(key) {
            Some(value) => (Some(value), ConfigSource::StaticBrokerConfig),
            None => (self.log.default_of(key).map(Cow::from), ConfigSource::DefaultConfig),
        }
    }

    /// Every value that the key has anywhere, the one that holds first.
    pub fn synonyms(&self, key: &'static Key) -> Vec<ConfigSynonym> {
        let of_topic = self.of_topic(key.name).map(|value| ConfigSynonym {
            name: key.name.to_owned(),
            value: Some(value.to_owned()),
            source: ConfigSource::DynamicTopicConfig,
        });
        of_topic.into_iter().chain(self.log.synonyms(key)).collect()
    }
}

/// The topic's key of this name; an error about `value` if there is none.
pub fn known(name: &str, value: &str) -> Result<&'static Key> {
    topic_key(name).ok_or_else(|| {
        let gone = GONE_KEYS.contains(&name);
        let reason = if gone { "Kafka 4 has no such key any more" } else { "there is no such key" };
        invalid(name, value, reason)
    })
}
