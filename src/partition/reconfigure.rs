//! Settings that change while the partition is in use.
//!
//! All but the level are simply taken. The level is what others have been promised, so it
//! changes in steps, and the caller makes the decision durable between two of them:
//!
//! - **Raised** (`ProcessCrash` to `PowerLoss`): new records wait for a sync before they are
//!   visible, and the visible end stays where it was (`raise_level`); what was visible is made
//!   durable (`wait_level`); *the decision*; the ceiling goes (`drop_ceiling`). Before the
//!   decision a power cut finds the old level and its ceiling. After it, all that anybody has
//!   seen is durable.
//! - **Lowered**: a ceiling, durable (`Shared::set_ceilings`); *the decision*; records are
//!   visible when they are appended (`lower_level`). So a power cut that finds the lower level
//!   finds a ceiling above everything that was given.

use std::sync::Arc;

use crate::base::{Durability, TopicConfig};
use crate::batch::HEADER_BYTES;

use super::Partition;
use super::appender::BATCH_TARGET;

impl Partition {
    /// Takes everything but the level. It is in force when this returns, for appends that begin
    /// later and for the next segment.
    pub fn reconfigure(&self, config: &Arc<TopicConfig>) {
        let mut log = self.flush.lock();
        log.set_config(Arc::clone(config));
        *self.settings.write() = Arc::clone(config);
        let mut appender = self.append.lock();
        appender.reconfigure(batch_target(config), config.message_timestamp_type);
        if let Some(recent) = appender.recent.as_deref_mut() {
            recent.set_limit(config.key_index_memory_bytes as usize);
        }
        appender.settings = self.limits.take(config);
    }

    /// Begins to promise `PowerLoss`. What is visible stays so; returns the offset up to which
    /// that goes, which is to be made durable.
    pub fn raise_level(&self) -> u64 {
        let _no_append = self.append.lock();
        let shown = self.visible();
        self.marks.show(shown);
        self.limits.set_level(Durability::PowerLoss);
        shown
    }

    /// Begins to promise `ProcessCrash`; the partition has a ceiling.
    pub fn lower_level(&self) {
        {
            let _no_append = self.append.lock();
            self.limits.set_level(Durability::ProcessCrash);
        }
        // What waits for a sync needs none any more.
        let woken = self.durable_waiters.lock().take_all();
        woken.wake();
    }

    /// Offsets need no ceiling at the level of `PowerLoss`.
    pub fn drop_ceiling(&self) {
        self.append.lock().ceiling = u64::MAX;
    }
}

/// Calls do not grow into a batch that alone is longer than a segment may be.
pub fn batch_target(config: &TopicConfig) -> usize {
    BATCH_TARGET.min((config.segment_bytes as usize).saturating_sub(HEADER_BYTES))
}
