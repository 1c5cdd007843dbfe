//! Alluvium's main job on real input: a year of flights goes into a log and comes back.
//!
//! Each flight becomes a record: the key is the aircraft's tail number, the timestamp its scheduled
//! departure, carrier and origin are headers, the value is the row of the table. The program waits
//! until all is durable, closes the log, opens it again, reads everything back, proves that no
//! flight is lost, doubled or out of order, and prints what it learned.
//!
//! `cargo run --release --example flights -- --help` names the options. With `--crash-at N` the
//! writer is killed on the way, and the rest is written by what the log still knows. With `--compact`
//! the latest flight of each aircraft is kept in a compacted topic, and looked up by a table.

#![allow(clippy::print_stderr)]

mod args;
mod compact;
mod crash;
mod input;
mod job;
mod plan;
mod report;

use std::env;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use args::{Args, USAGE};
use input::{Flight, Input};
use job::{Flights, Ingest, Outcome, bar};
use plan::Ledger;
use report::{Stats, grouped, rate};

/// The aircraft whose position is printed.
const AIRCRAFT_SHOWN: usize = 5;

fn main() -> ExitCode {
    let args = match Args::parse(env::args_os().skip(1)) {
        Ok(args) => args,
        Err(reason) => {
            eprintln!("flights: {reason}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let outcome = if args.help { say(USAGE) } else { run(&args) };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flights: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<()> {
    let path = args.input.clone().unwrap_or_else(sample);
    let input = Input::open(&path)?;
    // Kept alive until the end: a temporary directory goes with its owner.
    let mut temporary = None;
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => temporary.insert(tempfile::tempdir()?).path().join("log"),
    };
    if let Some(stop_at) = args.victim_at {
        return crash::be_the_victim(&input, &dir, args.partitions, stop_at);
    }
    say(format!("input  {}: {} flights", path.display(), grouped(input.len() as u64)))?;
    say(format!("log    {}, {} partitions", dir.display(), args.partitions))?;
    if let Some(crash_at) = args.crash_at {
        crash_and_check(args, &path, &input, &dir, crash_at)?;
    }
    write_the_rest(&input, &dir, args.partitions)?;
    let stats = read_back(&input, &dir, args.partitions)?;
    if args.compact {
        say(compact::keep_latest(&input, &dir, args.partitions)?)?;
    }
    say(format!("\n{}", stats.carrier_table()))?;
    say(stats.position_table(AIRCRAFT_SHOWN))?;
    let on_disk = grouped(bytes_on_disk(&dir)?);
    say(format!(
        "disk   {on_disk} bytes for {} bytes of rows",
        grouped(input.text_bytes() as u64)
    ))?;
    Ok(())
}

/// Prints a line. Unlike `println!` it survives a reader that has seen enough.
fn say(line: impl Display) -> Outcome<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/flights-sample.csv")
}

/// Lets a child write and die, and looks at what it left: everything that it had acknowledged.
fn crash_and_check(
    args: &Args,
    path: &Path,
    input: &Input,
    dir: &Path,
    crash_at: usize,
) -> Outcome<()> {
    if crash_at > input.len() {
        let flights = input.len();
        return Err(format!("--crash-at is {crash_at}, but there are {flights} flights").into());
    }
    let flights = Flights::open(dir, args.partitions)?;
    let before = flights.ledger(input)?.missing();
    flights.close()?;
    let acknowledged = crash::run_and_kill(path, dir, args.partitions, crash_at)?;
    let flights = Flights::recover(dir, args.partitions)?;
    let after = flights.ledger(input)?;
    if let Some(lost) = before.iter().take(acknowledged).find(|row| !after.holds(**row)) {
        return Err(format!("row {lost} was acknowledged and is lost").into());
    }
    say(format!(
        "crash  killed after {} acknowledged records; the log holds {}",
        grouped(acknowledged as u64),
        grouped(after.records() as u64)
    ))?;
    flights.close()
}

/// Writes the flights that the log does not hold yet; on a new log, all of them.
fn write_the_rest(input: &Input, dir: &Path, partitions: u32) -> Outcome<()> {
    let flights = Flights::recover(dir, partitions)?;
    let ledger = flights.ledger(input)?;
    let missing = ledger.missing();
    let mut ingest = Ingest::new(&flights, &ledger, input)?;
    let time = ingest.send_all(&missing, &bar(missing.len(), "writing"))?;
    match missing.len() as u64 {
        0 => say("in     nothing: the log holds every flight of the input")?,
        count => say(format!("in     {}, all durable", rate(count, time)))?,
    }
    drop(ingest);
    flights.close()
}

/// Reads everything back twice: once against the clock, once against the input.
fn read_back(input: &Input, dir: &Path, partitions: u32) -> Outcome<Stats> {
    let flights = Flights::open(dir, partitions)?;
    let mut stats = Stats::default();
    let time = flights.read_all(&bar(input.len(), "reading back"), |record| {
        let flight = Flight::parse(record.value_str()?).map_err(|reason| {
            format!("partition {}, offset {}: {reason}", record.partition(), record.offset())
        })?;
        stats.add(&flight);
        Ok(())
    })?;
    say(format!("out    {}", rate(stats.flights(), time)))?;
    let ledger = flights.ledger(input)?;
    prove_complete(&ledger)?;
    say(format!(
        "proof  {} flights: none lost, none twice, in order for each of {} aircraft",
        grouped(ledger.records() as u64),
        grouped(stats.aircraft() as u64)
    ))?;
    flights.close()?;
    Ok(stats)
}

/// The ledger has refused duplicates and broken order already; what is left is loss.
fn prove_complete(ledger: &Ledger<'_>) -> Outcome<()> {
    match ledger.missing().first() {
        None => Ok(()),
        Some(row) => Err(format!("row {row} of the input is not in the log").into()),
    }
}

/// The space that the files below `dir` take.
fn bytes_on_disk(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { bytes_on_disk(&entry.path())? } else { space_of(&metadata) };
    }
    Ok(sum)
}

#[cfg(unix)]
fn space_of(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn space_of(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}
