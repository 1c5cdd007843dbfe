//! Offsets by partition.

use std::collections::BTreeMap;

use crate::base::TopicPartition;

/// One offset for each of some partitions, in the order of topic and number.
///
/// ```
/// use alluvium::{Offsets, TopicPartition};
///
/// let tp = TopicPartition::new("orders", 0);
/// let offsets = Offsets::from_iter([(tp.clone(), 7)]);
/// assert_eq!(offsets.get(&tp), Some(7));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets(BTreeMap<TopicPartition, u64>);

impl Offsets {
    /// No offsets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The offset of one partition.
    #[must_use]
    pub fn get(&self, partition: &TopicPartition) -> Option<u64> {
        self.0.get(partition).copied()
    }

    /// Sets the offset of one partition; returns the one it replaces.
    pub fn insert(&mut self, partition: TopicPartition, offset: u64) -> Option<u64> {
        self.0.insert(partition, offset)
    }

    /// Each partition with its offset.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&TopicPartition, u64)> {
        self.0.iter().map(|(partition, offset)| (partition, *offset))
    }

    /// How many partitions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(TopicPartition, u64)> for Offsets {
    fn from_iter<I: IntoIterator<Item = (TopicPartition, u64)>>(offsets: I) -> Self {
        Self(offsets.into_iter().collect())
    }
}

impl Extend<(TopicPartition, u64)> for Offsets {
    fn extend<I: IntoIterator<Item = (TopicPartition, u64)>>(&mut self, offsets: I) {
        self.0.extend(offsets);
    }
}

impl IntoIterator for Offsets {
    type Item = (TopicPartition, u64);
    type IntoIter = std::collections::btree_map::IntoIter<TopicPartition, u64>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A record found by time: where it is, and its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OffsetAndTimestamp {
    /// The record's offset.
    pub offset: u64,
    /// The record's timestamp in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}
