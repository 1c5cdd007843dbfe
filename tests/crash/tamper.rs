//! Files changed behind the log's back: exact data, or a loud error that names the file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use alluvium::Durability::{PowerLoss, ProcessCrash};
use alluvium::testing::SimDisk;
use alluvium::{Error, ErrorKind, EventLog, OpenReport};

use super::bed::{Account, Bed, End, Shape, SimClock, much, open_log};
use super::history::Step;
use super::verify::{Content, found, read};

const POWER: Shape = Shape { level: PowerLoss, partitions: 1, segment: 1_500, compacted: false };
const CRASH: Shape = Shape { level: ProcessCrash, partitions: 1, segment: 900, compacted: false };

/// Sealed segments, unsealed ones, staged records, in one closed log or one that was killed.
fn bed(clean: bool) -> Bed {
    let mut bed = Bed::fresh();
    bed.run(&[
        Step::Create("p", POWER),
        Step::Create("c", CRASH),
        Step::Send("p", 0, 45, 700),
        Step::Send("c", 0, 45, 700),
        Step::Tick,
        Step::Reopen,
        Step::Send("p", 0, 1, 70),
        Step::Wait("p", 0),
    ])
    .unwrap();
    bed.run(&[Step::Send("c", 0, 30, 700), Step::Send("p", 0, 30, 700), Step::Wait("p", 0)])
        .unwrap();
    bed.run(&[Step::Send("c", 0, 4, 90), Step::Send("p", 0, 4, 90)]).unwrap();
    if clean {
        bed.close().unwrap();
    }
    bed.end(End::Kill)
}

/// What a log on tampered files came to.
enum Outcome {
    Refused(Error),
    /// By partition: the content, or the error that a read ended with.
    Opened(Box<OpenReport>, Vec<(&'static str, Result<Content, Error>)>),
}

fn look(disk: &SimDisk, names: &[&'static str]) -> Outcome {
    let log = match open_log(disk, &SimClock::new(disk)) {
        Ok(log) => log,
        Err(error) => return Outcome::Refused(error),
    };
    let report = log.admin().open_report().clone();
    let topics: BTreeSet<String> = log.admin().list_topics().unwrap().into_iter().collect();
    let flushed = log.producer().build().and_then(|producer| producer.flush());
    let content = |name: &&'static str| {
        let there = topics.contains(*name);
        let content = flushed
            .clone()
            .and_then(|()| if there { read(&log, name, 0) } else { Ok(Content::default()) });
        (*name, content)
    };
    Outcome::Opened(Box::new(report), names.iter().map(content).collect())
}

fn names_a_file(error: &Error) -> bool {
    error.path().is_some() || error.to_string().contains("/data") || error.partition().is_some()
}

fn is_loud(error: &Error, what: &str) {
    let kinds = [ErrorKind::CorruptMessage, ErrorKind::UnsupportedVersion, ErrorKind::NotALog];
    assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
    assert!(names_a_file(error), "{what}: {error:?} names nothing");
}

/// Whether the open says that it left something out.
fn is_counted(report: &OpenReport) -> bool {
    report.cut_bytes() > 0
        || report.torn_chunks > 0
        || report.unproven_bytes > 0
        || report.rejected_chunks > 0
        || report.manifest_cut_bytes > 0
}

/// How strictly a tampered log is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Exact data or an error.
    Exact,
    /// The end of a partition may be missing, if that is counted.
    EndCounted,
    /// The end of a partition may be missing: nothing can tell that it was there.
    End,
}

fn judge(disk: &SimDisk, account: &Account, rule: Rule, what: &str) {
    let names: Vec<&'static str> = account.topics.keys().copied().collect();
    let twin = disk.kill();
    match look(&twin, &names) {
        Outcome::Refused(error) => {
            is_loud(&error, what);
            // What was refused once is refused again: nothing was lost by looking.
            match look(&twin.kill(), &names) {
                Outcome::Refused(again) => is_loud(&again, what),
                Outcome::Opened(report, _) => {
                    panic!("{what}: refused with {error}, then opened: {report:?}")
                }
            }
        }
        Outcome::Opened(report, parts) => {
            for (name, content) in parts {
                let what = format!("{what}: {name}");
                match content {
                    Err(error) => is_loud(&error, &what),
                    Ok(content) => exact(&content, name, account, (rule, &report), &what),
                }
            }
        }
    }
}

fn exact(
    content: &Content,
    name: &str,
    account: &Account,
    (rule, report): (Rule, &OpenReport),
    what: &str,
) {
    let sent = &account.topics[name].parts[0].sent;
    let expected: Vec<_> = sent.iter().map(|(offset, sent)| found(*offset, *sent)).collect();
    assert!(expected.starts_with(&content.records), "{what}: foreign records");
    let missing = expected.len() - content.records.len();
    if missing > 0 {
        assert!(rule != Rule::Exact, "{what}: {missing} records are gone in silence: {report:?}");
        let counted = is_counted(report);
        assert!(counted || rule == Rule::End, "{what}: {missing} gone, not counted: {report:?}");
    }
}

fn is_manifest(path: &Path) -> bool {
    path.ends_with("manifest")
}

fn is_stage(path: &Path) -> bool {
    path.to_string_lossy().contains("stage-")
}

fn all_files(disk: &SimDisk) -> Vec<PathBuf> {
    disk.list_files().into_iter().filter(|path| !path.ends_with("LOCK")).collect()
}

/// Manifest, stage and some of the segments; all of them in a long run.
fn files(disk: &SimDisk) -> Vec<PathBuf> {
    let (segments, rest): (Vec<_>, Vec<_>) = all_files(disk)
        .into_iter()
        .partition(|path| path.extension().is_some_and(|end| end == "seg"));
    let stride = much((segments.len() / 3).max(1), 1);
    rest.into_iter().chain(segments.into_iter().step_by(stride)).collect()
}

/// Where the last byte that is not zero stands.
fn content_len(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn changed(disk: &SimDisk, path: &Path, bytes: &[u8]) -> SimDisk {
    let twin = disk.kill();
    twin.write_file(path, bytes).unwrap();
    twin
}

/// Positions that are looked at: all of a short file, a sample of a long one.
fn positions(len: usize, some: usize) -> Vec<usize> {
    let step = much((len / some.div_ceil(6)).max(1), 1);
    // An odd step meets every byte of a header sooner or later.
    (0..len).step_by(step | 1).collect()
}

fn flip_everywhere(clean: bool, some: usize) {
    let bed = bed(clean);
    for path in files(&bed.disk) {
        let bytes = bed.disk.read_file(&path).unwrap();
        for at in positions(content_len(&bytes) + 8, some) {
            if at >= bytes.len() {
                continue;
            }
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            let what = format!("clean {clean}: {} byte {at} flipped", path.display());
            let rule = if clean { Rule::Exact } else { Rule::EndCounted };
            judge(&changed(&bed.disk, &path, &bad), &bed.account, rule, &what);
        }
    }
}

#[test]
fn a_flipped_bit_of_a_closed_log_is_harmless_or_loud() {
    flip_everywhere(true, 60);
}

#[test]
fn a_flipped_bit_of_a_killed_log_is_harmless_loud_or_counted() {
    flip_everywhere(false, 60);
}

#[test]
fn a_file_cut_short_is_exact_or_loud() {
    for clean in [true, false] {
        let bed = bed(clean);
        for path in files(&bed.disk) {
            let bytes = bed.disk.read_file(&path).unwrap();
            let mut lens = positions(content_len(&bytes), 20);
            lens.extend([content_len(&bytes), bytes.len().saturating_sub(1)]);
            for len in lens {
                let what = format!("clean {clean}: {} cut to {len}", path.display());
                let twin = changed(&bed.disk, &path, &bytes[..len]);
                // What an unclosed log had not synced may never have been there.
                let rule = if clean { Rule::Exact } else { Rule::End };
                judge(&twin, &bed.account, rule, &what);
            }
        }
    }
}

#[test]
fn a_zeroed_file_is_exact_or_loud() {
    for clean in [true, false] {
        let bed = bed(clean);
        for path in files(&bed.disk) {
            let bytes = bed.disk.read_file(&path).unwrap();
            let whole = content_len(&bytes);
            for from in positions(whole.max(1), 8) {
                for len in [8, 512, 4_096, whole] {
                    let mut bad = bytes.clone();
                    let to = (from + len).min(bad.len());
                    bad[from..to].fill(0);
                    let rule = if clean { Rule::Exact } else { Rule::End };
                    let what = format!("clean {clean}: {} zero {from}..{to}", path.display());
                    judge(&changed(&bed.disk, &path, &bad), &bed.account, rule, &what);
                }
            }
        }
    }
}

#[test]
fn a_missing_file_is_loud() {
    for clean in [true, false] {
        let bed = bed(clean);
        for path in files(&bed.disk) {
            let twin = bed.disk.kill();
            twin.remove_file(&path).unwrap();
            let rule = if clean { Rule::Exact } else { Rule::End };
            let what = format!("clean {clean}: {} removed", path.display());
            judge(&twin, &bed.account, rule, &what);
            if is_manifest(&path) || is_stage(&path) {
                let refused = open_log(&twin.kill(), &SimClock::new(&twin)).unwrap_err();
                is_loud(&refused, &what);
            }
        }
    }
}

/// The first `part` of the life of one log, and all of it.
fn two_ages() -> (Bed, Bed) {
    let part = [
        Step::Create("p", POWER),
        Step::Create("c", CRASH),
        Step::Send("p", 0, 30, 300),
        Step::Send("c", 0, 30, 300),
        Step::Flush,
    ];
    let mut bed = Bed::fresh();
    bed.run(&part).unwrap();
    bed.close().unwrap();
    let young = Bed::on(bed.disk.kill(), bed.account.clone());
    let mut bed = Bed::on(bed.disk.kill(), bed.account.clone());
    bed.open().unwrap();
    bed.run(&[Step::Send("p", 0, 60, 700), Step::Send("c", 0, 60, 700), Step::Tick]).unwrap();
    bed.run(&[Step::Send("p", 0, 9, 200), Step::Send("c", 0, 9, 200), Step::Flush]).unwrap();
    (young, bed)
}

#[test]
fn an_older_copy_of_one_file_is_never_taken_for_the_newer_one() {
    for clean in [true, false] {
        let (young, mut old) = two_ages();
        if clean {
            old.close().unwrap();
        }
        for path in files(&young.disk) {
            let bytes = young.disk.read_file(&path).unwrap();
            let twin = old.disk.kill();
            if twin.read_file(&path).is_err() {
                continue;
            }
            twin.write_file(&path, &bytes).unwrap();
            let rule = if clean { Rule::Exact } else { Rule::End };
            let what = format!("clean {clean}: an older {}", path.display());
            judge(&twin, &old.account, rule, &what);
        }
    }
}

#[test]
fn a_file_of_another_log_is_refused_or_not_looked_at() {
    let other = {
        let mut bed = Bed::fresh();
        // Other values under the same names.
        bed.account.next = 1_000_000;
        bed.run(&[Step::Create("p", POWER), Step::Create("c", CRASH)]).unwrap();
        bed.run(&[Step::Send("p", 0, 90, 300), Step::Send("c", 0, 90, 300)]).unwrap();
        bed.run(&[Step::Flush, Step::Tick]).unwrap();
        bed.end(End::Kill)
    };
    for clean in [true, false] {
        let bed = bed(clean);
        for path in files(&other.disk) {
            if bed.disk.read_file(&path).is_err() {
                continue;
            }
            let bytes = other.disk.read_file(&path).unwrap();
            let twin = changed(&bed.disk, &path, &bytes);
            let rule = if clean { Rule::Exact } else { Rule::End };
            let what = format!("clean {clean}: {} of another log", path.display());
            judge(&twin, &bed.account, rule, &what);
            if is_manifest(&path) || is_stage(&path) {
                let error = open_log(&twin.kill(), &SimClock::new(&twin)).unwrap_err();
                is_loud(&error, &what);
            }
        }
    }
}

/// Damage that shows only when it is read leaves the rest of the log in use.
#[test]
fn damage_in_one_partition_is_read_around_by_choice() {
    let bed = bed(true);
    let segments: Vec<_> =
        all_files(&bed.disk).into_iter().filter(|p| !is_manifest(p) && !is_stage(p)).collect();
    let mut seen = 0;
    for path in segments {
        let mut bytes = bed.disk.read_file(&path).unwrap();
        // In the payload of the first batch.
        bytes[64 + 64 + 40] ^= 4;
        let twin = changed(&bed.disk, &path, &bytes);
        match open_log(&twin, &SimClock::new(&twin)) {
            Ok(log) => seen += usize::from(reads_around(&log)),
            // The catalogue is one of them.
            Err(error) => is_loud(&error, &path.display().to_string()),
        }
    }
    assert!(seen > 5, "{seen} segments were damaged and read around");
}

fn reads_around(log: &EventLog) -> bool {
    let errors: Vec<_> = ["p", "c"].iter().filter_map(|t| read(log, t, 0).err()).collect();
    let [error] = errors.as_slice() else { return false };
    assert_eq!(error.kind(), ErrorKind::CorruptMessage);
    let (topic, offset) = (error.topic().unwrap(), error.offset().unwrap());
    assert!(error.path().is_some() && error.partition() == Some(0), "{error:?}");
    let whole = super::verify::read_from(log, topic, 0, Some(offset + 50));
    whole.is_ok_and(|content| !content.records.is_empty())
}
