//! A record that an interceptor may change.

use std::fmt;

use crate::base::{Header, RawRecord};

use super::super::record::{Record, Target};

/// A record on its way in, as a [`ProducerInterceptor`](super::ProducerInterceptor) sees it:
/// borrowed from the sender as it is, copied where it is changed.
#[derive(Clone)]
pub struct OutgoingRecord<'a> {
    sent: Record<'a>,
    changed: Changes,
}

/// What was changed, and to what.
#[derive(Clone, Default)]
struct Changes {
    topic: Option<Box<str>>,
    partition: Option<Option<u32>>,
    timestamp_ms: Option<Option<i64>>,
    key: Option<Option<Vec<u8>>>,
    value: Option<Option<Vec<u8>>>,
    headers: Option<Vec<OwnedHeader>>,
}

type OwnedHeader = (Box<str>, Option<Vec<u8>>);

impl<'a> OutgoingRecord<'a> {
    pub(super) fn new(sent: Record<'a>) -> Self {
        Self { sent, changed: Changes::default() }
    }

    /// The name of the topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.changed.topic.as_deref().unwrap_or_else(|| self.sent.topic())
    }

    /// The partition, where the record names one.
    #[must_use]
    pub fn partition(&self) -> Option<u32> {
        self.changed.partition.unwrap_or(self.sent.partition)
    }

    /// The timestamp in milliseconds since the Unix epoch, where the record has its own.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.changed.timestamp_ms.unwrap_or(self.sent.raw.timestamp_ms)
    }

    /// The key; `None` is null.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.changed.key.as_ref().map_or(self.sent.raw.key, Option::as_deref)
    }

    /// The value; `None` is null.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.changed.value.as_ref().map_or(self.sent.raw.value, Option::as_deref)
    }

    /// The headers, in order.
    #[must_use]
    pub fn headers(&self) -> Vec<Header<'_>> {
        match &self.changed.headers {
            Some(headers) => headers.iter().map(|(n, v)| (&**n, v.as_deref())).collect(),
            None => self.sent.raw.headers.to_vec(),
        }
    }

    /// Sends the record to another topic.
    pub fn set_topic(&mut self, name: &str) {
        self.changed.topic = Some(name.into());
    }

    /// Names the partition, or leaves it to the producer.
    pub fn set_partition(&mut self, partition: Option<u32>) {
        self.changed.partition = Some(partition);
    }

    /// Gives the record a timestamp, or leaves it to the append.
    pub fn set_timestamp_ms(&mut self, timestamp_ms: Option<i64>) {
        self.changed.timestamp_ms = Some(timestamp_ms);
    }

    /// Replaces the key; `None` is null.
    pub fn set_key(&mut self, key: Option<&[u8]>) {
        self.changed.key = Some(key.map(<[u8]>::to_vec));
    }

    /// Replaces the value; `None` is null.
    pub fn set_value(&mut self, value: Option<&[u8]>) {
        self.changed.value = Some(value.map(<[u8]>::to_vec));
    }

    /// Adds a header behind the others.
    pub fn add_header(&mut self, name: &str, value: Option<&[u8]>) {
        let sent = self.sent.raw.headers;
        let headers = self.changed.headers.get_or_insert_with(|| sent.iter().map(keep).collect());
        headers.push(keep(&(name, value)));
    }

    /// Replaces all headers.
    pub fn set_headers(&mut self, headers: &[Header<'_>]) {
        self.changed.headers = Some(headers.iter().map(keep).collect());
    }

    /// The record to be placed; `headers` are its [`headers`](Self::headers).
    pub(super) fn record<'b>(&'b self, headers: &'b [Header<'b>]) -> Record<'b>
    where
        'a: 'b,
    {
        let target = match &self.changed.topic {
            Some(topic) => Target::Name(topic),
            None => self.sent.target,
        };
        let raw = RawRecord {
            key: self.key(),
            value: self.value(),
            headers,
            timestamp_ms: self.timestamp_ms(),
        };
        Record { target, partition: self.partition(), sequence: self.sent.sequence, raw }
    }

    pub(super) fn has_changed_headers(&self) -> bool {
        self.changed.headers.is_some()
    }

    /// Runs `change`; takes back what it changed when it panics, and says so.
    pub(super) fn try_change(&mut self, change: impl FnOnce(&mut Self)) -> bool {
        let before = self.changed.clone();
        let run = std::panic::AssertUnwindSafe(|| change(self));
        let survived = std::panic::catch_unwind(run).is_ok();
        if !survived {
            self.changed = before;
        }
        survived
    }
}

fn keep((name, value): &Header<'_>) -> OwnedHeader {
    ((*name).into(), value.map(<[u8]>::to_vec))
}

impl fmt::Debug for OutgoingRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingRecord")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("timestamp_ms", &self.timestamp_ms())
            .field("key", &self.key())
            .field("value", &self.value())
            .field("headers", &self.headers())
            .finish()
    }
}
