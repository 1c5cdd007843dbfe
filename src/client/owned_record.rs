//! A record kept for later.

use std::fmt;

use crate::base::{Header, Result, TimestampType, TopicPartition};

use super::consumer_record::ConsumerRecord;
use super::packed_record::{PackedRecord, Packing, Place};

/// A copy of a record that borrows nothing and is cheap to clone.
#[derive(Clone)]
pub struct OwnedRecord {
    partition: TopicPartition,
    record: PackedRecord,
}

impl OwnedRecord {
    pub(super) fn copy_of(record: &ConsumerRecord<'_>) -> Self {
        let place = Place {
            partition: record.partition(),
            offset: record.offset(),
            timestamp_ms: record.timestamp_ms(),
            timestamp_type: record.timestamp_type(),
        };
        let record_bytes = record.encoded();
        let packed = PackedRecord::new(Packing::default().pack(&place, record_bytes));
        Self::of(record.topic_partition().clone(), packed)
    }

    /// A record of `partition`.
    pub(super) fn of(partition: TopicPartition, record: PackedRecord) -> Self {
        Self { partition, record }
    }

    /// The name of the topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.partition.topic()
    }

    /// The partition, from 0.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.partition.partition()
    }

    /// Topic and partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The offset in the partition.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.record.offset()
    }

    /// The time in milliseconds since the Unix epoch; `None` if the record has none.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.record.timestamp_ms()
    }

    /// Whose time [`timestamp_ms`](Self::timestamp_ms) is.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.record.timestamp_type()
    }

    /// The key; `None` when it is null, which an empty one is not.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.record.key()
    }

    /// The value; `None` when it is null: a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.record.value()
    }

    /// The value as text.
    ///
    /// # Errors
    ///
    /// Those of [`ConsumerRecord::value_str`](crate::ConsumerRecord::value_str).
    pub fn value_str(&self) -> Result<&str> {
        super::consumer_record::text(self.value(), self.topic_partition(), self.offset())
    }

    /// The headers as they were sent: in order, with duplicates.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        self.record.view().into_iter().flat_map(|view| view.headers().iter())
    }

    /// The value of the last header of this name: `Some(None)` when it is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Option<&[u8]>> {
        self.headers().filter(|(of, _)| *of == name).last().map(|(_, value)| value)
    }
}

impl fmt::Debug for OwnedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedRecord")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("offset", &self.offset())
            .field("timestamp_ms", &self.timestamp_ms())
            .field("key_size", &self.key().map(<[u8]>::len))
            .field("value_size", &self.value().map(<[u8]>::len))
            .finish()
    }
}
