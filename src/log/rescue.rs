//! After a failed sync: what is not synced moves to new files.

use std::sync::Arc;

use super::active::Active;
use super::layer::{Layer, NO_FOOTER};
use super::manifest::Record;
use super::producers::{AbortedTxn, Producers};
use super::report::GapEvent;
use super::segment::{FIRST_BATCH, Segment};
use super::segment_log::{Placed, SegmentLog};
use crate::base::{ErrorKind, Result};
use crate::batch::Batch;

/// New files that nothing names yet; they go with it unless they are taken.
#[derive(Debug, Default)]
struct Moved {
    segments: Vec<Active>,
    gaps: Vec<(u64, u64)>,
}

impl Drop for Moved {
    fn drop(&mut self) {
        self.segments.iter().for_each(|active| active.segment.retire());
    }
}

/// What a marker aborts; it tells so by itself.
fn aborted_by(batch: &Batch) -> Option<AbortedTxn> {
    let mut nobody = Producers::default();
    nobody.replay(&batch.header, &batch.payload, 0).ok().flatten()
}

impl SegmentLog {
    /// Moves everything that is not synced to new files: batches of `staged` (in order) where
    /// they are staged, the others read back and taken as their checksums prove. What can be
    /// had from neither becomes a gap; the gaps are returned.
    ///
    /// A failed sync leaves pages that look clean and are not on the disk, so the old files
    /// are never synced again. Order of effects, and why a death in between harms nothing:
    /// 1. New files, written and synced, with their names. Nothing names them: the next open
    ///    removes them and takes what it finds in the old ones.
    /// 2. One group of manifest records: the old file ends where it was synced, those without
    ///    anything synced are retired, the new ones exist, the gaps. All or nothing.
    /// 3. The snapshot; the manifest durable; the synced mark; the retired files removed.
    ///
    /// # Errors
    /// `StorageFull` and `StorageError`: nothing has changed, the call may be repeated.
    pub fn rescue(&mut self, staged: &[Placed<'_>], now_ms: i64) -> Result<Vec<GapEvent>> {
        if self.failed.is_none() {
            return Ok(Vec::new());
        }
        let mut moved = self.copy_unsynced(staged, now_ms)?;
        for active in &moved.segments {
            active.segment.sync_with_name(&*active.segment.file()?)?;
            active.segment.raise_synced_len(active.growth.position);
        }
        moved.gaps.iter().for_each(|&(from, to)| self.producers.forget(from, to));
        // All of it becomes durable together, so each may tell of the end of all.
        moved.segments.iter().for_each(|active| active.segment.store(&self.producers));
        let (kept, gone) = self.judge_old();
        let records = self.switch_records(&kept, &gone, &moved);
        let position = self.files.manifest().append(&records)?;
        self.manifest_position = position;
        self.retiring.extend(gone);
        self.dead.clear();
        let fresh = moved.segments.drain(..).map(|active| active.layer());
        self.closed = Arc::new(kept.into_iter().chain(fresh).collect());
        self.active = None;
        self.failed = None;
        self.gaps.add(&moved.gaps);
        self.publish();
        self.files.manifest().sync_to(position)?;
        self.synced = self.end;
        self.publish();
        self.bury()?;
        let event = |&(from, to): &(u64, u64)| GapEvent::new(self.name.clone(), from, to);
        Ok(moved.gaps.iter().map(event).collect())
    }

    fn copy_unsynced(&self, staged: &[Placed<'_>], now_ms: i64) -> Result<Moved> {
        let mut moved = Moved::default();
        let mut next = self.gaps.behind(self.synced.max(self.start));
        let mut lost_from = None;
        while next < self.end {
            let found = self.find_batch(next, staged)?;
            let Some((batch, at)) = found.map(|batch| (batch.clone(), batch.header.base_offset))
            else {
                lost_from.get_or_insert(next);
                next = self.next_hope(next, staged);
                continue;
            };
            let missing_from = lost_from.take().unwrap_or(next);
            moved.gaps.extend(self.gaps.missing(missing_from, at));
            self.copy_batch(&mut moved, &batch, now_ms)?;
            next = self.gaps.behind(batch.header.next_offset());
        }
        if let Some(from) = lost_from {
            moved.gaps.extend(self.gaps.missing(from, self.end));
        }
        Ok(moved)
    }

    /// The batch that begins at `next`, from the stage or from the old files.
    ///
    /// # Errors
    /// What the disk says: the batch may be there, so the rescue must be tried again.
    fn find_batch(&self, next: u64, staged: &[Placed<'_>]) -> Result<Option<Batch>> {
        let position = staged.partition_point(|placed| placed.header.base_offset < next);
        if let Some(placed) = staged.get(position).filter(|p| p.header.base_offset == next) {
            let payload = bytes::Bytes::copy_from_slice(placed.payload);
            return Ok(Some(Batch { header: placed.header, payload }));
        }
        let Some(layer) = self.old_layers().find(|layer| layer.next_offset > next) else {
            return Ok(None);
        };
        match layer.batch_at(next) {
            Ok(batch) => Ok(batch.filter(|batch| batch.header.base_offset == next)),
            // A bad batch is no error here: it is what becomes a gap.
            Err(e) if e.kind() == ErrorKind::CorruptMessage => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The next offset at which a batch may begin when the one at `lost` cannot be had.
    fn next_hope(&self, lost: u64, staged: &[Placed<'_>]) -> u64 {
        let staged = staged.iter().map(|placed| placed.header.base_offset);
        let layers = self.old_layers().map(|layer| layer.segment.base_offset);
        let behind = self.old_layers().find_map(|layer| layer.batch_behind(lost));
        staged.chain(layers).chain(behind).filter(|at| *at > lost).min().unwrap_or(self.end)
    }

    fn old_layers(&self) -> impl Iterator<Item = Layer> {
        let active = self.active.as_ref().filter(|active| !active.is_empty());
        let active = active.map(Active::layer);
        let unsealed = self.closed.iter().filter(|layer| layer.sealed.is_none()).cloned();
        unsealed.chain(active).collect::<Vec<_>>().into_iter()
    }

    fn copy_batch(&self, moved: &mut Moved, batch: &Batch, now_ms: i64) -> Result<()> {
        let placed = Placed { header: batch.header, payload: &batch.payload };
        let base_offset = batch.header.base_offset;
        let fits = |active: &Active| {
            active.growth.next_offset == base_offset
                && !active.growth.rolls(&batch.header, &self.config, now_ms)
        };
        if !moved.segments.last().is_some_and(fits) {
            moved.segments.push(self.make_segment(base_offset, now_ms)?);
        }
        if let Some(active) = moved.segments.last_mut() {
            active.write(&[placed], &self.config, now_ms, self.synced)?;
            active.segment.aborted.write().extend(aborted_by(batch));
        }
        Ok(())
    }

    /// The old layers as they are from now on, and the segments that go.
    fn judge_old(&self) -> (Vec<Layer>, Vec<Arc<Segment>>) {
        let mut kept: Vec<_> = self.closed.iter().filter(|l| l.sealed.is_some()).cloned().collect();
        let mut gone: Vec<_> = self.dead.iter().map(Arc::clone).collect();
        for mut layer in self.old_layers() {
            let synced_len = layer.segment.synced_len();
            if synced_len <= FIRST_BATCH || layer.segment.base_offset >= self.synced {
                gone.push(layer.segment);
                continue;
            }
            layer.data_len = synced_len.min(layer.data_len);
            layer.next_offset = layer.next_offset.min(self.synced);
            layer.sealed = Some((layer.data_len, NO_FOOTER));
            // Without a footer its batches are asked.
            let known = !self.producers.is_empty() || !layer.segment.aborted.read().is_empty();
            layer.segment.set_stateful(known);
            kept.push(layer);
        }
        let empty = self.active.as_ref().filter(|active| active.is_empty());
        gone.extend(empty.map(|active| Arc::clone(&active.segment)));
        (kept, gone)
    }

    fn switch_records(&self, kept: &[Layer], gone: &[Arc<Segment>], moved: &Moved) -> Vec<Record> {
        let known = self.closed.iter().filter(|layer| layer.sealed.is_some()).count();
        let ended = kept.iter().skip(known).map(|layer| Record::SegmentSealed {
            number: layer.segment.number,
            end: layer.end(layer.data_len, NO_FOOTER),
        });
        let retired = gone.iter().map(|s| Record::SegmentRetired { number: s.number });
        let created = moved.segments.iter().map(|active| Record::SegmentCreated {
            key: self.key,
            number: active.segment.number,
            base_offset: active.segment.base_offset,
        });
        let gap = |&(from, to): &(u64, u64)| Record::Gap { key: self.key, from, to };
        ended.chain(retired).chain(created).chain(moved.gaps.iter().map(gap)).collect()
    }
}
