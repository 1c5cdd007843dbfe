//! What an earlier life left in a chunk, as far as it proves itself.
//!
//! Two proofs exist. A *slot* vouches for every record before its tail by the running check,
//! which covers whose chunk it is: it survives a kill between any two stores. A *sealed batch*
//! vouches for itself by its checksums: it survives a power cut, in which pages reach the disk
//! in any order. The longer proof wins.

use crate::batch::{self, BatchHeader, RecordHead, RecordReader, RunningCheck};
use crate::disk::Span;

use super::chunk::{BatchSpot, Chunk, check_batch};
use super::layout::{CHUNK_HEAD, ENTRY, Identity, MIN_CHUNK, SMALL_CHUNK, Slot};

/// A chunk that an earlier life left, not yet taken over.
#[derive(Debug)]
pub struct FoundChunk {
    /// Whose records it holds.
    pub identity: Identity,
    /// The proven batches, all closed.
    pub batches: Vec<BatchSpot>,
    /// Payload bytes that the slots claim and nothing proves.
    pub unproven: usize,
    tail: usize,
    span: Span,
}

impl FoundChunk {
    /// Reads the chunk that `span` holds; gives the span back when nothing in it is proven.
    pub fn read(span: Span) -> Result<Self, Span> {
        let Some(identity) = identity_in(span.bytes()) else { return Err(span) };
        let chunk = span.bytes();
        let by_slot = proven_by_slot(chunk, &identity);
        let by_seals = proven_by_seals(chunk, &identity);
        let (batches, tail) = if by_slot.1 >= by_seals.1 { by_slot } else { by_seals };
        let claimed = claimed_tail(chunk);
        if batches.is_empty() {
            return Err(span);
        }
        Ok(Self { identity, batches, unproven: claimed.saturating_sub(tail), tail, span })
    }

    /// The offset behind the last proven record.
    pub fn next_offset(&self) -> u64 {
        self.batches.last().map_or(self.identity.base_offset, |spot| spot.header.next_offset())
    }

    /// Makes it a chunk of this life. Its bytes stay where they are, but each page is stored to:
    /// the life before may have seen a sync of the stage fail, which leaves pages that count as
    /// clean and are not on the disk. The next sync writes them.
    pub fn adopt(mut self) -> Chunk {
        for page in self.span.bytes_mut().chunks_mut(MIN_CHUNK) {
            if let Some(byte) = page.first_mut() {
                *byte = std::hint::black_box(*byte);
            }
        }
        Chunk::adopt(self.span, self.identity, self.batches, self.tail)
    }

    /// Refuses it: its identity is wiped, so that no later life finds it again.
    pub fn wipe(mut self) -> Span {
        wipe(&mut self.span);
        self.span
    }
}

/// Takes the identity off a span's head. True when there was anything.
pub(super) fn wipe(span: &mut Span) -> bool {
    let len = span.len().min(CHUNK_HEAD);
    let head = &mut span.bytes_mut()[..len];
    let dirty = head.iter().fold(0, |all, byte| all | byte) != 0;
    if dirty {
        head.fill(0);
    }
    dirty
}

/// The identity at the beginning of `region`, if a chunk of its length fits there.
pub(super) fn identity_in(region: &[u8]) -> Option<Identity> {
    let identity = Identity::decode(region)?;
    let len = identity.len as usize;
    let has_pages = len.is_power_of_two() && len >= MIN_CHUNK && len <= region.len();
    // A small one stands nowhere but in its place in a page that is cut.
    let fits = has_pages || (len == SMALL_CHUNK && region.len() == SMALL_CHUNK);
    fits.then_some(identity)
}

fn claimed_tail(chunk: &[u8]) -> usize {
    let tails = Slot::load(chunk).map(|slot| slot.tail as usize);
    tails.into_iter().filter(|&tail| tail <= chunk.len()).max().unwrap_or(0)
}

fn entry(chunk: &[u8], index: usize) -> Option<&[u8]> {
    let end = chunk.len().checked_sub(index.checked_mul(ENTRY)?)?;
    chunk.get(end.checked_sub(ENTRY)?..end)
}

/// The sealed batches from the chunk's beginning, and where they end.
fn proven_by_seals(chunk: &[u8], identity: &Identity) -> (Vec<BatchSpot>, usize) {
    let salt = identity.salt();
    let (mut batches, mut tail) = (Vec::new(), CHUNK_HEAD);
    let mut next = identity.base_offset;
    while let Some(bytes) = entry(chunk, batches.len()) {
        let Ok(header) = BatchHeader::decode(bytes, salt) else { break };
        let end = tail.saturating_add(header.payload_len as usize);
        let Some(payload) = chunk.get(tail..end) else { break };
        if header.base_offset != next || batch::verify(&header, payload).is_err() {
            break;
        }
        next = header.next_offset();
        batches.push(BatchSpot { header, position: tail, sealed: true });
        tail = end;
    }
    (batches, tail)
}

/// The batches for which the better of the two slots vouches, and where they end.
fn proven_by_slot(chunk: &[u8], identity: &Identity) -> (Vec<BatchSpot>, usize) {
    let slots = Slot::load(chunk);
    let mut best = (Vec::new(), CHUNK_HEAD);
    for slot in slots {
        if slot.tail as usize > best.1
            && let Some(batches) = walk(chunk, identity, slot)
        {
            best = (batches, slot.tail as usize);
        }
    }
    best
}

/// Follows the records up to `slot`'s tail; `None` unless the running check agrees there.
fn walk(chunk: &[u8], identity: &Identity, slot: Slot) -> Option<Vec<BatchSpot>> {
    let mut check = RunningCheck::start(identity.words());
    let (mut batches, mut tail) = (Vec::new(), CHUNK_HEAD);
    let mut next = identity.base_offset;
    for index in 0..slot.batches as usize {
        let mut header = BatchHeader::parse(entry(chunk, index)?)?;
        let last = index + 1 == slot.batches as usize;
        let end = if last { slot.tail as usize } else { tail + header.payload_len as usize };
        let payload = chunk.get(tail..end).filter(|_| end <= slot.tail as usize)?;
        // The only field that neither the check nor the records tell; the identity does.
        header.leader_epoch = identity.incarnation;
        check = check_batch(check, &header, tail);
        check = walk_records(check, &mut header, payload)?;
        if header.base_offset != next {
            return None;
        }
        next = header.next_offset();
        batches.push(BatchSpot { header, position: tail, sealed: false });
        tail = end;
    }
    (tail == slot.tail as usize && check.0 == slot.check).then_some(batches)
}

/// Follows the records of one batch and completes what its header could not know while open.
fn walk_records(
    mut check: RunningCheck,
    header: &mut BatchHeader,
    payload: &[u8],
) -> Option<RunningCheck> {
    header.payload_len = u32::try_from(payload.len()).ok()?;
    header.payload_crc = 0;
    header.max_timestamp_delta = i32::MIN;
    header.count = 0;
    let mut records = RecordReader::at(payload, 0);
    let mut head = RecordHead::of(payload);
    while let Some(record) = records.next().ok()? {
        if record.offset_delta != header.count {
            return None;
        }
        check = check.record(record.hash(), head);
        head = RecordHead::of(payload.get(records.position()..)?);
        header.last_offset_delta = record.offset_delta;
        header.count = header.count.checked_add(1)?;
        let latest = header.max_timestamp_delta.max(record.ts_delta.unwrap_or(i32::MIN));
        header.max_timestamp_delta = latest;
    }
    header.base_offset.checked_add(u64::from(header.count))?;
    (header.count > 0).then_some(check)
}
