//! Creating, opening and deleting topics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::{Backend, PartitionBackend, TopicRoute};
use crate::base::config::PARTITIONS;
use crate::base::{
    Durability, Error, ErrorKind, NewTopic, Result, TopicConfig, TopicId, TopicPartition,
};
use crate::coord::TopicEntry;
use crate::log::PartitionKey;
use crate::partition::{Opening, Partition, PartitionSpec, Shared};
use crate::stage::FoundChunk;

use super::groups::group_topic;
use super::{Node, OpenTopic};

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
    /// Its settings in force.
    pub config: TopicConfig,
}

impl Node {
    /// Creates a topic; `TopicAlreadyExists` when there is one of that name.
    pub fn create_topic(&self, topic: &NewTopic) -> Result<Arc<TopicRoute>> {
        let _one_at_a_time = self.creating.lock();
        self.check_open()?;
        self.create_one(topic)
    }

    /// The topic of that name, created if there is none. One of another shape is an error that
    /// names the difference.
    pub fn ensure_topic(&self, topic: &NewTopic) -> Result<Arc<TopicRoute>> {
        let _one_at_a_time = self.creating.lock();
        self.check_open()?;
        let known = self.catalogue.view(|catalogue| catalogue.topic(&topic.name).cloned());
        let Some(known) = known else { return self.create_one(topic) };
        self.check_same(&known, topic)?;
        self.open_known(&known)
    }

    /// The route of a topic that the catalogue knows.
    pub(super) fn open_known(&self, known: &TopicEntry) -> Result<Arc<TopicRoute>> {
        match self.resolve(&known.name) {
            // It was decided on, and then something failed.
            Err(e) if e.kind() == ErrorKind::UnknownTopicOrPartition => {
                let config = TopicConfig::resolve(&known.configs, &self.config)?;
                self.open_new(known, config)
            }
            resolved => resolved,
        }
    }

    pub(super) fn create_one(&self, topic: &NewTopic) -> Result<Arc<TopicRoute>> {
        let config = self.check_topic(topic)?;
        let mut configs = topic.configs.clone();
        // A topic keeps the level that it was created with, whatever the log's default is later:
        // what its records and their offsets were promised depends on it.
        configs.insert("durability".to_owned(), config.durability.name().to_owned());
        let entry = TopicEntry {
            id: TopicId::random(),
            name: topic.name.clone(),
            partitions: self.partitions_of(topic),
            configs,
        };
        let entry = self.catalogue.submit(|catalogue| catalogue.create(entry))?;
        self.open_new(&entry, config)
    }

    /// How many partitions a topic gets.
    fn partitions_of(&self, topic: &NewTopic) -> u32 {
        topic.partitions.unwrap_or(self.config.num_partitions)
    }

    fn check_topic(&self, topic: &NewTopic) -> Result<TopicConfig> {
        crate::base::ids::check_topic_name(&topic.name)?;
        if topic.name.starts_with("__") {
            let message = format!("{:?}: names with two underscores are the log's own", topic.name);
            return Err(Error::new(ErrorKind::InvalidTopic, message).with_topic(&topic.name));
        }
        let partitions = self.partitions_of(topic);
        if !PARTITIONS.contains(&partitions) {
            let (least, most) = (PARTITIONS.start(), PARTITIONS.end());
            let message = format!("{partitions} partitions: {least} to {most}");
            return Err(Error::new(ErrorKind::InvalidPartitions, message).with_topic(&topic.name));
        }
        TopicConfig::resolve(&topic.configs, &self.config).map_err(|e| e.with_topic(&topic.name))
    }

    fn check_same(&self, known: &TopicEntry, wanted: &NewTopic) -> Result<()> {
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

    fn open_new(&self, entry: &TopicEntry, config: TopicConfig) -> Result<Arc<TopicRoute>> {
        let mut report = crate::log::OpenReport::default();
        let mut opening = Opening::new(&mut report, true, false);
        let open = open_topic(&self.shared, entry, config, &mut opening, &mut |_| Vec::new())?;
        let route = Arc::clone(&open.route);
        let for_groups = group_topic(&open);
        self.topics.write().insert(Arc::clone(&route.name), open);
        self.groups.put_topic(for_groups);
        Ok(route)
    }

    /// Deletes a topic with all its records. Producers and consumers of it get
    /// `UnknownTopicOrPartition`; a crash in the middle is finished by the next open.
    ///
    /// Order of effects: the decision is published and nobody can use the topic any more; it is
    /// durable; the manifest says so; the files go; the catalogue forgets the topic.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let _one_at_a_time = self.creating.lock();
        self.check_open()?;
        let (entry, decided) = self.catalogue.publish(|catalogue| catalogue.delete(name))?;
        let open = self.topics.write().remove(name);
        let partitions = open.map_or_else(Vec::new, |open| {
            open.route.deleted.store(true, Ordering::Release);
            open.partitions.iter().for_each(|partition| partition.close_deleted());
            open.partitions
        });
        self.groups.remove_topic(entry.id);
        let durable = self.catalogue.wait(decided);
        let retired = durable.and_then(|()| self.shared.files().retire_topic(entry.id));
        for partition in &partitions {
            // Without a durable record the next open ends the deletion; the memory is wanted now.
            if retired.is_ok() { partition.delete() } else { partition.abandon() }
        }
        retired?;
        self.catalogue.submit(|catalogue| catalogue.forget(entry.id))
    }

    /// The names of all topics but the log's own, in order.
    pub fn topic_names(&self) -> Result<Vec<String>> {
        self.check_open()?;
        Ok(self
            .catalogue
            .view(|catalogue| catalogue.topics().map(|topic| topic.name.clone()).collect()))
    }

    /// What there is to know about a topic.
    pub fn describe_topic(&self, name: &str) -> Result<TopicInfo> {
        self.check_open()?;
        let known = self.catalogue.view(|catalogue| catalogue.topic(name).cloned());
        let known = known.ok_or_else(|| Error::unknown_topic(name))?;
        let config = TopicConfig::resolve(&known.configs, &self.config)?;
        let TopicEntry { id, name, partitions, .. } = known;
        Ok(TopicInfo { name, id, partition_count: partitions, config })
    }
}

/// Opens every partition of a topic. `found` hands out the chunks of each.
pub(super) fn open_topic(
    shared: &Arc<Shared>,
    entry: &TopicEntry,
    config: TopicConfig,
    opening: &mut Opening<'_>,
    found: &mut dyn FnMut(PartitionKey) -> Vec<FoundChunk>,
) -> Result<OpenTopic> {
    let name: Arc<str> = entry.name.as_str().into();
    if entry.configs.contains_key("flush.ms") {
        shared.limit_flush_ms(config.flush_ms);
    }
    let mut partitions = Vec::with_capacity(entry.partitions as usize);
    for partition in 0..entry.partitions {
        let key = PartitionKey { topic_id: entry.id, partition };
        let tp = TopicPartition::new(Arc::clone(&name), partition);
        let spec = PartitionSpec { key, tp, config: config.clone(), internal: false };
        partitions.push(Partition::open(shared, spec, found(key), opening)?);
    }
    let door = |p: &Arc<Partition>| Arc::clone(p) as Arc<dyn PartitionBackend>;
    let route = TopicRoute {
        name,
        id: entry.id,
        partitions: partitions.iter().map(door).collect(),
        deleted: AtomicBool::new(false),
    };
    Ok(OpenTopic { route: Arc::new(route), partitions })
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
