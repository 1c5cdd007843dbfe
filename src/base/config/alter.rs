//! Settings altered one by one, all or none of them.

use std::collections::{BTreeMap, BTreeSet};

use super::key::Key;
use super::log_config::LogConfig;
use super::settings::{Settings, known};
use super::topic_config::TopicConfig;
use super::value::{ConfigType, invalid, items};
use crate::base::error::{Error, ErrorKind, Result};

/// One change to one setting, for
/// [`Admin::incremental_alter_configs`](crate::Admin::incremental_alter_configs).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an operation does nothing until it is passed to incremental_alter_configs"]
pub struct AlterConfigOp {
    key: String,
    change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Set(String),
    Delete,
    Append(String),
    Subtract(String),
}

impl AlterConfigOp {
    /// Gives the key this value.
    pub fn set(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), change: Change::Set(value.to_owned()) }
    }

    /// Takes the key's value away, so that the log's, or else the default, holds again.
    pub fn delete(key: &str) -> Self {
        Self { key: key.to_owned(), change: Change::Delete }
    }

    /// Adds words, with commas between them, to the value in force of a key of type
    /// [`List`](crate::ConfigType::List); those that are in it stay once.
    pub fn append(key: &str, words: &str) -> Self {
        Self { key: key.to_owned(), change: Change::Append(words.to_owned()) }
    }

    /// Takes words, with commas between them, out of the value in force of a key of type
    /// [`List`](crate::ConfigType::List); those that are not in it do not matter.
    pub fn subtract(key: &str, words: &str) -> Self {
        Self { key: key.to_owned(), change: Change::Subtract(words.to_owned()) }
    }
}

/// What a topic that was given `before` is given after `ops`, and what that comes to.
///
/// # Errors
///
/// `InvalidConfig` for a key that does not exist, a value that it cannot have, a list operation
/// on what is no list; `InvalidRequest` when a key is named twice.
pub fn alter(
    before: &BTreeMap<String, String>,
    ops: &[AlterConfigOp],
    log: &LogConfig,
) -> Result<(BTreeMap<String, String>, TopicConfig)> {
    let mut after = before.clone();
    let mut named = BTreeSet::new();
    for op in ops {
        if !named.insert(op.key.as_str()) {
            let message = format!("{}: two operations on one key", op.key);
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
        let key = known(&op.key, op.change.value())?;
        match op.change.result(key, before, log)? {
            Some(value) => after.insert(op.key.clone(), value),
            None => after.remove(&op.key),
        };
    }
    agree_on_level(&mut after, &named);
    let config = TopicConfig::resolve(&after, log)?;
    let indexed = TopicConfig::resolve(before, log)?.key_index;
    if config.key_index != indexed {
        let reason =
            format!("it is {indexed} for the topic's life: the index is written with the records");
        return Err(invalid("key.index", &config.key_index.to_string(), &reason));
    }
    // The topic keeps its level, whatever the log's is in a later life.
    after.insert("durability".to_owned(), config.durability.name().to_owned());
    Ok((after, config))
}

/// `durability` and `flush.messages` say one thing in two ways: who changes one of them means it.
fn agree_on_level(configs: &mut BTreeMap<String, String>, named: &BTreeSet<&str>) {
    let says_1 = configs.get("flush.messages").is_some_and(|value| value.trim() == "1");
    if named.contains("durability") == named.contains("flush.messages") || !says_1 {
        return;
    }
    let old = if named.contains("durability") { "flush.messages" } else { "durability" };
    configs.remove(old);
}

impl Change {
    fn value(&self) -> &str {
        match self {
            Change::Set(value) | Change::Append(value) | Change::Subtract(value) => value,
            Change::Delete => "",
        }
    }

    /// The value that the topic is given, `None` for none.
    fn result(
        &self,
        key: &'static Key,
        before: &BTreeMap<String, String>,
        log: &LogConfig,
    ) -> Result<Option<String>> {
        let verb = match self {
            Change::Set(value) => return Ok(Some(value.clone())),
            Change::Delete => return Ok(None),
            Change::Append(_) => "appended to",
            Change::Subtract(_) => "subtracted from",
        };
        if key.kind.config_type() != ConfigType::List {
            let reason = format!("it is no list, it cannot be {verb}");
            return Err(invalid(key.name, self.value(), &reason));
        }
        let current = Settings::new(before, log)?.value(key).0.unwrap_or_default();
        let mut words: Vec<_> = items(&current).collect();
        for word in items(self.value()) {
            match self {
                Change::Append(_) if !words.contains(&word) => words.push(word),
                Change::Subtract(_) => words.retain(|other| *other != word),
                _ => {}
            }
        }
        Ok(Some(words.join(",")))
    }
}
