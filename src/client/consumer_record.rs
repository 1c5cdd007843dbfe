//! A record on its way out, borrowed from the poll that returned it.

use std::fmt;

use crate::base::{Error, ErrorKind, Header, Result, TimestampType, TopicPartition};
use crate::batch::RecordView;

use super::owned_record::OwnedRecord;

/// A record lent by a [`Records`](crate::Records).
#[derive(Clone, Copy)]
pub struct ConsumerRecord<'r> {
    partition: &'r TopicPartition,
    offset: u64,
    timestamp_ms: Option<i64>,
    timestamp_type: TimestampType,
    view: RecordView<'r>,
}

impl<'r> ConsumerRecord<'r> {
    #[inline(always)]
    pub(super) fn new(
        partition: &'r TopicPartition,
        offset: u64,
        (timestamp_ms, timestamp_type): (Option<i64>, TimestampType),
        view: RecordView<'r>,
    ) -> Self {
        Self { partition, offset, timestamp_ms, timestamp_type, view }
    }

    /// The name of the topic.
    #[must_use]
    pub fn topic(&self) -> &'r str {
        self.partition.topic()
    }

    /// The partition, from 0.
    #[inline]
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.partition.partition()
    }

    /// Topic and partition.
    #[inline]
    #[must_use]
    pub fn topic_partition(&self) -> &'r TopicPartition {
        self.partition
    }

    /// The offset in the partition.
    #[inline]
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The time in milliseconds since the Unix epoch; `None` if the record has none.
    #[inline]
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms
    }

    /// Whose time [`timestamp_ms`](Self::timestamp_ms) is.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.timestamp_type
    }

    /// The key; `None` when it is null, which an empty one is not.
    #[inline]
    #[must_use]
    pub fn key(&self) -> Option<&'r [u8]> {
        self.view.key
    }

    /// The value; `None` when it is null: a tombstone.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Option<&'r [u8]> {
        self.view.value
    }

    /// The value as text.
    ///
    /// # Errors
    ///
    /// `InvalidRecord`, naming topic, partition and offset, when the value is null or not UTF-8.
    pub fn value_str(&self) -> Result<&'r str> {
        text(self.view.value, self.partition, self.offset)
    }

    /// The headers as they were sent: in order, with duplicates.
    pub fn headers(&self) -> impl Iterator<Item = Header<'r>> + use<'r> {
        self.view.headers().iter()
    }

    /// The value of the last header of this name: `Some(None)` when it is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Option<&'r [u8]>> {
        self.view.headers().last(name)
    }

    /// The bytes that the record has in its batch.
    pub(super) fn encoded(&self) -> &'r [u8] {
        self.view.encoded()
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn to_owned(self) -> OwnedRecord {
        OwnedRecord::copy_of(&self)
    }
}

/// A value as text, or an error that names its place.
pub(super) fn text<'v>(
    value: Option<&'v [u8]>,
    partition: &TopicPartition,
    offset: u64,
) -> Result<&'v str> {
    let refuse = |what: &str| {
        let message = format!("the value of the record at offset {offset} is {what}");
        let error = Error::new(ErrorKind::InvalidRecord, message);
        error.with_partition(partition).with_offset(offset)
    };
    let value = value.ok_or_else(|| refuse("null"))?;
    std::str::from_utf8(value).map_err(|error| refuse("not UTF-8").with_source(error))
}

impl fmt::Debug for ConsumerRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerRecord")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("offset", &self.offset)
            .field("timestamp_ms", &self.timestamp_ms)
            .field("key_size", &self.key().map(<[u8]>::len))
            .field("value_size", &self.value().map(<[u8]>::len))
            .finish()
    }
}
