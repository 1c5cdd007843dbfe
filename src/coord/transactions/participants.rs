//! The partitions that can be part of transactions.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::{TopicId, TopicPartition};
use crate::partition::Partition;

use super::registry::Part;

/// Partitions by their topic's identity.
#[derive(Debug, Default)]
pub struct Participants(HashMap<TopicId, Vec<Arc<Partition>>>);

impl Participants {
    /// A topic was created or has got more partitions.
    pub fn put(&mut self, id: TopicId, partitions: Vec<Arc<Partition>>) {
        self.0.insert(id, partitions);
    }

    /// A topic was deleted.
    pub fn remove(&mut self, id: TopicId) {
        self.0.remove(&id);
    }

    pub(super) fn get(&self, (id, number): Part) -> Option<&Arc<Partition>> {
        self.0.get(&id)?.get(number as usize)
    }

    pub(super) fn name(&self, part: Part) -> Option<TopicPartition> {
        self.get(part).map(|partition| partition.name().clone())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.0.values().flatten()
    }
}
