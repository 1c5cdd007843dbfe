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
