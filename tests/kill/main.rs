//! SIGKILL at random moments: nothing acknowledged is lost, nothing is torn, doubled or invented.
//!
//! The test runs its own binary again as a child, which appends to topics of both levels from
//! several threads and tells of each call once it has returned. The parent kills it after a
//! number of such lines and a number of turns of an idle loop, reads the lines that were still
//! under way, and goes on with the same directory: the next child checks the whole log before
//! it appends, and between lives the parent reads it too. A few lives are killed while they
//! create or open the log.
//!
//! A few dozen kills belong to the suite. Thousands, in about a quarter of an hour:
//!
//! ```sh
//! ALLUVIUM_KILLS=5000 cargo test --release --test kill -- --nocapture
//! ```
//!
//! Every run has a seed and prints it; `ALLUVIUM_SEED` gives another one. It decides what is
//! appended and after how many lines the kill comes; the moment itself is the machine's.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod child;
mod commits;
mod reader;
mod workload;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use workload::{Counts, Random, STREAMS, Shape};

const ROLE: &str = "ALLUVIUM_KILL_CHILD";
const SIGKILL: i32 = 9;
const DEFAULT_KILLS: u64 = 36;

/// What children have told of one log.
#[derive(Debug, Default)]
struct Told {
    /// By stream, how many calls have returned.
    counts: Counts,
    /// Stream, number and offset of each.
    calls: Vec<(usize, u64, u64)>,
    /// Calls for which a wait has returned.
    safe: u64,
    /// Children that had opened the log before their end.
    opened: u64,
}

impl Told {
    /// Takes a line; a line that no child tells is the panic of one.
    fn take(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split(' ');
        let kind = words.next();
        let numbers: Option<Vec<u64>> = words.map(|word| word.parse().ok()).collect();
        match (kind, numbers.as_deref()) {
            (Some("open"), Some([])) => self.opened += 1,
            (Some("have"), Some(have)) if have.len() == STREAMS => {
                for (stream, (&have, told)) in have.iter().zip(&mut self.counts).enumerate() {
                    if have < *told {
                        return Err(format!("stream {stream}: {have} calls of {told} are left"));
                    }
                    // A call that was killed before it was told of may be there.
                    *told = have;
                }
            }
            (Some("sent"), Some(&[stream, number, offset])) => {
                let stream = stream as usize;
                assert_eq!(self.counts[stream], number, "children count on from what they found");
                self.counts[stream] += 1;
                self.calls.push((stream, number, offset));
            }
            (Some("safe"), Some(&[stream, number])) => {
                assert!(self.counts[stream as usize] > number);
                self.safe += 1;
            }
            _ => return Err(line.to_owned()),
        }
        Ok(())
    }
}

/// This test is the child, if the parent says so.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let words: Vec<&str> = role.splitn(3, '|').collect();
    child::run(Path::new(words[2]), Shape::decode(words[1]), words[0].parse().unwrap());
}

fn start(dir: &Path, shape: Shape, seed: u64) -> (Child, BufReader<ChildStderr>) {
    let role = format!("{seed}|{}|{}", shape.encode(), dir.display());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (child, stderr)
}

/// One life: a child that is killed after `lines` lines.
fn live(dir: &Path, shape: Shape, random: &mut Random, told: &mut Told) {
    let lines = match random.below(8) {
        0 => 0,
        1 => random.below(3),
        2 => random.below(2_000),
        _ => random.below(300),
    };
    // Up to some milliseconds in all orders of magnitude: a child needs a few to open.
    let turns = 1_usize << random.below(24);
    let (mut child, mut stderr) = start(dir, shape, random.next());
    let mut strange = String::new();
    let mut line = String::new();
    for _ in 0..lines {
        line.clear();
        if stderr.read_line(&mut line).unwrap() == 0 {
            break;
        }
        note(told, &line, &mut strange);
        if !strange.is_empty() {
            break;
        }
    }
    for turn in 0..turns {
        std::hint::black_box(turn);
    }
    child.kill().unwrap();
    loop {
        line.clear();
        if stderr.read_line(&mut line).unwrap() == 0 {
            break;
        }
        note(told, &line, &mut strange);
    }
    let status = child.wait().unwrap();
    assert!(strange.is_empty(), "the child told:\n{strange}");
    assert_eq!(status.signal(), Some(SIGKILL), "{status}");
}

fn note(told: &mut Told, line: &str, strange: &mut String) {
    if let Err(other) = told.take(line.trim_end_matches('\n')) {
        strange.push_str(&other);
        strange.push('\n');
    }
}

/// Reads the log in this process: everything that was told of is where it was told to be.
fn check(dir: &Path, shape: Shape, told: &mut Told) {
    let log = shape.open(dir).unwrap();
    shape.topics(&log);
    let contents = reader::read_all(&log);
    log.close().unwrap();
    for &(stream, number, offset) in &told.calls {
        let found = contents.offset(stream, number);
        assert_eq!(found, Some(offset), "stream {stream}, call {number}");
    }
    let counts = contents.counts();
    assert!((0..STREAMS).all(|stream| counts[stream] >= told.counts[stream]));
    told.counts = counts;
}

/// Several lives on one log. Returns what their children told.
fn lives(kills: u64, random: &mut Random) -> Told {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let shape = Shape::random(random);
    let mut told = Told::default();
    for _ in 0..kills {
        live(&dir, shape, random, &mut told);
        if random.one_in(4) {
            check(&dir, shape, &mut told);
        }
    }
    check(&dir, shape, &mut told);
    // And once more after a clean close.
    check(&dir, shape, &mut told);
    told
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let kills = setting("ALLUVIUM_KILLS", DEFAULT_KILLS);
    let seed = setting("ALLUVIUM_SEED", 1);
    let (mut done, mut sent, mut safe, mut opened) = (0, 0, 0, 0);
    while done < kills {
        let seed = seed.wrapping_mul(1 << 32) + done;
        println!("{done} kills, {sent} calls told of, {safe} of them waited for; seed {seed}");
        let mut random = Random(seed);
        let mut here = (kills - done).min(1 + random.below(9) as u64);
        if kills == DEFAULT_KILLS {
            here = here.max((kills - done).min(4));
        }
        let told = lives(here, &mut random);
        done += here;
        sent += told.calls.len();
        safe += told.safe;
        opened += told.opened;
    }
    println!("{done} kills, {opened} of them after the open, {sent} calls, {safe} waited for");
    assert!(sent > 0 && safe > 0 && opened > 0);
}
