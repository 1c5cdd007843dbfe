//! Offsets told by partition.

use std::sync::Arc;

use crate::backend::{Backend, PartitionBackend};
use crate::base::{Error, ErrorKind, Isolation, Result, TopicPartition};
use crate::partition::Partition;

use super::Node;

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The log start offset: the first that can be read.
    Earliest,
    /// The end: the first offset that consumers do not see yet. At
    /// [`Isolation::ReadCommitted`](crate::Isolation) the last stable offset (B34).
    Latest,
    /// The visible record with the greatest timestamp, the first of those that have it.
    MaxTimestamp,
    /// The first visible record with this timestamp or a later one, in milliseconds since the
    /// Unix epoch.
    ForTimestamp(i64),
}

/// An offset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedOffset {
    /// The offset.
    pub offset: u64,
    /// The timestamp of the record there, in milliseconds since the Unix epoch; `None` where a
    /// place and not a record was asked for.
    pub timestamp_ms: Option<i64>,
}

impl Node {
    /// One offset of one partition, as a reader of this isolation sees it; `None` when there is no
    /// such record.
    pub fn list_offset(
        &self,
        at: &TopicPartition,
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Option<ListedOffset>> {
        self.check_open()?;
        let partition = self.served(at)?;
        let place = |offset| Some(ListedOffset { offset, timestamp_ms: None });
        let record = |hit: Option<(u64, i64)>| {
            hit.map(|(offset, time)| ListedOffset { offset, timestamp_ms: Some(time) })
        };
        match spec {
            OffsetSpec::Earliest => Ok(place(partition.marks_now().start)),
            OffsetSpec::Latest => Ok(place(partition.marks_now().end_for(isolation))),
            OffsetSpec::MaxTimestamp => partition.find_max_timestamp(isolation).map(record),
            OffsetSpec::ForTimestamp(time) if time < 0 => {
                let message = format!("the time to look for is {time} ms, the least is 0");
                Err(Error::new(ErrorKind::InvalidRequest, message).with_partition(at))
            }
            OffsetSpec::ForTimestamp(time) => partition.find_timestamp(time, isolation).map(record),
        }
    }

    /// The partition of this name, the log's own ones too.
    fn served(&self, at: &TopicPartition) -> Result<Arc<Partition>> {
        if let Some(own) = self.own_partitions().into_iter().find(|own| own.name() == at) {
            return Ok(own);
        }
        self.partition(at)
    }
}
