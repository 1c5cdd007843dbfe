//! What a topic may be, and what is told of it.

use crate::backend::Backend;
use crate::base::config::PARTITIONS;
use crate::base::{Durability, Error, ErrorKind, NewTopic, Result, TopicConfig, TopicId};
use crate::coord::TopicEntry;

use super::Node;

/// A topic as [`Admin::describe_topic`](crate::Admin::describe_topic) tells of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// The topic's name.
    pub name: String,
    /// Its identity: another one for every topic that ever has this name.
    pub id: TopicId,
    /// How many partitions it has.
    pub partition_count: u32,
    /// Whether it is one of the log's own.
    pub internal: bool,
    /// Its settings in force.
    pub config: TopicConfig,
}

impl Node {
    /// How many partitions a topic gets.
    pub(super) fn partitions_of(&self, topic: &NewTopic) -> u32 {
        topic.partitions.unwrap_or(self.config.num_partitions)
    }

    pub(super) fn check_topic(&self, topic: &NewTopic) -> Result<TopicConfig> {
        crate::base::ids::check_topic_name(&topic.name)?;
        refuse_internal(&topic.name)?;
        let partitions = self.partitions_of(topic);
        if !PARTITIONS.contains(&partitions) {
            let (least, most) = (PARTITIONS.start(), PARTITIONS.end());
            let message = format!("{partitions} partitions: {least} to {most}");
            return Err(Error::new(ErrorKind::InvalidPartitions, message).with_topic(&topic.name));
        }
        TopicConfig::resolve(&topic.configs, &self.config).map_err(|e| e.with_topic(&topic.name))
    }

    pub(super) fn check_same(&self, known: &TopicEntry, wanted: &NewTopic) -> Result<()> {
        let mut config = self.check_topic(wanted)?;
        let have = TopicConfig::resolve(&known.configs, &self.config)?;
        let says_level = |key| wanted.configs.contains_key(key);
        if !says_level("durability") && !says_level("flush.messages") {
            config.durability = have.durability;
        }
        let partitions = self.partitions_of(wanted);
        let difference = if known.partitions != partitions {
            format!("it has {} partitions, not {partitions}", known.partitions)
        } else if have != config {
            let keys = wanted.configs.iter().chain(&known.configs);
            let same_level = have.durability == config.durability;
            let differs = |(key, _): &(&String, &String)| {
                let level = same_level && *key == "durability";
                !level && known.configs.get(*key) != wanted.configs.get(*key)
            };
            let key = keys.clone().find(differs).map_or("durability", |(key, _)| key);
            let value = |from: &TopicEntry| from.configs.get(key).cloned();
            let (is, asked) = (value(known), wanted.configs.get(key));
            format!("{key} is {is:?}, not {asked:?}")
        } else {
            return Ok(());
        };
        let message = format!("the topic {:?} exists in another shape: {difference}", known.name);
        Err(Error::new(ErrorKind::TopicAlreadyExists, message).with_topic(&known.name))
    }

    /// The names of all topics in order, without or with the log's own.
    pub fn topic_names(&self, internal: bool) -> Result<Vec<String>> {
        self.check_open()?;
        let mut names: Vec<_> = self.topics.read().keys().map(|name| name.to_string()).collect();
        if internal {
            names.extend(self.own_partitions().iter().map(|p| p.name().topic().to_owned()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What there is to know about one of the log's own topics.
    fn describe_own(&self, name: &str) -> Option<TopicInfo> {
        let own = self.own_partitions().into_iter().find(|p| p.name().topic() == name)?;
        Some(TopicInfo {
            name: name.to_owned(),
            id: own.key().topic_id,
            partition_count: 1,
            internal: true,
            config: internal_config(self.config.durability),
        })
    }

    /// What there is to know about a topic.
    pub fn describe_topic(&self, name: &str) -> Result<TopicInfo> {
        self.check_open()?;
        if let Some(own) = self.describe_own(name) {
            return Ok(own);
        }
        let route = self.resolve(name)?;
        let known = self.known(name).filter(|known| known.id == route.id);
        let mut known = known.ok_or_else(|| Error::unknown_topic(name))?;
        // A growth that is decided may not have taken effect yet.
        known.partitions = u32::try_from(route.partitions.len()).unwrap_or(u32::MAX);
        self.info(&known)
    }

    pub(super) fn info(&self, entry: &TopicEntry) -> Result<TopicInfo> {
        let config = TopicConfig::resolve(&entry.configs, &self.config)?;
        let TopicEntry { id, name, partitions, .. } = entry;
        let (name, partition_count) = (name.clone(), *partitions);
        Ok(TopicInfo { name, id: *id, partition_count, internal: false, config })
    }
}

/// The log's own topics are not for others to change.
pub(super) fn refuse_internal(name: &str) -> Result<()> {
    if !name.starts_with("__") {
        return Ok(());
    }
    let message = format!("{name:?}: names with two underscores are the log's own");
    Err(Error::new(ErrorKind::InvalidTopic, message).with_topic(name))
}

/// The settings of the log's own topics.
pub(super) fn internal_config(level: Durability) -> TopicConfig {
    // The catalogue is never weaker than the strongest of the data that it names.
    let durability = match level {
        Durability::Memory => Durability::Memory,
        _ => Durability::PowerLoss,
    };
    TopicConfig::defaults(durability)
}
