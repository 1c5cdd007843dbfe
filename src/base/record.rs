//! A record as it enters the log: borrowed, nothing allocated.

/// The longest key, in bytes: 16 MiB less one (the format keeps 24 bits).
pub const MAX_KEY_BYTES: usize = (1 << 24) - 1;
/// The longest header name, in bytes.
pub const MAX_HEADER_NAME: usize = u16::MAX as usize;
/// The most headers of one record.
pub const MAX_HEADERS: usize = u16::MAX as usize;
/// The longest encoded record, in bytes; `max.message.bytes` is usually lower.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// A header: a name and a value that may be null. Order and duplicates are kept.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// What a partition is asked to append, topic and partition already resolved.
///
/// `None` and an empty slice differ for key, value and header values (A01).
#[derive(Clone, Copy, Debug, Default)]
pub struct RawRecord<'a> {
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null (a tombstone).
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [Header<'a>],
    /// Milliseconds since the Unix epoch; `None` takes the clock's time at the append.
    pub timestamp_ms: Option<i64>,
}

/// Whose time a record's timestamp is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimestampType {
    /// The record's own, or the log's clock at the append if it was sent without one.
    #[default]
    CreateTime,
    /// The log's clock at the append, whatever the record was sent with.
    LogAppendTime,
}
