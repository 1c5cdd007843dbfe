//! What the fuzz targets call: one function each, which holds the assertions.
//!
//! The targets themselves stand in `fuzz/` and do nothing else, so that the fuzzed floors need
//! no public door but this one, and so that plain tests can run the same assertions.

#![allow(clippy::missing_panics_doc, reason = "to panic is what these functions are for")]

use crate::base::RawRecord;
use crate::base::record::Header;
use crate::batch::{
    Attributes, BatchHeader, Damage, HEADER_BYTES, RecordReader, RecordView, encode_record,
    encoded_len, record_hash,
};

/// Decodes `data` as a batch: never panics, and whatever decodes encodes to the same bytes.
pub fn batch(data: &[u8]) {
    header(data);
    let Some((attributes, payload)) = data.split_first() else { return };
    let attributes = Attributes(*attributes);
    let _ = records(RecordReader::new(attributes, payload), payload);
    // Without the attribute byte too: recovery starts in the middle of payloads.
    let whole = records(RecordReader::at(payload, 0), payload);
    let prefix = &payload[..whole];
    assert_eq!(records(RecordReader::at(prefix, 0), prefix), whole, "a valid prefix stays valid");
}

/// Takes `data` for a segment file: header, scan, what is behind it, footer.
pub fn segment(data: &[u8]) {
    crate::log::fuzz::segment(data);
}

/// Takes `data` for a chunk of the stage, and for one whose claims and seals hold.
pub fn stage(data: &[u8]) {
    crate::stage::fuzz::stage(data);
}

/// Takes `data` for a manifest, and for records inside frames whose checksums hold.
pub fn manifest(data: &[u8]) {
    crate::log::manifest::fuzz::manifest(data);
}

/// As they are, the bytes hardly ever have a checksum that holds; so it is also put right.
fn header(data: &[u8]) {
    let Some(raw) = data.first_chunk::<HEADER_BYTES>() else { return };
    let salt = data.len() as u32;
    let _ = BatchHeader::decode(data, salt);
    let mut sound = *raw;
    sound[..2].copy_from_slice(&[0x1F, 0xA1]);
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(&sound[..60]);
    sound[60..].copy_from_slice(&crc.finalize().to_le_bytes());
    match BatchHeader::decode(&sound, salt) {
        Ok(header) => {
            assert_eq!((sound[2], sound[4]), (1, 0), "another version is not understood");
            let again = header.encode(salt);
            // The byte of features that may be ignored is not kept, so the checksum differs too.
            assert_eq!(again[..5], sound[..5]);
            assert_eq!(again[6..60], sound[6..60]);
            assert_eq!(BatchHeader::decode(&again, salt), Ok(header));
            assert!(header.next_offset() > header.base_offset);
        }
        Err(Damage { version, .. }) => assert_eq!(version, (sound[2], sound[4]) != (1, 0)),
    }
}

/// Reads to the first damage and returns the length of what is valid.
fn records(mut reader: RecordReader<'_>, payload: &[u8]) -> usize {
    loop {
        let before = reader.position();
        let Ok(Some(record)) = reader.next() else { return before };
        let after = reader.position();
        assert_eq!(after, before + record.encoded_len());
        same_again(&record, &payload[before..after]);
    }
}

fn same_again(record: &RecordView<'_>, bytes: &[u8]) {
    let headers: Vec<Header<'_>> = record.headers().iter().collect();
    assert_eq!(headers.len(), record.headers().len());
    let raw =
        RawRecord { key: record.key, value: record.value, headers: &headers, timestamp_ms: None };
    assert_eq!(record_hash(&raw), record.hash());
    assert_eq!(encoded_len(&raw).ok(), Some(bytes.len()));
    let mut out = vec![0xA5; bytes.len()];
    encode_record(&mut out, &raw, record.offset_delta, record.ts_delta);
    assert_eq!(out, bytes);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_break_the_batch_decoder(data in vec(any::<u8>(), 0..300)) {
            super::batch(&data);
        }

        #[test]
        fn no_small_numbers_break_the_batch_decoder(data in vec(0..33u8, 0..300)) {
            super::batch(&data);
        }
    }
}
