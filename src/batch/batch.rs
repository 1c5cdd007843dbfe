//! A whole batch in memory.

use bytes::Bytes;

use super::header::{BatchHeader, payload_crc};
use super::reader::RecordReader;
use super::record::{encode_record, encoded_len, timestamp_delta};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::record::RawRecord;

/// A batch as read: its header, and what stood behind it.
///
/// [`verify`](super::verify) tells whether they belong together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What is known of the batch.
    pub header: BatchHeader,
    /// Its records, or their compressed form.
    pub payload: Bytes,
}

impl Batch {
    /// Encodes `records` as one batch at `base_offset`, with a checksum, for callers that
    /// are not in a hurry. Records without a timestamp get `now_ms`, or none.
    ///
    /// # Errors
    ///
    /// No record, a record over a limit of the format, or timestamps that lie too far apart for
    /// one batch (some 24 days).
    pub fn encode(
        base_offset: u64,
        records: &[RawRecord<'_>],
        now_ms: Option<i64>,
    ) -> Result<Batch> {
        let mut header = BatchHeader::empty(base_offset);
        let stamp = |r: &RawRecord<'_>| r.timestamp_ms.or(now_ms);
        header.base_timestamp = records.iter().find_map(stamp).unwrap_or(0);
        let mut payload = Vec::new();
        for (delta, record) in (0..).zip(records) {
            let ts_delta = match stamp(record) {
                Some(ts) => Some(timestamp_delta(header.base_timestamp, ts).ok_or_else(too_far)?),
                None => None,
            };
            let at = payload.len();
            payload.resize(at + encoded_len(record)?, 0);
            encode_record(&mut payload[at..], record, delta, ts_delta);
            header.last_offset_delta = delta;
            header.count = delta + 1;
            let latest = ts_delta.unwrap_or(BatchHeader::NO_TIMESTAMP);
            header.max_timestamp_delta = header.max_timestamp_delta.max(latest);
        }
        if records.is_empty() {
            return Err(Error::new(ErrorKind::InvalidRecord, "a batch needs a record"));
        }
        header.payload_len = u32::try_from(payload.len()).map_err(|_| {
            let message = format!("a batch of {} bytes, the limit is {}", payload.len(), u32::MAX);
            Error::new(ErrorKind::RecordListTooLarge, message)
        })?;
        header.payload_crc = payload_crc(&payload);
        Ok(Batch { header, payload: payload.into() })
    }

    /// The records, from the first one. Payloads with a codec must be decompressed before.
    #[must_use]
    pub fn records(&self) -> RecordReader<'_> {
        RecordReader::new(self.header.attributes, &self.payload)
    }

    /// The time after which tombstones and markers of this batch may go, where it has one.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        let attributes = self.header.attributes;
        let bytes = self.payload.first_chunk().filter(|_| attributes.has_delete_horizon())?;
        Some(i64::from_le_bytes(*bytes))
    }
}

fn too_far() -> Error {
    Error::new(ErrorKind::InvalidTimestamp, "timestamps of one batch lie more than 24 days apart")
}

#[cfg(test)]
mod tests;
