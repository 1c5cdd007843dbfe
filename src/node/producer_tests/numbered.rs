//! Appends with sequence numbers.

use super::bed::{Bed, NOW, TXN};
use crate::backend::ProducerStamp;
use crate::base::{ErrorKind, NAMED_PRODUCERS};
use crate::disk::sim::SimDisk;

fn kind(result: crate::base::Result<crate::backend::Appended>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn b19_a_gap_in_the_numbers_is_refused_and_nothing_is_appended() {
    let bed = Bed::in_memory();
    for sequence in 0..3 {
        let appended = bed.send(7, 0, sequence, &["v"]).unwrap();
        assert_eq!((appended.base_offset, appended.duplicate), (sequence as u64, false));
    }
    let error = bed.send(7, 0, 4, &["v"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfOrderSequenceNumber);
    assert!(error.to_string().contains("sequence 4 of producer 7, epoch 0: 3 is next"), "{error}");
    assert_eq!(bed.part.marks_now().end, 3);
    assert_eq!(bed.send(7, 0, 3, &["v", "w"]).unwrap().base_offset, 3);
}

#[test]
fn b20_a_duplicate_has_the_offset_and_the_time_of_the_first() {
    let bed = Bed::in_memory();
    bed.plain(&["x"]);
    let first = bed.send(7, 0, 0, &["a", "b"]).unwrap();
    bed.clock.advance(std::time::Duration::from_secs(5));
    bed.send(7, 0, 2, &["c"]).unwrap();
    bed.plain(&["y"]);
    let again = bed.send(7, 0, 0, &["a", "b"]).unwrap();
    assert_eq!((again.base_offset, again.duplicate, again.exact), (1, true, true));
    assert_eq!((first.timestamp_ms, again.timestamp_ms), (NOW, NOW));
    let third = bed.send(7, 0, 2, &["c"]).unwrap();
    assert_eq!((third.base_offset, third.timestamp_ms), (3, NOW + 5_000));
    assert_eq!(bed.all(), ["x", "a", "b", "c", "y"]);
}

#[test]
fn b20_calls_that_share_a_batch_are_answered_one_by_one_and_together() {
    let bed = Bed::in_memory();
    for sequence in 0..20 {
        bed.send(7, 0, sequence, &["v"]).unwrap();
    }
    for sequence in 0..20 {
        let again = bed.send(7, 0, sequence, &["v"]).unwrap();
        assert_eq!((again.base_offset, again.duplicate), (sequence as u64, true));
    }
    assert_eq!(bed.send(7, 0, 5, &["v"; 10]).unwrap().base_offset, 5);
    assert_eq!(bed.part.marks_now().end, 20);
}

#[test]
fn b21_beyond_five_runs_nothing_is_known_and_nothing_is_appended_twice() {
    let bed = Bed::in_memory();
    for sequence in 0..6 {
        bed.send(7, 0, sequence, &["v"]).unwrap();
        bed.plain(&["x"]);
    }
    assert_eq!(kind(bed.send(7, 0, 0, &["v"])), ErrorKind::OutOfOrderSequenceNumber);
    assert!(bed.send(7, 0, 1, &["v"]).unwrap().duplicate);
    assert_eq!(kind(bed.send(7, 0, 5, &["v", "w"])), ErrorKind::OutOfOrderSequenceNumber);
    assert_eq!(bed.part.marks_now().end, 12);
}

#[test]
fn b22_a_lower_epoch_is_refused_in_the_middle_of_its_turn() {
    let bed = Bed::in_memory();
    bed.send(7, 0, 0, &["v"]).unwrap();
    bed.send(7, 0, 1, &["v"]).unwrap();
    bed.part.fence(7, 1).unwrap();
    assert_eq!(kind(bed.send(7, 0, 2, &["v"])), ErrorKind::InvalidProducerEpoch);
    assert_eq!(kind(bed.send(7, 1, 2, &["v"])), ErrorKind::OutOfOrderSequenceNumber);
    assert_eq!(bed.send(7, 1, 0, &["v"]).unwrap().base_offset, 2);
    assert_eq!(bed.part.fence(7, 0).unwrap_err().kind(), ErrorKind::InvalidProducerEpoch);
}

#[test]
fn b24_producers_expire_but_those_with_names() {
    let set = |options: &mut crate::node::Options| {
        options.settings.insert("producer.id.expiration.ms".into(), "1000".into());
    };
    let bed = Bed::open(set, &[]).unwrap();
    let named = NAMED_PRODUCERS | 1;
    bed.send(7, 0, 0, &["v"]).unwrap();
    bed.send(named, 0, 0, &["v"]).unwrap();
    bed.clock.advance(std::time::Duration::from_millis(1_000));
    assert_eq!(bed.send(7, 0, 5, &["v"]).unwrap().base_offset, 2, "any number, as of a new one");
    assert_eq!(kind(bed.send(named, 0, 5, &["v"])), ErrorKind::OutOfOrderSequenceNumber);
    assert!(bed.send(named, 0, 0, &["v"]).unwrap().duplicate);
    assert_eq!(bed.part.producer(named).unwrap().last_sequence, Some(0));
}

#[test]
fn a_named_producers_old_records_are_duplicates_without_an_offset() {
    let bed = Bed::in_memory();
    let named = NAMED_PRODUCERS | 1;
    for sequence in 0..10 {
        bed.send(named, 0, sequence, &["v"]).unwrap();
        bed.plain(&["x"]);
    }
    let old = bed.send(named, 0, 0, &["v", "v"]).unwrap();
    assert!(old.duplicate && !old.exact);
    assert!(old.base_offset + 2 <= 19, "they stand below");
    assert_eq!(bed.part.marks_now().end, 20);
}

#[test]
fn what_is_no_stamp_is_refused_with_its_values() {
    let bed = Bed::in_memory();
    for (id, epoch, sequence) in [(-1, 0, 0), (7, -1, 0), (7, 0, -1)] {
        let stamp = ProducerStamp { id, epoch, sequence, transactional: false };
        let error = bed.append(Some(stamp), &["v"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        let values = format!("producer id {id}, epoch {epoch}, sequence {sequence}");
        assert!(error.to_string().contains(&values), "{error}");
    }
}

#[test]
fn a_call_that_is_written_through_is_numbered_as_others_are() {
    let bed = Bed::in_memory();
    let long = "v".repeat(200 << 10);
    bed.send(7, 0, 0, &["a"]).unwrap();
    assert_eq!(bed.send(7, 0, 1, &[&long, "b"]).unwrap().base_offset, 1);
    assert_eq!(kind(bed.send(7, 0, 2, &[&long, "b"])), ErrorKind::OutOfOrderSequenceNumber);
    let again = bed.send(7, 0, 1, &[&long, "b"]).unwrap();
    assert_eq!((again.base_offset, again.duplicate), (1, true));
    assert_eq!(bed.send(7, 0, 3, &["c"]).unwrap().base_offset, 3);
    assert!(bed.send(7, 0, 0, &["a"]).unwrap().duplicate);
}

#[test]
fn records_of_several_producers_and_of_none_share_no_batch() {
    let bed = Bed::in_memory();
    for round in 0..50_i32 {
        for id in 0..3 {
            bed.send(id, 0, round, &["v"]).unwrap();
        }
        bed.plain(&["x"]);
    }
    for id in 0..3 {
        assert_eq!(bed.part.producer(id).unwrap().last_sequence, Some(49));
        assert_eq!(kind(bed.send(id, 0, 51, &["v"])), ErrorKind::OutOfOrderSequenceNumber);
        assert!(bed.send(id, 0, 45, &["v"]).unwrap().duplicate);
    }
    assert_eq!(bed.all().len(), 200);
}

#[test]
fn b20_records_of_nobody_stay_out_of_a_producers_batch_when_its_turn_was_ended_by_a_look() {
    let looks: [fn(&Bed); 3] = [
        |bed| drop(bed.part.producers()),
        |bed| drop(bed.part.open_transactions()),
        // A duplicate is answered, and nothing is appended.
        |bed| assert!(bed.send(7, 0, 0, &["a"]).unwrap().duplicate),
    ];
    for look in looks {
        let disk = SimDisk::new();
        let bed = Bed::on(&disk, "process-crash", &[]);
        bed.send(7, 0, 0, &["a"]).unwrap();
        look(&bed);
        bed.plain(&["of nobody"]);
        bed.begin(TXN, 0, &["aborted"]);
        look(&bed);
        bed.plain(&["of nobody either"]);
        bed.end(TXN, 0, false).unwrap();
        let seen = ["a", "of nobody", "of nobody either"];
        assert_eq!(bed.committed(), seen);
        let left = disk.kill();
        drop(bed);
        let bed = Bed::on(&left, "process-crash", &[]);
        assert_eq!(bed.committed(), seen);
        assert_eq!(bed.part.producer(7).unwrap().last_sequence, Some(0));
        assert!(!bed.send(7, 0, 1, &["b"]).unwrap().duplicate);
    }
}
