//! A death in the middle: the parent kills the child that writes, the victim waits for it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::args::VICTIM;
use crate::input::Input;
use crate::job::{Flights, Ingest, Outcome};

/// The victim flushes and reports after this many records.
const REPORT_STEP: usize = 256;

/// What the victim says before the number of records acknowledged so far.
const REPORT: &str = "acknowledged ";

/// Runs the ingest in a child process and kills it once `crash_at` records are acknowledged.
/// Returns the number that the child had last reported.
pub fn run_and_kill(input: &Path, dir: &Path, partitions: u32, crash_at: usize) -> Outcome<usize> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([VICTIM, &crash_at.to_string(), "--partitions", &partitions.to_string()])
        .args(["--input".as_ref(), input.as_os_str(), "--dir".as_ref(), dir.as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let watched = watch(&mut child, crash_at);
    // Harmless when it has ended by itself; either way it is waited for, also after an error.
    child.kill()?;
    let status = child.wait()?;
    let acknowledged = watched?;
    if acknowledged < crash_at {
        return Err(format!("the ingest ended early, with {status}").into());
    }
    if !was_killed(status) {
        return Err(format!("the ingest was to be killed, but ended with {status}").into());
    }
    Ok(acknowledged)
}

/// Reads reports until `crash_at` or the end of the child.
fn watch(child: &mut Child, crash_at: usize) -> Outcome<usize> {
    let reports = child.stdout.take().ok_or("the child has no output")?;
    let mut acknowledged = 0;
    for line in BufReader::new(reports).lines() {
        let line = line?;
        let number = line.strip_prefix(REPORT).and_then(|number| number.parse().ok());
        acknowledged = number.ok_or_else(|| format!("the child said {line:?}"))?;
        if acknowledged >= crash_at {
            break;
        }
    }
    Ok(acknowledged)
}

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SIGKILL: i32 = 9;
    status.signal() == Some(SIGKILL)
}

#[cfg(not(unix))]
fn was_killed(status: ExitStatus) -> bool {
    !status.success()
}

/// The child's life: writes, reports what is acknowledged up to `stop_at`, writes on without
/// waiting, and is killed somewhere there. It never closes its log.
pub fn be_the_victim(input: &Input, dir: &Path, partitions: u32, stop_at: usize) -> Outcome<()> {
    let flights = Flights::open(dir, partitions)?;
    let ledger = flights.ledger(input)?;
    let rows = ledger.missing();
    if rows.len() < stop_at {
        let left = rows.len();
        return Err(format!("only {left} flights are left to write, not {stop_at}").into());
    }
    let mut ingest = Ingest::new(&flights, &ledger, input)?;
    for (index, row) in rows.into_iter().enumerate() {
        ingest.send(row)?;
        let count = index + 1;
        if count == stop_at || (count < stop_at && count % REPORT_STEP == 0) {
            ingest.flush()?;
            report(count)?;
        }
    }
    wait_for_the_end()
}

fn report(count: usize) -> Outcome<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{REPORT}{count}")?;
    Ok(out.flush()?)
}

/// Blocks until the parent kills this process. Should the parent be gone, its end of the pipe
/// closes, and nobody waits for ever.
fn wait_for_the_end() -> Outcome<()> {
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    Err("nobody killed this process".into())
}
