use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::batch::samples::{Sample, payload, sample};

/// What a pass is to do, one record at a time.
fn one_by_one(bytes: &[u8], wanted: &Wanted, ends: &mut Vec<u32>) -> Passed {
    let mut reader = RecordReader::at(bytes, 0);
    let (mut count, mut next) = (0, wanted.deltas.start);
    let stop = loop {
        if count == wanted.most {
            break Stop::Full;
        }
        let delta = match reader.next() {
            Ok(Some(record)) => u64::from(record.offset_delta),
            Ok(None) => break Stop::End,
            Err(damage) => break Stop::Damaged(damage),
        };
        let is_last = reader.position() == bytes.len();
        if delta < next || delta + u64::from(!is_last) > u64::from(wanted.last) {
            break Stop::Damaged(ORDER);
        }
        if delta >= wanted.deltas.end {
            break Stop::Behind;
        }
        ends.push(reader.position() as u32);
        (count, next) = (count + 1, delta + 1);
    };
    Passed { count, next, stop }
}

/// Records of which many in a row are alike, with offsets that follow each other but for holes.
fn runs() -> impl Strategy<Value = Vec<Sample>> {
    vec((sample(), 1..20_usize, 0..3_u32), 1..6).prop_map(|runs| {
        let mut next = 0;
        let mut all = Vec::new();
        for (sample, count, hole) in runs {
            next += hole;
            for _ in 0..count {
                all.push(Sample { offset_delta: next, ..sample.clone() });
                next += 1;
            }
        }
        all
    })
}

fn check(bytes: &[u8], wanted: &Wanted) -> Passed {
    let (mut ends, mut expected) = (vec![1], vec![1]);
    let mut reader = RecordReader::at(bytes, 0);
    let passed = reader.pass(wanted, &mut ends);
    assert_eq!(passed, one_by_one(bytes, wanted, &mut expected));
    assert_eq!(ends, expected);
    assert_eq!(reader.position(), if passed.count == 0 { 0 } else { ends[passed.count] as usize });
    passed
}

proptest! {
    #[test]
    fn a_pass_does_what_is_done_one_by_one(
        samples in runs(), end in 0..90_u64, less in 0..3_u32, most in 0..100_usize,
    ) {
        let last = samples.last().map_or(0, |s| s.offset_delta).saturating_sub(less);
        let bytes = payload(&samples);
        check(&bytes, &Wanted { deltas: 0..end, last, most });
        let all = check(&bytes, &Wanted { deltas: 0..u64::MAX, last: u32::MAX, most: usize::MAX });
        prop_assert_eq!((all.count, all.stop), (samples.len(), Stop::End));
    }

    #[test]
    fn a_changed_byte_is_found_as_one_by_one(samples in runs(), at: usize, byte: u8, cut: usize) {
        let mut bytes = payload(&samples);
        let wanted = Wanted { deltas: 0..u64::MAX, last: u32::MAX, most: usize::MAX };
        let at = at % bytes.len();
        bytes[at] = byte;
        check(&bytes, &wanted);
        check(&bytes[..cut % bytes.len()], &wanted);
    }

    #[test]
    fn a_bit_that_changes_in_a_run_is_found_as_one_by_one(
        sample in sample(), count in 6..12_u32, at: usize, bit in 0..8_u8,
    ) {
        let nth = |offset_delta| Sample { offset_delta, ..sample.clone() };
        let mut bytes = payload(&(0..count).map(nth).collect::<Vec<_>>());
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        check(&bytes, &Wanted { deltas: 0..u64::MAX, last: count - 1, most: usize::MAX });
    }
}
