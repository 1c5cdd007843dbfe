//! A crash at every operation, and a fault at every operation.

use std::sync::Arc;

use super::bed::{Bed, all, batch, config, name, placed};
use crate::base::Result;
use crate::batch::Batch;
use crate::disk::sim::SimDisk;
use crate::disk::sim::{Fault, Operation};
use crate::log::Placed;

/// The value that belongs to an offset.
fn value(offset: u64) -> Vec<u8> {
    let len = 20 + usize::try_from(offset * 37 % 150).unwrap();
    vec![u8::try_from(offset % 250).unwrap() + 1; len]
}

/// What the log promised before the machine stopped.
#[derive(Debug, Default)]
struct Promises {
    written: u64,
    synced: u64,
    start: u64,
    /// The greatest start that was asked for.
    asked_start: u64,
    gap: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// This many batches of one record each, in one call.
    Write(u64),
    Sync,
    Seal,
    Trim(u64),
    Skip,
    Close,
}

const STEPS: [Step; 17] = [
    Step::Write(3),
    Step::Sync,
    Step::Write(1),
    Step::Write(6),
    Step::Seal,
    Step::Write(2),
    Step::Sync,
    Step::Close,
    Step::Write(2),
    Step::Trim(6),
    Step::Skip,
    Step::Write(4),
    Step::Sync,
    Step::Write(5),
    Step::Seal,
    Step::Close,
    Step::Write(1),
];

fn batches(from: u64, count: u64) -> Vec<Batch> {
    (from..from + count).map(|offset| batch(offset, &[(None, &value(offset))])).collect()
}

fn placed_all(batches: &[Batch]) -> Vec<Placed<'_>> {
    batches.iter().map(placed).collect()
}

fn open(disk: &SimDisk) -> Result<Bed> {
    Bed::on(Arc::new(disk.clone()), config(500, 0))
}

/// Runs the steps until one fails, keeping account of what was promised.
fn run(disk: &SimDisk, promises: &mut Promises) -> Result<()> {
    let mut bed = open(disk)?;
    for step in STEPS {
        let end = bed.log.end_offset();
        match step {
            Step::Write(count) => {
                let made = batches(end, count);
                let result = bed.log.write(&placed_all(&made), 0);
                if !disk.is_off() {
                    promises.written = bed.log.end_offset();
                }
                result?;
            }
            Step::Sync => bed.log.sync()?,
            Step::Seal => bed.log.seal_behind()?,
            Step::Trim(start) => {
                promises.asked_start = start;
                bed.log.set_start(start)?;
                promises.start = start;
            }
            Step::Skip => {
                promises.gap = Some((end, end + 5));
                bed.log.skip_to(end + 5)?;
                promises.written = end + 5;
            }
            Step::Close => {
                bed.log.close()?;
                bed.files.mark_closed(Vec::new())?;
                promises.synced = bed.log.synced_offset();
                bed = bed.try_kill()?;
            }
        }
        if !disk.is_off() {
            promises.synced = bed.log.synced_offset();
        }
    }
    Ok(())
}

fn check(bed: &Bed, least: u64, promises: &Promises, what: &str) {
    let (start, end) = (bed.log.start_offset(), bed.log.end_offset());
    assert!(end >= least, "{what}: ends at {end} and promised {least}");
    assert!(start >= promises.start && start <= promises.asked_start, "{what}: starts at {start}");
    let gaps: Vec<_> = bed.log.gaps().map(|gap| (gap.from, gap.to)).collect();
    assert!(gaps.iter().all(|gap| Some(*gap) == promises.gap), "{what}: {gaps:?}");
    let hole = |o: &u64| gaps.iter().any(|(from, to)| (*from..*to).contains(o));
    let seen = all(&bed.log.view()).unwrap();
    let offsets: Vec<_> = seen.iter().map(|(offset, ..)| *offset).collect();
    assert_eq!(offsets, (start..end).filter(|o| !hole(o)).collect::<Vec<_>>(), "{what}");
    assert!(seen.iter().all(|(offset, _, seen)| *seen == value(*offset)), "{what}");
    // Behind a torn manifest nothing proves that a file is nobody's.
    let known = bed.report.strangers.is_empty() || bed.report.manifest_cut_bytes > 0;
    assert!(known, "{what}: {:?}", bed.report.strangers);
}

/// The log goes on after the crash, and what is promised then is kept too.
fn go_on(mut bed: Bed, disk: &SimDisk, promises: &Promises, what: &str) {
    for _ in 0..4 {
        let made = batches(bed.log.end_offset(), 1);
        bed.log.write(&placed_all(&made), 0).unwrap();
    }
    let end = bed.log.end_offset();
    bed.log.sync().unwrap();
    bed.log.seal_behind().unwrap();
    drop(bed);
    let again = open(&disk.power_cut(7)).unwrap();
    check(&again, end, promises, &format!("{what}, once more"));
}

#[test]
fn a_crash_at_any_operation_keeps_what_was_promised() {
    let disk = SimDisk::new();
    run(&disk, &mut Promises::default()).unwrap();
    for at in 0..disk.operations() {
        let disk = SimDisk::new();
        disk.crash_at(at);
        let mut promises = Promises::default();
        let _ = run(&disk, &mut promises);
        let twin = disk.kill();
        let bed = open(&twin).unwrap_or_else(|e| panic!("killed at {at}: {e:?}"));
        check(&bed, promises.written, &promises, &format!("killed at {at}"));
        go_on(bed, &twin, &promises, &format!("killed at {at}"));
        for seed in 0..12 {
            let what = format!("power cut at {at}, seed {seed}");
            let twin = disk.power_cut(seed);
            let bed = open(&twin).unwrap_or_else(|e| panic!("{what}: {e:?}"));
            check(&bed, promises.synced, &promises, &what);
            go_on(bed, &twin, &promises, &what);
        }
    }
}

/// Tries a step as a partition would: rescue after a failed sync, then once more.
fn insist(bed: &mut Bed, staged: &[Batch], mut step: impl FnMut(&mut Bed) -> Result<()>) {
    for _ in 0..3 {
        if bed.log.failure().is_some() {
            let staged: Vec<_> = placed_all(staged);
            let _ = bed.log.rescue(&staged, 0).map(|gaps| assert_eq!(gaps, []));
        } else if step(bed).is_ok() {
            return;
        }
    }
    panic!("one fault is not survived: {:?}", bed.log.failure());
}

fn run_with_faults(disk: &SimDisk, kept: bool) -> Option<Bed> {
    let mut bed = open(disk).or_else(|_| open(disk)).unwrap();
    let mut staged = Vec::new();
    for step in STEPS {
        let end = bed.log.end_offset();
        match step {
            Step::Write(count) => {
                let made = batches(end, count);
                insist(&mut bed, &staged, |bed| bed.log.write(&placed_all(&made), 0));
                staged.extend(made.into_iter().filter(|_| kept));
            }
            Step::Trim(start) => insist(&mut bed, &staged, |bed| bed.log.set_start(start)),
            Step::Skip => insist(&mut bed, &staged, |bed| bed.log.skip_to(end + 5)),
            Step::Seal => insist(&mut bed, &staged, |bed| bed.log.seal_behind()),
            Step::Sync | Step::Close => {
                insist(&mut bed, &staged, |bed| bed.log.sync());
                assert_eq!(bed.log.synced_offset(), bed.log.end_offset());
                staged.clear();
            }
        }
    }
    insist(&mut bed, &staged, |bed| bed.log.sync());
    Some(bed)
}

#[test]
fn one_fault_at_any_operation_loses_nothing() {
    let disk = SimDisk::new();
    run_with_faults(&disk, false).unwrap();
    let first = {
        let disk = SimDisk::new();
        open(&disk).unwrap();
        disk.operations()
    };
    let promises = Promises { asked_start: 6, start: 6, ..Promises::default() };
    for fault in [Fault::Eio, Fault::NoSpace, Fault::ShortWrite(100), Fault::SyncFails] {
        for at in first..disk.operations() {
            let what = format!("{fault:?} at {at}");
            let disk = SimDisk::new();
            disk.fail_at(at, fault);
            let bed = run_with_faults(&disk, false).unwrap();
            let end = bed.log.end_offset();
            let hole = bed.log.gaps().map(|gap| (gap.from, gap.to)).next();
            let promises = Promises { gap: hole, ..promises };
            check(&bed, end, &promises, &what);
            drop(bed);
            for seed in 0..3 {
                let bed = open(&disk.power_cut(seed)).unwrap_or_else(|e| panic!("{what}: {e:?}"));
                check(&bed, end, &promises, &format!("{what}, then power cut {seed}"));
            }
        }
    }
}

#[test]
fn after_a_failed_sync_staged_batches_move_and_lost_ones_become_a_gap() {
    for keep in [0..20_u64, 12..20] {
        let disk = SimDisk::new();
        let mut bed = open(&disk).unwrap();
        bed.log.write(&placed_all(&batches(0, 5)), 0).unwrap();
        bed.log.sync().unwrap();
        bed.log.write(&placed_all(&batches(5, 15)), 0).unwrap();
        disk.fail_next(Operation::Sync, ".seg", Fault::SyncFails);
        bed.log.sync().unwrap_err();
        assert!(bed.log.failure().is_some() && bed.log.begin_sync().is_none());
        assert!(bed.append(&[(None, b"refused")]).is_err());
        disk.drop_caches();
        let staged = batches(keep.start.max(5), keep.end - keep.start.max(5));
        let gaps = bed.log.rescue(&placed_all(&staged), 0).unwrap();
        assert_eq!(bed.log.synced_offset(), 20);
        let bed = open(&disk.power_cut(1)).unwrap();
        let seen = all(&bed.log.view()).unwrap();
        let lost: u64 = gaps.iter().map(|gap| gap.to - gap.from).sum();
        assert_eq!(seen.len() as u64 + lost, 20);
        assert!(seen.iter().all(|(offset, _, v)| *v == value(*offset)));
        if keep.start == 0 {
            assert_eq!(lost, 0);
        } else {
            assert!(gaps.iter().all(|gap| gap.partition == name() && gap.to <= 12));
            assert!(lost > 0, "the first file was not on the disk");
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_and_lets_go_of_space() {
    let disk = SimDisk::new();
    let mut bed = open(&disk).unwrap();
    bed.log.write(&placed_all(&batches(0, 20)), 0).unwrap();
    disk.set_space(disk.used_space());
    let mut refused = 0;
    for _ in 0..200 {
        let made = batches(bed.log.end_offset(), 1);
        if let Err(error) = bed.log.write(&placed_all(&made), 0) {
            assert_eq!(error.kind(), crate::base::ErrorKind::StorageFull);
            assert!(error.is_retriable());
            refused += 1;
        }
    }
    assert!(refused > 0);
    let end = bed.log.end_offset();
    bed.log.sync().unwrap();
    bed.log.seal_behind().unwrap();
    bed.log.set_start(15).unwrap();
    let made = batches(end, 1);
    bed.log.write(&placed_all(&made), 0).unwrap();
    bed.log.close().unwrap();
    bed.files.mark_closed(Vec::new()).unwrap();
    disk.set_space(disk.used_space());
    let bed = bed.kill();
    let promises = Promises { start: 15, asked_start: 15, ..Promises::default() };
    check(&bed, end + 1, &promises, "after a full disk");
}

#[test]
fn a_second_sync_of_a_file_whose_first_one_failed_claims_nothing() {
    let disk = SimDisk::new();
    let mut bed = open(&disk).unwrap();
    bed.log.write(&placed_all(&batches(0, 1)), 0).unwrap();
    let first = bed.log.begin_sync().unwrap();
    bed.log.write(&placed_all(&batches(1, 1)), 0).unwrap();
    let second = bed.log.begin_sync().unwrap();
    disk.fail_next(Operation::Sync, ".seg", Fault::SyncFails);
    let (failed, later) = (first.run(), second.run());
    assert!(failed.is_err() && later.is_err());
    assert_eq!(bed.log.finish_sync(&second, later), 0);
    assert_eq!(bed.log.finish_sync(&first, failed), 0);
    assert_eq!(bed.log.rescue(&[], 0).unwrap(), []);
    assert_eq!(bed.log.synced_offset(), 2);
    let bed = open(&disk.power_cut(3)).unwrap();
    check(&bed, 2, &Promises::default(), "after the rescue");
}

#[test]
fn a_failed_sync_of_the_directory_is_not_healed_by_a_later_one() {
    let disk = SimDisk::new();
    let mut bed = open(&disk).unwrap();
    bed.log.write(&placed_all(&batches(0, 2)), 0).unwrap();
    disk.fail_next(Operation::SyncDir, "segments", Fault::SyncFails);
    bed.log.sync().unwrap_err();
    bed.log.sync().unwrap_err();
    bed.log.rescue(&[], 0).unwrap();
    assert_eq!(bed.log.synced_offset(), 2);
    for seed in 0..20 {
        let bed = open(&disk.power_cut(seed)).unwrap();
        check(&bed, 2, &Promises::default(), "after the rescue");
    }
}
