//! Taking records away.

use std::sync::Arc;

use crate::backend::Backend;
use crate::base::{Error, ErrorKind, Result, TopicPartition};
use crate::partition::Partition;

use super::Node;

/// Which records of a partition [`Admin::delete_records`](crate::Admin::delete_records) takes
/// away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordsToDelete {
    /// Those below this offset.
    BeforeOffset(u64),
    /// Every record that consumers can see: Kafka's offset -1.
    All,
}

impl Node {
    /// Moves the log start of a partition, and returns where it is then.
    pub fn delete_records(&self, at: &TopicPartition, records: RecordsToDelete) -> Result<u64> {
        self.partition(at)?.delete_records(match records {
            RecordsToDelete::BeforeOffset(offset) => Some(offset),
            RecordsToDelete::All => None,
        })
    }

    /// A partition of a topic that users know.
    pub(super) fn partition(&self, at: &TopicPartition) -> Result<Arc<Partition>> {
        self.check_open()?;
        let topics = self.topics.read();
        let open = topics.get(at.topic()).ok_or_else(|| Error::unknown_topic(at.topic()))?;
        let count = open.partitions.len();
        open.partitions.get(at.partition() as usize).cloned().ok_or_else(|| {
            let message = format!("the topic has {count} partitions, from 0");
            Error::new(ErrorKind::UnknownTopicOrPartition, message).with_partition(at)
        })
    }
}
