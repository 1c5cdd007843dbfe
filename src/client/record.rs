//! A record on its way in: everything borrowed, nothing allocated.

use crate::backend::TopicRoute;
use crate::base::{Error, ErrorKind, Header, RawRecord, Result};

use super::topic::Topic;

/// A record to be sent: a topic, a value or none, and what goes with it.
///
/// It borrows all that it names and copies nothing. A topic can be named
/// ([`Record::new`]) or be a handle ([`Topic::record`]), which saves the look-up of the name.
///
/// ```
/// use alluvium::{EventLog, NewTopic, Record};
///
/// let log = EventLog::in_memory();
/// log.create_topic(NewTopic::new("orders"))?;
/// let producer = log.producer().build()?;
/// let order = Record::new("orders", "one espresso")
///     .key("table-7")
///     .headers(&[("waiter", Some(b"Ada")), ("seen", None)]);
/// assert_eq!(producer.send(order)?.wait()?.offset, 0);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a record is in the log once it is sent"]
pub struct Record<'a> {
    pub(super) target: Target<'a>,
    pub(super) partition: Option<u32>,
    pub(super) sequence: Option<i32>,
    pub(super) raw: RawRecord<'a>,
}

/// Which topic a record is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Name(&'a str),
    Handle(&'a Topic),
}

impl<'a> Target<'a> {
    pub(super) fn name(self) -> &'a str {
        match self {
            Target::Name(name) => name,
            Target::Handle(topic) => topic.name(),
        }
    }
}

impl<'a> Record<'a> {
    /// A record with this value, without a key, for the topic of this name.
    pub fn new(topic: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::of(Target::Name(topic), None, Some(value.as_ref()))
    }

    /// A record whose value is null: it says that `key` is gone.
    pub fn tombstone(topic: &'a str, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::of(Target::Name(topic), Some(key.as_ref()), None)
    }

    /// A record whose key and value are null. [`key`](Self::key) makes it a tombstone.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, Record};
    ///
    /// let log = EventLog::in_memory();
    /// log.create_topic(NewTopic::new("ticks"))?;
    /// let producer = log.producer().build()?;
    /// let placed = producer.send(Record::null("ticks"))?.wait()?;
    /// assert_eq!((placed.key_size, placed.value_size), (None, None));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn null(topic: &'a str) -> Self {
        Self::of(Target::Name(topic), None, None)
    }

    pub(super) fn of(target: Target<'a>, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        let raw = RawRecord { key, value, ..RawRecord::default() };
        Self { target, partition: None, sequence: None, raw }
    }

    /// The key. Records with equal keys go to one partition; an empty key is a key.
    ///
    /// Default: null.
    pub fn key(mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.raw.key = Some(key.as_ref());
        self
    }

    /// The partition, from 0; it wins over the key. Default: chosen by the producer.
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The record's own time, in milliseconds since the Unix epoch, not negative.
    ///
    /// Default: the log's clock at the moment of the append.
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.raw.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// The record's number in its partition, for producers that number their records
    /// ([`ProducerBuilder::name`](crate::ProducerBuilder::name)): one more than that of the one
    /// before, from 0; `i32::MAX` is followed by 0. What was sent with this number or a later one
    /// already is not appended again.
    ///
    /// Default: the producer counts.
    pub fn sequence(mut self, number: i32) -> Self {
        self.sequence = Some(number);
        self
    }

    /// The headers. Order and duplicates are kept; a value may be null. Default: none.
    pub fn headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.raw.headers = headers;
        self
    }

    /// The name of the topic that the record is for.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        self.target.name()
    }

    /// Whether the record was made by a handle of this very topic, and the route is still its own.
    #[inline]
    pub(super) fn is_by_handle_of(&self, route: &TopicRoute) -> bool {
        match self.target {
            Target::Handle(topic) => topic.id() == route.id && route.is_live(),
            Target::Name(_) => false,
        }
    }

    /// What the record takes in a batch, in bytes, before padding.
    #[inline]
    pub(super) fn size(&self) -> usize {
        let fixed =
            16 + self.raw.key.map_or(0, <[u8]>::len) + self.raw.value.map_or(0, <[u8]>::len);
        if self.raw.headers.is_empty() { fixed } else { fixed + headers_size(self.raw.headers) }
    }

    /// Checks what needs no partition: size and timestamp.
    #[inline]
    pub(super) fn check(&self, max_request_size: usize) -> Result<usize> {
        let size = self.size();
        if size > max_request_size {
            return Err(self.too_large(size, max_request_size));
        }
        match self.raw.timestamp_ms {
            Some(negative @ ..0) => Err(self.before_the_epoch(negative)),
            _ => Ok(size),
        }
    }

    #[cold]
    fn too_large(&self, size: usize, limit: usize) -> Error {
        let message = format!("the record has {size} bytes, max.request.size is {limit}");
        Error::new(ErrorKind::MessageTooLarge, message).with_topic(self.topic())
    }

    #[cold]
    fn before_the_epoch(&self, timestamp_ms: i64) -> Error {
        let message = format!("the record's timestamp is {timestamp_ms} ms, the least is 0");
        Error::new(ErrorKind::InvalidTimestamp, message).with_topic(self.topic())
    }
}

fn headers_size(headers: &[Header<'_>]) -> usize {
    let of_one = |(name, value): &Header<'_>| 6 + name.len() + value.map_or(0, <[u8]>::len);
    8 + headers.iter().map(of_one).sum::<usize>()
}
