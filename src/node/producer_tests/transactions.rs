//! Transactions of one partition.

use super::bed::{Bed, TXN};
use crate::backend::PartitionBackend;
use crate::base::wake_count::Count;
use crate::base::{ErrorKind, Isolation};
use crate::disk::sim::SimDisk;
use crate::partition::OpenTransaction;

#[test]
fn b31_a_marker_takes_an_offset_and_is_never_delivered() {
    let bed = Bed::in_memory();
    bed.begin(TXN, 0, &["a", "b", "c"]);
    assert_eq!(bed.end(TXN, 0, true).unwrap(), 3);
    let marks = bed.part.marks_now();
    assert_eq!((marks.stable, marks.visible, marks.end), (4, 4, 4));
    assert_eq!(bed.plain(&["d"]), 4);
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
        let (seen, position) = bed.read(isolation, 1);
        let offsets: Vec<_> = seen.iter().map(|(offset, _)| *offset).collect();
        assert_eq!((offsets, position), (vec![0, 1, 2, 4], 5));
    }
}

#[test]
fn b32_b33_readers_of_committed_wait_for_the_end_and_skip_what_was_aborted() {
    let bed = Bed::in_memory();
    bed.plain(&["p"]);
    bed.begin(TXN, 0, &["a"]);
    bed.plain(&["q"]);
    assert_eq!(bed.part.marks_now().stable, 1);
    assert_eq!(bed.committed(), ["p"], "not even what belongs to no transaction");
    assert_eq!(bed.all(), ["p", "a", "q"]);
    bed.end(TXN, 0, false).unwrap();
    assert_eq!(bed.committed(), ["p", "q"]);
    assert_eq!(bed.all(), ["p", "a", "q"], "its offset is its own");
}

#[test]
fn b36_two_transactions_interleave_and_each_is_whole() {
    let bed = Bed::in_memory();
    bed.begin(1, 0, &["a1"]);
    bed.begin(2, 0, &["b1"]);
    bed.send_in(1, 0, 1, &["a2"]).unwrap();
    bed.send_in(2, 0, 1, &["b2"]).unwrap();
    assert_eq!(bed.part.marks_now().stable, 0);
    bed.end(2, 0, true).unwrap();
    assert_eq!(bed.part.marks_now().stable, 0, "the first one is open");
    assert!(bed.committed().is_empty());
    bed.end(1, 0, false).unwrap();
    assert_eq!(bed.committed(), ["b1", "b2"]);
}

#[test]
fn b44_the_same_end_told_again_is_no_second_marker_and_another_one_is_refused() {
    let bed = Bed::in_memory();
    bed.begin(TXN, 0, &["a"]);
    let at = bed.end(TXN, 0, true).unwrap();
    assert_eq!(bed.end(TXN, 0, true).unwrap(), at);
    assert_eq!(bed.end(TXN, 0, false).unwrap_err().kind(), ErrorKind::InvalidTxnState);
    assert_eq!(bed.part.marks_now().end, at + 1);
    let late = bed.send_in(TXN, 0, 1, &["late"]).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::InvalidProducerEpoch);
    bed.begin(TXN, 1, &["b"]);
    bed.end(TXN, 1, true).unwrap();
    assert_eq!(bed.end(TXN, 0, true).unwrap_err().kind(), ErrorKind::InvalidProducerEpoch);
    assert_eq!(bed.part.producer(TXN).unwrap().last_marker, Some((1, true)));
}

#[test]
fn b49_only_what_the_coordinator_has_admitted_takes_part() {
    let bed = Bed::in_memory();
    let refused = bed.send_in(TXN, 0, 0, &["a"]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidTxnState);
    bed.begin(TXN, 0, &["a"]);
    let outside = bed.send(TXN, 0, 1, &["b"]).unwrap_err();
    assert_eq!(outside.kind(), ErrorKind::InvalidTxnState);
    let open = OpenTransaction {
        producer: TXN,
        epoch: 0,
        first_offset: 0,
        last_timestamp: super::bed::NOW,
    };
    assert_eq!(bed.part.open_transactions(), [open]);
    bed.end(TXN, 0, true).unwrap();
    assert_eq!(bed.part.open_transactions(), []);
}

#[test]
fn a_partition_without_records_of_it_gets_its_marker_all_the_same() {
    let bed = Bed::in_memory();
    bed.part.admit(TXN, 0).unwrap();
    assert_eq!(bed.end(TXN, 0, false).unwrap(), 0);
    assert_eq!(bed.part.producer(TXN).unwrap().last_marker, Some((0, false)));
    assert_eq!(bed.committed(), [""; 0]);
}

#[test]
fn b33_who_waits_for_committed_records_is_called_by_the_marker_alone() {
    let bed = Bed::in_memory();
    bed.begin(TXN, 0, &["a"]);
    let (committed, waker) = Count::new();
    assert!(bed.part.register(0, Isolation::ReadCommitted, &waker).is_some());
    let (any, waker) = Count::new();
    assert!(bed.part.register(0, Isolation::ReadUncommitted, &waker).is_none(), "there it is");
    assert!(bed.part.register(1, Isolation::ReadUncommitted, &waker).is_some());
    bed.plain(&["q"]);
    assert_eq!((committed.get(), any.get()), (0, 1));
    assert!(!bed.part.help(0, Isolation::ReadCommitted, bed.soon()).unwrap(), "nothing to do");
    bed.end(TXN, 0, true).unwrap();
    assert_eq!(committed.get(), 1);
    let (_, waker) = Count::new();
    assert!(bed.part.register(0, Isolation::ReadCommitted, &waker).is_none());
}

#[test]
fn b33_no_call_is_lost_between_a_reader_and_a_writer_of_transactions() {
    const ROUNDS: i16 = 300;
    let bed = Bed::in_memory();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for epoch in 0..ROUNDS {
                bed.begin(TXN, epoch, &["a", "b"]);
                bed.plain(&["p"]);
                bed.end(TXN, epoch, epoch % 2 == 0).unwrap();
            }
        });
        // A lost call is a test that never ends.
        let (mut from, end) = (0, 4 * ROUNDS as u64);
        while from < end {
            let parker = crate::base::wait::Parker::new();
            let waker = parker.waker();
            if let Some(token) = bed.part.register(from, Isolation::ReadCommitted, &waker) {
                parker.park(&crate::base::SystemClock, &crate::base::wait::Deadline::NEVER);
                bed.part.unregister(token);
            }
            let stable = bed.part.marks_now().stable;
            assert!(stable >= from, "it never goes back");
            from = stable;
        }
    });
    let (seen, position) = bed.read(Isolation::ReadCommitted, 1);
    assert_eq!(position, 4 * ROUNDS as u64);
    assert_eq!(seen.iter().filter(|(_, value)| value != "p").count(), ROUNDS as usize);
}

#[test]
fn b35_a_reader_in_the_middle_of_other_transactions_sees_what_is_committed() {
    let bed = Bed::in_memory();
    // Reader and writer at once: nothing aborted is ever seen, nothing committed is missed.
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for epoch in 0..200 {
                bed.begin(1, epoch, &["bad"]);
                bed.begin(2, epoch, &["good"]);
                bed.send_in(1, epoch, 1, &["bad"]).unwrap();
                bed.end(1, epoch, false).unwrap();
                bed.end(2, epoch, true).unwrap();
            }
        });
        while !writer.is_finished() {
            let (seen, _) = bed.read(Isolation::ReadCommitted, 64);
            assert!(seen.iter().all(|(_, value)| value == "good"));
        }
    });
    assert_eq!(bed.committed().len(), 200);
}

#[test]
fn an_end_finds_room_where_users_find_none() {
    for level in ["process-crash", "power-loss"] {
        let disk = SimDisk::new();
        let bed = Bed::on(&disk, level, &[]);
        bed.begin(TXN, 0, &["a"]);
        disk.set_space(disk.used_space());
        let long = "v".repeat(1_000);
        let full = (0..1_000).find_map(|_| bed.append(None, &[&long]).err()).unwrap();
        assert!(matches!(full.kind(), ErrorKind::StorageFull | ErrorKind::Timeout), "{full}");
        let at = bed.end(TXN, 0, false).unwrap();
        assert!(bed.append(None, &[&long]).is_err(), "still full");
        assert_eq!(bed.part.marks_now().end, at + 1);
        assert_eq!(bed.part.open_transactions(), []);
    }
}
