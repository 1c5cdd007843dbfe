//! What coordinators write to their topics.

use std::time::Duration;

use crate::backend::{Append, ProducerStamp};
use crate::base::{RawRecord, Result};
use crate::partition::Partition;

/// Something that a coordinator remembers by a record.
pub trait Row {
    /// Writes the record's key.
    fn key(&self, out: &mut Vec<u8>);

    /// Writes the record's value; false when it takes its key away.
    fn value(&self, out: &mut Vec<u8>) -> bool;
}

/// What a row takes, as a rule.
const USUAL_BYTES: usize = 96;

/// Appends rows, all or none; the offset behind them.
pub fn append<R: Row>(
    partition: &Partition,
    producer: Option<ProducerStamp>,
    rows: &[R],
    max_block: Duration,
) -> Result<u64> {
    let mut bytes = Vec::with_capacity(rows.len() * USUAL_BYTES);
    let place = |records: &[RawRecord<'_>]| {
        let appended = partition.append(Append { records, producer, max_block, stop: None })?;
        Ok(appended.base_offset + records.len() as u64)
    };
    if let [row] = rows {
        let ends = Ends::of(row, &mut bytes);
        return place(&[ends.record(0, &bytes)]);
    }
    let ends: Vec<Ends> = rows.iter().map(|row| Ends::of(row, &mut bytes)).collect();
    let mut start = 0;
    let records = ends.iter().map(|ends| {
        let from = std::mem::replace(&mut start, ends.value.unwrap_or(ends.key));
        ends.record(from, &bytes)
    });
    place(&records.collect::<Vec<_>>())
}

/// Where an encoded row's key and value end.
struct Ends {
    key: usize,
    value: Option<usize>,
}

impl Ends {
    fn of(row: &impl Row, bytes: &mut Vec<u8>) -> Self {
        row.key(bytes);
        let key = bytes.len();
        let value = row.value(bytes).then_some(bytes.len());
        Self { key, value }
    }

    /// The record of the row that begins at `start`.
    fn record<'b>(&self, start: usize, bytes: &'b [u8]) -> RawRecord<'b> {
        let value = self.value.map(|end| &bytes[self.key..end]);
        RawRecord { key: Some(&bytes[start..self.key]), value, ..RawRecord::default() }
    }
}

#[cfg(test)]
pub mod testing {
    use std::fmt::Debug;

    use super::Row;
    use crate::base::Result;

    /// Key and value of a row.
    pub fn bytes(row: &impl Row) -> (Vec<u8>, Option<Vec<u8>>) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        row.key(&mut key);
        let is_there = row.value(&mut value);
        (key, is_there.then_some(value))
    }

    /// Each of `rows` is what `decode` makes of its bytes.
    pub fn assert_read_as_written<R: Row + PartialEq + Debug>(
        rows: Vec<R>,
        decode: impl Fn(&[u8], Option<&[u8]>) -> Result<R>,
    ) {
        for row in rows {
            let (key, value) = bytes(&row);
            assert_eq!(decode(&key, value.as_deref()).unwrap(), row);
        }
    }
}
