//! SIGKILL while a group commits: the offset is the last that was acknowledged or a newer one that
//! was tried, with its own metadata, and the log goes on.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use alluvium::{
    Durability, EventLog, NewTopic, OffsetAndMetadata, OffsetReset, Record, TopicPartition,
};

use crate::child::tell;
use crate::workload::Random;
use crate::{SIGKILL, setting};

const ROLE: &str = "ALLUVIUM_KILL_COMMITTER";
const DEFAULT_KILLS: u64 = 16;
/// A child whose parent has died ends by itself.
const COMMITS: u64 = 20_000;

fn at() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// What is committed, which must be whole.
fn committed(log: &EventLog) -> u64 {
    let consumer = log.consumer().group("g").build().unwrap();
    let found = consumer.committed(&[at()]).unwrap();
    let Some(found) = found.get(&at()) else { return 0 };
    assert_eq!(*found.metadata, *found.offset.to_string(), "a mixture of two commits");
    found.offset
}

fn open(dir: &Path, level: Durability) -> EventLog {
    EventLog::builder().path(dir).durability(level).stage_bytes(128 << 10).open().unwrap()
}

/// Sends, reads and commits, and tells of each commit that has returned.
fn commit_until_killed(dir: &Path, level: Durability) {
    let log = open(dir, level);
    log.ensure_topic(NewTopic::new("t")).unwrap();
    tell(format_args!("have {}", committed(&log)));
    let producer = log.producer().build().unwrap();
    let group = log.consumer().group("g").topics(["t"]).auto_commit(None);
    let mut consumer = group.offset_reset(OffsetReset::Earliest).build().unwrap();
    let mut next = 0;
    for _ in 0..COMMITS {
        producer.send(Record::new("t", "v")).unwrap().wait().unwrap();
        for record in &consumer.poll(Duration::from_secs(10)).unwrap() {
            assert!(record.offset() >= next, "a record again");
            next = record.offset() + 1;
        }
        let offset = OffsetAndMetadata::new(next).metadata(&next.to_string());
        consumer.commit_with_metadata([(at(), offset)]).unwrap();
        tell(format_args!("done {next}"));
    }
}

/// This test is the child, if the parent says so.
#[test]
fn committer() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (level, dir) = role.split_once('|').unwrap();
    let level = if level == "power" { Durability::PowerLoss } else { Durability::ProcessCrash };
    commit_until_killed(Path::new(dir), level);
}

/// One life. Returns the last commit that was told of.
fn live(dir: &Path, level: Durability, random: &mut Random, known: u64) -> u64 {
    let word = if level == Durability::PowerLoss { "power" } else { "process" };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "commits::committer", "--nocapture", "--test-threads=1"])
        .env(ROLE, format!("{word}|{}", dir.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut known = known;
    let mut take = |line: String| {
        let number = |kind| line.strip_prefix(kind).and_then(|n: &str| n.parse::<u64>().ok());
        match (number("have "), number("done ")) {
            (Some(have), _) => {
                assert!(have >= known, "{known} was acknowledged, {have} is committed");
                known = have;
            }
            (_, Some(done)) => known = done,
            _ => panic!("the child told: {line}"),
        }
    };
    let count = random.below(60);
    lines.by_ref().take(count).for_each(|line| take(line.unwrap()));
    for turn in 0..1_usize << random.below(18) {
        std::hint::black_box(turn);
    }
    child.kill().unwrap();
    lines.for_each(|line| take(line.unwrap()));
    assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL));
    known
}

#[test]
fn a_kill_leaves_an_old_commit_or_a_new_one() {
    let kills = setting("ALLUVIUM_KILLS", DEFAULT_KILLS);
    let mut random = Random(setting("ALLUVIUM_SEED", 1) ^ 0xC0);
    for level in [Durability::PowerLoss, Durability::ProcessCrash] {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("log");
        let mut known = 0;
        for _ in 0..kills / 2 {
            known = live(&dir, level, &mut random, known);
        }
        let log = open(&dir, level);
        log.ensure_topic(NewTopic::new("t")).unwrap();
        let last = committed(&log);
        assert!(last >= known && last > 0, "{known} was acknowledged, {last} is committed");
    }
}
