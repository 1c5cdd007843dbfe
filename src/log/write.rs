//! Writing batches: which segment they go to, and in which order effects happen.

use super::active::Active;
use super::manifest::Record;
use super::roll::{Growth, jitter};
use super::segment::Segment;
use super::segment_log::{Placed, SegmentLog};
use crate::base::Result;

impl SegmentLog {
    /// Writes `batches`, whose offsets follow the end without a hole but the registered gaps. What is below the end
    /// already is passed over, so a call that failed can be repeated as it was.
    ///
    /// Order of effects, and why a death in between harms nothing:
    /// 1. A new segment's file and header. The manifest does not name it: the next open removes
    ///    it, because its number is above every number used.
    /// 2. The manifest's record of it, written. The next open finds a segment without batches.
    /// 3. The batches. The next open takes those that are whole; they are still staged, or were
    ///    never acknowledged.
    /// 4. The end and the snapshot. Only now may what is staged be released: the page cache has
    ///    the batches and the manifest's record.
    ///
    /// # Errors
    /// `InvalidRequest` when offsets do not follow, `StorageFull` and `StorageError` from the
    /// disk; batches in front of [`end_offset`](SegmentLog::end_offset) are written then, and
    /// nothing of the others is.
    pub fn write(&mut self, batches: &[Placed<'_>], now_ms: i64) -> Result<()> {
        self.check_open()?;
        let done = batches.iter().take_while(|b| b.header.next_offset() <= self.end).count();
        let mut rest = batches.get(done..).unwrap_or_default();
        self.check_order(rest)?;
        let written = loop {
            let Some(first) = rest.first() else { break Ok(()) };
            match self.write_some(first, rest, now_ms) {
                Ok(count) => {
                    let (written, behind) = rest.split_at(count);
                    written.iter().for_each(|placed| self.note_producer(placed, now_ms));
                    rest = behind;
                }
                Err(error) => break Err(error),
            }
        };
        self.publish();
        written
    }

    fn write_some(
        &mut self,
        first: &Placed<'_>,
        rest: &[Placed<'_>],
        now_ms: i64,
    ) -> Result<usize> {
        let rolls = |a: &Active| {
            let hole = a.growth.next_offset != first.header.base_offset;
            a.spoiled || hole || a.growth.rolls(&first.header, &self.config, now_ms)
        };
        if self.active.as_ref().is_some_and(rolls) {
            self.retire_active();
        }
        let active = match self.active.take() {
            Some(active) => active,
            None => self.begin_segment(first.header.base_offset, now_ms)?,
        };
        let active = self.active.insert(active);
        let count = active.write(rest, &self.config, now_ms, self.synced)?;
        self.end = self.gaps.behind(active.growth.next_offset);
        Ok(count)
    }

    /// Takes note of a batch that was written to the active segment.
    fn note_producer(&mut self, placed: &Placed<'_>, now_ms: i64) {
        if placed.header.producer_id < 0 {
            return;
        }
        self.producers.expire(now_ms, self.files.producer_expiration_ms());
        let aborted = self.producers.replay(&placed.header, placed.payload, now_ms);
        if let (Ok(Some(txn)), Some(active)) = (aborted, &self.active) {
            active.segment.aborted.write().push(txn);
        }
    }

    fn check_order(&self, batches: &[Placed<'_>]) -> Result<()> {
        let mut next = self.end;
        for Placed { header, payload } in batches {
            if header.base_offset != next {
                let base = header.base_offset;
                return Err(self.misuse(format!("a batch at {base} cannot follow offset {next}")));
            }
            if header.payload_len as usize != payload.len() {
                let (said, is) = (header.payload_len, payload.len());
                return Err(self.misuse(format!("a payload of {is} bytes, its header says {said}")));
            }
            next = self.gaps.behind(header.next_offset());
        }
        Ok(())
    }

    /// A new segment that the manifest names.
    fn begin_segment(&mut self, base_offset: u64, now_ms: i64) -> Result<Active> {
        let active = self.make_segment(base_offset, now_ms)?;
        let number = active.segment.number;
        // Segments without batches go first: the new one may begin below them.
        let dead = self.dead.iter().map(|s| Record::SegmentRetired { number: s.number });
        let created = Record::SegmentCreated { key: self.key, number, base_offset };
        let records: Vec<_> = dead.chain([created]).collect();
        match self.files.manifest().append(&records) {
            Ok(position) => self.manifest_position = position,
            Err(error) => {
                active.segment.retire();
                return Err(active.segment.place(error));
            }
        }
        self.retiring.append(&mut self.dead);
        Ok(active)
    }

    /// A new segment that nothing names yet.
    pub(super) fn make_segment(&self, base_offset: u64, now_ms: i64) -> Result<Active> {
        let (number, mark) =
            self.files.create_segment().map_err(|error| error.with_partition(&self.name))?;
        let Self { files, name, key, config, .. } = self;
        let segment = Segment::new(files, name, *key, number, base_offset, mark);
        let jitter = jitter(config, segment.salt);
        let growth = Growth::new(base_offset, now_ms, config.index_interval_bytes, jitter);
        Active::create(segment, growth, config, now_ms)
    }
}
