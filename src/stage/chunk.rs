//! One chunk being filled: encode, check, publish; and sealed afterwards.

use crate::base::RawRecord;
use crate::batch::{self, BatchHeader, RunningCheck};
use crate::disk::{BlockReader, BlockWriter, Span};

use super::layout::{CHUNK_HEAD, ENTRY, Identity, Slot};

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
    open: bool,
}

impl Chunk {
    /// Takes `span` for the records that `identity` names.
    pub fn begin(mut span: Span, identity: Identity, spots: Vec<BatchSpot>) -> Self {
        debug_assert_eq!(span.len(), identity.len as usize);
        debug_assert!(spots.is_empty());
        // The old claims go first: a kill in between leaves an identity without claims.
        span.bytes_mut()[64..CHUNK_HEAD].fill(0);
        span.bytes_mut()[..64].copy_from_slice(&identity.encode());
        Self {
            block: span.into_block(CHUNK_HEAD),
            identity,
            salt: identity.salt(),
            check: RunningCheck::start(identity.words()),
            slot: false,
            tail: CHUNK_HEAD,
            batches: spots,
            open: false,
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
            open: false,
        }
    }

    /// Whose chunk it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether a batch is open.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Bytes of the stage that it takes.
    pub fn size(&self) -> usize {
        self.block.len()
    }

    /// The batches, oldest first; the last one may be open.
    pub fn batches(&self) -> &[BatchSpot] {
        &self.batches
    }

    /// The open batch, if there is one.
    #[inline]
    pub fn open_batch(&self) -> Option<&BatchSpot> {
        if self.open { self.batches.last() } else { None }
    }

    /// Payload bytes of the open batch.
    #[inline]
    pub fn open_len(&self) -> usize {
        self.open_batch().map_or(0, |spot| self.tail - spot.position)
    }

    /// The offset behind the last record.
    pub fn next_offset(&self) -> u64 {
        self.batches.last().map_or(self.identity.base_offset, |spot| spot.header.next_offset())
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
        debug_assert!(!self.open && self.fits(0, 1));
        self.check = check_batch(self.check, &header, self.tail);
        self.batches.push(BatchSpot { header, position: self.tail, sealed: false });
        self.open = true;
        self.write_entry(self.batches.len() - 1, 0);
    }

    /// Adds a record of `len` encoded bytes to the open batch; readers see it after `commit`.
    #[inline]
    pub fn push(&mut self, record: &RawRecord<'_>, hash: u64, len: usize, timestamp_ms: i64) {
        let Some(spot) = self.batches.last_mut() else { return };
        let header = &mut spot.header;
        let offset_delta = header.count;
        let ts_delta = timestamp_ms.wrapping_sub(header.base_timestamp) as i32;
        let mark = self.block.mark();
        let at = self.tail - mark;
        if let Some(out) = self.block.spare_mut().get_mut(at..at + len) {
            batch::encode_record(out, record, offset_delta, Some(ts_delta));
        }
        self.check = self.check.record(hash, offset_delta, Some(ts_delta));
        header.last_offset_delta = offset_delta;
        header.count = offset_delta + 1;
        header.max_timestamp_delta = header.max_timestamp_delta.max(ts_delta);
        self.tail += len;
    }

    /// Publishes what was pushed: first the claim that survives a kill, then the readers' mark.
    #[inline]
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
        if !self.open {
            return;
        }
        self.open = false;
        let tail = self.tail;
        if let Some(spot) = self.batches.last_mut() {
            spot.header.payload_len = (tail - spot.position) as u32;
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
    pub fn reclaim(mut self) -> Result<Span, Chunk> {
        self.block.head_mut().fill(0);
        match self.block.reclaim() {
            Ok(span) => Ok(span),
            Err(block) => Err(Chunk { block, ..self }),
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
