//! Reading by offset, by size, by time.

use super::bed::{Bed, config, records};
use crate::base::ErrorKind;

fn stamped(stamps: &[i64], interval: u32) -> Bed {
    let mut bed = Bed::new(config(100_000, interval));
    for stamp in stamps {
        bed.append(&[(Some(*stamp), b"value")]).unwrap();
    }
    bed
}

#[test]
fn a31_a_read_starts_at_the_offset_or_says_why_not() {
    let mut bed = Bed::new(config(400, 0));
    for i in 0..5 {
        bed.put(&[i; 60]);
    }
    let view = bed.log.view();
    assert!(view.read(5, 1_000, u64::MAX, true).unwrap().is_empty());
    let error = view.read(6, 1_000, u64::MAX, true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange);
    assert_eq!(
        (error.topic(), error.partition(), error.offset()),
        (Some("strata"), Some(3), Some(6))
    );
}

#[test]
fn a32_an_offset_inside_a_batch_gets_the_whole_batch() {
    let mut bed = Bed::new(config(4_000, 0));
    bed.append(&[(None, b"a"), (None, b"b"), (None, b"c")]).unwrap();
    bed.put(b"d");
    let batches = bed.log.view().read(2, 10_000, u64::MAX, true).unwrap();
    assert_eq!(batches[0].header.base_offset, 0);
    assert_eq!(records(&batches).len(), 4);
}

#[test]
fn a33_one_batch_comes_however_small_the_limit_and_however_large_the_batch() {
    let mut bed = Bed::new(config(1 << 20, 4_096));
    bed.put(b"small");
    bed.put(&vec![7; 3 << 20]);
    bed.put(b"small");
    for bed in [bed.log.view(), {
        bed.log.seal_behind().unwrap();
        bed.log.view()
    }] {
        let batches = bed.read(1, 0, u64::MAX, true).unwrap();
        assert_eq!(batches.len(), 1);
        assert_eq!(records(&batches)[0].2.len(), 3 << 20);
        assert_eq!(bed.read(0, 400, u64::MAX, true).unwrap().len(), 1);
        assert_eq!(bed.read(0, usize::MAX, u64::MAX, true).unwrap().len(), 3);
    }
}

#[test]
fn nothing_at_or_behind_the_bound_is_read() {
    let mut bed = Bed::new(config(400, 0));
    for i in 0..5 {
        bed.put(&[i; 60]);
    }
    let view = bed.log.view();
    assert_eq!(records(&view.read(0, usize::MAX, 3, true).unwrap()).len(), 3);
    assert!(view.read(3, usize::MAX, 3, true).unwrap().is_empty());
    assert!(view.read(4, usize::MAX, 3, true).unwrap().is_empty());
}

#[test]
fn a26_the_earliest_offset_with_a_timestamp_that_late() {
    let bed = stamped(&[10, 30, 20, 40], 0);
    let find = |ts| bed.log.view().find_timestamp(ts, u64::MAX).unwrap();
    assert_eq!(find(0), Some((0, 10)));
    assert_eq!(find(15), Some((1, 30)));
    assert_eq!(find(25), Some((1, 30)));
    assert_eq!(find(35), Some((3, 40)));
    assert_eq!(find(41), None);
    assert_eq!(bed.log.view().find_timestamp(35, 3).unwrap(), None, "not below the bound");
}

#[test]
fn a25_the_log_start_hides_what_is_below_it_inside_of_a_batch_too() {
    let mut bed = Bed::new(config(100_000, 0));
    bed.append(&[(Some(50), b"a"), (Some(10), b"b"), (None, b"c"), (Some(60), b"d")]).unwrap();
    bed.append(&[(Some(55), b"e")]).unwrap();
    bed.log.set_start(1).unwrap();
    let find = |ts| bed.log.view().find_timestamp(ts, u64::MAX).unwrap();
    assert_eq!((find(20), find(10)), (Some((3, 60)), Some((1, 10))));
    assert_eq!(bed.log.view().find_max_timestamp(u64::MAX).unwrap(), Some((3, 60)));
    assert_eq!(bed.log.view().find_max_timestamp(3).unwrap(), Some((1, 10)));
    assert_eq!(bed.log.view().find_max_timestamp(1).unwrap(), None);
}

#[test]
fn a28_the_greatest_timestamp_is_the_earliest_of_equals() {
    let mut bed = stamped(&[5, 90, 90, 7], 0);
    bed.log.skip_to(10).unwrap();
    bed.append(&[(Some(90), b"again"), (Some(2), b"last")]).unwrap();
    let max = |below| bed.log.view().find_max_timestamp(below).unwrap();
    assert_eq!((max(u64::MAX), max(1)), (Some((1, 90)), Some((0, 5))));
    assert_eq!(Bed::new(config(400, 0)).log.view().find_max_timestamp(9).unwrap(), None);
}
