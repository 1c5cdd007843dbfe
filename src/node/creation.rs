//! Topics come and grow: a decision of the catalogue, its sync, and only then partitions.
//!
//! Whoever creates or grows shares the lock `topics_change`, so that many decisions wait for one
//! sync; whoever deletes or closes has it alone. Nobody sees a topic or a partition before the
//! decision is durable: the manifest must never come to name what the catalogue may forget.

use std::sync::Arc;

use crate::backend::{Backend, PartitionBackend, TopicRoute};
use crate::base::{Error, ErrorKind, NewTopic, Result, TopicConfig, TopicId, TopicPartition};
use crate::coord::{Catalogue, Machine, TopicEntry};
use crate::log::{OpenReport, PartitionKey};
use crate::partition::{Opening, Partition, PartitionSpec, Shared};
use crate::stage::FoundChunk;

use super::groups::group_topic;
use super::topics::refuse_internal;
use super::{Node, OpenTopic, TopicInfo};

/// A topic or a growth that the catalogue has decided on, and what to wait for until it is durable.
type Decided = (TopicEntry, u64);

impl Node {
    /// Creates a topic; `TopicAlreadyExists` when there is one of that name.
    pub fn create_topic(&self, topic: &NewTopic) -> Result<Arc<TopicRoute>> {
        let _nothing_is_deleted = self.topics_change.read();
        self.check_open()?;
        self.create_one(topic)
    }

    /// Creates many topics with one wait for all. Each succeeds or fails alone.
    pub fn create_topics(&self, topics: &[NewTopic]) -> Vec<Result<TopicInfo>> {
        let _nothing_is_deleted = self.topics_change.read();
        let decided: Vec<_> = topics.iter().map(|topic| self.decide_new(topic)).collect();
        let last = decided.iter().flatten().map(|(_, end)| *end).max();
        let durable = last.map_or(Ok(()), |end| self.catalogue.wait(end));
        let open = |decided: Result<Decided>| {
            let (entry, _) = decided?;
            durable.clone()?;
            self.open_partitions(&entry)?;
            self.info(&entry)
        };
        let opened = decided.into_iter().map(open).collect();
        self.changes.announce();
        opened
    }

    /// What [`create_topics`](Self::create_topics) would come to; nothing is changed.
    pub fn rehearse_topics(&self, topics: &[NewTopic]) -> Vec<Result<TopicInfo>> {
        let mut catalogue = self.catalogue.view(Catalogue::clone);
        let mut rehearse = |topic: &NewTopic| {
            self.check_open()?;
            let (records, entry) = catalogue.create(self.new_entry(topic)?)?;
            for (key, value) in records {
                catalogue.replay(&key, value.as_deref())?;
            }
            self.info(&entry)
        };
        topics.iter().map(&mut rehearse).collect()
    }

    /// The topic of that name, created if there is none. One of another shape is an error that
    /// names the difference.
    pub fn ensure_topic(&self, topic: &NewTopic) -> Result<Arc<TopicRoute>> {
        let _nothing_is_deleted = self.topics_change.read();
        self.check_open()?;
        if let Some(known) = self.known(&topic.name) {
            self.check_same(&known, topic)?;
            return self.open_known(&known);
        }
        match self.create_one(topic) {
            // Another thread was first.
            Err(e) if e.kind() == ErrorKind::TopicAlreadyExists => {
                self.check_same(&self.known(&topic.name).ok_or(e)?, topic)?;
                self.resolve(&topic.name)
            }
            outcome => outcome,
        }
    }

    /// Gives a topic more partitions, `total` in all.
    pub fn create_partitions(&self, name: &str, total: u32) -> Result<()> {
        let _nothing_is_deleted = self.topics_change.read();
        self.check_open()?;
        refuse_internal(name)?;
        self.refuse_indexed(name)?;
        match self.catalogue.publish(|catalogue| catalogue.grow(name, total)) {
            Ok(decided) => self.open_decided(&decided).map(drop),
            Err(error) => {
                // It may have that many by a decision that is still on its way.
                self.known(name).map_or(Ok(()), |known| self.open_known(&known).map(drop))?;
                Err(error)
            }
        }
    }

    /// A key's records stand in one partition, which follows from how many there are.
    fn refuse_indexed(&self, name: &str) -> Result<()> {
        let Some(known) = self.known(name) else { return Ok(()) };
        if !TopicConfig::resolve(&known.configs, &self.config)?.key_index {
            return Ok(());
        }
        let count = known.partitions;
        let message = format!(
            "the topic {name:?} has {count} partitions for its life: it has key.index, and with \
             another number keys would belong elsewhere"
        );
        Err(Error::new(ErrorKind::PolicyViolation, message).with_topic(name))
    }

    /// Creates a topic. `topics_change` is held.
    pub(super) fn create_one(&self, topic: &NewTopic) -> Result<Arc<TopicRoute>> {
        self.open_decided(&self.decide_new(topic)?)
    }

    fn decide_new(&self, topic: &NewTopic) -> Result<Decided> {
        self.check_open()?;
        let entry = self.new_entry(topic)?;
        let name = entry.name.clone();
        let decided = self.catalogue.publish(|catalogue| catalogue.create(entry));
        decided.or_else(|error| self.wait_for_existing(&name, error))
    }

    /// Who is told that a topic exists may use it.
    fn wait_for_existing<T>(&self, name: &str, error: Error) -> Result<T> {
        if error.kind() == ErrorKind::TopicAlreadyExists
            && let Some(known) = self.known(name)
        {
            self.open_known(&known)?;
        }
        Err(error)
    }

    fn new_entry(&self, topic: &NewTopic) -> Result<TopicEntry> {
        let config = self.check_topic(topic)?;
        let mut configs = topic.configs.clone();
        // A topic keeps the level that it was created with, whatever the log's default is later:
        // what its records and their offsets were promised depends on it.
        configs.insert("durability".to_owned(), config.durability.name().to_owned());
        let (name, partitions) = (topic.name.clone(), self.partitions_of(topic));
        Ok(TopicEntry { id: TopicId::random(), name, partitions, configs })
    }

    pub(super) fn known(&self, name: &str) -> Option<TopicEntry> {
        self.catalogue.view(|catalogue| catalogue.topic(name).cloned())
    }

    /// The route of a topic that the catalogue knows, whole: what was decided on and is still on
    /// its way, or failed on it, is waited for. `topics_change` is held.
    pub(super) fn open_known(&self, known: &TopicEntry) -> Result<Arc<TopicRoute>> {
        match self.resolve(&known.name) {
            Ok(route) if route.partitions.len() >= known.partitions as usize => Ok(route),
            Err(e) if e.kind() != ErrorKind::UnknownTopicOrPartition => Err(e),
            _ => self.open_decided(&(known.clone(), self.catalogue.end())),
        }
    }

    fn open_decided(&self, (entry, end): &Decided) -> Result<Arc<TopicRoute>> {
        self.catalogue.wait(*end)?;
        let route = self.open_partitions(entry)?;
        self.changes.announce();
        Ok(route)
    }

    /// Opens what a topic has not open yet. The decision is durable.
    fn open_partitions(&self, entry: &TopicEntry) -> Result<Arc<TopicRoute>> {
        let _one_at_a_time = self.opening.lock();
        let open = self.topics.read().get(&*entry.name).cloned();
        let config = TopicConfig::resolve(&entry.configs, &self.config)?;
        let mut report = OpenReport::default();
        let mut opening = Opening::new(&mut report, true, false);
        let grown =
            open_topic(&self.shared, entry, open, config, &mut opening, &mut |_| Vec::new())?;
        let route = Arc::clone(&grown.route);
        let for_groups = group_topic(&grown);
        let partitions = grown.partitions.clone();
        // Both at once: who resolves the new route finds that handles know of it.
        let mut topics = self.topics.write();
        if let Some(old) = topics.insert(Arc::clone(&route.name), grown)
            && !Arc::ptr_eq(&old.route, &route)
        {
            old.route.replace_by(&route);
        }
        drop(topics);
        self.shared.agenda().call();
        self.transactions.put_topic(route.id, partitions);
        self.groups.put_topic(for_groups);
        Ok(route)
    }
}

/// Opens those partitions of a topic that `open` has not. `found` hands out the chunks of each.
pub(super) fn open_topic(
    shared: &Arc<Shared>,
    entry: &TopicEntry,
    open: Option<OpenTopic>,
    config: TopicConfig,
    opening: &mut Opening<'_>,
    found: &mut dyn FnMut(PartitionKey) -> Vec<FoundChunk>,
) -> Result<OpenTopic> {
    let name: Arc<str> = match &open {
        Some(open) => Arc::clone(&open.route.name),
        None => entry.name.as_str().into(),
    };
    let config = Arc::new(config);
    if entry.configs.contains_key("flush.ms") {
        shared.limit_flush_ms(config.flush_ms);
    }
    let first = open.as_ref().map_or(0, |open| open.partitions.len() as u32);
    let mut fresh = Vec::with_capacity(entry.partitions.saturating_sub(first) as usize);
    for partition in first..entry.partitions {
        let key = PartitionKey { topic_id: entry.id, partition };
        let tp = TopicPartition::new(Arc::clone(&name), partition);
        let spec = PartitionSpec { key, tp, config: Arc::clone(&config), internal: false };
        fresh.push(Partition::open(shared, spec, found(key), opening)?);
    }
    let door = |p: &Arc<Partition>| Arc::clone(p) as Arc<dyn PartitionBackend>;
    let doors = fresh.iter().map(door);
    Ok(match open {
        None => OpenTopic { route: TopicRoute::new(name, entry.id, doors), partitions: fresh },
        Some(open) if fresh.is_empty() => open,
        Some(OpenTopic { route, mut partitions }) => {
            let route = route.grown(doors);
            partitions.extend(fresh);
            OpenTopic { route, partitions }
        }
    })
}
