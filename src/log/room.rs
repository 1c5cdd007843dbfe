//! A disk budget as segments see it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::files::LogFiles;
use crate::base::{Error, Result, TopicConfig};
use crate::disk::DiskBudget;

/// A budget is divided into so many parts: two are kept free, and no segment is larger.
const SHARES: u64 = 16;
const LEAST_SEGMENT: u32 = 64 << 10;

/// A disk budget as segments see it.
#[derive(Clone, Debug)]
pub struct Room {
    /// What the log may take, and has taken.
    pub budget: Arc<DiskBudget>,
    /// With less left than this nothing is reserved in advance, and old segments go.
    pub least_free: u64,
    /// So much is left to compaction: what it writes takes room before anything is free.
    pub kept: u64,
    /// No segment grows larger, whatever its topic says: there must be some that can go.
    pub segment_bytes: u32,
}

impl Room {
    /// Over a budget of which `fixed` bytes are not for records.
    #[must_use]
    pub fn new(budget: Arc<DiskBudget>, fixed: u64) -> Self {
        let share = budget.limit().saturating_sub(fixed) / SHARES;
        let segment_bytes = u32::try_from(share).unwrap_or(u32::MAX).max(LEAST_SEGMENT);
        let kept = u64::from(segment_bytes);
        Self { budget, least_free: share + kept, kept, segment_bytes }
    }
}

impl LogFiles {
    /// The log's disk budget, if it has one.
    #[must_use]
    pub fn room(&self) -> Option<&Room> {
        self.room.as_ref()
    }

    /// `config` with segments that fit into the log's disk budget.
    pub(super) fn fit(&self, config: Arc<TopicConfig>) -> Arc<TopicConfig> {
        match &self.room {
            Some(room) if room.segment_bytes < config.segment_bytes => {
                let segment_bytes = room.segment_bytes;
                Arc::new(TopicConfig { segment_bytes, ..(*config).clone() })
            }
            _ => config,
        }
    }

    /// Refuses `more` bytes of records that would take the room that compaction needs for a
    /// segment: without it nothing would ever become free.
    pub(super) fn check_room(&self, more: u64, path: &Path) -> Result<()> {
        match &self.room {
            Some(room) if room.budget.free() < more.saturating_add(room.kept) => {
                let (limit, kept, held) = (room.budget.limit(), room.kept, room.budget.held());
                let message = format!(
                    "{more} bytes more: max_disk_bytes is {limit}, of which compaction keeps {kept}, \
                     and readers hold {held} of what is deleted"
                );
                let error = io::Error::new(io::ErrorKind::StorageFull, message);
                Err(Error::io("reserve space for", path, error))
            }
            _ => Ok(()),
        }
    }

    /// Whether so little may still be taken that `more` bytes should not be reserved.
    pub(super) fn is_tight(&self, more: u64) -> bool {
        let left = |room: &Room| room.budget.free().saturating_sub(room.least_free);
        self.room.as_ref().is_some_and(|room| left(room) < more)
    }
}
