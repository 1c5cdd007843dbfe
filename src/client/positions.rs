//! Where a consumer reads next in one partition, and how it gets to know.

use crate::backend::{Backend, PartitionBackend};
use crate::base::{Error, ErrorKind, Isolation, Result, TopicPartition};

use super::offset_reset::OffsetReset;

/// A partition, and what its reader sees of transactions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) door: &'a dyn PartitionBackend,
    pub(super) isolation: Isolation,
}

impl Reader<'_> {
    /// The first offset that it does not see yet.
    pub(super) fn end(self) -> u64 {
        self.door.marks().end_for(self.isolation)
    }

    /// The first offset that it sees and that is not older than `timestamp_ms`, or its end.
    pub(super) fn first_since(self, timestamp_ms: i64) -> Result<u64> {
        // Read before the search: a record that comes in between is not jumped over.
        let end = self.end();
        let found = self.door.find_timestamp(timestamp_ms, self.isolation)?;
        Ok(found.map_or(end, |(offset, _)| offset))
    }
}

/// Where to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Unknown: the reset policy decides when it is needed.
    Unset,
    /// The log start at the moment it is needed.
    Beginning,
    /// The end of what the reader sees, at the moment it is needed.
    End,
    /// Here.
    At(u64),
}

impl Position {
    /// The offset that this means at this moment.
    pub(super) fn resolve(
        self,
        partition: &TopicPartition,
        reader: Reader<'_>,
        backend: &dyn Backend,
        reset: OffsetReset,
    ) -> Result<u64> {
        match (self, reset) {
            (Position::At(offset), _) => Ok(offset),
            (Position::Beginning, _) | (Position::Unset, OffsetReset::Earliest) => {
                Ok(reader.door.marks().start)
            }
            (Position::End, _) | (Position::Unset, OffsetReset::Latest) => Ok(reader.end()),
            (Position::Unset, OffsetReset::ByDuration(age)) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                reader.first_since(backend.clock().unix_ms().saturating_sub(age))
            }
            (Position::Unset, OffsetReset::None) => {
                let message = "no position is known and auto.offset.reset is none: seek first";
                let error = Error::new(ErrorKind::NoOffsetForPartition, message);
                Err(error.with_partition(partition))
            }
        }
    }
}
