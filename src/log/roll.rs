//! When a partition goes on to its next segment (A15 to A17).

use super::index::{ENTRY_BYTES, Indexer};
use super::segment::FIRST_BATCH;
use crate::base::TopicConfig;
use crate::batch::BatchHeader;

/// What the rules look at; a copy of it tries out batches before they are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// Where the next batch begins.
    pub(super) position: u64,
    pub(super) indexer: Indexer,
    pub(super) next_offset: u64,
    base_offset: u64,
    /// The first batch's greatest timestamp.
    first_timestamp: Option<i64>,
    created_ms: i64,
    jitter_ms: i64,
}

impl Growth {
    pub(super) fn new(base_offset: u64, created_ms: i64, interval: u32, jitter_ms: i64) -> Self {
        Self {
            position: FIRST_BATCH,
            indexer: Indexer::new(interval, base_offset),
            next_offset: base_offset,
            base_offset,
            first_timestamp: None,
            created_ms,
            jitter_ms,
        }
    }

    /// Of a segment that has batches already.
    pub(super) fn resume(
        self,
        position: u64,
        next_offset: u64,
        indexer: Indexer,
        first_timestamp: Option<i64>,
    ) -> Self {
        Self { position, indexer, next_offset, first_timestamp, ..self }
    }

    /// The first batch's greatest timestamp.
    pub(super) fn first_timestamp(&self) -> Option<i64> {
        self.first_timestamp
    }

    pub(super) fn is_empty(&self) -> bool {
        self.position == FIRST_BATCH
    }

    /// Whether the segment is full before this batch. An empty segment never is.
    pub(super) fn rolls(&self, batch: &BatchHeader, config: &TopicConfig, now_ms: i64) -> bool {
        if self.is_empty() {
            return false;
        }
        let size = self.position - FIRST_BATCH + batch.total_len();
        let entries = u64::from(config.segment_index_bytes) / ENTRY_BYTES as u64;
        let too_far = batch.last_offset().saturating_sub(self.base_offset) > i32::MAX as u64;
        // Positions have 32 bits in the index.
        let too_long = self.position.saturating_add(batch.total_len()) > u64::from(u32::MAX);
        size > u64::from(config.segment_bytes)
            || self.is_old(batch, config, now_ms)
            || self.indexer.count() as u64 >= entries
            || too_far
            || too_long
    }

    // Record time decides, so that replaying old data makes the same segments; wall time only
    // where the first batch has none.
    fn is_old(&self, batch: &BatchHeader, config: &TopicConfig, now_ms: i64) -> bool {
        let elapsed = match (self.first_timestamp, batch.max_timestamp()) {
            (Some(first), Some(now)) => now.saturating_sub(first),
            (Some(_), None) => return false,
            (None, _) => now_ms.saturating_sub(self.created_ms),
        };
        elapsed > config.roll_ms().saturating_sub(self.jitter_ms)
    }

    /// Takes note of a batch.
    pub(super) fn add(&mut self, batch: &BatchHeader) -> Option<super::index::Entry> {
        if self.is_empty() {
            self.first_timestamp = batch.max_timestamp();
        }
        let entry = self.indexer.note(batch, self.position);
        self.position += batch.total_len();
        self.next_offset = batch.next_offset();
        entry
    }
}

/// A number in `0..min(jitter, roll_ms)` that a segment keeps for its life.
pub(super) fn jitter(config: &TopicConfig, salt: u32) -> i64 {
    let bound = config.segment_jitter_ms.min(config.roll_ms());
    // The salt is as good as random, and the same again after a restart.
    if bound > 0 { i64::from(salt) % bound } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Durability;

    fn config() -> TopicConfig {
        let mut config = TopicConfig::defaults(Durability::PowerLoss);
        (config.segment_bytes, config.segment_ms) = (1_000, 100);
        config
    }

    fn batch(base_offset: u64, payload_len: u32, timestamp: Option<i32>) -> BatchHeader {
        let max_timestamp_delta = timestamp.unwrap_or(BatchHeader::NO_TIMESTAMP);
        BatchHeader { payload_len, max_timestamp_delta, ..BatchHeader::empty(base_offset) }
    }

    #[test]
    fn a15_a17_an_empty_segment_never_rolls_and_a_full_one_does() {
        let mut growth = Growth::new(0, 0, 4_096, 0);
        assert!(!growth.rolls(&batch(0, 8_000, Some(1 << 30)), &config(), i64::MAX));
        growth.add(&batch(0, 400, None));
        assert!(!growth.rolls(&batch(1, 1_000 - 464 - 64, None), &config(), 0));
        assert!(growth.rolls(&batch(1, 1_000 - 464 - 64 + 8, None), &config(), 0));
        let far = i32::MAX as u64;
        assert!(!growth.rolls(&batch(far, 0, None), &config(), 0));
        assert!(growth.rolls(&batch(far + 1, 0, None), &config(), 0));
    }

    #[test]
    fn a16_record_time_rolls_and_wall_time_only_without_it() {
        let mut growth = Growth::new(0, 50, 4_096, 0);
        growth.add(&batch(0, 8, Some(1_000)));
        assert!(!growth.rolls(&batch(1, 8, Some(1_100)), &config(), i64::MAX));
        assert!(growth.rolls(&batch(1, 8, Some(1_101)), &config(), 0));
        assert!(!growth.rolls(&batch(1, 8, None), &config(), i64::MAX));
        assert!(!growth.rolls(&batch(1, 8, Some(i32::MIN + 1)), &config(), 0));
        let mut unstamped = Growth::new(0, 50, 4_096, 30);
        unstamped.add(&batch(0, 8, None));
        assert!(!unstamped.rolls(&batch(1, 8, Some(9)), &config(), 120));
        assert!(unstamped.rolls(&batch(1, 8, Some(9)), &config(), 121), "100 less 30 of jitter");
    }

    #[test]
    fn a15_a_full_index_rolls() {
        let mut config = config();
        (config.segment_index_bytes, config.index_interval_bytes) = (64, 0);
        let mut growth = Growth::new(0, 0, 0, 0);
        for offset in 0..5 {
            assert!(!growth.rolls(&batch(offset, 8, None), &config, 0), "{offset}");
            growth.add(&batch(offset, 8, None));
        }
        assert!(growth.rolls(&batch(5, 8, None), &config, 0), "four entries fill it");
    }
}
