//! What fuzzers may throw bytes at.

use bytes::Bytes;

use super::cursor::Cursor;
use super::gaps::Gaps;
use super::layout::{Footer, SegmentHeader};
use super::producers::{self, Stored};
use super::scan::{self, Order, Replay};
use super::segment::FIRST_BATCH;
use super::source::Source;

/// Takes `data` for a segment file: header, scan, what is behind, footer.
///
/// # Panics
/// When a scan leaves the file, whatever is in it: then there is a bug.
pub(crate) fn segment(data: &[u8]) {
    state(data);
    let (salt, base) = match SegmentHeader::decode(data) {
        Ok(header) => (header.salt, header.base_offset),
        Err(_) => (0, 0),
    };
    batches(data, salt, base);
    if let Ok(footer) = Footer::decode(&Bytes::copy_from_slice(data)) {
        assert!(footer.len <= data.len() as u64, "a footer ends in front of the end");
        state(&footer.producers());
    }
}

/// What is taken for producers and aborted transactions is written again as it was.
fn state(data: &[u8]) {
    if let Some(Stored { producers, aborted }) = producers::decode(data) {
        let again = producers::encode(&producers, &aborted);
        assert_eq!(producers::decode(&again), Some(Stored { producers, aborted }));
    }
}

fn batches(data: &[u8], salt: u32, base: u64) {
    let bytes = Bytes::copy_from_slice(data);
    let len = data.len() as u64;
    let cursor = |at, floor| Cursor::new(Source::Whole(bytes.clone()), salt, at, len, floor);
    for order in [Order::Growing, Order::Contiguous { gaps: Gaps::default(), below: u64::MAX }] {
        let Ok(found) =
            scan::batches(cursor(FIRST_BATCH, base), base, 0, &order, Replay::default())
        else {
            continue;
        };
        assert!(found.position <= len.max(FIRST_BATCH), "a scan stays inside of the file");
        let behind = scan::behind(&mut cursor(found.position, found.next_offset), salt, len);
        assert!(behind.is_ok_and(|b| b.torn <= len), "memory cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::base::RawRecord;
    use crate::batch::Batch;

    proptest! {
        #[test]
        fn no_bytes_break_the_state_of_a_footer(data in vec(any::<u8>(), 0..300)) {
            state(&data);
        }

        #[test]
        fn no_bytes_break_a_scan(data in vec(any::<u8>(), 0..400)) {
            segment(&data);
        }

        #[test]
        fn no_damage_to_batches_breaks_a_scan(
            count in 1_u64..6,
            damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut data = vec![0; 64];
            for offset in 0..count {
                let record = RawRecord { value: Some(b"v"), ..RawRecord::default() };
                let batch = Batch::encode(offset, &[record], Some(1)).unwrap();
                data.extend(batch.header.encode(9));
                data.extend(&batch.payload);
            }
            for (at, byte) in damage {
                let at = at.index(data.len());
                data[at] = byte;
            }
            batches(&data, 9, 0);
        }
    }
}
