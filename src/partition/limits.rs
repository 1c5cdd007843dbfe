//! What an append looks at of its topic's settings: they may change under it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, Ordering};

use crate::base::{Durability, TimestampType, TopicConfig};

/// The settings that an append and a look at the visible end need, each readable without a lock.
///
/// They change one by one, and a call that looks at them meanwhile may see some of them old and
/// some new. So it notes their version before it looks, and compares it with the appender's under
/// the append lock, under which they change: what is appended went by one set of settings.
#[derive(Debug)]
pub struct Limits {
    version: AtomicU32,
    max_message_bytes: AtomicU32,
    segment_bytes: AtomicU32,
    time_before_max: AtomicI64,
    time_after_max: AtomicI64,
    needs_keys: AtomicBool,
    deletes: AtomicBool,
    retention_ms: AtomicI64,
    retention_bytes: AtomicI64,
    level: AtomicU8,
}

impl Limits {
    /// The settings of a partition that is opened.
    pub fn new(config: &TopicConfig) -> Self {
        let limits = Self {
            version: AtomicU32::new(0),
            max_message_bytes: AtomicU32::new(0),
            segment_bytes: AtomicU32::new(0),
            time_before_max: AtomicI64::new(0),
            time_after_max: AtomicI64::new(0),
            needs_keys: AtomicBool::new(false),
            deletes: AtomicBool::new(false),
            retention_ms: AtomicI64::new(0),
            retention_bytes: AtomicI64::new(0),
            level: AtomicU8::new(0),
        };
        limits.take(config);
        limits.version.store(0, Ordering::Relaxed);
        limits.set_level(config.durability);
        limits
    }

    /// Takes everything but the level, which changes in steps of its own. Returns the version of
    /// what holds now, for the appender; its lock is held.
    pub fn take(&self, config: &TopicConfig) -> u32 {
        self.max_message_bytes.store(config.max_message_bytes, Ordering::Relaxed);
        self.segment_bytes.store(config.segment_bytes, Ordering::Relaxed);
        // The log's own time needs no bounds.
        let (before, after) = match config.message_timestamp_type {
            TimestampType::LogAppendTime => (i64::MAX, i64::MAX),
            TimestampType::CreateTime => {
                (config.message_timestamp_before_max_ms, config.message_timestamp_after_max_ms)
            }
        };
        self.time_before_max.store(before, Ordering::Relaxed);
        self.time_after_max.store(after, Ordering::Relaxed);
        self.needs_keys.store(config.cleanup_policy.compact, Ordering::Relaxed);
        self.deletes.store(config.cleanup_policy.delete, Ordering::Relaxed);
        self.retention_ms.store(config.retention_ms, Ordering::Relaxed);
        self.retention_bytes.store(config.retention_bytes, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Release).wrapping_add(1)
    }

    /// Which settings these are: to be read before any of them.
    #[inline]
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// The most encoded bytes of one call (`max.message.bytes`).
    #[inline]
    pub fn max_message_bytes(&self) -> usize {
        self.max_message_bytes.load(Ordering::Relaxed) as usize
    }

    /// The most bytes of a segment.
    #[inline]
    pub fn segment_bytes(&self) -> usize {
        self.segment_bytes.load(Ordering::Relaxed) as usize
    }

    /// Whether a record must have a key: the topic is compacted.
    #[inline]
    pub fn needs_keys(&self) -> bool {
        self.needs_keys.load(Ordering::Relaxed)
    }

    /// Whether old segments may be deleted (`cleanup.policy`).
    pub fn deletes(&self) -> bool {
        self.deletes.load(Ordering::Relaxed)
    }

    /// How old a segment may get, and how many bytes must stay, where that is limited.
    pub fn retention(&self) -> (Option<u64>, Option<u64>) {
        let limit = |of: &AtomicI64| u64::try_from(of.load(Ordering::Relaxed)).ok();
        (limit(&self.retention_ms), limit(&self.retention_bytes))
    }

    /// Whether records may carry times of their own of which these are the least and the greatest.
    #[inline]
    pub fn allows_times(&self, least: i64, most: i64, now: i64) -> bool {
        most.saturating_sub(now) <= self.time_after_max.load(Ordering::Relaxed)
            && now.saturating_sub(least) <= self.time_before_max.load(Ordering::Relaxed)
    }

    /// The bounds of a record's own time, before and after the clock's.
    pub fn time_bounds(&self) -> (i64, i64) {
        let before = self.time_before_max.load(Ordering::Relaxed);
        (before, self.time_after_max.load(Ordering::Relaxed))
    }

    /// What an acknowledged record survives.
    #[inline]
    pub fn level(&self) -> Durability {
        match self.level.load(Ordering::Acquire) {
            0 => Durability::Memory,
            1 => Durability::ProcessCrash,
            _ => Durability::PowerLoss,
        }
    }

    /// Changes the level: only under the append lock, or before anybody has the partition.
    pub fn set_level(&self, level: Durability) {
        let number = match level {
            Durability::Memory => 0,
            Durability::ProcessCrash => 1,
            Durability::PowerLoss => 2,
        };
        self.level.store(number, Ordering::Release);
    }
}
