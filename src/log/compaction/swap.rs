//! A new segment takes the place of those that it was copied from (A62).

use std::sync::Arc;

use super::output::Finished;
use crate::base::Result;
use crate::log::manifest::Record;
use crate::log::segment_log::SegmentLog;

/// A change that a pass has prepared.
#[derive(Debug)]
pub struct Replacement {
    /// The files that go, in the order of their offsets.
    pub(super) old: Vec<u64>,
    /// What comes in their place; `None` when they stay.
    pub(super) new: Option<Finished>,
    /// From where on the next pass has to look for keys, if this one is done.
    pub(super) compacted: Option<u64>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It took place. It is durable, and the old files may go, when the manifest is synced up to
    /// here.
    Done(u64),
    /// Nothing has changed: only these of the old files are still part of the partition.
    Outdated(Vec<u64>),
}

impl SegmentLog {
    /// Puts a new segment in the place of old ones, or nothing if one of those has gone
    /// meanwhile.
    ///
    /// Order of effects, and why a death in between harms nothing:
    /// 1. The new file, synced with its name, before this is called. Nothing names it: the next
    ///    open removes it.
    /// 2. One record of the manifest: the new file instead of the old ones. All or nothing.
    /// 3. The snapshot. A power cut before the manifest is synced brings the old files back, and
    ///    with them records that were obsolete already.
    /// 4. By [`end_swap`](Self::end_swap), when the manifest is durable: the old files, each once
    ///    no snapshot names it.
    ///
    /// # Errors
    /// `Closed`, `StorageError` and `StorageFull`: nothing has changed.
    pub fn swap(&mut self, change: Replacement) -> Result<Swapped> {
        self.check_open()?;
        let Replacement { old, new, compacted } = change;
        let found = self.closed.iter().position(|l| Some(&l.segment.number) == old.first());
        let at = found.unwrap_or(self.closed.len());
        let known = self.closed.iter().skip(at).map(|layer| layer.segment.number);
        if !known.take(old.len()).eq(old.iter().copied()) {
            let known = |number: &u64| self.closed.iter().any(|l| l.segment.number == *number);
            return Ok(Swapped::Outdated(old.into_iter().filter(known).collect()));
        }
        let mut records = Vec::new();
        records.extend(new.as_ref().map(|new| Record::SegmentsReplaced {
            key: self.key,
            number: new.layer.segment.number,
            base_offset: new.layer.segment.base_offset,
            end: new.end,
            old: old.clone(),
        }));
        let compacted = compacted.filter(|offset| *offset > self.compacted);
        records.extend(compacted.map(|offset| Record::Compacted { key: self.key, offset }));
        let position = self.files.manifest().append(&records)?;
        self.manifest_position = position;
        if let Some(new) = new {
            let gone = Arc::make_mut(&mut self.closed).splice(at..at + old.len(), [new.take()]);
            self.retiring.extend(gone.map(|layer| layer.segment));
        }
        self.compacted = compacted.unwrap_or(self.compacted);
        self.publish();
        Ok(Swapped::Done(position))
    }

    /// Lets go of what a change has retired; the manifest is synced.
    ///
    /// # Errors
    /// `StorageError` from the manifest: the files stay until the next call.
    pub fn end_swap(&mut self) -> Result<()> {
        if self.is_closed { Ok(()) } else { self.bury() }
    }
}
