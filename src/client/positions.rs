//! Where a consumer reads next in one partition, and how it gets to know.

use crate::backend::{Backend, PartitionBackend};
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::offset_reset::OffsetReset;

/// Where to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Unknown: the reset policy decides when it is needed.
    Unset,
    /// The log start at the moment it is needed.
    Beginning,
    /// The visible end at the moment it is needed.
    End,
    /// Here.
    At(u64),
}

impl Position {
    /// The offset that this means at this moment.
    pub(super) fn resolve(
        self,
        partition: &TopicPartition,
        door: &dyn PartitionBackend,
        backend: &dyn Backend,
        reset: OffsetReset,
    ) -> Result<u64> {
        match (self, reset) {
            (Position::At(offset), _) => Ok(offset),
            (Position::Beginning, _) | (Position::Unset, OffsetReset::Earliest) => {
                Ok(door.marks().start)
            }
            (Position::End, _) | (Position::Unset, OffsetReset::Latest) => Ok(door.marks().visible),
            (Position::Unset, OffsetReset::ByDuration(age)) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                first_since(door, backend.clock().unix_ms().saturating_sub(age))
            }
            (Position::Unset, OffsetReset::None) => {
                let message = "no position is known and auto.offset.reset is none: seek first";
                let error = Error::new(ErrorKind::NoOffsetForPartition, message);
                Err(error.with_partition(partition))
            }
        }
    }
}

/// The first visible offset not older than `timestamp_ms`, or the visible end.
pub(super) fn first_since(door: &dyn PartitionBackend, timestamp_ms: i64) -> Result<u64> {
    // Read before the search: a record that comes in between is not jumped over.
    let visible = door.marks().visible;
    Ok(door.find_timestamp(timestamp_ms)?.map_or(visible, |(offset, _)| offset))
}
