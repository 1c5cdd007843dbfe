//! A record kept for later.

use std::fmt;
use std::sync::Arc;

use crate::base::{Header, Result, TimestampType, TopicPartition};

use super::consumer_record::ConsumerRecord;

/// A copy of a record that borrows nothing and is cheap to clone.
#[derive(Clone)]
pub struct OwnedRecord(Arc<Inner>);

struct Inner {
    partition: TopicPartition,
    offset: u64,
    timestamp_ms: Option<i64>,
    timestamp_type: TimestampType,
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
    headers: Box<[OwnedHeader]>,
}

type OwnedHeader = (Box<str>, Option<Box<[u8]>>);

impl OwnedRecord {
    pub(super) fn copy_of(record: &ConsumerRecord<'_>) -> Self {
        let header = |(name, value): Header<'_>| (name.into(), value.map(Into::into));
        Self(Arc::new(Inner {
            partition: record.topic_partition().clone(),
            offset: record.offset(),
            timestamp_ms: record.timestamp_ms(),
            timestamp_type: record.timestamp_type(),
            key: record.key().map(Into::into),
            value: record.value().map(Into::into),
            headers: record.headers().map(header).collect(),
        }))
    }

    /// The name of the topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.0.partition.topic()
    }

    /// The partition, from 0.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.0.partition.partition()
    }

    /// Topic and partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.0.partition
    }

    /// The offset in the partition.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// The time in milliseconds since the Unix epoch; `None` if the record has none.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.0.timestamp_ms
    }

    /// Whose time [`timestamp_ms`](Self::timestamp_ms) is.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.0.timestamp_type
    }

    /// The key; `None` when it is null, which an empty one is not.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key.as_deref()
    }

    /// The value; `None` when it is null: a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.0.value.as_deref()
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
        self.0.headers.iter().map(|(name, value)| (&**name, value.as_deref()))
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
