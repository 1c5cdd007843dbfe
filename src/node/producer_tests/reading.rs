//! What readers of committed records are told of ends and times.

use super::bed::{Bed, NOW, TXN};
use crate::backend::PartitionBackend;
use crate::base::{Isolation, TopicPartition};
use crate::disk::sim::SimDisk;
use crate::node::OffsetSpec;

const BOTH: [Isolation; 2] = [Isolation::ReadUncommitted, Isolation::ReadCommitted];

#[test]
fn b34_a28_the_latest_offset_of_committed_records_is_the_last_stable_one() {
    let bed = Bed::in_memory();
    bed.plain(&["p"]);
    bed.begin(TXN, 0, &["a"]);
    let at = TopicPartition::new("t", 0);
    let latest = |isolation| {
        bed.node.list_offset(&at, OffsetSpec::Latest, isolation).unwrap().unwrap().offset
    };
    assert_eq!(BOTH.map(latest), [2, 1]);
    bed.end(TXN, 0, true).unwrap();
    assert_eq!(BOTH.map(latest), [3, 3]);
}

#[test]
fn a29_a_time_in_an_open_transaction_is_not_found_and_markers_never_are() {
    for disk in [None, Some(SimDisk::new())] {
        let bed = match &disk {
            None => Bed::in_memory(),
            Some(disk) => Bed::on(disk, "process-crash", &[]),
        };
        bed.plain(&["p"]);
        bed.clock.advance(std::time::Duration::from_secs(1));
        bed.begin(TXN, 0, &["a"]);
        let find = |time, isolation| bed.part.find_timestamp(time, isolation).unwrap();
        let most = |isolation| bed.part.find_max_timestamp(isolation).unwrap();
        assert_eq!(find(NOW + 1, Isolation::ReadCommitted), None);
        assert_eq!(find(NOW + 1, Isolation::ReadUncommitted), Some((1, NOW + 1_000)));
        assert_eq!(BOTH.map(most), [Some((1, NOW + 1_000)), Some((0, NOW))]);
        bed.clock.advance(std::time::Duration::from_secs(1));
        bed.end(TXN, 0, true).unwrap();
        if disk.is_some() {
            bed.tick();
        }
        assert_eq!(find(NOW + 1, Isolation::ReadCommitted), Some((1, NOW + 1_000)));
        assert_eq!(BOTH.map(|isolation| find(NOW + 1_001, isolation)), [None; 2]);
        assert_eq!(BOTH.map(most), [Some((1, NOW + 1_000)); 2]);
    }
}

#[test]
fn a29_a_marker_is_not_found_by_its_time_in_a_segment_either() {
    let bed = Bed::on(&SimDisk::new(), "power-loss", &[]);
    bed.begin(TXN, 0, &["a"]);
    bed.clock.advance(std::time::Duration::from_secs(1));
    bed.end(TXN, 0, true).unwrap();
    bed.node.roll("t").unwrap();
    for isolation in BOTH {
        let find = |time| bed.part.find_timestamp(time, isolation).unwrap();
        assert_eq!((find(NOW), find(NOW + 1)), (Some((0, NOW)), None));
        assert_eq!(bed.part.find_max_timestamp(isolation).unwrap(), Some((0, NOW)));
    }
}

#[test]
fn a34_a_position_passes_what_is_hidden_however_much_it_is() {
    let bed = Bed::in_memory();
    bed.plain(&["p"]);
    for epoch in 0..300 {
        bed.begin(TXN, epoch, &["bad", "bad"]);
        bed.end(TXN, epoch, false).unwrap();
    }
    for max_bytes in [1, 100, 1 << 20] {
        let (seen, position) = bed.read(Isolation::ReadCommitted, max_bytes);
        assert_eq!((seen.len(), position), (1, 901));
        assert_eq!(bed.read(Isolation::ReadUncommitted, max_bytes).0.len(), 601);
    }
    bed.plain(&["q"]);
    assert_eq!(bed.committed(), ["p", "q"]);
}
