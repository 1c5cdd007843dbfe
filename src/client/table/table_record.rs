//! A record lent by a view.

use std::fmt;

use crate::base::{Header, Result, TimestampType, TopicPartition};

use super::super::consumer_record::text;
use super::super::owned_record::OwnedRecord;
use super::super::packed_record::PackedRecord;
use super::state::State;

/// The latest record of a key, lent by a [`TableView`](crate::TableView).
#[derive(Clone, Copy)]
pub struct TableRecord<'v> {
    state: &'v State,
    record: &'v PackedRecord,
}

impl<'v> TableRecord<'v> {
    pub(super) fn new(state: &'v State, record: &'v PackedRecord) -> Self {
        Self { state, record }
    }

    /// The name of the topic.
    #[must_use]
    pub fn topic(&self) -> &'v str {
        &self.state.route.name
    }

    /// The partition, from 0.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.record.partition()
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

    /// The key.
    #[must_use]
    pub fn key(&self) -> &'v [u8] {
        self.record.key().unwrap_or_default()
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &'v [u8] {
        self.record.value().unwrap_or_default()
    }

    /// The value as text.
    ///
    /// # Errors
    ///
    /// `InvalidRecord`, naming topic, partition and offset, when the value is not UTF-8.
    pub fn value_str(&self) -> Result<&'v str> {
        let place = TopicPartition::new(self.topic(), self.partition());
        text(Some(self.value()), &place, self.offset())
    }

    /// The headers as they were sent: in order, with duplicates.
    pub fn headers(&self) -> impl Iterator<Item = Header<'v>> + use<'v> {
        self.record.view().into_iter().flat_map(|view| view.headers().iter())
    }

    /// The value of the last header of this name: `Some(None)` when it is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Option<&'v [u8]>> {
        self.record.view()?.headers().last(name)
    }

    /// The record without the view. Its bytes are shared, not copied.
    #[must_use]
    pub fn to_owned(self) -> OwnedRecord {
        self.state.own(self.record)
    }
}

impl fmt::Debug for TableRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableRecord")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("offset", &self.offset())
            .field("timestamp_ms", &self.timestamp_ms())
            .field("key_size", &self.key().len())
            .field("value_size", &self.value().len())
            .finish()
    }
}
