//! Compaction, transactions and the numbers of producers.

use std::time::Duration;

use super::bed::{Bed, TXN};
use crate::backend::ProducerStamp;
use crate::base::{Isolation, RawRecord};
use crate::disk::sim::SimDisk;
use crate::node::CompactionOutcome;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const COMPACTED: [(&str, &str); 1] = [("cleanup.policy", "compact")];

/// Ends the segment, and compacts all that may be; bytes of batches that are left.
fn compact(bed: &Bed) -> u64 {
    bed.node.roll("t").unwrap();
    let report = bed.node.run_compaction(Some("t"), true).unwrap();
    match &report.partitions[0].outcome {
        CompactionOutcome::Compacted(done) => done.bytes_after,
        other => panic!("{other:?}"),
    }
}

fn open(disk: &SimDisk) -> Bed {
    Bed::on(disk, "power-loss", &COMPACTED)
}

fn offsets(bed: &Bed) -> (Vec<u64>, u64) {
    let (seen, position) = bed.read(Isolation::ReadUncommitted, 1);
    (seen.into_iter().map(|(offset, _)| offset).collect(), position)
}

#[test]
fn a56_what_was_aborted_goes_and_makes_nothing_older_obsolete() {
    let bed = open(&SimDisk::new());
    bed.plain(&["a:kept", "b:old"]);
    bed.begin(TXN, 0, &["a:aborted", "c:aborted"]);
    // The marker stands in another segment than the records that it ends.
    bed.node.roll("t").unwrap();
    bed.end(TXN, 0, false).unwrap();
    bed.begin(TXN, 1, &["b:new", "d:new"]);
    bed.end(TXN, 1, true).unwrap();
    compact(&bed);
    assert_eq!(bed.all(), ["a:kept", "b:new", "d:new"], "aborted records are gone for everybody");
    assert_eq!(bed.committed(), bed.all());
    assert_eq!(offsets(&bed), (vec![0, 5, 6], 8));
}

#[test]
fn a50_nothing_of_an_open_transaction_nor_behind_it_is_touched() {
    let bed = open(&SimDisk::new());
    bed.plain(&["a:1"]);
    bed.node.roll("t").unwrap();
    bed.begin(TXN, 0, &["a:2"]);
    bed.plain(&["a:3"]);
    compact(&bed);
    assert_eq!(bed.all(), ["a:1", "a:2", "a:3"]);
    bed.end(TXN, 0, false).unwrap();
    compact(&bed);
    assert_eq!(bed.all(), ["a:3"]);
}

#[test]
fn a57_the_last_marker_of_a_producer_stays() {
    let disk = SimDisk::new();
    let bed = open(&disk);
    bed.begin(TXN, 0, &["a:1"]);
    let marker = bed.end(TXN, 0, false).unwrap();
    bed.plain(&["a:2"]);
    for _ in 0..3 {
        compact(&bed);
        bed.clock.advance(2 * DAY);
    }
    assert_eq!(offsets(&bed), (vec![2], 3));
    let left = disk.kill();
    drop(bed);
    let bed = open(&left);
    // Told again, the end is the one that is known: it was found.
    assert_eq!(bed.end(TXN, 0, false).unwrap(), marker);
    assert_eq!(bed.all(), ["a:2"]);
}

#[test]
fn a57_a_marker_goes_after_the_records_of_its_transaction_and_the_retention_of_deletes() {
    for commit in [true, false] {
        let disk = SimDisk::new();
        let bed = open(&disk);
        for epoch in 0..20 {
            bed.begin(TXN, epoch, &["a:of a transaction"]);
            bed.end(TXN, epoch, commit).unwrap();
            bed.node.roll("t").unwrap();
        }
        // Something is left of this one: its marker stays.
        bed.begin(TXN, 20, &["b:kept", "a:not kept"]);
        bed.end(TXN, 20, true).unwrap();
        bed.plain(&["a:the newest"]);
        let left = [compact(&bed), compact(&bed)];
        assert_eq!(left[0], left[1], "until then every marker stays");
        bed.clock.advance(DAY - Duration::from_millis(1));
        assert_eq!(compact(&bed), left[0]);
        bed.clock.advance(Duration::from_millis(1));
        let then = compact(&bed);
        assert!(left[0] - then > 18 * 100, "{} of {}: twenty markers went", then, left[0]);
        for _ in 0..2 {
            bed.clock.advance(DAY);
            assert_eq!(compact(&bed), then, "the marker of what is left stays");
        }
        let images = [disk.kill(), disk.power_cut(1)];
        drop(bed);
        for left in images {
            let bed = open(&left);
            assert_eq!(bed.all(), ["b:kept", "a:the newest"]);
            assert_eq!(bed.committed(), bed.all());
            bed.begin(TXN, 21, &["c:the next"]);
            bed.end(TXN, 21, true).unwrap();
            bed.tick();
            assert_eq!(bed.committed(), ["b:kept", "a:the newest", "c:the next"]);
        }
    }
}

#[test]
fn a58_a_duplicate_has_the_time_of_the_first_behind_the_horizon_of_a_tombstone() {
    let bed = open(&SimDisk::new());
    let tombstone = RawRecord { key: Some(b"a"), ..RawRecord::default() };
    let stamp = ProducerStamp { id: 7, epoch: 0, sequence: 0, transactional: false };
    let first = bed.append_records(Some(stamp), &[tombstone]).unwrap();
    bed.tick();
    compact(&bed);
    bed.clock.advance(Duration::from_secs(60));
    let again = bed.append_records(Some(stamp), &[tombstone]).unwrap();
    assert_eq!((again.base_offset, again.duplicate, again.exact), (0, true, true));
    assert_eq!(again.timestamp_ms, first.timestamp_ms);
}

#[test]
fn a58_the_numbers_of_a_producer_go_on_behind_a_compaction_and_a_restart() {
    let disk = SimDisk::new();
    let bed = open(&disk);
    let mut last = 0;
    for sequence in 0..20 {
        last = bed.send(7, 0, sequence, &["a:of a producer"]).unwrap().base_offset;
        bed.node.roll("t").unwrap();
    }
    bed.plain(&["a:of nobody"]);
    let bytes = compact(&bed);
    assert_eq!(bed.all(), ["a:of nobody"]);
    assert!(bytes < 3 * 64 + 100, "{bytes}: one header is left of the producer's, not twenty");
    for left in [disk.kill(), disk.power_cut(1)] {
        let bed = open(&left);
        let again = bed.send(7, 0, 19, &["a:of a producer"]).unwrap();
        assert!(again.duplicate);
        assert_eq!(again.base_offset, last);
        assert!(bed.send(7, 0, 21, &["a:a gap"]).is_err());
        assert!(!bed.send(7, 0, 20, &["a:the next"]).unwrap().duplicate);
    }
}

/// Transactions whose records go, then their markers; `None` when the disk has gone.
fn wear(disk: &SimDisk, bed: &Bed) -> Option<()> {
    let alive = || (!disk.is_off()).then_some(());
    for (epoch, commit) in [(1, true), (2, false), (3, true)] {
        bed.part.admit(TXN, epoch).ok()?;
        bed.send_in(TXN, epoch, 0, &["a:old", "a:older than the newest"]).ok()?;
        bed.end(TXN, epoch, commit).ok()?;
        bed.node.roll("t").ok()?;
        alive()?;
    }
    bed.append(None, &["a:the newest"]).ok()?;
    for _ in 0..3 {
        bed.node.roll("t").ok()?;
        bed.node.run_compaction(Some("t"), true).ok()?;
        alive()?;
        bed.clock.advance(DAY);
    }
    Some(())
}

#[test]
fn a57_a_crash_at_every_operation_opens_no_transaction_again() {
    let prepare = |disk: &SimDisk| {
        let bed = open(disk);
        bed.plain(&["k:first"]);
        bed.tick();
        bed
    };
    let disk = SimDisk::new();
    let bed = prepare(&disk);
    let before = disk.operations();
    wear(&disk, &bed).unwrap();
    let all = disk.operations() - before;
    assert!(all > 60, "{all}");
    for at in 1..=all {
        let disk = SimDisk::new();
        let bed = prepare(&disk);
        disk.crash_at(disk.operations() + at);
        let worn = wear(&disk, &bed);
        drop(bed);
        for left in [disk.kill(), disk.power_cut(at)] {
            let bed = open(&left);
            let how = format!("operation {at}, {worn:?}");
            let committed = bed.committed();
            assert_eq!(committed.first().map(String::as_str), Some("k:first"), "{how}");
            // What was left open is ended; then nothing is open, and another one can begin.
            let open = bed.part.producer(TXN).filter(|known| known.open_first_offset.is_some());
            if let Some(known) = open {
                bed.end(TXN, known.epoch, false).unwrap();
            }
            bed.begin(TXN, 9, &["c:the next"]);
            bed.end(TXN, 9, true).unwrap();
            bed.tick();
            assert_eq!(bed.committed().last().map(String::as_str), Some("c:the next"), "{how}");
        }
    }
}
