//! From chunks to segments, and the chunks back to the pool.

use std::sync::Arc;

use crate::base::{Durability, Result};
use crate::batch;
use crate::disk::BlockPin;
use crate::log::{Placed, SegmentLog, SyncTicket};

use super::Partition;
use super::appender::Work;
use super::staged::slice;

/// At most about this many payload bytes go into one write.
const WRITE_BYTES: usize = 1 << 20;

impl Partition {
    /// Writes everything staged to segments. Nothing is synced.
    pub(super) fn settle(&self) -> Result<()> {
        self.shared.relieve(0);
        let mut log = self.flush.lock();
        self.settle_locked(&mut log)?;
        self.roll_for_keys(&mut log);
        Ok(())
    }

    /// Order of effects: the write, the mark and the view that lead readers to the segments, and
    /// only then the release of the chunks. A failure in between leaves records in both places.
    pub(super) fn settle_locked(&self, log: &mut SegmentLog) -> Result<()> {
        self.settle_until(log, || false)
    }

    /// As `settle_locked`, but ends early when what was given back is `enough`.
    pub(super) fn settle_until(
        &self,
        log: &mut SegmentLog,
        enough: impl Fn() -> bool,
    ) -> Result<()> {
        self.rescue_locked(log)?;
        // What is appended meanwhile is for the next settle: a fast producer must not hold this one.
        let target = self.append.lock().next_offset;
        while log.end_offset() < target {
            let from = log.end_offset();
            let work = {
                let mut appender = self.append.lock();
                appender.unsettled = 0;
                appender.closed_batches(from, WRITE_BYTES, |_| true)
            };
            if work.is_empty() {
                break;
            }
            let written = self.write_work(log, &work);
            self.publish_segments(log);
            written.map_err(|e| self.error(e))?;
            if self.lets_go_unsynced() {
                self.release(log.end_offset());
                if enough() {
                    break;
                }
            }
        }
        if log.needs_seal() {
            self.ask_to_seal();
        }
        Ok(())
    }

    /// Whether a chunk may go as soon as its records stand in segments that no sync has covered.
    /// Below `PowerLoss` it may, unless the stage has been synced with it: what was durable once,
    /// such as all that a closed log held, must not become less so by being moved.
    pub(super) fn lets_go_unsynced(&self) -> bool {
        match self.level() {
            Durability::PowerLoss => false,
            Durability::Memory => true,
            Durability::ProcessCrash => {
                self.marks.durable().max(self.adopted) <= self.marks.synced()
            }
        }
    }

    /// Lets the background seal what was rolled: the next open then need not scan it. The flush
    /// lock is held.
    pub(super) fn ask_to_seal(&self) {
        let asked = std::mem::replace(&mut self.append.lock().asked_to_seal, true);
        if let Some(this) = self.this.upgrade().filter(|_| !asked) {
            self.shared.rounds.ask_to_seal(this);
        }
    }

    fn write_work(&self, log: &mut SegmentLog, work: &[Work]) -> Result<()> {
        // Only a release unmakes a chunk, and it happens under the flush lock, which is held.
        let pins: Vec<_> = work.iter().map_while(|work| work.reader.pin()).collect();
        debug_assert_eq!(pins.len(), work.len());
        log.write(&place_all(work, &pins), self.shared.clock.unix_ms())
    }

    /// Lets readers see what the segments hold now.
    pub(super) fn publish_segments(&self, log: &SegmentLog) {
        self.publish_view(log);
        self.marks.settle(log.end_offset());
    }

    /// As `publish_segments`, where the mark may not move yet.
    pub(super) fn publish_view(&self, log: &SegmentLog) {
        let view = log.view();
        if !Arc::ptr_eq(&self.view.read(), &view) {
            *self.view.write() = view;
        }
        let settled = log.end_offset();
        if !self.aborted.read().is_empty() {
            self.aborted.write().retain(|txn| txn.marker >= settled);
        }
    }

    /// Gives the chunks back whose records all stand below `offset`. The flush lock is held.
    pub(super) fn release(&self, offset: u64) {
        let chunks = {
            let mut appender = self.append.lock();
            let chunks = appender.take_settled(offset);
            let mut staged = self.staged.write();
            for chunk in &chunks {
                staged.forget_chunk(super::appender::generation(chunk));
            }
            chunks
        };
        for chunk in chunks {
            self.shared.give_chunk(chunk);
        }
    }

    /// Moves the marks to what the segments have synced by themselves.
    pub(super) fn note_synced(&self, log: &SegmentLog) {
        self.marks.sync(log.synced_offset().min(self.marks.settled()));
        self.wake_durable();
    }

    /// Ends what `begin_sync` began: moves the marks and releases chunks.
    pub(super) fn finish_sync(&self, ticket: SyncTicket, result: Result<()>) -> Result<()> {
        let mut log = self.flush.lock();
        let synced = log.finish_sync(&ticket, result.clone());
        let rescued = self.rescue_locked(&mut log);
        self.publish_segments(&log);
        let synced = synced.max(log.synced_offset());
        self.marks.sync(synced);
        self.release(synced);
        match rescued {
            // What the failed sync was to make durable is durable elsewhere now.
            Ok(true) => Ok(()),
            Ok(false) => result.map_err(|e| self.error(e)),
            Err(error) => Err(error),
        }
    }

    /// Records are lost: nobody is told any more that they are there.
    fn note_loss(&self, from: u64, to: u64) {
        self.shared.losses.note(&self.tp, from, to);
        let mut appender = self.append.lock();
        appender.end_turn();
        appender.producers.forget(from, to);
    }

    /// After a failed sync: moves what is not synced to new files, from the chunks where it still
    /// stands in them. True when there was anything to move.
    fn rescue_locked(&self, log: &mut SegmentLog) -> Result<bool> {
        if log.failure().is_none() {
            return Ok(false);
        }
        let (synced, end) = (log.synced_offset(), log.end_offset());
        let work = {
            let mut appender = self.append.lock();
            appender.closed_batches(synced, usize::MAX, |spot| spot.header.next_offset() <= end)
        };
        let pins: Vec<_> = work.iter().map_while(|work| work.reader.pin()).collect();
        let placed = place_all(&work, &pins);
        let gaps = log.rescue(&placed, self.shared.clock.unix_ms()).map_err(|e| self.error(e))?;
        self.note_gaps(gaps.iter().map(|gap| (gap.from, gap.to)));
        self.lose_recent(gaps.iter().map(|gap| (gap.from, gap.to)));
        gaps.iter().for_each(|gap| self.note_loss(gap.from, gap.to));
        Ok(true)
    }
}

/// The batches as a segment takes them, checksums included.
fn place_all<'p>(work: &[Work], pins: &'p [BlockPin<'_>]) -> Vec<Placed<'p>> {
    let place = |(work, pin): (&Work, &'p BlockPin<'_>)| {
        let start = work.spot.position;
        let payload = slice(pin, start, start + work.spot.len());
        let mut header = work.spot.header;
        if !work.spot.sealed {
            header.payload_crc = batch::payload_crc(payload);
        }
        Placed { header, payload }
    };
    work.iter().zip(pins).map(place).collect()
}
