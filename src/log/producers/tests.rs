//! The rows of the guarantees that are decided here, without a log around them.

use super::*;
use crate::base::NAMED_PRODUCERS;
use crate::batch::{Attributes, Batch};

const DAY: i64 = 86_400_000;
const ID: i64 = 7;

fn claim(epoch: i16, sequence: i32, count: u32) -> Claim {
    Claim { epoch, sequence, count, transactional: false }
}

/// A partition of which only offsets matter.
#[derive(Default)]
struct Bench {
    producers: Producers,
    end: u64,
    now: i64,
}

impl Bench {
    fn send_as(&mut self, id: i64, claim: Claim) -> Result<Verdict, Refusal> {
        let verdict = self.producers.check(id, &claim, self.now, DAY)?;
        if verdict == Verdict::New {
            self.producers.forget_expired(id, self.now, DAY);
            let Claim { epoch, sequence, count, transactional } = claim;
            let run = Run { base_offset: self.end, sequence, count };
            self.producers.push(id, epoch, transactional, run, self.now);
            self.end += u64::from(count);
        }
        Ok(verdict)
    }

    fn send(&mut self, epoch: i16, sequence: i32, count: u32) -> Result<Verdict, Refusal> {
        self.send_as(ID, claim(epoch, sequence, count))
    }

    fn send_in(&mut self, id: i64, epoch: i16, sequence: i32) -> Result<Verdict, Refusal> {
        self.send_as(id, Claim { transactional: true, ..claim(epoch, sequence, 1) })
    }

    /// A record of somebody else in between: the next run is one of its own.
    fn plain(&mut self) {
        self.end += 1;
    }

    fn end(&mut self, id: i64, epoch: i16, commit: bool) -> Option<u64> {
        let ending = Ending { producer: id, epoch, commit };
        let first = self.producers.end(&ending, self.end, self.now);
        self.end += 1;
        first
    }
}

#[test]
fn b18_b19_numbers_go_up_by_one_and_zero_follows_the_greatest() {
    let mut bench = Bench::default();
    assert_eq!(bench.send(0, 0, 2), Ok(Verdict::New));
    assert_eq!(bench.send(0, 3, 1), Err(Refusal::OutOfOrder(2)), "one is missing");
    assert_eq!(bench.send(0, 2, 1), Ok(Verdict::New));
    let mut bench = Bench::default();
    assert_eq!(bench.send(0, i32::MAX - 1, 3), Ok(Verdict::New), "the first may be any");
    assert_eq!(bench.send(0, 2, 1), Err(Refusal::OutOfOrder(1)));
    assert_eq!(bench.send(0, i32::MAX, 2), Ok(Verdict::Duplicate(1)), "over the wrap");
    assert_eq!(bench.send(0, 1, 1), Ok(Verdict::New));
    assert_eq!(bench.send(0, i32::MAX, 3), Ok(Verdict::Duplicate(1)));
}

#[test]
fn b20_a_retry_of_one_of_the_last_five_runs_is_answered_with_its_offset() {
    let mut bench = Bench::default();
    for sequence in 0..5 {
        assert_eq!(bench.send(0, sequence * 2, 2), Ok(Verdict::New));
        bench.plain();
    }
    for sequence in 0..5_u64 {
        let again = bench.send(0, sequence as i32 * 2, 2);
        assert_eq!(again, Ok(Verdict::Duplicate(sequence * 3)));
    }
    assert_eq!(bench.send(0, 5, 1), Ok(Verdict::Duplicate(7)), "a part of a run");
    assert_eq!(bench.end, 15, "nothing was appended");
}

#[test]
fn b21_older_ones_and_overlaps_are_out_of_order_and_never_a_second_copy() {
    let mut bench = Bench::default();
    for sequence in 0..6 {
        bench.send(0, sequence * 2, 2).unwrap();
        bench.plain();
    }
    let end = bench.end;
    assert_eq!(bench.send(0, 0, 2), Err(Refusal::OutOfOrder(12)), "the sixth last");
    assert_eq!(bench.send(0, 3, 2), Err(Refusal::OutOfOrder(12)), "over two runs");
    assert_eq!(bench.send(0, 11, 2), Err(Refusal::OutOfOrder(12)), "over the end");
    assert_eq!(bench.end, end);
}

#[test]
fn b22_a_new_epoch_begins_at_zero_and_fences_the_lower_ones() {
    let mut bench = Bench::default();
    bench.send(3, 0, 2).unwrap();
    assert_eq!(bench.send(4, 2, 1), Err(Refusal::OutOfOrder(0)));
    assert_eq!(bench.send(3, 2, 1), Ok(Verdict::New), "the refused one changed nothing");
    assert_eq!(bench.send(4, 0, 1), Ok(Verdict::New));
    assert_eq!(bench.send(3, 3, 1), Err(Refusal::Fenced(4)));
    assert_eq!(bench.send(3, 0, 2), Err(Refusal::Fenced(4)), "not even a duplicate");
}

#[test]
fn b22_an_epoch_that_was_only_announced_fences_and_begins_at_zero() {
    let mut bench = Bench::default();
    bench.send(3, 0, 2).unwrap();
    bench.producers.fence(ID, 4, 0).unwrap();
    assert_eq!(bench.send(3, 2, 1), Err(Refusal::Fenced(4)));
    assert_eq!(bench.send(4, 2, 1), Err(Refusal::OutOfOrder(0)));
    assert_eq!(bench.producers.fence(ID, 3, 0), Err(Refusal::Fenced(4)));
    assert_eq!(bench.send(4, 0, 1), Ok(Verdict::New));
}

#[test]
fn b23_of_an_unknown_producer_any_first_number_is_taken() {
    let mut bench = Bench::default();
    assert_eq!(bench.send(9, 1_234, 1), Ok(Verdict::New));
    assert_eq!(bench.send(9, 1_236, 1), Err(Refusal::OutOfOrder(1_235)));
}

#[test]
fn b24_silent_producers_are_forgotten_but_not_in_a_transaction() {
    let mut bench = Bench::default();
    bench.send(0, 0, 1).unwrap();
    bench.producers.admit(8, 0, 0).unwrap();
    bench.send_in(8, 0, 0).unwrap();
    bench.now = DAY - 1;
    assert_eq!(bench.send(0, 5, 1), Err(Refusal::OutOfOrder(1)));
    bench.now = DAY;
    assert_eq!(bench.send(0, 5, 1), Ok(Verdict::New), "as good as unknown");
    assert_eq!(bench.send(0, 0, 1), Err(Refusal::OutOfOrder(6)), "what was is forgotten");
    bench.now = 3 * DAY;
    bench.producers.expire(bench.now, DAY);
    assert!(bench.producers.get(ID).is_none());
    assert!(bench.producers.get(8).is_some());
    bench.end(8, 0, true);
    bench.now += DAY;
    bench.producers.expire(bench.now, DAY);
    assert!(bench.producers.is_empty());
}

#[test]
fn b24_expired_ones_are_looked_for_every_ten_minutes() {
    let mut bench = Bench { now: EXPIRY_CHECK_MS, ..Bench::default() };
    bench.producers.expire(bench.now, 1);
    bench.send(0, 0, 1).unwrap();
    bench.producers.expire(bench.now + EXPIRY_CHECK_MS - 1, 1);
    assert!(bench.producers.get(ID).is_some());
    bench.producers.expire(bench.now + EXPIRY_CHECK_MS, 1);
    assert!(bench.producers.is_empty());
    bench.send(0, 0, 1).unwrap();
    bench.producers.expire(-DAY, 1);
    assert!(bench.producers.get(ID).is_some(), "the clock was set back, nobody is older for it");
}

#[test]
fn b25_producers_know_nothing_of_each_other() {
    let mut bench = Bench::default();
    bench.send(0, 0, 1).unwrap();
    assert_eq!(bench.send_as(8, claim(0, 0, 1)), Ok(Verdict::New), "the same content again");
}

#[test]
fn a_named_producer_goes_on_over_its_epochs_and_remembers_for_ever() {
    let named = NAMED_PRODUCERS | 3;
    let mut bench = Bench::default();
    for sequence in 100..110 {
        assert_eq!(bench.send_as(named, claim(0, sequence, 1)), Ok(Verdict::New));
        bench.plain();
    }
    bench.now = 1_000 * DAY;
    bench.producers.expire(bench.now, DAY);
    assert_eq!(bench.producers.get(named).unwrap().last_sequence(), Some(109));
    assert_eq!(bench.send_as(named, claim(0, 108, 1)), Ok(Verdict::Duplicate(16)));
    assert_eq!(bench.send_as(named, claim(0, 3, 1)), Ok(Verdict::Old(19)));
    assert_eq!(bench.send_as(named, claim(0, 109, 2)), Err(Refusal::OutOfOrder(110)), "half new");
    bench.producers.fence(named, 1, bench.now).unwrap();
    assert_eq!(bench.send_as(named, claim(0, 110, 1)), Err(Refusal::Fenced(1)));
    assert_eq!(bench.send_as(named, claim(1, 0, 1)), Ok(Verdict::Old(19)), "no new beginning");
    assert_eq!(bench.send_as(named, claim(1, 110, 1)), Ok(Verdict::New));
}

#[test]
fn b33_the_first_unstable_offset_is_that_of_the_earliest_open_transaction() {
    let mut bench = Bench::default();
    for id in [1, 2] {
        bench.producers.admit(id, 0, 0).unwrap();
    }
    bench.plain();
    bench.send_in(1, 0, 0).unwrap();
    bench.send_in(2, 0, 0).unwrap();
    bench.send_in(1, 0, 1).unwrap();
    assert_eq!(bench.producers.first_unstable(), 1);
    assert_eq!(bench.end(1, 0, true), Some(1));
    assert_eq!(bench.producers.first_unstable(), 2);
    assert_eq!(bench.end(2, 0, false), Some(2));
    assert_eq!(bench.producers.first_unstable(), u64::MAX);
}

#[test]
fn b44_nothing_of_a_transaction_lands_behind_its_end() {
    let mut bench = Bench::default();
    bench.producers.admit(ID, 0, 0).unwrap();
    bench.send_in(ID, 0, 0).unwrap();
    bench.end(ID, 0, true);
    assert_eq!(bench.send_in(ID, 0, 1), Err(Refusal::Ended(0)));
    assert_eq!(bench.send_in(ID, 0, 0), Err(Refusal::Ended(0)), "not even a duplicate");
    assert_eq!(bench.producers.admit(ID, 0, 0), Err(Refusal::Ended(0)));
    bench.producers.admit(ID, 1, 0).unwrap();
    assert_eq!(bench.send_in(ID, 1, 0), Ok(Verdict::New));
}

#[test]
fn b49_a_transaction_needs_the_coordinators_word_and_takes_nothing_from_outside() {
    let mut bench = Bench::default();
    assert_eq!(bench.send_in(ID, 0, 0), Err(Refusal::NotAdmitted));
    bench.producers.admit(ID, 0, 0).unwrap();
    assert_eq!(bench.send_in(ID, 1, 0), Err(Refusal::NotAdmitted), "of another epoch");
    assert_eq!(bench.send_in(ID, 0, 0), Ok(Verdict::New));
    assert_eq!(bench.send(0, 1, 1), Err(Refusal::InTransaction));
    bench.end(ID, 0, false);
    bench.producers.fence(ID, 1, 0).unwrap();
    assert_eq!(bench.send_in(ID, 1, 0), Err(Refusal::NotAdmitted), "each one anew");
}

#[test]
fn a_marker_of_a_higher_epoch_ends_what_it_fences() {
    let mut bench = Bench::default();
    bench.producers.admit(ID, 0, 0).unwrap();
    bench.send_in(ID, 0, 0).unwrap();
    assert_eq!(bench.end(ID, 1, false), Some(0));
    assert_eq!(bench.send_in(ID, 1, 0), Err(Refusal::Ended(1)));
    assert_eq!(bench.end(ID, 2, false), None, "nothing was open");
}

#[test]
fn lost_records_may_come_again_and_the_others_are_still_there() {
    let mut bench = Bench::default();
    bench.send(0, 0, 10).unwrap();
    bench.producers.forget(4, 6);
    assert_eq!(bench.send(0, 1, 2), Ok(Verdict::Duplicate(1)));
    assert_eq!(bench.send(0, 7, 2), Ok(Verdict::Duplicate(7)));
    assert_eq!(bench.send(0, 4, 2), Err(Refusal::OutOfOrder(10)), "others came behind them");
    bench.producers.forget(8, 10);
    assert_eq!(bench.send(0, 8, 2), Ok(Verdict::New));
    bench.producers.forget(0, 100);
    assert_eq!(bench.send(0, 3, 1), Ok(Verdict::New), "nothing is known any more");
}

fn header(id: i64, epoch: i16, base_offset: u64, sequence: i32, count: u32) -> BatchHeader {
    BatchHeader {
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        last_offset_delta: count - 1,
        count,
        base_timestamp: 50,
        max_timestamp_delta: 5,
        ..BatchHeader::empty(base_offset)
    }
}

fn marker(id: i64, epoch: i16, offset: u64, control: &Control) -> Batch {
    let (key, value) = (control.key(), control.value());
    let record = crate::base::RawRecord {
        key: Some(&key),
        value: Some(&value),
        ..crate::base::RawRecord::default()
    };
    let mut batch = Batch::encode(offset, &[record], Some(1)).unwrap();
    batch.header.producer_id = id;
    batch.header.producer_epoch = epoch;
    batch.header.attributes = Attributes::CONTROL.with(Attributes::TRANSACTIONAL);
    batch
}

#[test]
fn a69_headers_and_markers_alone_tell_the_same_state() {
    let mut bench = Bench::default();
    let mut replayed = Producers::default();
    bench.producers.admit(1, 0, 0).unwrap();
    bench.plain();
    assert_eq!(replayed.replay(&BatchHeader::empty(0), &[], 0), Ok(None), "nobody's");
    bench.send_in(1, 0, 0).unwrap();
    let transactional =
        BatchHeader { attributes: Attributes::TRANSACTIONAL, ..header(1, 0, 1, 0, 1) };
    replayed.replay(&transactional, &[], 0).unwrap();
    bench.send(0, i32::MAX, 3).unwrap();
    replayed.replay(&header(ID, 0, 2, i32::MAX, 3), &[], 0).unwrap();
    assert_eq!(replayed.first_unstable(), 1);
    bench.end(1, 0, false);
    let control = Control { commit: false, coordinator_epoch: 3, first_offset: Some(1), stable: 6 };
    let batch = marker(1, 0, 5, &control);
    let aborted = replayed.replay(&batch.header, &batch.payload, 0).unwrap().unwrap();
    assert_eq!(aborted, AbortedTxn { producer: 1, first: 1, marker: 5, stable: 6 });
    assert!(aborted.covers(&transactional) && !aborted.covers(&header(ID, 0, 2, 0, 3)));
    for id in [1, ID] {
        bench.producers.note_timestamp(id, 55);
    }
    assert_eq!(replayed, bench.producers);
    // Without what is in front of it the marker says the same.
    let alone = Producers::default().replay(&batch.header, &batch.payload, 0).unwrap();
    assert_eq!(alone, Some(aborted));
}

#[test]
fn a70_what_is_stored_is_what_was_known() {
    let mut bench = Bench::default();
    assert_eq!(encode(&bench.producers, &[]), [], "plain logs store nothing");
    for id in [1, 2, NAMED_PRODUCERS] {
        bench.producers.admit(id, 3, 5).unwrap();
        bench.send_in(id, 3, 0).unwrap();
    }
    for sequence in 0..7 {
        bench.send(1, sequence, 1).unwrap();
        bench.plain();
    }
    bench.end(1, 3, true);
    bench.end(2, 4, false);
    bench.producers.fence(ID, 2, 9).unwrap();
    let aborted = vec![AbortedTxn { producer: 2, first: 1, marker: 30, stable: 2 }];
    let bytes = encode(&bench.producers, &aborted);
    let read = decode(&bytes).unwrap();
    // That a coordinator has spoken is said again after an open.
    bench.producers.known.values_mut().for_each(|producer| producer.admitted = false);
    assert_eq!(read, Stored { producers: bench.producers, aborted });
    assert_eq!(read.producers.first_unstable(), 2, "of the named one");
    for len in 1..bytes.len() {
        assert_eq!(decode(&bytes[..len]), None, "{len}");
    }
    assert_eq!(decode(&[bytes, vec![0]].concat()), None);
}
