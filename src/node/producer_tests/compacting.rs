//! Compaction, transactions and the numbers of producers.

use super::bed::{Bed, TXN};
use crate::base::Isolation;
use crate::disk::sim::SimDisk;
use crate::node::CompactionOutcome;

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
fn a57_a_marker_stays_where_it_is() {
    let disk = SimDisk::new();
    let bed = open(&disk);
    bed.begin(TXN, 0, &["a:1"]);
    let marker = bed.end(TXN, 0, false).unwrap();
    bed.plain(&["a:2"]);
    compact(&bed);
    compact(&bed);
    assert_eq!(offsets(&bed), (vec![2], 3));
    drop(bed);
    let bed = open(&disk.kill());
    // Told again, the end is the one that is known: it was found.
    assert_eq!(bed.end(TXN, 0, false).unwrap(), marker);
    assert_eq!(bed.all(), ["a:2"]);
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
