//! Rows of opening: after a close, and after a death.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use alluvium::{Durability, EventLog};

use crate::bed::{LOG, Plan, TOPIC};
use crate::data::{Data, SMALL, encoded_len, scratch};
use crate::limits::{OPEN_READ, OPEN_READ_MANY, READ_CRC};
use crate::read::filled_with;
use crate::row::{Row, Sample};

/// The first argument of a child process that is going to be killed.
pub const VICTIM: &str = "--be-the-victim";

/// As many bytes as the victim leaves, all of them in one unsealed segment and the stage.
const VICTIM_BYTES: usize = 32 << 20;

/// Opening.
pub fn rows() -> Vec<Row> {
    vec![
        after_close("open after close, 64 MiB", 64 << 20, "16777216").limited_by(OPEN_READ, 1.0),
        after_close("open after close, 1 GiB", 1 << 30, "67108864")
            .limited_by(OPEN_READ_MANY, 1.0)
            .aim(2.0),
        after_kill(),
    ]
}

/// So many bytes in segments of that length, closed.
fn after_close(name: &'static str, bytes: usize, segment_bytes: &'static str) -> Row {
    Row::new("open", name, move || {
        let plan = Plan::new(Durability::ProcessCrash).segment_bytes(segment_bytes);
        let count = bytes / encoded_len(SMALL);
        let home = filled_with(plan, SMALL, count).close().unwrap();
        let dir = home.path().join(LOG);
        move || {
            let _kept = &home;
            let start = Instant::now();
            let log = open(&dir);
            let elapsed = start.elapsed();
            assert_eq!(end_of(&log), count as u64);
            log.close().unwrap();
            Sample::new(elapsed, 1)
        }
    })
}

/// 32 MiB of which nothing is sealed, left by a process that was killed.
fn after_kill() -> Row {
    let row = Row::new("open", "open after kill, 32 MiB unsealed", || {
        || {
            let home = scratch();
            let dir = home.path().join(LOG);
            let count = leave_by_a_killed_process(&dir);
            let start = Instant::now();
            let log = open(&dir);
            let elapsed = start.elapsed();
            assert_eq!(end_of(&log), count);
            log.close().unwrap();
            Sample::new(elapsed, 1)
        }
    });
    row.limited_by(READ_CRC, VICTIM_BYTES as f64)
}

fn open(dir: &Path) -> EventLog {
    EventLog::builder().path(dir).durability(Durability::ProcessCrash).open().unwrap()
}

fn end_of(log: &EventLog) -> u64 {
    let consumer = log.consumer().build().unwrap();
    let partition = alluvium::TopicPartition::new(TOPIC, 0);
    let ends = consumer.end_offsets(std::slice::from_ref(&partition)).unwrap();
    ends.iter().map(|(_, offset)| offset).next().unwrap()
}

/// Runs this program as the victim, and kills it once it has sent everything.
fn leave_by_a_killed_process(dir: &Path) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(VICTIM)
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut reports = BufReader::new(child.stdout.take().unwrap());
    reports.read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    line.trim().parse().unwrap()
}

/// The victim's life: it sends, reports, and waits for its end.
pub fn be_the_victim(dir: &Path) {
    let bed = Plan::new(Durability::ProcessCrash).background().make_in(dir);
    let data = Data::new(SMALL);
    let count = VICTIM_BYTES / data.encoded_len();
    for key in data.keys.iter().cycle().take(count) {
        let _ = bed.producer.send(bed.topic.record(&data.value).key(key)).unwrap();
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{count}").unwrap();
    out.flush().unwrap();
    // Should the parent be gone, its end of the pipe closes, and nobody waits for ever.
    io::stdin().lock().read_to_end(&mut Vec::new()).unwrap();
}
