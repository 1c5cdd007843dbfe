//! A crash at every operation of the disk.

use super::bed::{Bed, TXN};
use crate::backend::Backend;
use crate::base::{Error, Isolation, NAMED_PRODUCERS, Result};
use crate::disk::sim::{Fault, SimDisk};

const SMALL: &[(&str, &str)] = &[("segment.index.bytes", "64"), ("index.interval.bytes", "0")];

/// What the program was told before the crash.
#[derive(Debug, Default)]
struct Told {
    /// Records of the producer with a name that were acknowledged, and that were tried.
    acknowledged: i32,
    tried: i32,
    /// Transactions whose marker was acknowledged, with its offset.
    ended: Vec<(i16, u64)>,
}

/// Who is dead is told nothing: at `process-crash` an append asks nothing of the disk.
fn alive(disk: &SimDisk) -> Result<()> {
    if disk.is_off() { Err(Error::closed()) } else { Ok(()) }
}

/// Odd transactions are aborted.
fn run(disk: &SimDisk, bed: &Bed, told: &mut Told) -> Result<()> {
    for round in 0..6_i16 {
        for _ in 0..3 {
            told.tried += 1;
            let sent = bed.send(NAMED_PRODUCERS, 0, told.tried - 1, &["n"])?;
            bed.part.wait_level(sent.base_offset + 1, bed.soon())?;
            alive(disk)?;
            told.acknowledged = told.tried;
        }
        bed.part.admit(TXN, round)?;
        let value = if round % 2 == 0 { "good" } else { "bad" };
        bed.send_in(TXN, round, 0, &[value])?;
        bed.append(None, &["p"])?;
        bed.send_in(TXN, round, 1, &[value])?;
        let end = bed.end(TXN, round, round % 2 == 0)?;
        bed.part.wait_level(end + 1, bed.soon())?;
        alive(disk)?;
        told.ended.push((round, end));
        if round % 2 == 1 {
            bed.tick();
        }
        if round == 3 {
            bed.part.delete_records(Some(4))?;
        }
    }
    bed.node.close()
}

fn check(disk: &SimDisk, level: &str, told: &Told, how: &str) {
    let bed = Bed::on(disk, level, SMALL);
    // The numbers that are known are those of the records that are there.
    let known = bed.part.producer(NAMED_PRODUCERS).and_then(|state| state.last_sequence);
    let known = known.map_or(0, |last| last + 1);
    assert!((told.acknowledged..=told.tried).contains(&known), "{how}: {known}, {told:?}");
    if known > 0 {
        assert!(bed.send(NAMED_PRODUCERS, 0, known - 1, &["n"]).unwrap().duplicate, "{how}");
        assert!(bed.send(NAMED_PRODUCERS, 0, known + 1, &["n"]).is_err(), "{how}");
    }
    assert!(!bed.send(NAMED_PRODUCERS, 0, known, &["n"]).unwrap().duplicate, "{how}");
    let end = bed.part.marks_now().end;
    bed.part.wait_level(end, bed.soon()).unwrap();
    // Whatever is open is not seen; whatever was aborted is never seen.
    let open = bed.part.open_transactions();
    let first = open.iter().map(|open| open.first_offset).min().unwrap_or(end);
    assert_eq!(bed.part.marks_now().stable, first, "{how}");
    let (seen, position) = bed.read(Isolation::ReadCommitted, 100);
    assert_eq!(position, first, "{how}");
    assert!(seen.iter().all(|(_, value)| value != "bad"), "{how}: {seen:?}");
    for (round, marker) in &told.ended {
        let state = bed.part.producer(TXN).unwrap();
        assert!(state.last_marker.is_some_and(|(epoch, _)| epoch >= *round), "{how}");
        let good = seen.iter().filter(|(offset, value)| offset < marker && value == "good").count();
        let all = (0..=*round).filter(|round| round % 2 == 0).count() * 2;
        assert!(good >= all - 2 && good <= all, "{how}: {good} of {all}");
    }
    // The coordinator ends what is open, and nothing of it is seen.
    for open in open {
        bed.end(open.producer, open.epoch, false).unwrap();
    }
    let end = bed.part.marks_now().end;
    bed.part.wait_level(end, bed.soon()).unwrap();
    let (after, position) = bed.read(Isolation::ReadCommitted, 100);
    assert_eq!(position, end, "{how}");
    let good = |seen: &[(u64, String)]| seen.iter().filter(|(_, v)| v == "good").count();
    assert_eq!(good(&after), good(&seen), "{how}");
}

fn operations(level: &str) -> u64 {
    let disk = SimDisk::new();
    let bed = Bed::on(&disk, level, SMALL);
    let before = disk.operations();
    run(&disk, &bed, &mut Told::default()).unwrap();
    disk.operations() - before
}

#[test]
fn a69_b30_a_crash_at_every_operation_leaves_a_state_that_fits_the_records() {
    for level in ["power-loss", "process-crash"] {
        let all = operations(level);
        assert!(all > 60, "{all}");
        for at in 1..=all {
            let (disk, mut told) = (SimDisk::new(), Told::default());
            let bed = Bed::on(&disk, level, SMALL);
            disk.crash_at(disk.operations() + at);
            let _ = run(&disk, &bed, &mut told);
            drop(bed);
            let how = format!("{level}, operation {at}");
            check(&disk.kill(), level, &told, &format!("{how}, kill"));
            if level == "power-loss" {
                check(&disk.power_cut(at), level, &told, &format!("{how}, power cut"));
            }
        }
    }
}

/// Records of a producer with a name, all of which are deleted again and again.
fn trim(disk: &SimDisk, bed: &Bed, told: &mut Told) -> Result<()> {
    for round in 0..4 {
        for _ in 0..4 {
            told.tried += 1;
            let sent = bed.send(NAMED_PRODUCERS, 0, told.tried - 1, &["n"])?;
            bed.append(None, &["p"])?;
            bed.part.wait_level(sent.base_offset + 1, bed.soon())?;
            alive(disk)?;
            told.acknowledged = told.tried;
        }
        bed.tick();
        let end = bed.part.marks_now().visible;
        bed.part.delete_records(Some(end - round % 2))?;
    }
    bed.node.close()
}

#[test]
fn b26_a_crash_at_every_operation_of_trims_leaves_the_numbers() {
    for level in ["power-loss", "process-crash"] {
        let disk = SimDisk::new();
        let bed = Bed::on(&disk, level, SMALL);
        let before = disk.operations();
        trim(&disk, &bed, &mut Told::default()).unwrap();
        for at in 1..=disk.operations() - before {
            let (disk, mut told) = (SimDisk::new(), Told::default());
            let bed = Bed::on(&disk, level, SMALL);
            disk.crash_at(disk.operations() + at);
            let _ = trim(&disk, &bed, &mut told);
            drop(bed);
            let how = format!("{level}, operation {at}");
            let mut after = vec![disk.kill()];
            after.extend((level == "power-loss").then(|| disk.power_cut(at)));
            for disk in after {
                let bed = Bed::on(&disk, level, SMALL);
                let known = bed.part.producer(NAMED_PRODUCERS).and_then(|p| p.last_sequence);
                let known = known.map_or(0, |last| last + 1);
                assert!(
                    (told.acknowledged..=told.tried).contains(&known),
                    "{how}: {known}, {told:?}"
                );
            }
        }
    }
}

/// A failed sync moves records to new files, a full disk leaves footers out: what is known of
/// producers must not change by that.
#[test]
fn a69_a_fault_at_every_operation_leaves_a_state_that_fits_the_records() {
    let all = operations("power-loss");
    for (fault, step) in [(Fault::SyncFails, 2), (Fault::NoSpace, 5), (Fault::Eio, 5)] {
        for at in (1..=all).step_by(step) {
            let (disk, mut told) = (SimDisk::new(), Told::default());
            let bed = Bed::on(&disk, "power-loss", SMALL);
            disk.fail_at(disk.operations() + at, fault);
            let _ = run(&disk, &bed, &mut told);
            let how = format!("{fault:?} at operation {at}");
            if bed.node.check_open().is_ok() {
                // Whatever failed, the rest of this life sees what is so.
                let (seen, _) = bed.read(Isolation::ReadCommitted, 100);
                assert!(seen.iter().all(|(_, value)| value != "bad"), "{how}: {seen:?}");
            }
            drop(bed);
            disk.clear_faults();
            check(&disk.kill(), "power-loss", &told, &format!("{how}, kill"));
            check(&disk.power_cut(at), "power-loss", &told, &format!("{how}, power cut"));
        }
    }
}
