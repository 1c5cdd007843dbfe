//! Reading what is synced of a segment that is still written, out of a map.
//!
//! The simulated disk takes part: it panics where something is lent that is not durable, and where
//! something that was lent is written to, or cut off, by whomever and however much later.

use std::sync::Arc;

use proptest::prelude::*;

use super::bed::{Bed, Seen, batch, config, placed, records};
use crate::batch::Batch;
use crate::disk::sim::{Fault, Operation, SimDisk};
use crate::disk::{Disk, OsDisk};

fn bed(disk: &SimDisk, segment_bytes: u32) -> Bed {
    Bed::on(Arc::new(disk.clone()), config(segment_bytes, 1_000)).unwrap()
}

/// All batches of the log, read in pieces of about `bytes`.
fn read(bed: &Bed, bytes: usize) -> Vec<Batch> {
    let (view, mut all) = (bed.log.view(), Vec::new());
    let mut at = view.start();
    while at < view.end() {
        let read = view.read(at, bytes, u64::MAX, true).unwrap();
        let Some(last) = read.last() else { break };
        at = last.header.next_offset();
        all.extend(read);
    }
    all
}

fn value(number: u64) -> Vec<u8> {
    let len = usize::try_from(number.wrapping_mul(0x9e37_79b9) % 900).unwrap();
    vec![u8::try_from(number % 251).unwrap(); len]
}

fn seen(number: u64) -> Seen {
    (number, None, value(number))
}

fn put(bed: &mut Bed, count: u64) {
    for number in bed.log.end_offset()..bed.log.end_offset() + count {
        bed.put(&value(number));
    }
}

#[test]
fn a_read_takes_what_is_synced_out_of_the_map_and_the_rest_out_of_the_file() {
    let disk = SimDisk::new();
    let mut bed = bed(&disk, 1 << 20);
    put(&mut bed, 100);
    bed.log.sync().unwrap();
    let reads = |bed: &Bed| {
        disk.start_trace();
        let all = records(&read(bed, 5_000));
        assert_eq!(all, (0..bed.log.end_offset()).map(seen).collect::<Vec<_>>());
        disk.trace().iter().filter(|done| done.operation == Operation::Read).count()
    };
    // The batch that shares a sector with the end.
    assert_eq!(reads(&bed), 1);
    put(&mut bed, 100);
    assert!(reads(&bed) > 5, "nothing of the second half is synced");
    bed.log.sync().unwrap();
    assert_eq!(reads(&bed), 1);
    disk.set_maps(false);
    assert_eq!(reads(&bed), 1, "the map that there is goes on");
    let again = bed.close();
    assert!(reads(&again) > 10, "without maps all of it is read");
}

#[test]
fn a_failed_sync_costs_nothing_that_was_lent_before() {
    for seed in 0..20 {
        let disk = SimDisk::new();
        let mut bed = bed(&disk, 1 << 20);
        put(&mut bed, 20 + seed);
        bed.log.sync().unwrap();
        let (end, held) = (bed.log.end_offset(), read(&bed, 3_000));
        put(&mut bed, 30);
        assert_eq!(read(&bed, 3_000).len(), held.len() + 30);
        disk.fail_next(Operation::Sync, ".seg", Fault::SyncFails);
        bed.log.sync().unwrap_err();
        assert_eq!(records(&read(&bed, 3_000))[..held.len()], records(&held));
        disk.drop_caches();
        assert_eq!(records(&held), (0..end).map(seen).collect::<Vec<_>>());
        let staged: Vec<_> = (end..end + 30).map(|at| batch(at, &[(None, &value(at))])).collect();
        let staged: Vec<_> = staged.iter().map(placed).collect();
        assert!(bed.log.rescue(&staged, 0).unwrap().is_empty());
        put(&mut bed, 10);
        assert_eq!(records(&held), (0..end).map(seen).collect::<Vec<_>>());
        assert_eq!(records(&bed_all(&bed)), (0..end + 40).map(seen).collect::<Vec<_>>());
    }
}

fn bed_all(bed: &Bed) -> Vec<Batch> {
    read(bed, usize::MAX)
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64),
    Sync,
    FailSync,
    FailWrite,
    Read(usize),
    DropCaches,
    Seal,
    Close,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1_u64..12).prop_map(Step::Put),
        4 => Just(Step::Sync),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailWrite),
        5 => (1_usize..9_000).prop_map(Step::Read),
        2 => Just(Step::DropCaches),
        1 => Just(Step::Seal),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
    ]
}

proptest! {
    /// Whatever was read stays as it was, and every read finds all of it.
    #[test]
    fn what_was_lent_never_changes(
        steps in prop::collection::vec(step(), 1..40),
        segment_bytes in prop_oneof![Just(6_000_u32), Just(1 << 20)],
    ) {
        let disk = SimDisk::new();
        let mut bed = bed(&disk, segment_bytes);
        let mut held: Vec<(Vec<Batch>, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Put(count) => put(&mut bed, count),
                Step::Sync => bed.log.sync().unwrap(),
                Step::FailSync => {
                    let (synced, end) = (bed.log.synced_offset(), bed.log.end_offset());
                    disk.fail_next(Operation::Sync, ".seg", Fault::SyncFails);
                    let failed = bed.log.sync().is_err();
                    disk.clear_faults();
                    if failed {
                        let staged = (synced..end).map(|at| batch(at, &[(None, &value(at))]));
                        let staged: Vec<_> = staged.collect();
                        let staged: Vec<_> = staged.iter().map(placed).collect();
                        bed.log.rescue(&staged, 0).unwrap();
                    }
                }
                Step::FailWrite => {
                    disk.fail_next(Operation::Write, ".seg", Fault::ShortWrite(70));
                    let number = bed.log.end_offset();
                    prop_assert!(bed.append(&[(None, &value(number))]).is_err());
                    disk.clear_faults();
                }
                Step::Read(bytes) => held.push((read(&bed, bytes), bed.log.end_offset())),
                Step::DropCaches => disk.drop_caches(),
                Step::Seal => {
                    bed.log.sync().unwrap();
                    bed.log.seal_behind().unwrap();
                }
                Step::Close => bed = bed.close(),
                Step::Kill => {
                    bed = bed.kill();
                    // As every open does before anybody appends.
                    bed.log.sync().unwrap();
                }
            }
            for (batches, end) in &held {
                prop_assert_eq!(records(batches), (0..*end).map(seen).collect::<Vec<_>>());
            }
        }
        let end = bed.log.end_offset();
        prop_assert_eq!(records(&read(&bed, 4_000)), (0..end).map(seen).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_lent_of_a_real_file_stays_while_it_grows_and_is_cut_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new());
    let mut bed = Bed::at(disk, &dir.path().join("log"), config(1 << 30, 4_096)).unwrap();
    let mut held = Vec::new();
    for round in 1..=20 {
        put(&mut bed, 100);
        held.push((read(&bed, 100_000), bed.log.end_offset()));
        bed.log.sync().unwrap();
        held.push((read(&bed, 100_000), bed.log.end_offset()));
        if round == 15 {
            bed = bed.close();
        }
    }
    // The space that was reserved goes, with the map of it.
    bed.log.close().unwrap();
    for (batches, end) in &held {
        assert_eq!(records(batches), (0..*end).map(seen).collect::<Vec<_>>());
    }
    let segment = bed.segment_files().pop().unwrap();
    let len = bed.disk.open(&segment).unwrap().len().unwrap();
    assert!(len > 4 * (64 << 10) && len < 4 << 20, "{len}: some pieces were lent, and none cut");
}
