//! Speed of the log, each figure beside what the machine could do at best. See `../README.md`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod append;
mod bed;
mod compaction;
mod crowd;
mod data;
mod device;
mod groups;
mod limits;
mod open;
mod read;
mod retention;
mod row;
mod sourcing;
mod table;
mod tables;
mod transactions;

use std::env;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};

use row::Row;
use table::{Effort, Table};

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [first, dir] = args.as_slice()
        && first == open::VICTIM
    {
        return open::be_the_victim(Path::new(dir));
    }
    let mut rows = every_row();
    keep_wanted(&mut rows, filter(&args));
    let says = |wanted: &str| args.iter().any(|arg| arg == wanted);
    if !says("--table") {
        measure_by_criterion(&mut rows);
    }
    if says("--list") {
        return;
    }
    // Without `--bench` this is a test that everything runs.
    let earnest = says("--bench") && !says("--test");
    let effort = if earnest {
        Effort { rounds: 7, turn: Duration::from_millis(30) }
    } else {
        Effort { rounds: 1, turn: Duration::ZERO }
    };
    let table = Table::measure(&mut rows, effort);
    println!("{}", table.render(&rows));
    if let Some(lines) = device::report() {
        println!("{lines}");
    }
    println!("{EXPLANATION}");
}

const EXPLANATION: &str = "\
Times are per record, per hand-off, per open, or per what the row says. Rows took turns, so that a
value and its limit saw the same machine. aim: the ratio that is aimed at. ratio: best / best of the limit; medians: the same of
medians. 1.00 is as fast as the machine can; less is better.";

fn every_row() -> Vec<Row> {
    let mut rows = limits::rows();
    rows.extend(append::rows());
    rows.extend(crowd::rows());
    rows.extend(crowd::reader_rows());
    rows.extend(crowd::paced_rows());
    rows.extend(append::durable_rows());
    rows.extend(read::rows());
    rows.extend(read::hand_off_rows());
    rows.extend(open::rows());
    rows.extend(groups::rows());
    rows.extend(retention::rows());
    rows.extend(transactions::rows());
    rows.extend(sourcing::rows());
    rows.extend(compaction::rows());
    rows.extend(tables::rows());
    rows
}

/// The first argument that is no option and no option's value, as criterion reads it.
fn filter(args: &[String]) -> Option<&str> {
    let takes_value = |option: &str| {
        option.starts_with("--")
            && !option.contains('=')
            && ![
                "--bench",
                "--test",
                "--table",
                "--list",
                "--exact",
                "--quick",
                "--verbose",
                "--quiet",
            ]
            .contains(&option)
    };
    let free = |at: &usize| {
        !args[*at].starts_with('-') && !at.checked_sub(1).is_some_and(|b| takes_value(&args[b]))
    };
    (0..args.len()).find(free).map(|at| args[at].as_str())
}

/// Keeps the rows whose name contains `filter`, and their limits.
fn keep_wanted(rows: &mut Vec<Row>, filter: Option<&str>) {
    let Some(filter) = filter else { return };
    let wanted = |row: &&Row| row.full_name().contains(filter);
    let limits: Vec<&str> =
        rows.iter().filter(wanted).filter_map(|row| Some(row.limit?.0)).collect();
    rows.retain(|row| wanted(&row) || limits.contains(&row.name.as_str()));
}

/// What `units` take, told from as many whole samples as that needs.
fn time_of(row: &mut Row, units: u64) -> Duration {
    let (mut elapsed, mut done) = (Duration::ZERO, 0);
    while done < units {
        let sample = row.sample();
        elapsed += sample.elapsed;
        done += sample.units;
    }
    elapsed.mul_f64(units as f64 / done as f64)
}

fn measure_by_criterion(rows: &mut [Row]) {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    for row in rows.iter_mut() {
        let mut group = criterion.benchmark_group(row.group);
        // A sample prepares much that is not timed: as few of them as possible.
        group.sampling_mode(SamplingMode::Flat);
        // Criterion cannot tell less than a nanosecond: bytes come by the mebibyte.
        let units = if row.is_bytes { 1 << 20 } else { 1 };
        group.throughput(match row.is_bytes {
            true => Throughput::Bytes(units),
            false => Throughput::Elements(units),
        });
        group.bench_function(row.name.clone(), |bencher| {
            bencher.iter_custom(|times| time_of(row, times * units));
        });
        group.finish();
    }
    criterion.final_summary();
}
