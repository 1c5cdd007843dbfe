//! The sparse index of a segment: where to start looking for an offset or a time.
//!
//! An entry only shortens a search. Look-ups start at the entry and walk batch headers, so
//! their answers do not depend on how many entries there are (A23).

use std::cmp::Ordering;

use bytes::Bytes;

use crate::batch::BatchHeader;

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 16;

/// One batch that the index knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The batch's base offset, relative to the segment's.
    pub offset_delta: u32,
    /// Where the batch begins in the file.
    pub position: u32,
    /// The greatest timestamp of all batches in front of this one; `i64::MIN` when none has any.
    pub max_timestamp_before: i64,
}

impl Entry {
    /// The bytes of this entry.
    #[must_use]
    pub fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        let (offset, rest) = out.split_at_mut(4);
        let (position, timestamp) = rest.split_at_mut(4);
        offset.copy_from_slice(&self.offset_delta.to_le_bytes());
        position.copy_from_slice(&self.position.to_le_bytes());
        timestamp.copy_from_slice(&self.max_timestamp_before.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        Some(Self {
            offset_delta: u32::from_le_bytes(*offset),
            position: u32::from_le_bytes(*position),
            max_timestamp_before: i64::from_le_bytes(*rest.first_chunk()?),
        })
    }
}

/// What a look-up is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The batch that holds this offset, relative to the segment's base.
    Offset(u64),
    /// The first batch with a timestamp at or behind this one.
    Timestamp(i64),
}

impl Target {
    /// Whether a search may start at `entry`: nothing in front of it can be the answer.
    fn allows(self, entry: &Entry) -> bool {
        match self {
            Target::Offset(delta) => u64::from(entry.offset_delta) <= delta,
            Target::Timestamp(ts) => entry.max_timestamp_before.cmp(&ts) == Ordering::Less,
        }
    }
}

/// The last entry in `entries` that a search for `target` may start at.
#[must_use]
pub fn find(entries: &[Entry], target: Target) -> Option<Entry> {
    let behind = entries.partition_point(|entry| target.allows(entry));
    entries.get(behind.checked_sub(1)?).copied()
}

/// [`find`] in entries as they stand in a footer.
#[must_use]
pub fn find_packed(entries: &Bytes, target: Target) -> Option<Entry> {
    let at = |i: usize| entries.get(i * ENTRY_BYTES..).and_then(Entry::decode);
    let (mut low, mut high) = (0, entries.len() / ENTRY_BYTES);
    while low < high {
        let middle = low + (high - low) / 2;
        if at(middle).is_some_and(|entry| target.allows(&entry)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    at(low.checked_sub(1)?)
}

/// All entries of a footer.
#[must_use]
pub fn unpack(entries: &Bytes) -> Vec<Entry> {
    entries.chunks_exact(ENTRY_BYTES).filter_map(Entry::decode).collect()
}

/// Decides which batches get an entry, and knows the greatest timestamp so far.
#[derive(Clone, Copy, Debug)]
pub struct Indexer {
    interval: u64,
    base_offset: u64,
    since_last: u64,
    max_timestamp: Option<i64>,
    count: usize,
}

impl Indexer {
    /// For a segment without batches.
    #[must_use]
    pub fn new(interval: u32, base_offset: u64) -> Self {
        let interval = u64::from(interval);
        Self { interval, base_offset, since_last: 0, max_timestamp: None, count: 0 }
    }

    /// For a segment that has `count` entries; the next batch may get one early.
    #[must_use]
    pub fn resume(
        interval: u32,
        base_offset: u64,
        count: usize,
        max_timestamp: Option<i64>,
    ) -> Self {
        let interval = u64::from(interval);
        Self { interval, base_offset, since_last: interval + 1, max_timestamp, count }
    }

    /// The greatest timestamp so far.
    #[must_use]
    pub fn max_timestamp(&self) -> Option<i64> {
        self.max_timestamp
    }

    /// Entries so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes note of the next batch, which begins at `position`; its entry if it gets one.
    pub fn note(&mut self, header: &BatchHeader, position: u64) -> Option<Entry> {
        let entry = (self.since_last > self.interval)
            .then(|| self.entry(header.base_offset, position))
            .flatten();
        if entry.is_some() {
            self.since_last = 0;
            self.count += 1;
        }
        self.since_last += header.total_len();
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp());
        entry
    }

    fn entry(&self, offset: u64, position: u64) -> Option<Entry> {
        Some(Entry {
            offset_delta: u32::try_from(offset.checked_sub(self.base_offset)?).ok()?,
            position: u32::try_from(position).ok()?,
            max_timestamp_before: self.max_timestamp.unwrap_or(i64::MIN),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_search_starts_at_the_last_entry_that_hides_no_answer(
            steps in prop::collection::vec((1_u32..9, 0_i64..4), 0..40),
            delta in 0_u64..400,
            ts in -2_i64..170,
        ) {
            let (mut offset, mut time, mut entries) = (0, i64::MIN, Vec::new());
            for (i, (by, later)) in (1_u32..).zip(steps) {
                offset += by;
                time = if time == i64::MIN { later } else { time + later };
                let entry = Entry { offset_delta: offset, position: i, max_timestamp_before: time };
                entries.push(entry);
            }
            let packed: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
            let packed = Bytes::from(packed);
            prop_assert_eq!(unpack(&packed), entries.clone());
            for target in [Target::Offset(delta), Target::Timestamp(ts)] {
                let plain = entries.iter().rev().find(|entry| target.allows(entry)).copied();
                prop_assert_eq!(find(&entries, target), plain);
                prop_assert_eq!(find_packed(&packed, target), plain);
            }
        }
    }
}
