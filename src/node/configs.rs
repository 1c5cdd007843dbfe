//! Settings told and altered while the log is open.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::Backend;
use crate::base::config::{alter, describe_log, describe_topic, invalid};
use crate::base::wait::Deadline;
use crate::base::{
    AlterConfigOp, ConfigEntry, ConfigResource, Durability, Error, Result, TopicConfig, TopicId,
};
use crate::coord::TopicEntry;
use crate::partition::Partition;

use super::Node;

/// A change that was checked.
struct Alteration {
    entry: TopicEntry,
    configs: BTreeMap<String, String>,
    from: Durability,
    to: TopicConfig,
}

impl Node {
    /// Every setting of a topic or of the log, in the order of their names.
    pub fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>> {
        self.check_open()?;
        match resource {
            ConfigResource::Log => Ok(describe_log(&self.config)),
            ConfigResource::Topic(name) => {
                describe_topic(&self.known_topic(name)?.configs, &self.config)
            }
        }
    }

    /// Whether `alter_configs` would refuse.
    pub fn validate_alter_configs(
        &self,
        resource: &ConfigResource,
        ops: &[AlterConfigOp],
    ) -> Result<()> {
        self.check_open()?;
        self.check_alteration(resource, ops).map(|_| ())
    }

    /// Changes settings of a topic, all or none; they are durable and in force when this returns.
    ///
    /// Order of effects: what the new level needs before it is promised (see
    /// `partition/reconfigure.rs`); the decision, published; the settings, in force; the decision,
    /// durable; the level.
    pub fn alter_configs(&self, resource: &ConfigResource, ops: &[AlterConfigOp]) -> Result<()> {
        // Nobody creates, grows or deletes meanwhile: new partitions get the settings that hold.
        let _alone = self.topics_change.write();
        self.check_open()?;
        let alteration = self.check_alteration(resource, ops)?;
        let partitions = self.partitions_of_topic(&alteration.entry.name);
        let (id, configs) = (alteration.entry.id, alteration.configs);
        let config = Arc::new(alteration.to);
        match (alteration.from, config.durability) {
            (Durability::ProcessCrash, Durability::PowerLoss) => self.raise(id, &partitions)?,
            (Durability::PowerLoss, Durability::ProcessCrash) => {
                self.shared.set_ceilings(&partitions)?;
            }
            _ => {}
        }
        let published = self.catalogue.publish(|catalogue| catalogue.configure(id, configs));
        let Ok(((), decided)) = published else {
            if alteration.from == Durability::ProcessCrash {
                self.lower(id, &partitions);
            }
            return published.map(|_| ());
        };
        partitions.iter().for_each(|partition| partition.reconfigure(&config));
        self.shared.set_flush_ms(self.shortest_flush_ms());
        self.shared.agenda().call();
        // Until it is durable the partitions keep what both levels need: they wait for syncs, and
        // they have their ceiling.
        self.catalogue.wait(decided)?;
        match config.durability {
            Durability::ProcessCrash => self.lower(id, &partitions),
            Durability::PowerLoss => partitions.iter().for_each(|p| p.drop_ceiling()),
            Durability::Memory => {}
        }
        Ok(())
    }

    fn check_alteration(
        &self,
        resource: &ConfigResource,
        ops: &[AlterConfigOp],
    ) -> Result<Alteration> {
        let ConfigResource::Topic(name) = resource else {
            let reason = "the log's own settings are those of its open";
            return Err(invalid("log", "altered", reason));
        };
        let entry = self.known_topic(name)?;
        let from = TopicConfig::resolve(&entry.configs, &self.config)?.durability;
        let altered = alter(&entry.configs, ops, &self.config);
        let (configs, to) = altered.map_err(|e| e.with_topic(name))?;
        Ok(Alteration { entry, configs, from, to })
    }

    /// Makes what consumers have seen and committed durable, and promises so for what comes. A
    /// failure leaves the level as it was.
    fn raise(&self, id: TopicId, partitions: &[Arc<Partition>]) -> Result<()> {
        let committed = self.groups.set_topic_level(id, Durability::PowerLoss);
        let shown: Vec<_> = partitions.iter().map(|p| (p, p.raise_level())).collect();
        let deadline = Deadline::after(self.clock(), self.options.close_timeout);
        let deadline = deadline.or_stop(&self.closed);
        let reached = shown.iter().try_for_each(|(p, shown)| p.wait_level(*shown, deadline));
        let reached = reached.and_then(|()| self.groups.wait_committed(committed, deadline));
        if reached.is_err() {
            self.lower(id, partitions);
            self.check_open()?;
        }
        reached
    }

    /// Promises `ProcessCrash` from now on.
    fn lower(&self, id: TopicId, partitions: &[Arc<Partition>]) {
        partitions.iter().for_each(|partition| partition.lower_level());
        // Without memory that outlives the process it is kept as PowerLoss is.
        let level = partitions.first().map_or(Durability::ProcessCrash, |p| p.level());
        self.groups.set_topic_level(id, level);
    }

    fn known_topic(&self, name: &str) -> Result<TopicEntry> {
        self.known(name).ok_or_else(|| Error::unknown_topic(name))
    }

    fn partitions_of_topic(&self, name: &str) -> Vec<Arc<Partition>> {
        self.topics.read().get(name).map_or_else(Vec::new, |open| open.partitions.clone())
    }

    /// The shortest `flush.ms` of all topics, and of those to come.
    fn shortest_flush_ms(&self) -> i64 {
        let of_log = self.config.topics.flush_ms;
        self.catalogue.view(|catalogue| {
            let of_topics = catalogue.topics().filter_map(|topic| {
                topic.configs.get("flush.ms").and_then(|ms| ms.trim().parse().ok())
            });
            of_topics.fold(of_log, i64::min)
        })
    }
}
