//! Crashes, full disks and failing disks in the middle of a snapshot.

use std::path::Path;

use alluvium::Durability::{PowerLoss, ProcessCrash};
use alluvium::testing::{Disk, Fault, SimDisk};
use alluvium::{Error, ErrorKind};

use super::bed::{Account, Bed, End, Shape, much};
use super::history::Step;

const POWER: Shape = Shape { level: PowerLoss, partitions: 1, segment: 1_000, compacted: false };
const CRASH: Shape = Shape { level: ProcessCrash, partitions: 2, segment: 800, compacted: false };
const LARGE: Shape = Shape { level: PowerLoss, partitions: 1, segment: 200_000, compacted: false };
const KEYED: Shape = Shape { level: PowerLoss, partitions: 1, segment: 900, compacted: true };
const COPY: &str = "/copy";

/// Sealed, settled and staged records, large ones, a trimmed front, a compacted topic, one that is
/// gone.
const MIXED: &[Step] = &[
    Step::Create("p", POWER),
    Step::Create("c", CRASH),
    Step::Create("d", POWER),
    Step::Create("l", LARGE),
    Step::Send("p", 0, 12, 300),
    Step::Wait("p", 0),
    Step::Send("c", 0, 30, 740),
    Step::Roll("p"),
    Step::Send("d", 0, 4, 100),
    Step::Send("l", 0, 1, 70_000),
    Step::Flush,
    Step::Tick,
    Step::Trim("c", 0, 11),
    Step::Create("k", KEYED),
    Step::Send("k", 0, 12, 200),
    Step::Wait("k", 0),
    Step::Roll("k"),
    Step::Compact("k"),
    Step::Send("k", 0, 2, 100),
    Step::Wait("k", 0),
    Step::Delete("d"),
    Step::Grow("p", 2),
    Step::Send("p", 0, 3, 100),
    Step::Wait("p", 0),
    Step::Send("c", 1, 4, 60),
    Step::Send("p", 1, 2, 60),
];

fn prepared(steps: &[Step]) -> Bed {
    let mut bed = Bed::fresh();
    bed.run(steps).unwrap();
    bed
}

fn snapshot(bed: &Bed) -> Result<(), Error> {
    bed.log().snapshot(COPY).map(drop)
}

/// The operations of a snapshot.
fn operations(steps: &[Step]) -> std::ops::Range<u64> {
    let bed = prepared(steps);
    let before = bed.disk.operations();
    snapshot(&bed).unwrap();
    before..bed.disk.operations()
}

fn files_of(disk: &SimDisk, dir: &str) -> Vec<String> {
    let files = disk.list_files().into_iter();
    let files = files.filter_map(|path| {
        Some(path.strip_prefix(Path::new(dir)).ok()?.to_string_lossy().into_owned())
    });
    files.collect()
}

/// The copy is whole: everything that was sent is there, and it is a log like any other. The
/// machine ends with this.
fn check_copy(disk: &SimDisk, account: &Account, seed: u64, what: &str) {
    let mut account = account.clone();
    account.settle_clean();
    account.limit = None;
    let mut copy = Bed::at(disk.clone(), COPY, account);
    copy.recover(End::Kill, &format!("{what}: the copy"));
    copy.go_on(seed, &format!("{what}: the copy"));
}

/// What a crash has left of a copy, which was begun `before` it: a whole log, or nothing that an open takes for one and that a
/// new snapshot cannot replace. The machine ends with this.
fn check_rest(source: &Bed, before: &Account, done: bool, seed: u64, what: &str) {
    let left = files_of(&source.disk, COPY);
    if left.iter().any(|name| name == "manifest") {
        check_copy(&source.disk, before, seed, what);
        return;
    }
    assert!(!done, "{what}: the snapshot is lost, {left:?} are left");
    if left.iter().any(|name| name != "LOCK") {
        let open = alluvium::EventLog::builder().disk(source.disk.clone()).path(COPY);
        let refused = open.background(false).open().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotALog, "{what}: {refused:?}, {left:?}");
    }
    snapshot(source).unwrap_or_else(|e| panic!("{what}: again: {e:?}, {left:?}"));
    check_copy(&source.disk, &source.account, seed, &format!("{what}, again"));
}

fn crash_everywhere(steps: &[Step], stride: usize) {
    for at in operations(steps).step_by(much(stride, 1)) {
        let bed = prepared(steps);
        bed.disk.crash_at(at);
        let done = snapshot(&bed).is_ok();
        assert!(done || bed.disk.is_off());
        let mut ends = vec![End::Kill, End::NOTHING, End::EVERYTHING];
        ends.extend((0..much(1, 8)).map(|n| End::seed(at * 100 + n)));
        for end in ends {
            let what = format!("crash at {at}, {end:?}");
            let again = || {
                let mut source = Bed::on(end.of(&bed.disk), bed.account.clone());
                source.recover(end, &what);
                source
            };
            again().go_on(at, &what);
            check_rest(&again(), &bed.account, done, at, &what);
        }
    }
}

#[test]
fn a_crash_at_every_operation_of_a_snapshot_leaves_the_log_and_a_whole_copy_or_none() {
    crash_everywhere(MIXED, 3);
}

#[test]
fn a_snapshot_of_an_empty_log_survives_a_crash_at_every_operation() {
    crash_everywhere(&[], 1);
}

#[test]
fn a_snapshot_that_has_returned_survives_whatever_comes() {
    let bed = prepared(MIXED);
    snapshot(&bed).unwrap();
    for end in (0..much(10, 100)).map(End::seed).chain([End::Kill, End::NOTHING]) {
        check_copy(&end.of(&bed.disk), &bed.account, 1, &format!("{end:?}"));
    }
}

/// A failing operation is an error, or is made good; in no case is the log touched, and what was
/// made of the copy is gone as far as the disk allows it.
#[test]
fn one_failed_operation_is_survived_wherever_it_is() {
    for at in operations(MIXED).step_by(much(2, 1)) {
        for fault in [Fault::Eio, Fault::NoSpace, Fault::SyncFails] {
            let what = format!("{fault:?} at {at}");
            let mut bed = prepared(MIXED);
            bed.disk.fail_at(at, fault);
            let outcome = snapshot(&bed);
            bed.disk.clear_faults();
            bed.verify(End::Kill, &what);
            match outcome {
                Ok(()) => check_copy(&bed.disk.clone(), &bed.account.clone(), at, &what),
                Err(error) => {
                    let kinds = [ErrorKind::StorageError, ErrorKind::StorageFull];
                    assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
                    check_rest(&bed, &bed.account, false, at, &what);
                }
            }
        }
    }
}

#[test]
fn a_disk_that_becomes_full_ends_a_snapshot_and_nothing_else() {
    let needs = {
        let bed = prepared(MIXED);
        let before = bed.disk.used_space();
        snapshot(&bed).unwrap();
        bed.disk.used_space() - before
    };
    let mut failed = 0;
    for room in (0..needs).step_by(much(9_000, 1_000)) {
        let mut bed = prepared(MIXED);
        let used = bed.disk.used_space();
        bed.disk.set_space(used + room);
        let what = format!("room for {room} of {needs} bytes");
        if let Err(error) = snapshot(&bed) {
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{what}: {error:?}");
            assert_eq!(files_of(&bed.disk, COPY), [""; 0], "{what}");
            assert!(bed.disk.entry(Path::new(COPY)).unwrap().is_none(), "{what}");
            assert!(bed.disk.used_space() <= used, "{what}");
            failed += 1;
        }
        bed.disk.set_space(u64::MAX);
        bed.step(Step::Send("p", 0, 2, 80)).unwrap();
        bed.verify(End::Kill, &what);
        if !files_of(&bed.disk, COPY).is_empty() {
            continue;
        }
        snapshot(&bed).unwrap();
        check_copy(&bed.disk.clone(), &bed.account.clone(), room, &what);
    }
    assert!(failed > 3);
}

/// The hole that a power cut has left is one in the copy.
#[test]
fn gaps_are_copied() {
    let mut bed = prepared(MIXED);
    bed.step(Step::Send("c", 0, 5, 100)).unwrap();
    let mut after = bed.end(End::NOTHING);
    after.recover(End::NOTHING, "cut");
    let mut copies = Vec::new();
    for (more, dir) in ["/copy-0", "/copy-1", "/copy-2"].into_iter().enumerate() {
        after.step(Step::Send("c", 0, more, 100)).unwrap();
        after.log().snapshot(dir).unwrap();
        copies.push((dir, after.account.clone()));
    }
    for (dir, mut account) in copies {
        account.settle_clean();
        let mut copy = Bed::at(End::Kill.of(&after.disk), dir, account);
        copy.recover(End::Kill, dir);
        copy.go_on(1, dir);
    }
}
