//! One chunk being filled: encode, check, publish; and sealed afterwards.

use std::ops::Range;

use crate::base::RawRecord;
use crate::batch::{self, BatchHeader, Measure, RunningCheck};
use crate::disk::{BlockReader, BlockWriter, Span};

use super::layout::{CHUNK_HEAD, ENTRY, Identity, SMALL_CHUNK, Slot, salt_in};

/// A batch inside a chunk.
#[derive(Clone, Copy, Debug)]
pub struct BatchSpot {
    /// Its header; lengths and checksum are final once it is closed and sealed.
    pub header: BatchHeader,
    /// Where its payload begins, from the chunk's beginning.
    pub position: usize,
    /// Whether its checksums stand in the chunk's table.
    pub sealed: bool,
}

impl BatchSpot {
    /// Payload bytes of the batch, once it is closed.
    pub fn len(&self) -> usize {
        self.header.payload_len as usize
    }
}

/// A chunk and its only writer.
#[derive(Debug)]
pub struct Chunk {
    block: BlockWriter,
    identity: Identity,
    salt: u32,
    check: RunningCheck,
    slot: bool,
    tail: usize,
    batches: Vec<BatchSpot>,
    /// What grows while the last batch is open; its header learns it when the batch is closed.
    open: Option<Open>,
}

/// An open batch.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Where its payload begins, and where the payload of this chunk must end.
    start: usize,
    limit: usize,
    base_timestamp: i64,
    count: u32,
    max_timestamp_delta: i32,
}

impl Chunk {
    /// Takes `span` for the records that `identity` names.
    pub fn begin(mut span: Span, identity: Identity, mut spots: Vec<BatchSpot>) -> Self {
        debug_assert_eq!(span.len(), identity.len as usize);
        debug_assert!(spots.is_empty());
        if span.len() == SMALL_CHUNK {
            // There is hardly room for a second batch.
            spots.reserve_exact(1);
        }
        let encoded = identity.encode();
        // The old claims go first: a kill in between leaves an identity without claims.
        span.bytes_mut()[64..CHUNK_HEAD].fill(0);
        span.bytes_mut()[..64].copy_from_slice(&encoded);
        Self {
            block: span.into_block(CHUNK_HEAD),
            identity,
            salt: salt_in(&encoded),
            check: RunningCheck::start(identity.words()),
            slot: false,
            tail: CHUNK_HEAD,
            batches: spots,
            open: None,
        }
    }

    /// Takes over a chunk that an earlier life of the log left: its records up to `tail` are
    /// proven. Nothing is ever added to it.
    pub fn adopt(span: Span, identity: Identity, batches: Vec<BatchSpot>, tail: usize) -> Self {
        let mut block = span.into_block(CHUNK_HEAD);
        block.publish(tail);
        Self {
            block,
            identity,
            salt: identity.salt(),
            check: RunningCheck(0),
            slot: false,
            tail,
            batches,
            open: None,
        }
    }

    /// Whose chunk it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether a batch is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Bytes of the stage that it takes.
    pub fn size(&self) -> usize {
        self.block.len()
    }

    /// The bytes of the stage that it takes.
    pub fn place(&self) -> Range<usize> {
        let start = self.block.position();
        start..start + self.block.len()
    }

    /// Whether its records would have fitted into a small one.
    pub fn is_nearly_empty(&self) -> bool {
        self.tail + self.batches.len() * ENTRY <= SMALL_CHUNK
    }

    /// The batches, oldest first. Of one that is open, counts and lengths are not known yet.
    pub fn batches(&self) -> &[BatchSpot] {
        &self.batches
    }

    /// The base timestamp of the open batch, if there is one.
    #[inline]
    pub fn open_timestamp(&self) -> Option<i64> {
        self.open.map(|open| open.base_timestamp)
    }

    /// Payload bytes of the open batch.
    #[inline]
    pub fn open_len(&self) -> usize {
        self.open.map_or(0, |open| self.tail - open.start)
    }

    /// The offset behind the last record.
    pub fn next_offset(&self) -> u64 {
        match (self.batches.last(), self.open) {
            (None, _) => self.identity.base_offset,
            (Some(spot), None) => spot.header.next_offset(),
            (Some(spot), Some(open)) => spot.header.base_offset + u64::from(open.count),
        }
    }

    /// A reader's handle to the published payload.
    pub fn reader(&self) -> BlockReader {
        self.block.reader()
    }

    /// Whether `len` more payload bytes and `entries` more batches fit.
    #[inline]
    pub fn fits(&self, len: usize, entries: usize) -> bool {
        self.tail + len + (self.batches.len() + entries) * ENTRY <= self.block.len()
    }

    /// Begins a batch at the tail. `header` holds everything but lengths, counts and checksums.
    pub fn open(&mut self, header: BatchHeader) {
        debug_assert!(self.open.is_none() && self.fits(0, 1));
        self.check = check_batch(self.check, &header, self.tail);
        self.batches.push(BatchSpot { header, position: self.tail, sealed: false });
        self.write_entry(self.batches.len() - 1, 0);
        self.open = Some(Open {
            start: self.tail,
            limit: self.block.len() - self.batches.len() * ENTRY,
            base_timestamp: header.base_timestamp,
            count: 0,
            max_timestamp_delta: header.max_timestamp_delta,
        });
    }

    /// Adds a call of one record to the open batch and publishes it. False, and nothing is
    /// changed, unless it fits there and the batch does not grow beyond `target` bytes.
    #[inline(always)]
    pub fn push_one(
        &mut self,
        record: &RawRecord<'_>,
        measure: Measure,
        time: i64,
        target: usize,
    ) -> bool {
        let Some(open) = &mut self.open else { return false };
        let end = self.tail + measure.len;
        if end > open.limit || end - open.start > target {
            return false;
        }
        let Some(ts_delta) = batch::timestamp_delta(open.base_timestamp, time) else {
            return false;
        };
        let at = self.tail - self.block.mark();
        let Some(place) = self.block.spare_mut().get_mut(at..at + measure.len) else {
            return false;
        };
        // Noted before the copy, which is a call: so that nothing has to be kept over it.
        let head = measure.head(open.count, ts_delta);
        open.count += 1;
        open.max_timestamp_delta = open.max_timestamp_delta.max(ts_delta);
        self.check = self.check.record(measure.hash, head);
        self.tail = end;
        batch::encode_at(place, record, head);
        self.commit();
        true
    }

    /// Adds a record to the open batch; readers see it after `commit`.
    pub fn push(&mut self, record: &RawRecord<'_>, measure: Measure, timestamp_ms: i64) {
        let Some(open) = &mut self.open else { return };
        let ts_delta = timestamp_ms.wrapping_sub(open.base_timestamp) as i32;
        let at = self.tail - self.block.mark();
        let Some(place) = self.block.spare_mut().get_mut(at..at + measure.len) else { return };
        let head = measure.head(open.count, ts_delta);
        open.count += 1;
        open.max_timestamp_delta = open.max_timestamp_delta.max(ts_delta);
        self.check = self.check.record(measure.hash, head);
        self.tail += measure.len;
        batch::encode_at(place, record, head);
    }

    /// Adds records whose limits were checked to the open batch, each with the time that `time`
    /// gives it.
    #[inline(always)]
    pub fn push_all(&mut self, records: &[RawRecord<'_>], time: impl Fn(&RawRecord<'_>) -> i64) {
        let Some(open) = &mut self.open else { return };
        let (mut check, mut tail) = (self.check, self.tail);
        let (mut count, mut max_delta) = (open.count, open.max_timestamp_delta);
        let at = tail - self.block.mark();
        let mut out = self.block.spare_mut().get_mut(at..).unwrap_or_default();
        // Noted at the end, and only there: the bytes could lie anywhere for all the compiler knows.
        for record in records {
            let measure = Measure::of_checked(record);
            let ts_delta = time(record).wrapping_sub(open.base_timestamp) as i32;
            let Some((place, rest)) = out.split_at_mut_checked(measure.len) else { break };
            let head = measure.head(count, ts_delta);
            check = check.record(measure.hash, head);
            count += 1;
            max_delta = max_delta.max(ts_delta);
            tail += measure.len;
            out = rest;
            batch::encode_at(place, record, head);
        }
        (open.count, open.max_timestamp_delta) = (count, max_delta);
        (self.check, self.tail) = (check, tail);
    }

    /// Publishes what was pushed: first the claim that survives a kill, then the readers' mark.
    #[inline(always)]
    pub fn commit(&mut self) {
        let slot = Slot {
            check: self.check.0,
            tail: self.tail as u32,
            batches: self.batches.len() as u32,
        };
        slot.store(self.block.head_mut(), self.slot);
        self.slot = !self.slot;
        self.block.publish(self.tail);
    }

    /// Ends the open batch, if there is one: nothing is added to it any more.
    pub fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        if let Some(BatchSpot { header, .. }) = self.batches.last_mut() {
            header.payload_len = (self.tail - open.start) as u32;
            header.last_offset_delta = open.count.saturating_sub(1);
            header.count = open.count;
            header.max_timestamp_delta = open.max_timestamp_delta;
        }
        self.write_entry(self.batches.len() - 1, 0);
    }

    /// Writes the checksums of batch `index`, which is closed.
    pub fn seal(&mut self, index: usize, payload_crc: u32) {
        let Some(spot) = self.batches.get_mut(index) else { return };
        spot.header.payload_crc = payload_crc;
        spot.sealed = true;
        self.write_entry(index, self.salt);
    }

    fn write_entry(&mut self, index: usize, salt: u32) {
        let Some(spot) = self.batches.get(index) else { return };
        let entry = spot.header.encode(salt);
        let end = self.block.len() - index * ENTRY - self.block.mark();
        let table = self.block.spare_mut();
        if let Some(out) = end.checked_sub(ENTRY).and_then(|start| table.get_mut(start..end)) {
            out.copy_from_slice(&entry);
        }
    }

    /// Gives the memory back, wiped of its identity; the chunk itself while a reader pins it.
    pub fn reclaim(mut self) -> Result<Span, Box<Chunk>> {
        self.block.head_mut().fill(0);
        match self.block.reclaim() {
            Ok(span) => Ok(span),
            Err(block) => Err(Box::new(Chunk { block, ..self })),
        }
    }
}

#[cfg(test)]
impl Chunk {
    /// The memory, for tests that look at all of it.
    pub(super) fn block_mut(&mut self) -> &mut BlockWriter {
        &mut self.block
    }
}

/// The running check of a batch's beginning.
pub(super) fn check_batch(check: RunningCheck, header: &BatchHeader, at: usize) -> RunningCheck {
    let epoch = u64::from(header.producer_epoch as u16);
    let sequence = u64::from(header.base_sequence as u32);
    let packed = sequence << 32 | epoch << 16 | u64::from(header.attributes.0);
    check.batch(header.base_offset, header.base_timestamp, header.producer_id, packed, at as u32)
}
