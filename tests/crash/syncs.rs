//! Failed syncs: what is acknowledged afterwards is durable elsewhere, or is not acknowledged.

use std::error::Error as _;
use std::time::Duration;

use alluvium::Durability::{PowerLoss, ProcessCrash};
use alluvium::testing::{Fault, Operation};
use alluvium::{ErrorKind, Record};

use super::bed::{Bed, End, Shape, much};
use super::history::Step;
use super::space::persist;

const POWER: Shape = Shape { level: PowerLoss, partitions: 1, segment: 2_000, compacted: false };
const CRASH: Shape = Shape { level: ProcessCrash, partitions: 1, segment: 1_000, compacted: false };
const LARGE: Shape = Shape { level: PowerLoss, partitions: 1, segment: 150_000, compacted: false };

const KEYED: Shape = Shape { level: PowerLoss, partitions: 1, segment: 900, compacted: true };

const STEPS: [Step; 27] = [
    Step::Create("p", POWER),
    Step::Send("p", 0, 3, 100),
    Step::Wait("p", 0),
    Step::Create("c", CRASH),
    Step::Create("l", LARGE),
    Step::Send("c", 0, 9, 100),
    Step::Send("p", 0, 50, 700),
    Step::Wait("p", 0),
    Step::Send("c", 0, 50, 700),
    Step::Tick,
    Step::Wait("p", 0),
    Step::Send("l", 0, 1, 70_000),
    Step::Wait("l", 0),
    Step::Send("p", 0, 70, 700),
    Step::Flush,
    Step::Tick,
    Step::Reopen,
    Step::Send("l", 0, 1, 90_000),
    Step::Wait("l", 0),
    Step::Delete("c"),
    Step::Create("k", KEYED),
    Step::Send("k", 0, 9, 100),
    Step::Compact("k"),
    Step::Send("k", 0, 9, 100),
    Step::Wait("p", 0),
    Step::Compact("k"),
    Step::Close,
];

/// All operations of a run in which nothing fails.
fn trace() -> Vec<(u64, Operation)> {
    let mut bed = Bed::fresh();
    bed.disk.start_trace();
    bed.run(&STEPS).unwrap();
    bed.disk.trace().into_iter().map(|done| (done.index, done.operation)).collect()
}

/// Runs with one fault at `at`; after every step that was acknowledged the power may go.
fn run_with_fault(at: u64, fault: Fault, cuts: u64) {
    let mut bed = Bed::fresh();
    bed.disk.fail_at(at, fault);
    let mut failed = false;
    for (number, step) in STEPS.into_iter().enumerate() {
        let what = format!("{fault:?} at {at}, step {number} {step:?}");
        persist(&mut bed, step, &what);
        let late = failed;
        failed = bed.disk.operations() > at;
        if failed && (!late || number + 1 == STEPS.len()) {
            for seed in 0..cuts {
                // A twin of a running machine would stop it: the same run once more.
                let end = if seed == 0 { End::NOTHING } else { End::seed(at * 10 + seed) };
                let mut twin = Bed::fresh();
                twin.disk.fail_at(at, fault);
                STEPS[..=number].iter().for_each(|step| persist(&mut twin, *step, &what));
                let mut after = twin.end(end);
                after.recover(end, &format!("{what}, then {end:?}"));
            }
        }
    }
}

#[test]
fn one_failed_sync_loses_nothing_that_is_acknowledged() {
    let syncs: Vec<u64> = trace()
        .into_iter()
        .filter(|(_, operation)| matches!(operation, Operation::Sync | Operation::SyncDir))
        .map(|(index, _)| index)
        .collect();
    assert!(syncs.len() > 20);
    for at in syncs.into_iter().step_by(much(6, 1)) {
        run_with_fault(at, Fault::SyncFails, much(1, 12));
    }
}

#[test]
fn one_failed_operation_loses_nothing_that_is_acknowledged() {
    let changes = |operation: &Operation| {
        !matches!(operation, Operation::Len | Operation::Entry | Operation::List)
    };
    let all: Vec<_> = trace().into_iter().filter(|(_, operation)| changes(operation)).collect();
    for (index, _) in all.into_iter().step_by(much(20, 1)) {
        for fault in [Fault::Eio, Fault::ShortWrite(100)].into_iter().take(much(1, 2)) {
            run_with_fault(index, fault, much(1, 6));
        }
    }
}

/// The stage fails, and so do the segments that should serve for it: nothing is acknowledged.
fn fail_all_syncs(bed: &Bed, count: usize) {
    for _ in 0..count {
        bed.disk.fail_next(Operation::Sync, "", Fault::SyncFails);
    }
}

#[test]
fn nothing_is_acknowledged_while_no_sync_succeeds() {
    let mut bed = Bed::fresh();
    bed.run(&[Step::Create("p", POWER), Step::Wait("p", 0)]).unwrap();
    fail_all_syncs(&bed, 10_000);
    // Time flies: the deadline comes after some attempts.
    bed.clock.hurry(Duration::from_millis(500));
    let producer = bed.producer().clone();
    let delivery = producer.send(Record::new("p", "late").partition(0)).unwrap();
    let error = delivery.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout);
    assert!(error.source().is_some(), "{error:?} has no cause");
    assert!(!error.is_retriable());
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some("p"), Some(0), Some(1)));
    assert_eq!(producer.flush().unwrap_err().kind(), ErrorKind::DeliveryTimeout);
    let visible = super::verify::read(bed.log(), "p", 0).unwrap();
    assert_eq!((visible.records.len(), visible.end), (1, 1), "seen before it was durable");
}

#[test]
fn a_delivery_fails_at_its_deadline_on_the_logs_clock() {
    let mut bed = Bed::fresh();
    bed.run(&[Step::Create("p", POWER), Step::Wait("p", 0)]).unwrap();
    fail_all_syncs(&bed, 10_000);
    let producer = bed.log().producer().set("delivery.timeout.ms", "600000").build().unwrap();
    let clock = bed.clock.clone();
    let mover = std::thread::spawn(move || {
        for _ in 0..700 {
            clock.manual.advance(Duration::from_secs(1));
            std::thread::yield_now();
        }
    });
    let error = loop {
        // The clock may have passed the deadline of an earlier record already.
        let delivery = producer.send(Record::new("p", "late").partition(0)).unwrap();
        bed.clock.hurry(Duration::from_secs(10));
        if let Err(error) = delivery.wait() {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::DeliveryTimeout);
    mover.join().unwrap();
    // The disk recovers; what was placed becomes durable after all, once.
    bed.disk.clear_faults();
    bed.clock.hurry(Duration::ZERO);
    let revived = producer.flush();
    let read = super::verify::read(bed.log(), "p", 0).unwrap();
    match revived {
        Ok(()) => assert_eq!(read.records.len(), 2),
        // The manifest could not be saved: the log says so and stays as it is.
        Err(error) => assert!(read.records.len() == 1 && error.source().is_some(), "{error:?}"),
    }
}

/// The machine dies between a failed sync and what makes up for it. What was acknowledged before
/// is not touched by that. (What the next life acknowledges after such a double fault is not
/// looked at: the simulated disk does not see the stores with which adopted pages are made dirty.)
#[test]
fn a_kill_after_a_failed_sync_loses_nothing_from_before() {
    let steps = [
        Step::Create("p", POWER),
        Step::Send("p", 0, 20, 300),
        Step::Wait("p", 0),
        Step::Send("p", 0, 20, 300),
    ];
    let first = {
        let mut bed = Bed::fresh();
        bed.run(&steps).unwrap();
        bed.disk.operations()
    };
    for crash in 1..much(14, 14) {
        let mut bed = Bed::fresh();
        bed.run(&steps).unwrap();
        bed.disk.fail_next(Operation::Sync, "stage", Fault::SyncFails);
        bed.disk.crash_at(first + crash);
        let _ = bed.step(Step::Wait("p", 0));
        let mut bed = bed.end(End::Kill);
        let account = bed.account.clone();
        bed.recover(End::Kill, &format!("killed {crash} after the sync"));
        for end in [End::NOTHING, End::seed(crash)] {
            let mut after = Bed::on(end.of(&bed.disk), account.clone());
            after.recover(end, &format!("killed {crash} after the failed sync, {end:?}"));
        }
    }
}
