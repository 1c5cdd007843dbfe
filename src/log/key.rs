//! What a partition is called on disk.

use std::fmt;

use crate::base::TopicId;

/// One partition of one topic incarnation: the name that files and the manifest use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey {
    /// The topic, by its identity for all time.
    pub topic_id: TopicId,
    /// The partition's number, from 0.
    pub partition: u32,
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic_id, self.partition)
    }
}
