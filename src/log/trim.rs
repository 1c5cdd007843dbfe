//! Taking records away from the front, or all of them.

use std::sync::Arc;

use super::active::Active;
use super::manifest::Record;
use super::segment_log::SegmentLog;
use crate::base::Result;

impl SegmentLog {
    /// Moves the log start to `offset` and retires the segments that lie wholly below it.
    ///
    /// Order of effects: one group of manifest records, written; the snapshot without the
    /// segments; the manifest durable; the files removed once no snapshot names them. A death
    /// before the manifest is durable may bring the records back, which nobody was told are
    /// gone; behind it, the next open removes the files.
    ///
    /// Needs no free space. The start never goes back; a lower `offset` changes nothing.
    ///
    /// # Errors
    /// `InvalidRequest` above the end; `StorageError` from the manifest: the start has moved,
    /// the call may be repeated to free the space.
    pub fn set_start(&mut self, offset: u64) -> Result<()> {
        self.begin_start(offset)?;
        self.finish_start()
    }

    /// As [`set_start`](Self::set_start) up to the first sync: for many partitions that share it.
    /// The offset must be where a segment begins or the log ends. Returns what the manifest is to
    /// be synced to before [`finish_start`](Self::finish_start).
    ///
    /// # Errors
    /// `InvalidRequest` above the end; `StorageError` from the manifest: nothing has changed.
    pub fn begin_start(&mut self, offset: u64) -> Result<u64> {
        self.check_open()?;
        if offset > self.end {
            let end = self.end;
            return Err(self.misuse(format!("the log start cannot pass the end: {offset} > {end}")));
        }
        if offset > self.start {
            self.move_start(offset)?;
        }
        Ok(self.manifest_position)
    }

    /// Makes a start durable and lets go of the files below it.
    ///
    /// # Errors
    /// `StorageError` from the manifest: the call may be repeated to free the space.
    pub fn finish_start(&mut self) -> Result<()> {
        self.files.manifest().sync_to(self.manifest_position)?;
        self.bury()?;
        self.synced = self.synced.max(self.start);
        self.publish();
        Ok(())
    }

    fn move_start(&mut self, offset: u64) -> Result<()> {
        let below = self.closed.iter().take_while(|layer| layer.next_offset <= offset).count();
        let all = self.active.as_ref().is_some_and(|active| active.growth.next_offset <= offset);
        let producers = self.carry_producers(below, all)?;
        let active = self.active.iter().filter(|_| all).map(|active| &active.segment);
        let closed = self.closed.iter().take(below).map(|layer| &layer.segment);
        let mut gone: Vec<_> = closed.chain(active).map(Arc::clone).collect();
        let mut records = vec![Record::LogStart { key: self.key, offset }];
        gone.append(&mut self.dead.clone());
        records.extend(producers.clone());
        records.extend(gone.iter().map(|s| Record::SegmentRetired { number: s.number }));
        self.manifest_position = self.files.manifest().append(&records)?;
        if let Some(Record::Producers { state, .. }) = producers {
            self.carried = state.into();
        }
        self.dead.clear();
        self.retiring.append(&mut gone);
        Arc::make_mut(&mut self.closed).drain(..below);
        if all {
            self.active = None;
        }
        self.start = offset;
        self.publish();
        Ok(())
    }

    /// Gives all files up, after
    /// [`LogFiles::retire_topic`](super::LogFiles::retire_topic) has made that durable. They
    /// are removed once no snapshot names them.
    pub fn delete(&mut self) {
        self.is_closed = true;
        let active = self.active.iter().map(|active: &Active| &active.segment);
        let closed = self.closed.iter().map(|layer| &layer.segment);
        let rest = self.dead.iter().chain(&self.retiring);
        active.chain(closed).chain(rest).for_each(|segment| segment.retire());
        self.active = None;
        self.closed = Arc::default();
        self.dead.clear();
        self.retiring.clear();
        self.start = self.end;
        self.synced = self.end;
        self.publish();
    }
}
