//! Where decisions are written.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Append;
use crate::base::wait::Deadline;
use crate::base::{RawRecord, Result};
use crate::partition::Partition;

use super::record::Record;

/// The partition behind the registry.
#[derive(Debug)]
pub(super) struct Journal(pub(super) Arc<Partition>);

impl Journal {
    /// Appends records, all or none; the offset behind them.
    pub(super) fn append(&self, records: &[Record], max_block: Duration) -> Result<u64> {
        let mut bytes = Vec::with_capacity(records.len() * 96);
        if let [record] = records {
            record.key(&mut bytes);
            let key_end = bytes.len();
            let value = record.value(&mut bytes).then(|| &bytes[key_end..]);
            let raw = RawRecord { key: Some(&bytes[..key_end]), value, ..RawRecord::default() };
            return self.place(&[raw], max_block);
        }
        let mut ends = Vec::with_capacity(records.len());
        for record in records {
            record.key(&mut bytes);
            let key_end = bytes.len();
            let has_value = record.value(&mut bytes);
            ends.push((key_end, has_value.then_some(bytes.len())));
        }
        let mut from = 0;
        let raw = ends.iter().map(|&(key_end, value_end)| {
            let key = Some(&bytes[from..key_end]);
            let value = value_end.map(|end| &bytes[key_end..end]);
            from = value_end.unwrap_or(key_end);
            RawRecord { key, value, ..RawRecord::default() }
        });
        let raw: Vec<RawRecord<'_>> = raw.collect();
        self.place(&raw, max_block)
    }

    fn place(&self, records: &[RawRecord<'_>], max_block: Duration) -> Result<u64> {
        let append = Append { records, max_block, stop: None, producer: None };
        Ok(self.0.append(append)?.base_offset + records.len() as u64)
    }

    /// Waits until everything below `end` survives what the log can survive.
    pub(super) fn wait(&self, end: u64, deadline: Deadline<'_>) -> Result<()> {
        self.0.wait_level(end, deadline)
    }
}
