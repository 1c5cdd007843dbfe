//! Full disks: refused with their own kind, nothing lost, and work goes on by itself.

use std::time::Duration;

use alluvium::Durability::{PowerLoss, ProcessCrash};
use alluvium::testing::{Fault, SimDisk};
use alluvium::{Error, ErrorKind};

use super::bed::{Account, Bed, End, SPARE, STAGE, Shape, much, open_log};
use super::history::Step;

const POWER: Shape = Shape { level: PowerLoss, partitions: 1, segment: 2_000, compacted: false };
const CRASH: Shape = Shape { level: ProcessCrash, partitions: 1, segment: 1_000, compacted: false };

/// Both levels, settled and staged, sealed and open.
const BEFORE: [Step; 8] = [
    Step::Create("p", POWER),
    Step::Create("c", CRASH),
    Step::Send("p", 0, 40, 700),
    Step::Send("c", 0, 60, 700),
    Step::Tick,
    Step::Wait("p", 0),
    Step::Send("p", 0, 3, 100),
    Step::Send("c", 0, 3, 100),
];

fn bed_before() -> Bed {
    let mut bed = Bed::fresh();
    bed.run(&BEFORE).unwrap();
    bed
}

fn fill(bed: &Bed) {
    bed.disk.set_space(bed.disk.used_space());
}

fn is_full(error: &Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        let kind = error.downcast_ref::<Error>().map(Error::kind);
        let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind == Some(ErrorKind::StorageFull) || io == Some(std::io::ErrorKind::StorageFull) {
            return true;
        }
        source = error.source();
    }
    false
}

/// Sends until the disk is full; how many records found room.
fn send_until_full(bed: &mut Bed, topic: &str) -> (usize, Error) {
    for sent in 0..1_000 {
        if let Err(error) = bed.send(topic, 0, 1, 700) {
            return (sent, error);
        }
    }
    panic!("the disk never filled up");
}

#[test]
fn appends_on_a_full_disk_are_refused_and_resume_by_themselves() {
    for topic in ["p", "c"] {
        let mut bed = bed_before();
        fill(&bed);
        let (sent, error) = send_until_full(&mut bed, topic);
        assert!(sent * 700 < 2 * STAGE, "{sent} records without space");
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        assert!(error.is_retriable() && is_full(&error), "{error:?}");
        // What was refused is not there, what was taken is, and can be made durable.
        bed.verify(End::Kill, "full");
        assert!(bed.send(topic, 0, 1, 100_000).is_err());
        bed.disk.set_space(u64::MAX);
        bed.run(&[Step::Send("p", 0, 5, 700), Step::Send("c", 0, 5, 700)]).unwrap();
        bed.step(Step::Flush).unwrap();
        bed.verify(End::Kill, "space again");
        let mut bed = bed.end(End::seed(3));
        bed.recover(End::seed(3), "after a full disk");
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    for seed in 0..much(6, 60) {
        let mut bed = bed_before();
        bed.disk.set_space(bed.disk.used_space() + seed * 3_000);
        send_until_full(&mut bed, if seed % 2 == 0 { "p" } else { "c" });
        bed.step(Step::Flush).unwrap();
        let _ = bed.send("p", 0, 1, 700);
        for end in [End::Kill, End::seed(seed), End::NOTHING] {
            let mut after = Bed::on(end.of(&bed.disk), bed.account.clone());
            after.recover(end, &format!("full, seed {seed}, {end:?}"));
        }
    }
}

#[test]
fn open_read_delete_and_close_need_no_space() {
    for end in [None, Some(End::Kill), Some(End::seed(1)), Some(End::seed(2)), Some(End::NOTHING)] {
        let what = format!("{end:?}");
        let mut bed = bed_before();
        if end.is_none() {
            bed.close().unwrap();
        }
        let ended = end.unwrap_or(End::Kill);
        let mut bed = bed.end(ended);
        fill(&bed);
        bed.recover(ended, &what);
        bed.step(Step::Delete("p")).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        bed.close().unwrap_or_else(|e| panic!("{what}: close: {e:?}"));
        fill(&bed);
        bed.recover(End::NOTHING, &what);
        assert!(bed.log().admin().open_report().clean, "{what}");
        bed.close().unwrap();
    }
}

#[test]
fn close_on_a_full_disk_keeps_what_stands_in_the_stage() {
    for topic in ["p", "c"] {
        let mut bed = bed_before();
        fill(&bed);
        send_until_full(&mut bed, topic);
        bed.close().unwrap_or_else(|e| panic!("{topic}: {e:?}"));
        let mut bed = bed.end(End::NOTHING);
        fill(&bed);
        bed.recover(End::NOTHING, topic);
        assert!(bed.log().admin().open_report().clean);
        // The disk is still full.
        let (sent, _) = send_until_full(&mut bed, topic);
        assert!(sent < 20, "{sent} records without space");
        bed.disk.set_space(u64::MAX);
        bed.run(&[Step::Send("p", 0, 90, 700), Step::Reopen]).unwrap();
        bed.verify(End::NOTHING, topic);
    }
}

#[test]
fn a_full_disk_may_be_opened_and_closed_many_times() {
    let mut bed = bed_before();
    bed.close().unwrap();
    fill(&bed);
    for n in 0..much(60, 2_000) {
        bed.open().unwrap_or_else(|e| panic!("open {n}: {e:?}"));
        bed.close().unwrap_or_else(|e| panic!("close {n}: {e:?}"));
    }
    bed.recover(End::NOTHING, "many times");
}

#[test]
fn another_stage_size_is_not_worth_a_refusal_to_open() {
    let mut bed = bed_before();
    bed.close().unwrap();
    // Nothing is left in the stage, so that it could be replaced.
    bed.open().unwrap();
    bed.run(&[Step::Send("p", 0, 90, 700), Step::Send("c", 0, 1, 100)]).unwrap();
    bed.step(Step::Delete("c")).unwrap();
    bed.step(Step::Close).unwrap();
    fill(&bed);
    let builder = alluvium::EventLog::builder().disk(bed.disk.clone()).path("/data");
    let log = builder.background(false).stage_bytes(8 * STAGE).open();
    log.unwrap_or_else(|e| panic!("{e:?}")).close().unwrap();
    bed.recover(End::NOTHING, "the old stage");
}

#[test]
fn a_log_that_found_no_room_to_be_made_is_made_later() {
    let whole = {
        let bed = Bed::fresh();
        bed.disk.used_space()
    };
    for space in (0..whole).step_by(much(9_000, 500)) {
        let disk = SimDisk::new();
        disk.set_space(space);
        let mut bed = Bed::on(disk, Account::default());
        let error = bed.open().err().unwrap_or_else(|| panic!("{space} of {whole} bytes"));
        assert!(is_full(&error), "{space}: {error:?}");
        bed.disk.set_space(u64::MAX);
        bed.recover(End::Kill, &format!("{space} bytes"));
        bed.go_on(space, &format!("{space} bytes"));
    }
}

/// One operation finds the disk full, and the next one does not.
#[test]
fn one_refused_operation_is_survived_wherever_it_is() {
    let steps = [
        Step::Create("p", POWER),
        Step::Create("c", CRASH),
        Step::Send("p", 0, 20, 700),
        Step::Wait("p", 0),
        Step::Send("c", 0, 70, 700),
        Step::Tick,
        Step::Send("p", 0, 1, 1_900),
        Step::Send("p", 0, 50, 700),
        Step::Flush,
        Step::Reopen,
        Step::Delete("c"),
        Step::Create("c", POWER),
        Step::Wait("c", 0),
        Step::Send("p", 0, 5, 600),
        Step::Close,
    ];
    let ends = {
        let mut bed = Bed::fresh();
        bed.run(&steps).unwrap();
        bed.disk.operations()
    };
    let first = Bed::fresh().disk.operations();
    for at in (first..ends).step_by(much(2, 1)) {
        let what = format!("no space at {at}");
        let mut bed = Bed::fresh();
        bed.disk.fail_at(at, Fault::NoSpace);
        for step in steps {
            persist(&mut bed, step, &what);
        }
        let mut bed = bed.end(End::seed(at));
        bed.recover(End::seed(at), &what);
    }
}

/// Does a step again until it has happened, as a program would.
pub fn persist(bed: &mut Bed, step: Step, what: &str) {
    match step {
        Step::Send(topic, partition, count, size) => {
            for _ in 0..count {
                again(bed, what, |bed| bed.send(topic, partition, 1, size));
            }
        }
        Step::Create(name, shape) => again(bed, what, |bed| match bed.step(step) {
            Err(e) if e.kind() == ErrorKind::TopicAlreadyExists => bed.ensure(name, shape),
            done => done,
        }),
        Step::Delete(name) => again(bed, what, |bed| match bed.step(step) {
            Err(e) if e.kind() == ErrorKind::UnknownTopicOrPartition => {
                bed.gone(name);
                Ok(())
            }
            done => done,
        }),
        Step::Reopen | Step::Close => {
            // A close that failed is a crash without one.
            let _ = bed.close();
            if matches!(step, Step::Reopen) || bed.log.is_none() {
                again(bed, what, Bed::open);
            }
            if matches!(step, Step::Close) {
                again(bed, what, Bed::close);
            }
        }
        step => again(bed, what, |bed| bed.step(step)),
    }
}

fn again(bed: &mut Bed, what: &str, mut attempt: impl FnMut(&mut Bed) -> Result<(), Error>) {
    let mut last = None;
    for _ in 0..4 {
        match attempt(bed) {
            Ok(()) => return,
            Err(error) => last = Some(error),
        }
        // Retries are spaced by time that is not real.
        bed.clock.manual.advance(Duration::from_millis(200));
    }
    panic!("{what}: one fault is not survived: {last:?}");
}

#[test]
fn an_unused_log_on_a_full_disk_takes_topics_and_records_as_far_as_the_stage_goes() {
    let mut bed = Bed::fresh();
    fill(&bed);
    bed.step(Step::Create("z", SPARE)).unwrap();
    bed.step(Step::Wait("z", 0)).unwrap();
    let mut bed = bed.end(End::NOTHING);
    bed.recover(End::NOTHING, "in the stage only");
    assert!(open_log(&bed.disk, &bed.clock).is_err_and(|e| e.kind() == ErrorKind::Locked));
}

/// A compaction that finds no room gives up, takes back what it wrote, and the log goes on; with
/// room it is done.
#[test]
fn a_full_disk_in_the_middle_of_a_compaction_ends_it_and_nothing_else() {
    const KEYED: Shape = Shape { level: PowerLoss, partitions: 1, segment: 9_000, compacted: true };
    let before = [
        Step::Create("k", KEYED),
        Step::Send("k", 0, 60, 700),
        Step::Wait("k", 0),
        Step::Roll("k"),
        Step::Send("k", 0, 6, 700),
        Step::Roll("k"),
    ];
    let (mut failed, mut done) = (0, 0);
    for more in (0..40).map(|n| n * 8) {
        let mut bed = Bed::fresh();
        bed.run(&before).unwrap();
        let used = bed.disk.used_space();
        bed.disk.set_space(used + more);
        let compacted = bed.step(Step::Compact("k"));
        match &compacted {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StorageFull, "{more}: {error:?}");
                assert!(bed.disk.used_space() <= used, "{more}: what it wrote is still there");
                failed += 1;
            }
            Ok(()) => done += 1,
        }
        let what = format!("{more} bytes free, {}", compacted.is_ok());
        bed.verify(End::Kill, &what);
        bed.send("k", 0, 1, 100).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        for end in [End::Kill, End::NOTHING, End::seed(more)] {
            let mut after = Bed::on(end.of(&bed.disk), bed.account.clone());
            after.disk.set_space(u64::MAX);
            after.recover(end, &format!("{what}, {end:?}"));
            after.step(Step::Compact("k")).unwrap();
            after.verify(End::Kill, &format!("{what}, {end:?}, with room again"));
        }
    }
    assert!(failed > 2 && done > 2, "{failed} failed, {done} did not");
}
