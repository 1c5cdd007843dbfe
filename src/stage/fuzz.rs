//! What a fuzzer may throw at a chunk.

use crate::base::TopicId;
use crate::batch::{BatchHeader, RecordHead, RecordReader, RunningCheck, payload_crc, verify};
use crate::disk::Span;

use super::chunk::check_batch;
use super::layout::{CHUNK_HEAD, ENTRY, Identity, MIN_CHUNK, Slot};
use super::recover::FoundChunk;

/// Reads `data` as a chunk: as it is, and with claims and seals that check.
///
/// # Panics
///
/// When what was accepted is not what the bytes say: a bug.
pub fn stage(data: &[u8]) {
    let mut chunk = vec![0; MIN_CHUNK];
    let len = data.len().min(MIN_CHUNK);
    chunk[..len].copy_from_slice(&data[..len]);
    read(&chunk);
    // Checksums would keep the fuzzer out: here they are made to fit.
    let first = BatchHeader::parse(&chunk[MIN_CHUNK - ENTRY..]);
    let identity = Identity {
        incarnation: 1,
        generation: 1,
        topic_id: TopicId(1),
        partition: 0,
        base_offset: first.map_or(0, |header| header.base_offset),
        len: MIN_CHUNK as u32,
    };
    chunk[..64].copy_from_slice(&identity.encode());
    read(&chunk);
    let Some(slot) = claim(&chunk, &identity) else { return };
    slot.store(&mut chunk, false);
    read(&chunk);
    seal(&mut chunk, &identity, slot.batches as usize);
    chunk[64..CHUNK_HEAD].fill(0);
    read(&chunk);
}

/// A claim of slot A's tail and count, with the check that belongs to it.
fn claim(chunk: &[u8], identity: &Identity) -> Option<Slot> {
    let [slot, _] = Slot::load(chunk);
    let mut slot = Slot { tail: slot.tail % chunk.len() as u32, batches: slot.batches % 4, ..slot };
    let mut check = RunningCheck::start(identity.words());
    let mut tail = CHUNK_HEAD;
    for index in 0..slot.batches {
        let at = chunk.len().checked_sub((index as usize + 1) * ENTRY)?;
        let header = BatchHeader::parse(&chunk[at..])?;
        let last = index + 1 == slot.batches;
        let end = if last { slot.tail as usize } else { tail + header.payload_len as usize };
        check = check_batch(check, &header, tail);
        let payload = chunk.get(tail..end)?;
        let mut records = RecordReader::at(payload, 0);
        let mut head = RecordHead::of(payload);
        while let Ok(Some(record)) = records.next() {
            check = check.record(record.hash(), head);
            head = RecordHead::of(payload.get(records.position()..).unwrap_or_default());
        }
        tail += records.position();
    }
    (slot.check, slot.tail) = (check.0, tail as u32);
    Some(slot)
}

/// Gives the table's entries checksums that hold, where their lengths fit.
fn seal(chunk: &mut [u8], identity: &Identity, batches: usize) {
    let mut tail = CHUNK_HEAD;
    for index in 0..batches {
        let Some(at) = chunk.len().checked_sub((index + 1) * ENTRY) else { return };
        let Some(mut header) = BatchHeader::parse(&chunk[at..]) else { return };
        let end = tail.saturating_add(header.payload_len as usize);
        let Some(payload) = chunk.get(tail..end) else { return };
        header.payload_crc = payload_crc(payload);
        let entry = header.encode(identity.salt());
        chunk[at..at + ENTRY].copy_from_slice(&entry);
        tail = end;
    }
}

fn read(bytes: &[u8]) {
    let mut span = Span::heap(bytes.len());
    span.bytes_mut().copy_from_slice(bytes);
    let Ok(found) = FoundChunk::read(span) else { return };
    assert_eq!(Identity::decode(bytes), Some(found.identity), "only under an identity that checks");
    let mut next = found.identity.base_offset;
    let mut tail = CHUNK_HEAD;
    assert!(!found.batches.is_empty(), "a chunk without records is none");
    for spot in &found.batches {
        let header = spot.header;
        assert_eq!((header.base_offset, spot.position), (next, tail), "batches are dense");
        assert!(header.next_offset() > next, "offsets grow");
        (next, tail) = (header.next_offset(), tail + spot.len());
        let payload = bytes.get(spot.position..tail).unwrap_or_default();
        assert_eq!(payload.len(), spot.len(), "a batch stays inside of its chunk");
        if spot.sealed {
            assert_eq!(verify(&header, payload), Ok(()), "a seal that holds");
        } else {
            same_records(&header, payload);
        }
        // What settles is a batch that every reader of segments accepts.
        let sound = BatchHeader { payload_crc: payload_crc(payload), ..header };
        assert_eq!(BatchHeader::decode(&sound.encode(7), 7), Ok(sound), "a header that settles");
    }
    assert_eq!(found.next_offset(), next);
    let chunk = found.adopt();
    assert_eq!(chunk.next_offset(), next);
}

/// A header that was completed from the records says what they say.
fn same_records(header: &BatchHeader, payload: &[u8]) {
    let mut records = RecordReader::at(payload, 0);
    let (mut count, mut last) = (0, 0);
    while let Ok(Some(record)) = records.next() {
        assert_eq!(record.offset_delta, count, "offsets are dense");
        (count, last) = (count + 1, record.offset_delta);
    }
    assert_eq!(records.position(), payload.len(), "nothing but records");
    assert_eq!((header.count, header.last_offset_delta), (count, last));
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_break_the_stage(data in vec(any::<u8>(), 0..super::MIN_CHUNK)) {
            super::stage(&data);
        }

        #[test]
        fn no_small_numbers_break_the_stage(data in vec(0..33_u8, super::MIN_CHUNK)) {
            super::stage(&data);
        }
    }
}
