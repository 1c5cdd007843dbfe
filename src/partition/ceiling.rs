//! The durable ceiling below `PowerLoss`: no offset that anyone could have seen is given twice.
//!
//! At `ProcessCrash` a power cut takes records away that consumers have seen and groups have
//! counted. Their offsets must not come back under other records. So the manifest keeps, ahead
//! of each partition's end, an offset that no append passes; an open after a power cut goes on
//! there. A ceiling is raised in steps, long before it is reached.

use std::sync::Arc;

use crate::base::{Durability, Result};
use crate::log::Record;

use super::{Partition, Shared};

/// What a partition may give before its first ceiling is written. A power cut can make a gap of
/// this length at the beginning of a partition.
pub const FIRST_CEILING: u64 = 1 << 16;
/// The least step.
const STEP: u64 = 1 << 16;

impl Partition {
    /// Whether this partition needs a ceiling at all.
    pub(super) fn has_ceiling(&self) -> bool {
        self.level() == Durability::ProcessCrash
    }

    /// Whether more than half of the way to the ceiling is used up.
    fn ceiling_is_near(&self) -> bool {
        let appender = self.append.lock();
        let way = appender.ceiling.saturating_sub(appender.ceiling_base);
        self.has_ceiling() && appender.next_offset > appender.ceiling_base + way / 2
    }

    /// Raises the ceiling, durably, so that at least `count` more records fit below it.
    pub(super) fn raise_ceiling(&self, count: u64) -> Result<()> {
        let raise = self.next_ceiling(count);
        self.shared.write_ceilings(&[(self, raise)]).map_err(|e| self.error(e))
    }

    /// The next step is twice as long as the last one: a fast partition soon raises its ceiling
    /// once a second or less.
    fn next_ceiling(&self, count: u64) -> Raise {
        let appender = self.append.lock();
        let last = appender.ceiling.saturating_sub(appender.ceiling_base);
        let step = last.saturating_mul(2).clamp(STEP, 1 << 32).max(count.saturating_mul(2));
        let base = appender.next_offset;
        Raise { base, ceiling: base.saturating_add(step) }
    }
}

/// A ceiling to be written, and the end that it was chosen at.
#[derive(Clone, Copy, Debug)]
struct Raise {
    base: u64,
    ceiling: u64,
}

impl Shared {
    /// Raises the ceilings that are near, with one sync for all, so that no append has to wait
    /// for it.
    pub(super) fn raise_near_ceilings(&self, partitions: &[Arc<Partition>]) -> Result<()> {
        let near = partitions.iter().filter(|partition| partition.ceiling_is_near());
        let raises: Vec<_> = near.map(|p| (&**p, p.next_ceiling(0))).collect();
        if raises.is_empty() { Ok(()) } else { self.write_ceilings(&raises) }
    }

    /// Writes a ceiling for partitions that have none, durably and with one sync. Appends keep
    /// below it as soon as it is chosen: the one that meets it waits here for its turn to raise it.
    pub fn set_ceilings(&self, partitions: &[Arc<Partition>]) -> Result<()> {
        let _one_at_a_time = self.ceilings.lock();
        let begin = |partition: &Arc<Partition>| {
            let mut appender = partition.append.lock();
            let base = appender.next_offset;
            appender.ceiling = base.saturating_add(STEP).max(appender.known_ceiling);
            appender.ceiling_base = base;
            appender.known_ceiling = appender.ceiling;
            Record::Ceiling { key: partition.key, offset: appender.ceiling }
        };
        let records: Vec<_> = partitions.iter().map(begin).collect();
        let manifest = self.files.manifest();
        let position = manifest.append(&records)?;
        manifest.sync_to(position)
    }

    fn write_ceilings(&self, raises: &[(&Partition, Raise)]) -> Result<()> {
        let _one_at_a_time = self.ceilings.lock();
        // The manifest refuses a ceiling that goes back: another thread may have been faster.
        let higher = |(p, raise): &&(&Partition, Raise)| raise.ceiling > p.append.lock().ceiling;
        let raises: Vec<_> = raises.iter().filter(higher).collect();
        let record = |(p, raise): &&(&Partition, Raise)| Record::Ceiling {
            key: p.key,
            offset: raise.ceiling,
        };
        let records: Vec<_> = raises.iter().map(record).collect();
        let manifest = self.files.manifest();
        let position = manifest.append(&records)?;
        manifest.sync_to(position)?;
        for (partition, raise) in raises {
            let mut appender = partition.append.lock();
            if raise.ceiling > appender.ceiling {
                appender.ceiling = raise.ceiling;
                appender.known_ceiling = raise.ceiling;
                appender.ceiling_base = raise.base;
            }
        }
        Ok(())
    }
}
