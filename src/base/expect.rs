//! What a conditional append relies on.

/// What must hold when a record is appended by [`Producer::send_if`](crate::Producer::send_if).
///
/// It is checked in the moment in which the record gets its place, against everything that was
/// appended to its partition before, durable or not. Of two appends that rely on the same thing
/// at most one succeeds.
///
/// ```
/// use alluvium::{ErrorKind, EventLog, Expect, NewTopic};
///
/// let log = EventLog::in_memory();
/// let accounts = log.create_topic(NewTopic::new("accounts").key_index(true))?;
/// let producer = log.producer().build()?;
/// let opened = accounts.record("opened").key("alice");
/// let first = producer.send_if(opened, Expect::KeyAbsent)?.wait()?;
/// let late = producer.send_if(opened, Expect::KeyAbsent).unwrap_err();
/// assert_eq!(late.kind(), ErrorKind::ConditionFailed);
/// assert_eq!(late.actual_offset(), Some(first.offset));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expect {
    /// The record will have this offset: nothing was appended to its partition since. Needs no
    /// key and no index; the record names its partition, has a key, or its topic has one
    /// partition.
    NextOffset(u64),
    /// The latest record of the record's key stands at this offset. Where retention or compaction
    /// has taken that record away, the key is absent.
    KeyAt(u64),
    /// There is no record of the record's key. A tombstone is a record, as long as it is there.
    KeyAbsent,
    /// There are so many records of the record's key: the aggregate has so many events. Not on a
    /// compacted topic, nor where records were deleted from the front of the partition: how many
    /// there were is not known then.
    KeyVersion(u64),
}

impl Expect {
    /// Whether it is about the record's key.
    pub(crate) fn is_about_key(self) -> bool {
        !matches!(self, Self::NextOffset(_))
    }
}
