//! Control records: how a transaction ended in a partition.
//!
//! ```text
//! key    version i16 (0), type i16 (0 abort, 1 commit): the fields of Kafka's
//! value  version i16 (0), coordinator epoch i32: the fields of Kafka's; then
//!        first offset u64 (2^64 - 1: none), last stable offset u64
//! ```
//!
//! A marker tells by itself which offsets it ends, so whoever meets it needs to have seen nothing
//! of what is in front of it.

use super::attributes::Attributes;
use super::damage::Damage;
use super::reader::RecordReader;

/// Bytes of a control record's key and of its value.
const CONTROL_KEY_BYTES: usize = 4;
/// Bytes of its value.
const CONTROL_VALUE_BYTES: usize = 22;

const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;
const NONE: u64 = u64::MAX;

/// How a transaction ended in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Whether it was committed, not aborted.
    pub commit: bool,
    /// The life of the coordinator that decided so.
    pub coordinator_epoch: i32,
    /// The transaction's first offset in the partition; `None` when it has no records there.
    pub first_offset: Option<u64>,
    /// The last stable offset behind the marker.
    pub stable: u64,
}

impl Control {
    /// The record's key.
    #[must_use]
    pub fn key(&self) -> [u8; CONTROL_KEY_BYTES] {
        let kind = if self.commit { COMMIT } else { ABORT };
        let mut key = [0; CONTROL_KEY_BYTES];
        key[..2].copy_from_slice(&VERSION.to_le_bytes());
        key[2..].copy_from_slice(&kind.to_le_bytes());
        key
    }

    /// The record's value.
    #[must_use]
    pub fn value(&self) -> [u8; CONTROL_VALUE_BYTES] {
        let mut value = [0; CONTROL_VALUE_BYTES];
        value[..2].copy_from_slice(&VERSION.to_le_bytes());
        value[2..6].copy_from_slice(&self.coordinator_epoch.to_le_bytes());
        value[6..14].copy_from_slice(&self.first_offset.unwrap_or(NONE).to_le_bytes());
        value[14..].copy_from_slice(&self.stable.to_le_bytes());
        value
    }

    /// The control record that the payload of a control batch holds; `None` for one of a type
    /// that says nothing of transactions.
    ///
    /// # Errors
    ///
    /// A payload that is no control record; a later version.
    pub fn decode(attributes: Attributes, payload: &[u8]) -> Result<Option<Self>, Damage> {
        let bad = Damage::new("a control batch without a control record");
        let mut records = RecordReader::new(attributes, payload);
        // A clean keeps batches for their numbers when their records are gone.
        let Some(record) = records.next()? else { return Ok(None) };
        let key = record.key.and_then(|key| key.first_chunk()).ok_or(bad)?;
        let value = record.value.ok_or(bad)?;
        let [a, b, c, d] = *key;
        let kind = i16::from_le_bytes([c, d]);
        if i16::from_le_bytes([a, b]) != VERSION {
            return Err(Damage::unknown("control record version is unknown"));
        }
        if kind != ABORT && kind != COMMIT {
            return Ok(None);
        }
        let value: &[u8; CONTROL_VALUE_BYTES] = value.first_chunk().ok_or(bad)?;
        let [v, w, e0, e1, e2, e3, rest @ ..] = *value;
        if i16::from_le_bytes([v, w]) != VERSION {
            return Err(Damage::unknown("transaction marker version is unknown"));
        }
        let [f0, f1, f2, f3, f4, f5, f6, f7, stable @ ..] = rest;
        let first = u64::from_le_bytes([f0, f1, f2, f3, f4, f5, f6, f7]);
        Ok(Some(Self {
            commit: kind == COMMIT,
            coordinator_epoch: i32::from_le_bytes([e0, e1, e2, e3]),
            first_offset: (first != NONE).then_some(first),
            stable: u64::from_le_bytes(stable),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RawRecord;
    use crate::batch::Batch;

    fn payload(key: &[u8], value: &[u8]) -> bytes::Bytes {
        let record = RawRecord { key: Some(key), value: Some(value), ..RawRecord::default() };
        Batch::encode(7, &[record], Some(1)).unwrap().payload
    }

    #[test]
    fn a_marker_has_kafkas_fields_and_says_what_it_ends() {
        for (commit, first_offset) in [(true, Some(3)), (false, Some(0)), (false, None)] {
            let control = Control { commit, coordinator_epoch: -5, first_offset, stable: 9 };
            let (key, value) = (control.key(), control.value());
            assert_eq!(key, [0, 0, u8::from(commit), 0]);
            assert_eq!(value[..6], [0, 0, 251, 255, 255, 255]);
            let read = Control::decode(Attributes::CONTROL, &payload(&key, &value));
            assert_eq!(read, Ok(Some(control)));
        }
    }

    #[test]
    fn what_is_no_marker_is_damage_or_of_a_later_version_or_another_type() {
        let control = Control { commit: true, coordinator_epoch: 0, first_offset: None, stable: 0 };
        let (key, value) = (control.key(), control.value());
        let read =
            |key: &[u8], value: &[u8]| Control::decode(Attributes::CONTROL, &payload(key, value));
        assert!(read(&key[..3], &value).is_err());
        assert!(read(&key, &value[..21]).is_err());
        assert!(read(&[1, 0, 0, 0], &value).unwrap_err().version);
        assert!(read(&key, &[1; CONTROL_VALUE_BYTES]).unwrap_err().version);
        assert_eq!(read(&[0, 0, 2, 0], &value), Ok(None));
        assert_eq!(Control::decode(Attributes::CONTROL, &[]), Ok(None), "cleaned");
    }
}
