//! What a consumer can ask of any partition, assigned or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::PartitionBackend;
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::super::offsets::{OffsetAndTimestamp, Offsets};
use super::super::routes::door;
use super::Consumer;

impl Consumer {
    /// The offset of the first record of each of these partitions, assigned or not.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, naming it; `Closed`.
    pub fn beginning_offsets(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let start = |tp: &TopicPartition| Ok((tp.clone(), self.door(tp)?.marks().start));
        partitions.iter().map(start).collect()
    }

    /// The offset behind the last record that this consumer sees of each of these partitions,
    /// assigned or not: the visible end or, at [`Isolation::ReadCommitted`](crate::Isolation), the
    /// last stable offset (B34).
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, naming it; `Closed`.
    pub fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let end = |tp: &TopicPartition| {
            Ok((tp.clone(), self.door(tp)?.marks().end_for(self.settings.isolation)))
        };
        partitions.iter().map(end).collect()
    }

    /// For each partition and time (in milliseconds since the Unix epoch): the first record
    /// that this consumer sees (A29) whose timestamp is at least that; `None` when there is none. Assigned or not.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, naming it; `InvalidRequest` for a negative time; `Closed`; what
    /// a search in stored records can meet.
    pub fn offsets_for_times(
        &self,
        times: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        let find = |(partition, time): (TopicPartition, i64)| {
            let door = self.door(&partition)?;
            check_time(&partition, time)?;
            let found = door.find_timestamp(time, self.settings.isolation)?;
            let found = found.map(|(offset, at)| OffsetAndTimestamp { offset, timestamp_ms: at });
            Ok((partition, found))
        };
        times.into_iter().map(find).collect()
    }

    fn door(&self, partition: &TopicPartition) -> Result<Arc<dyn PartitionBackend>> {
        self.backend.check_open()?;
        let route = self.backend.resolve(partition.topic())?;
        door(&route, partition.partition()).map(Arc::clone)
    }
}

/// No record is older than the epoch: asking for that is a slip (A25).
pub(super) fn check_time(partition: &TopicPartition, timestamp_ms: i64) -> Result<()> {
    if timestamp_ms >= 0 {
        return Ok(());
    }
    let message = format!("the time to look for is {timestamp_ms} ms, the least is 0");
    Err(Error::new(ErrorKind::InvalidRequest, message).with_partition(partition))
}
