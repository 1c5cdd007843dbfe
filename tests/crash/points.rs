//! Every crash point of small workloads.

use alluvium::Durability::{PowerLoss, ProcessCrash};
use alluvium::testing::{Fault, Operation, SimDisk};

use super::bed::{Account, Bed, End, Shape, much};
use super::history::Step;

const POWER: Shape = Shape { level: PowerLoss, partitions: 1, segment: 1_000, compacted: false };
const CRASH: Shape = Shape { level: ProcessCrash, partitions: 2, segment: 800, compacted: false };
const LARGE: Shape = Shape { level: PowerLoss, partitions: 1, segment: 200_000, compacted: false };

const KEYED: Shape = Shape { level: PowerLoss, partitions: 1, segment: 900, compacted: true };

type Workload = (&'static str, &'static [Step]);

/// Small records, rolls, closes.
const SMALL: Workload = (
    "small",
    &[
        Step::Create("p", POWER),
        Step::Send("p", 0, 3, 100),
        Step::Wait("p", 0),
        Step::Create("c", CRASH),
        Step::Send("c", 1, 4, 60),
        Step::Batch("p", 0, 3, 200),
        Step::Tick,
        Step::Send("p", 0, 2, 50),
        Step::Send("c", 0, 2, 300),
        Step::Reopen,
        Step::Send("p", 0, 2, 400),
        Step::Wait("p", 0),
        Step::Batch("c", 1, 5, 100),
        Step::Flush,
        Step::Close,
    ],
);

/// More than the stage holds.
const FULL: Workload = (
    "full",
    &[
        Step::Create("p", POWER),
        Step::Create("c", CRASH),
        Step::Send("p", 0, 30, 900),
        Step::Wait("p", 0),
        Step::Send("c", 0, 40, 740),
        Step::Send("p", 0, 40, 700),
        Step::Tick,
        Step::Send("c", 1, 10, 200),
        Step::Wait("p", 0),
        Step::Send("c", 0, 9, 700),
    ],
);

/// Calls too large for the stage between small ones.
const THROUGH: Workload = (
    "through",
    &[
        Step::Create("p", LARGE),
        Step::Create("c", Shape { level: ProcessCrash, ..LARGE }),
        Step::Send("p", 0, 2, 100),
        Step::Wait("p", 0),
        Step::Send("c", 0, 2, 100),
        Step::Send("p", 0, 1, 70_000),
        Step::Send("p", 0, 2, 30),
        Step::Wait("p", 0),
        Step::Send("c", 0, 1, 70_000),
        Step::Send("c", 0, 2, 100),
        Step::Send("p", 0, 1, 90_000),
        Step::Wait("p", 0),
        Step::Batch("p", 0, 3, 30_000),
        Step::Tick,
        Step::Send("p", 0, 1, 66_000),
        Step::Reopen,
        Step::Send("c", 0, 1, 70_000),
    ],
);

/// Topics come and go, and come again.
const TOPICS: Workload = (
    "topics",
    &[
        Step::Create("p", POWER),
        Step::Create("c", CRASH),
        Step::Send("p", 0, 5, 300),
        Step::Send("c", 0, 5, 300),
        Step::Send("c", 1, 3, 300),
        Step::Flush,
        Step::Tick,
        Step::Delete("p"),
        Step::Create("p", CRASH),
        Step::Send("p", 1, 3, 50),
        Step::Delete("c"),
        Step::Send("p", 0, 70, 740),
        Step::Reopen,
        Step::Delete("p"),
        Step::Create("p", POWER),
        Step::Wait("p", 0),
        Step::Close,
    ],
);

/// The level goes up and down while records come.
const LEVELS: Workload = (
    "levels",
    &[
        Step::Create("c", CRASH),
        Step::Send("c", 0, 4, 60),
        Step::Send("c", 1, 2, 300),
        Step::Level("c", PowerLoss),
        Step::Send("c", 0, 3, 200),
        Step::Wait("c", 0),
        Step::Send("c", 1, 8, 700),
        Step::Flush,
        Step::Level("c", ProcessCrash),
        Step::Send("c", 0, 5, 100),
        Step::Send("c", 1, 12, 740),
        Step::Tick,
        Step::Send("c", 0, 2, 100),
        Step::Level("c", PowerLoss),
        Step::Wait("c", 1),
        Step::Reopen,
        Step::Level("c", ProcessCrash),
        Step::Send("c", 0, 3, 60),
        Step::Level("c", PowerLoss),
        Step::Send("c", 0, 3, 60),
        Step::Flush,
        Step::Close,
    ],
);

/// Many topics come and go with one call, and get more partitions.
const MANY: Workload = (
    "many",
    &[
        Step::CreateAll(&[("p", POWER), ("c", CRASH), ("d", POWER)]),
        Step::Send("p", 0, 3, 100),
        Step::Grow("p", 3),
        Step::Send("p", 2, 3, 100),
        Step::Wait("p", 2),
        Step::Grow("c", 4),
        Step::Send("c", 3, 4, 60),
        Step::Batch("c", 0, 3, 200),
        Step::DeleteAll(&["d", "p"]),
        Step::CreateAll(&[("p", CRASH), ("e", POWER)]),
        Step::Grow("e", 2),
        Step::Send("e", 1, 2, 600),
        Step::Wait("e", 1),
        Step::Send("p", 1, 3, 400),
        Step::Reopen,
        Step::Grow("c", 6),
        Step::Send("c", 5, 2, 500),
        Step::DeleteAll(&["c", "e"]),
        Step::Wait("p", 0),
    ],
);

/// Records go from the front: staged ones and settled ones, some and all.
const TRIMMED: Workload = (
    "trimmed",
    &[
        Step::Create("p", POWER),
        Step::Create("c", CRASH),
        Step::Send("p", 0, 4, 100),
        Step::Batch("c", 0, 5, 60),
        Step::Wait("p", 0),
        Step::Trim("p", 0, 2),
        Step::Trim("c", 0, 2),
        Step::Send("c", 0, 3, 60),
        Step::Trim("c", 0, 0),
        Step::Send("p", 0, 40, 740),
        Step::Send("c", 0, 40, 740),
        Step::Tick,
        Step::Trim("c", 0, 11),
        Step::Wait("p", 0),
        Step::Trim("p", 0, 7),
        Step::Send("p", 0, 2, 90),
        Step::Trim("p", 0, 3),
        Step::Reopen,
        Step::Trim("c", 0, 1),
        Step::Trim("p", 0, 0),
        Step::Send("p", 0, 2, 90),
        Step::Send("c", 0, 2, 90),
        Step::Flush,
        Step::Trim("p", 0, 1),
        Step::Close,
    ],
);

/// Segments that are ended, and that go because they are too many.
const EXPIRED: Workload = (
    "expired",
    &[
        Step::Create("p", POWER),
        Step::Create("c", CRASH),
        Step::Send("p", 0, 4, 100),
        Step::Send("c", 0, 4, 100),
        Step::Wait("p", 0),
        Step::Roll("p"),
        Step::Roll("c"),
        Step::Roll("c"),
        Step::Send("p", 0, 3, 60),
        Step::Send("c", 0, 3, 60),
        Step::Flush,
        Step::Expire("p", 200),
        Step::Expire("c", 200),
        Step::Send("c", 0, 14, 740),
        Step::Send("p", 0, 14, 740),
        Step::Tick,
        Step::Expire("c", 2_000),
        Step::Reopen,
        Step::Wait("p", 0),
        Step::Expire("p", 0),
        Step::Expire("c", 0),
        Step::Send("p", 0, 2, 90),
        Step::Send("c", 0, 2, 90),
        Step::Roll("p"),
        Step::Close,
    ],
);

/// The newest records of five keys stay, the log start moves, and the background goes round.
const COMPACTED: Workload = (
    "compacted",
    &[
        Step::Create("k", KEYED),
        Step::Create("n", Shape { level: ProcessCrash, segment: 700, ..KEYED }),
        Step::Send("k", 0, 12, 100),
        Step::Send("n", 0, 12, 60),
        Step::Wait("k", 0),
        Step::Compact("k"),
        Step::Send("k", 0, 7, 200),
        Step::Compact("n"),
        Step::Send("n", 0, 7, 60),
        Step::Wait("k", 0),
        Step::Compact("k"),
        Step::Roll("n"),
        Step::Tick,
        Step::Tick,
        Step::Reopen,
        Step::Send("k", 0, 9, 60),
        Step::Send("n", 0, 9, 60),
        Step::Trim("k", 0, 9),
        Step::Compact("k"),
        Step::Compact("n"),
        Step::Send("k", 0, 2, 60),
        Step::Close,
    ],
);

/// Old segments make room for new ones.
const LIMITED: Workload = (
    "limited",
    &[
        Step::Limit(1_200_000),
        Step::Create("p", LARGE),
        Step::Create(
            "c",
            Shape { level: ProcessCrash, partitions: 1, segment: 200_000, compacted: false },
        ),
        Step::Send("c", 0, 8, 40_000),
        Step::Send("p", 0, 8, 40_000),
        Step::Wait("p", 0),
        Step::Send("c", 0, 2, 150_000),
        Step::Tick,
        Step::Send("p", 0, 6, 60_000),
        Step::Flush,
        Step::Send("c", 0, 6, 60_000),
        Step::Reopen,
        Step::Send("p", 0, 2, 150_000),
        Step::Wait("p", 0),
        Step::Close,
    ],
);

/// So many partitions with a segment each that one sync of the file system covers their footers.
const CROWD: u32 = 36;

const fn crowded() -> [Step; 2 * CROWD as usize + 6] {
    let shape = Shape { level: ProcessCrash, partitions: CROWD, ..LARGE };
    let mut steps = [Step::Close; 2 * CROWD as usize + 6];
    steps[0] = Step::Create("c", shape);
    let mut partition = 0;
    while partition < CROWD {
        steps[1 + partition as usize] = Step::Send("c", partition, 2, 1_300);
        steps[2 + (CROWD + partition) as usize] = Step::Send("c", partition, 1, 2_000);
        partition += 1;
    }
    steps[1 + CROWD as usize] = Step::Tick;
    steps[2 + 2 * CROWD as usize] = Step::Reopen;
    steps[3 + 2 * CROWD as usize] = Step::Send("c", 3, 1, 60);
    steps[4 + 2 * CROWD as usize] = Step::Reopen;
    steps
}

/// Very many partitions are closed together.
const CROWDED: Workload = ("crowded", &crowded());

/// What is left when the machine stops at operation `at` of a workload.
fn crashed(steps: &[Step], at: u64, short: Option<usize>) -> Bed {
    let disk = SimDisk::new();
    disk.crash_at(at);
    if let Some(bytes) = short {
        disk.fail_at(at, Fault::ShortWrite(bytes));
    }
    let mut bed = Bed::on(disk, Account::default());
    let _ = bed.open().and_then(|()| bed.run(steps));
    assert!(bed.disk.is_off(), "the workload has ended before operation {at}");
    bed
}

fn length(steps: &[Step]) -> u64 {
    let mut bed = Bed::on(SimDisk::new(), Account::default());
    bed.open().unwrap();
    bed.run(steps).unwrap();
    // Operations of the drop that follows are not counted: they vary with the topics' ids.
    bed.disk.operations() - 8
}

fn ends(at: u64) -> Vec<End> {
    let mut ends = vec![End::Kill, End::NOTHING, End::EVERYTHING];
    ends.extend((0..much(3, 24)).map(|n| End::seed(at * 100 + n)));
    ends
}

fn again(bed: &Bed, end: End) -> Bed {
    Bed::on(end.of(&bed.disk), bed.account.clone())
}

/// Crashes at every `stride`th operation; at every one in a long run.
fn every_point(workload: Workload, stride: usize) {
    every_point_behind(0, workload, stride);
}

/// As `every_point`, from operation `first` on.
fn every_point_behind(first: u64, (name, steps): Workload, stride: usize) {
    for at in (first..length(steps)).step_by(much(stride, 1)) {
        for short in [None, Some(300)].into_iter().take(much(1 + usize::from(at % 5 == 0), 2)) {
            let bed = crashed(steps, at, short);
            for end in ends(at) {
                let what = format!("{name}: crash at {at} ({short:?}), {end:?}");
                let mut after = again(&bed, end);
                after.recover(end, &what);
                after.go_on(at, &what);
            }
        }
    }
}

/// A crash in the middle of the recovery from a crash, and of the first use after it.
fn every_second_point((name, steps): Workload) {
    let stride = much(97, 1);
    for at in (0..length(steps)).step_by(stride) {
        let bed = crashed(steps, at, None);
        for first in [End::Kill, End::seed(at)] {
            let points = {
                let mut after = again(&bed, first);
                after.recover(first, "a first time");
                after.disk.operations()
            };
            for second_at in (at % much(7, 1)..points + 1).step_by(much(7, 1)) {
                let mut after = again(&bed, first);
                after.disk.crash_at(second_at);
                let _ = after.open().and_then(|()| after.producer().flush());
                for second in [End::Kill, End::NOTHING, End::seed(second_at)] {
                    let what = format!(
                        "{name}: crash at {at}, {first:?}, then at {second_at}, {second:?}"
                    );
                    let mut last = again(&after, second);
                    let end = if first == End::Kill { second } else { first };
                    last.recover(end, &what);
                    if second_at % 4 == 0 {
                        last.go_on(at, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn small_records_survive_a_crash_at_every_operation() {
    every_point(SMALL, 1);
}

#[test]
fn a_full_stage_survives_a_crash_at_every_operation() {
    every_point(FULL, 8);
}

#[test]
fn large_calls_survive_a_crash_at_every_operation() {
    every_point(THROUGH, 1);
}

#[test]
fn topics_survive_a_crash_at_every_operation() {
    every_point(TOPICS, 6);
}

#[test]
fn e09_levels_go_up_and_down_and_survive_a_crash_at_every_operation() {
    every_point(LEVELS, 3);
}

#[test]
fn e02_e05_e06_topics_made_grown_and_deleted_together_survive_a_crash_at_every_operation() {
    every_point(MANY, 1);
}

#[test]
fn very_many_partitions_are_closed_together_and_survive_a_crash_at_every_operation() {
    let (_, steps) = CROWDED;
    let first = length(&steps[..2 * CROWD as usize + 2]) + 8;
    every_point_behind(first, CROWDED, 13);
    let steps = &steps[..2 * CROWD as usize + 2];
    let close = |failing: Option<u64>| {
        let mut bed = Bed::fresh();
        bed.run(steps).unwrap();
        if let Some(at) = failing {
            bed.disk.fail_at(at, Fault::SyncFails);
        }
        bed.disk.start_trace();
        let _ = bed.run(&[Step::Close]);
        bed
    };
    let trace = close(None).disk.trace();
    let footers = trace.iter().skip_while(|done| done.operation != Operation::SetLen);
    let of_files = footers.filter(|done| done.operation == Operation::Sync);
    let segments = of_files.filter(|done| done.path.starts_with("/data/segments"));
    assert_eq!(segments.count(), 0, "none for a single footer");
    let all = |operation| trace.iter().filter(move |done| done.operation == operation);
    assert!(all(Operation::SyncAll).count() > 0, "one covers the footers");
    // One that fails is told by the close, and loses nothing.
    for failing in all(Operation::SyncAll) {
        let mut after = again(&close(Some(failing.index)), End::NOTHING);
        after.recover(End::NOTHING, "crowded: a failed sync of everything");
    }
}

/// An open that finds a deletion half done ends it: what the topic took on the disk is free then,
/// and not only after one more open.
#[test]
fn e06_the_files_of_a_deletion_that_a_crash_interrupted_are_gone_after_the_next_open() {
    let steps =
        [Step::Create("p", LARGE), Step::Send("p", 0, 10, 70_000), Step::Wait("p", 0), Step::Tick];
    let (before, after) = {
        let mut bed = Bed::fresh();
        bed.run(&steps).unwrap();
        let before = bed.disk.operations();
        bed.step(Step::Delete("p")).unwrap();
        (before, bed.disk.operations())
    };
    let mut interrupted = 0;
    for at in before..after {
        for end in [End::Kill, End::NOTHING, End::EVERYTHING, End::seed(at)] {
            let mut bed = Bed::fresh();
            bed.run(&steps).unwrap();
            bed.disk.crash_at(at);
            let _ = bed.step(Step::Delete("p"));
            let mut bed = bed.end(end);
            let what = format!("crash at {at}, {end:?}");
            bed.recover(end, &what);
            let admin = bed.log().admin();
            let told = admin.describe_log_dir().unwrap();
            let bytes = told.total_bytes - told.stage_bytes;
            if admin.list_topics().unwrap().is_empty() {
                assert!(bytes < 300_000, "{what}: {bytes} bytes are left");
                interrupted += 1;
            } else {
                assert!(bytes > 700_000, "{what}: {bytes}");
            }
        }
    }
    assert!(interrupted > 4);
}

#[test]
fn a48_a_trim_survives_a_crash_at_every_operation() {
    every_point(TRIMMED, 5);
}

#[test]
fn a37_a_roll_and_a_retention_pass_survive_a_crash_at_every_operation() {
    every_point(EXPIRED, 7);
}

#[test]
fn a62_a_compaction_survives_a_crash_at_every_operation() {
    every_point(COMPACTED, 3);
}

#[test]
fn a_disk_budget_survives_a_crash_at_every_operation() {
    every_point(LIMITED, 11);
}

#[test]
fn recovery_survives_a_crash_at_every_operation() {
    let workloads = [SMALL, THROUGH, TOPICS, MANY, FULL];
    for workload in workloads.into_iter().take(much(4, 5)) {
        every_second_point(workload);
    }
}

/// A topic whose creation nobody acknowledged may be used after a kill. What is made durable of
/// it must not outlive the topic itself.
#[test]
fn a_topic_found_after_a_kill_is_as_durable_as_what_is_in_it() {
    for shape in [LARGE, Shape { level: ProcessCrash, segment: 70_000, ..LARGE }] {
        let created = [Step::Create("p", shape)];
        for at in 0..length(&created) + 8 {
            let disk = SimDisk::new();
            disk.crash_at(at);
            let mut bed = Bed::on(disk, Account::default());
            let _ = bed.open().and_then(|()| bed.run(&created));
            let mut bed = bed.end(End::Kill);
            bed.open().unwrap();
            if bed.log().admin().list_topics().unwrap().is_empty() {
                continue;
            }
            for _ in 0..3 {
                bed.step(Step::Send("p", 0, 1, 66_000)).unwrap();
                bed.log().tick();
            }
            let what = format!("{shape:?}: crash at {at}");
            for end in [End::NOTHING, End::seed(at), End::seed(at + 1_000)] {
                again(&bed, end).recover(end, &what);
            }
        }
    }
}
