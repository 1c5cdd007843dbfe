//! Topics go.

use std::sync::Arc;

use crate::backend::Backend;
use crate::base::{Result, TopicId};
use crate::partition::Partition;

use super::Node;
use super::topics::refuse_internal;

/// A topic whose deletion is decided.
struct Doomed {
    id: TopicId,
    partitions: Vec<Arc<Partition>>,
    decided: u64,
}

impl Node {
    /// Deletes topics with all their records, each for itself, with the same few syncs for all.
    /// Producers and consumers of them get `UnknownTopicOrPartition`; a crash in the middle is
    /// finished by the next open.
    ///
    /// Order of effects: the decision is published and nobody can use the topic any more; it is
    /// durable; the manifest says so; the files go; the catalogue forgets the topic.
    pub fn delete_topics(&self, names: &[&str]) -> Vec<Result<()>> {
        let _nobody_creates = self.topics_change.write();
        let doomed: Vec<_> = names.iter().map(|name| self.doom(name)).collect();
        self.changes.announce();
        let outcome = self.finish(doomed.iter().flatten());
        let each = |doomed: Result<Doomed>| doomed.and_then(|_| outcome.clone());
        doomed.into_iter().map(each).collect()
    }

    /// Takes a topic from everybody.
    fn doom(&self, name: &str) -> Result<Doomed> {
        self.check_open()?;
        refuse_internal(name)?;
        let (entry, decided) = self.catalogue.publish(|catalogue| catalogue.delete(name))?;
        let open = self.topics.write().remove(name);
        let partitions = open.map_or_else(Vec::new, |open| {
            open.route.delete();
            open.partitions.iter().for_each(|partition| partition.close_deleted());
            open.partitions
        });
        self.transactions.remove_topic(entry.id);
        self.groups.remove_topic(entry.id);
        Ok(Doomed { id: entry.id, partitions, decided })
    }

    fn finish<'d>(&self, doomed: impl Iterator<Item = &'d Doomed> + Clone) -> Result<()> {
        let Some(last) = doomed.clone().map(|topic| topic.decided).max() else { return Ok(()) };
        let ids: Vec<TopicId> = doomed.clone().map(|topic| topic.id).collect();
        let durable = self.catalogue.wait(last);
        let retired = durable.and_then(|()| self.shared.files().retire_topics(&ids));
        for partition in doomed.flat_map(|topic| &topic.partitions) {
            // Without a durable record the next open ends the deletion; the memory is wanted now.
            if retired.is_ok() { partition.delete() } else { partition.abandon() }
        }
        retired?;
        // Nothing hangs on it: an open that finds the deletion again ends it again.
        self.catalogue.publish(|catalogue| catalogue.forget(&ids)).map(drop)
    }
}
