//! A record in memory of its own: one allocation, and in it the bytes that it has in a batch.
//!
//! ```text
//!  0 offset u64   8 timestamp i64   16 the record as a batch holds it, with
//! 20 partition u32 in place of the offset's distance, 24 u32: 1 if the timestamp is the log's
//! ```
//!
//! A copy is one copy of bytes, whatever the record is made of, and a clone shares them.

use std::sync::Arc;

use crate::base::TimestampType;
use crate::batch::RecordView;

/// What stands in front of the record's encoded bytes.
pub(super) const PREFIX_BYTES: usize = 16;
const PARTITION_AT: usize = PREFIX_BYTES + 4;
const TYPE_AT: usize = PREFIX_BYTES + 8;

/// What a record's bytes in a batch do not say by themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) timestamp_type: TimestampType,
}

/// A record that is to be packed: written here first, and then copied to where it stays. Its
/// memory is used again.
#[derive(Debug, Default)]
pub(super) struct Packing(Vec<u8>);

impl Packing {
    /// The bytes of the record that stands at `place` and in a batch as `encoded`.
    pub(super) fn pack(&mut self, place: &Place, encoded: &[u8]) -> &[u8] {
        self.0.clear();
        self.0.extend_from_slice(&place.offset.to_le_bytes());
        self.0.extend_from_slice(&place.timestamp_ms.unwrap_or_default().to_le_bytes());
        self.0.extend_from_slice(encoded);
        let own_time = place.timestamp_ms.is_none()
            || matches!(place.timestamp_type, TimestampType::CreateTime);
        self.put(PARTITION_AT, place.partition);
        self.put(TYPE_AT, u32::from(!own_time));
        &self.0
    }

    fn put(&mut self, at: usize, word: u32) {
        if let Some(bytes) = self.0.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *bytes = word.to_le_bytes();
        }
    }
}

/// A record that borrows nothing.
#[derive(Clone)]
pub(super) struct PackedRecord(Arc<[u8]>);

impl PackedRecord {
    /// From what [`Packing::pack`] made.
    #[inline]
    pub(super) fn new(packed: &[u8]) -> Self {
        Self(Arc::from(packed))
    }

    /// Becomes another record; in the same memory, where that fits and nobody else looks at it.
    #[inline]
    pub(super) fn become_record(&mut self, packed: &[u8]) {
        match Arc::get_mut(&mut self.0) {
            Some(own) if own.len() == packed.len() => own.copy_from_slice(packed),
            _ => self.0 = Arc::from(packed),
        }
    }

    /// What [`Packing::pack`] made.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    #[inline]
    pub(super) fn offset(&self) -> u64 {
        u64::from_le_bytes(self.word(0))
    }

    #[inline]
    pub(super) fn partition(&self) -> u32 {
        partition_of(&self.0)
    }

    /// The record; `None` only of bytes that were not packed here.
    #[inline]
    pub(super) fn view(&self) -> Option<RecordView<'_>> {
        view_of(&self.0)
    }

    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        self.view()?.ts_delta.map(|_| i64::from_le_bytes(self.word(8)))
    }

    pub(super) fn timestamp_type(&self) -> TimestampType {
        match self.view().and_then(|view| view.ts_delta) {
            Some(1) => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        }
    }

    #[inline]
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.view()?.key
    }

    #[inline]
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.view()?.value
    }

    #[inline]
    fn word(&self, at: usize) -> [u8; 8] {
        self.0.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default()
    }
}

#[inline]
fn view_of(packed: &[u8]) -> Option<RecordView<'_>> {
    RecordView::lend(packed.get(PREFIX_BYTES..)?).map(|(view, _)| view)
}

/// The partition of what [`Packing::pack`] made.
#[inline]
pub(super) fn partition_of(packed: &[u8]) -> u32 {
    let bytes = packed.get(PARTITION_AT..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
