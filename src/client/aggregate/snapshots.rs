//! States that are kept in a compacted topic, so that a load need not replay every event.

use std::marker::PhantomData;

use crate::base::Result;

use super::super::owned_record::OwnedRecord;
use super::super::producer::Producer;
use super::super::topic::Topic;
use super::{Aggregate, Loaded};

/// Header of an event, or of a snapshot: how many events there were before it, 8 bytes, little
/// endian.
pub(super) const VERSION: &str = "alluvium.version";
/// Header of a snapshot: where its last event stands.
const OFFSET: &str = "alluvium.offset";

/// The snapshots of one kind of aggregates.
pub(super) struct Snapshots<A> {
    topic: Topic,
    every: u64,
    kind: PhantomData<fn() -> A>,
}

/// A state, and the event behind which it was.
pub(super) struct Snapshot<A> {
    pub(super) state: A,
    pub(super) version: u64,
    pub(super) offset: u64,
}

impl<A: Aggregate> Snapshots<A> {
    pub(super) fn new(topic: Topic, every: u64) -> Self {
        Self { topic, every: every.max(1), kind: PhantomData }
    }

    /// The latest snapshot of a key that can be understood.
    pub(super) fn load(&self, key: &[u8]) -> Result<Option<Snapshot<A>>> {
        let Some(record) = self.topic.latest(key)? else { return Ok(None) };
        let read = || {
            let (version, offset) = (number(&record, VERSION)?, number(&record, OFFSET)?);
            Some(Snapshot { state: A::restore(record.value()?)?, version, offset })
        };
        Ok(read())
    }

    /// Whether a snapshot is due when so many events were added.
    pub(super) fn is_due(&self, version: u64, added: u64) -> bool {
        version / self.every != version.saturating_sub(added) / self.every
    }

    /// Appends a snapshot; false when the aggregate has none to give.
    pub(super) fn save(&self, producer: &Producer, key: &[u8], loaded: &Loaded<A>) -> Result<bool> {
        let (Some(bytes), Some(offset)) = (loaded.state.snapshot(), loaded.last_offset) else {
            return Ok(false);
        };
        let (version, offset) = (loaded.version.to_le_bytes(), offset.to_le_bytes());
        let headers = [(VERSION, Some(&version[..])), (OFFSET, Some(&offset[..]))];
        let record = self.topic.record(&bytes).key(key).headers(&headers);
        // What is lost of it costs a longer replay: nobody waits for its level.
        let _ = producer.send(record)?;
        Ok(true)
    }
}

/// The number in a header of a record.
pub(super) fn number(record: &OwnedRecord, header: &str) -> Option<u64> {
    let bytes = record.header(header)??;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
