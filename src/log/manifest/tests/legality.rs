//! Histories that no writer produces are refused.

use super::*;
use crate::base::ErrorKind;

fn opened() -> ManifestState {
    let mut state = ManifestState::default();
    state.apply(&Record::LogCreated { log_id: 1 }).unwrap();
    state.apply(&Record::Opened { incarnation: 3, boot_id: None }).unwrap();
    state
}

#[track_caller]
fn refused(records: &[Record]) {
    let mut state = opened();
    let (last, legal) = records.split_last().unwrap();
    legal.iter().for_each(|record| state.apply(record).unwrap());
    assert!(state.check(std::slice::from_ref(last)).is_err(), "{last:?}");
    assert_eq!(state.apply(last).unwrap_err().kind(), ErrorKind::CorruptMessage);
}

#[test]
fn an_illegal_history_is_refused() {
    let seal = |number, next| Record::SegmentSealed { number, end: end(next) };
    let retire = |number| Record::SegmentRetired { number };
    let closed = |incarnation| Record::Closed { incarnation, ends: vec![] };
    let start = |offset| Record::LogStart { key: key(1, 0), offset };
    let gap = |from, to| Record::Gap { key: key(1, 0), from, to };
    refused(&[seal(1, 5)]);
    refused(&[created(1, 0), seal(1, 5), seal(1, 5)]);
    refused(&[created(1, 9), seal(1, 5)]);
    refused(&[created(1, 0), created(2, 4), seal(1, 5)]);
    refused(&[created(0, 0)]);
    refused(&[created(1, 0), created(1, 0)]);
    refused(&[created(1, 0), retire(1), created(1, 0)]);
    refused(&[created(1, 0), seal(1, 5), created(2, 4)]);
    refused(&[created(1, 0), seal(1, 5), retire(1), created(2, 4)]);
    refused(&[created(1, 0), Record::Checkpoint { number: 1, end: end(5) }, created(2, 4)]);
    refused(&[retire(1)]);
    refused(&[created(1, 0), Record::PartitionsRetired { topic_id: TopicId(1) }, seal(1, 5)]);
    refused(&[start(5), start(4)]);
    refused(&[ceiling(5), ceiling(4)]);
    refused(&[gap(5, 5)]);
    refused(&[gap(5, 9), gap(8, 10)]);
    refused(&[Record::Opened { incarnation: 2, boot_id: None }]);
    refused(&[closed(3), Record::Opened { incarnation: 3, boot_id: None }]);
    refused(&[closed(2)]);
    refused(&[closed(3), closed(3)]);
    refused(&[closed(3), ceiling(5)]);
    refused(&[Record::LogCreated { log_id: 1 }]);
    refused(&[Record::Checkpoint { number: 1, end: end(5) }]);
    refused(&[Record::Stage { number: 1, bytes: 1 }, Record::Stage { number: 1, bytes: 2 }]);
    let numbers = Record::Numbers { highest: 5, retired: vec![1..=1], skipped: vec![] };
    refused(&[created(1, 0), numbers]);
    let shorter = SegmentEnd { file_len: 600, ..end(5) };
    refused(&[created(1, 0), Record::SegmentSealed { number: 1, end: shorter }]);
    assert!(ManifestState::default().apply(&ceiling(1)).is_err(), "creation comes first");
}

#[test]
fn only_a_log_that_nobody_has_opened_gets_origins() {
    let origin = |log_id, upto| Record::Origin { log_id, upto };
    refused(&[origin(7, 5)]);
    let mut state = ManifestState::default();
    state.apply(&Record::LogCreated { log_id: 1 }).unwrap();
    state.apply(&origin(7, 5)).unwrap();
    assert!(state.check(&[origin(8, 5)]).is_err());
    state.apply(&origin(8, 9)).unwrap();
    assert_eq!([5, 6, 9, 10].map(|number| state.writer_of(number)), [7, 8, 8, 1]);
    assert!(state.is_removable(9), "no segment has said otherwise");
    state.apply(&Record::Opened { incarnation: 3, boot_id: None }).unwrap();
    state.apply(&created(6, 0)).unwrap();
    state.apply(&created(10, 4)).unwrap();
    assert!(state.check(&[created(6, 9)]).is_err());
    assert!(state.check(&[origin(9, 20)]).is_err());
    let mut again = ManifestState::default();
    state.records().iter().for_each(|record| again.apply(record).unwrap());
    assert_eq!(again, state, "a rewrite keeps them");
}

#[test]
fn segments_are_replaced_by_one_that_spans_the_same_offsets() {
    let seal = |number, next| Record::SegmentSealed { number, end: end(next) };
    let replace = |number, base_offset, next, old: &[u64]| Record::SegmentsReplaced {
        key: key(1, 0),
        number,
        base_offset,
        end: end(next),
        old: old.to_vec(),
    };
    let three = [created(1, 0), seal(1, 5), created(2, 7), seal(2, 9), created(3, 9), seal(3, 12)];
    let refuse = |last: Record| refused(&[&three[..], &[created(4, 12), last]].concat());
    refuse(replace(5, 0, 9, &[]));
    refuse(replace(5, 0, 9, &[1, 3]));
    refuse(replace(5, 0, 9, &[2, 1]));
    refuse(replace(5, 0, 8, &[1, 2]));
    refuse(replace(5, 1, 9, &[1, 2]));
    refuse(replace(5, 9, 12, &[3, 4]));
    refuse(replace(2, 0, 9, &[1, 2]));
    refuse(replace(5, 0, 9, &[1, 9]));
    let shorter = SegmentEnd { file_len: 600, ..end(9) };
    let (key, old) = (key(1, 0), vec![1, 2]);
    refuse(Record::SegmentsReplaced { key, number: 5, base_offset: 0, end: shorter, old });
    refused(&[Record::Compacted { key, offset: 5 }, Record::Compacted { key, offset: 4 }]);
    let mut state = opened();
    three.iter().for_each(|record| state.apply(record).unwrap());
    state.apply(&replace(5, 0, 9, &[1, 2])).unwrap();
    state.apply(&Record::Compacted { key, offset: 9 }).unwrap();
    let partition = state.partition(&key).unwrap();
    let numbers: Vec<_> = partition.segments().iter().map(|segment| segment.number).collect();
    assert_eq!((numbers, partition.compacted(), partition.floor()), (vec![5, 3], 9, 12));
    assert!(state.is_removable(1) && state.is_removable(2) && state.owner(5) == Some(&key));
}

#[test]
fn a_checkpoint_holds_only_until_the_next_open() {
    let mut state = opened();
    state.apply(&created(1, 0)).unwrap();
    state.apply(&Record::Checkpoint { number: 1, end: end(5) }).unwrap();
    assert_eq!(state.checkpoint(1), None, "not closed yet");
    let ends = vec![PartitionEnd { key: key(1, 0), offset: 8 }];
    state.apply(&Record::Closed { incarnation: 3, ends }).unwrap();
    assert_eq!(state.checkpoint(1), Some(&end(5)));
    assert_eq!(state.staged_end(&key(1, 0)), Some(8));
    state.apply(&Record::Opened { incarnation: 4, boot_id: None }).unwrap();
    assert_eq!((state.checkpoint(1), state.staged_end(&key(1, 0))), (None, None));
    assert!(!state.is_clean());
}

#[test]
fn only_numbers_that_never_hold_live_data_are_removable() {
    let mut state = opened();
    state.apply(&created(2, 0)).unwrap();
    state.apply(&created(5, 0)).unwrap();
    state.apply(&created(4, 0)).unwrap();
    state.apply(&Record::SegmentRetired { number: 2 }).unwrap();
    let removable: Vec<_> = (1..8).filter(|n| state.is_removable(*n)).collect();
    assert_eq!(removable, [1, 2, 3, 6, 7]);
    state.forget(&(2..=3));
    assert!(!state.is_removable(2), "a file that appears later is a stranger");
    assert_eq!(state.owner(4), Some(&key(1, 0)));
}
