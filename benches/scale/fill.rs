//! A log with many partitions: made, empty, filled, read, at rest.

use std::path::Path;
use std::time::{Duration, Instant};

use alluvium::Durability::PowerLoss;

use crate::counted::CountedDisk;
use crate::limit::BareFile;
use crate::logs::{Bed, ENCODED, furnish, open, scan};
use crate::process;
use crate::report::Row;
use crate::task::Size;

/// The most that the background may still have to do after a second of nothing.
const REST: Duration = Duration::from_secs(2);

type Say<'a> = &'a mut dyn FnMut(Row);

pub fn run(size: Size, dir: &Path, say: Say<'_>) {
    let disk = CountedDisk::default();
    let counts = disk.counts();
    let log = open(dir, &disk, PowerLoss);
    let before = process::resident();
    let (start, syncs) = (Instant::now(), counts.syncs());
    let bed = furnish(log, size.partitions);
    say(Row::new("create all partitions", ms(start.elapsed()), "ms"));
    say(Row::new("syncs of that", (counts.syncs() - syncs) as f64, "").goal(20.0));
    if let (Some(before), Some(now)) = (before, process::resident()) {
        say(Row::new("resident, all partitions empty", mb(now), "MB").goal(100.0));
        say(Row::new("of that, the partitions", mb(now.saturating_sub(before)), "MB"));
    }
    tell_process("empty", say);
    let rounds = durable_rounds(&bed, size, dir, &counts, say);
    let start = Instant::now();
    let all = rounds * size.partitions as usize;
    assert_eq!(scan(&bed.log, size.partitions, all), all);
    say(Row::new("scan all, per record", start.elapsed().as_secs_f64() * 1e6 / all as f64, "us"));
    tell_process("filled and read", say);
    rest(size, say);
    // The parent kills this process: nothing may be closed in order.
    std::mem::forget(bed);
}

/// One record for each partition, all waited for together; again and again.
fn durable_rounds(
    bed: &Bed,
    size: Size,
    dir: &Path,
    counts: &crate::counted::Counts,
    say: Say<'_>,
) -> usize {
    let bare = BareFile::new(dir.parent().unwrap(), size.partitions as usize * ENCODED);
    let mut times = Vec::new();
    let (mut sends, mut limits) = (Vec::new(), Vec::new());
    let mut first_counts = (0, 0);
    for round in 0..size.rounds {
        limits.extend((0..5).map(|_| bare.write_and_sync()));
        let (syncs, created) = (counts.syncs(), counts.created());
        let start = Instant::now();
        (0..size.partitions).for_each(|partition| bed.send(partition));
        sends.push(start.elapsed());
        bed.producer.flush().unwrap();
        times.push(start.elapsed());
        if round == 0 {
            first_counts = (counts.syncs() - syncs, counts.created() - created);
        }
    }
    limits.sort_unstable();
    let limit = ms(limits[limits.len() / 2]);
    let first = Row::new("one record each, durable together", ms(times[0]), "ms");
    say(first.limit(limit).goal(20.0));
    say(Row::new("the sends of that", ms(sends[0]), "ms"));
    say(Row::new("syncs of that", first_counts.0 as f64, ""));
    say(Row::new("files made by that", first_counts.1 as f64, ""));
    if let Some(worst) = times.iter().skip(1).max() {
        say(Row::new("the same again, slowest of four", ms(*worst), "ms").limit(limit));
    }
    size.rounds
}

fn rest(size: Size, say: Say<'_>) {
    // What was sent last is settled in the background.
    let _ = process::switches_during(REST.min(Duration::from_millis(20 * size.idle_ms)));
    if let Some(switches) = process::switches_during(Duration::from_millis(size.idle_ms)) {
        let name = format!("context switches in {} ms of nothing", size.idle_ms);
        say(Row::new(name, switches as f64, "").goal(0.0));
    }
}

/// What the process has at this moment.
pub fn tell_process(when: &str, say: Say<'_>) {
    let told = [
        ("descriptors", process::descriptors()),
        ("maps", process::maps()),
        ("threads", process::threads()),
    ];
    for (what, count) in told {
        if let Some(count) = count {
            say(Row::new(format!("{what}, {when}"), count as f64, ""));
        }
    }
    if let Some(bytes) = process::resident().filter(|_| when != "empty") {
        say(Row::new(format!("resident, {when}"), mb(bytes), "MB"));
    }
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
