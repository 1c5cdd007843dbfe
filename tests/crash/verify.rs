//! Whether a log keeps what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alluvium::{Durability, Error, EventLog, OffsetReset, OpenReport, TopicPartition};

use super::bed::{Bed, End, Known, Part, Sent, There};

/// A record as it is read.
pub type Found = (u64, Option<i64>, Option<Vec<u8>>, Vec<u8>);

/// What is in a partition.
#[derive(Debug, Default)]
pub struct Content {
    pub records: Vec<Found>,
    /// The log start.
    pub start: u64,
    /// The visible end.
    pub end: u64,
    pub gaps: Vec<(u64, u64)>,
}

/// Reads a partition from its beginning to its visible end.
pub fn read(log: &EventLog, topic: &str, partition: u32) -> Result<Content, Error> {
    read_from(log, topic, partition, None)
}

/// Reads a partition from an offset on.
pub fn read_from(
    log: &EventLog,
    topic: &str,
    partition: u32,
    from: Option<u64>,
) -> Result<Content, Error> {
    let tp = TopicPartition::new(topic, partition);
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
    consumer.assign([tp.clone()])?;
    if let Some(from) = from {
        consumer.seek(&tp, from)?;
    }
    let end = consumer.end_offsets(std::slice::from_ref(&tp))?.get(&tp).unwrap();
    let start = consumer.beginning_offsets(std::slice::from_ref(&tp))?.get(&tp).unwrap();
    let mut content = Content { start, end, ..Content::default() };
    loop {
        let before = consumer.position(&tp)?;
        let records = consumer.poll(Duration::ZERO)?;
        content.gaps.extend(records.gaps().iter().map(|gap| (gap.from, gap.to)));
        if records.is_empty() && consumer.position(&tp)? >= end {
            // A poll does what is due: more may have become visible meanwhile.
            content.end = consumer.position(&tp)?;
            return Ok(content);
        }
        let position = consumer.position(&tp)?;
        assert!(!records.is_empty() || position > before, "{topic}: nothing at {position}");
        for record in &records {
            let key = record.key().map(<[u8]>::to_vec);
            let value = record.value().unwrap().to_vec();
            content.records.push((record.offset(), record.timestamp_ms(), key, value));
        }
    }
}

/// What a record must look like at `offset`.
pub fn found(offset: u64, sent: Sent) -> Found {
    (offset, Some(sent.time()), sent.key().map(|key| key.to_vec()), sent.value())
}

/// The first offset below the end that is neither a record nor in a gap.
fn unexplained(content: &Content) -> Option<u64> {
    let mut known: Vec<(u64, u64)> = content.gaps.clone();
    known.extend(content.records.iter().map(|record| (record.0, record.0 + 1)));
    known.sort_unstable();
    let mut next = content.start;
    for (from, to) in known {
        if from > next {
            return Some(next);
        }
        next = next.max(to);
    }
    (next < content.end).then_some(next)
}

/// Offsets and numbers, for messages.
pub fn brief(records: &[Found]) -> Vec<(u64, u64)> {
    let number = |value: &[u8]| u64::from_le_bytes(value[..8].try_into().unwrap());
    records.iter().map(|(offset, _, _, value)| (*offset, number(value))).collect()
}

/// The first record that is there behind `offset` and has its key.
fn newer(part: &Part, there: &BTreeSet<u64>, offset: u64) -> Option<u64> {
    let key = part.sent.get(&offset)?.key();
    let same = |other: &&u64| part.sent.get(other).is_some_and(|sent| sent.key() == key);
    there.range(offset + 1..).find(same).copied()
}

/// Looks whether a partition is as it may be after `end`, and takes it for the truth.
fn verify_part(content: &Content, part: &mut Part, of: &Known, end: End, what: &str) {
    let level = of.level;
    let tell = || format!("{what}: {:?} of {part:?}", brief(&content.records));
    let starts = part.start..=part.start_asked.max(part.start);
    assert!(starts.contains(&content.start), "{}: starts at {}", tell(), content.start);
    let mut allowed: BTreeMap<u64, Sent> = part.sent.clone();
    allowed.retain(|offset, _| *offset >= content.start);
    let next = part.end();
    allowed.extend((next..).zip(part.underway.iter().copied()));
    let mut last = None;
    for record in &content.records {
        let expected = allowed.get(&record.0).map(|sent| found(record.0, *sent));
        assert_eq!(Some(record), expected.as_ref(), "{}: a foreign record", tell());
        assert!(last < Some(record.0), "{}: twice", tell());
        last = Some(record.0);
    }
    let offsets: BTreeSet<u64> = content.records.iter().map(|record| record.0).collect();
    let must = if end == End::Kill { next } else { part.acked };
    for offset in part.sent.keys().filter(|offset| (content.start..must).contains(offset)) {
        let gone = of.compacted && newer(part, &offsets, *offset).is_some();
        assert!(gone || offsets.contains(offset), "{}: {offset} is lost (below {must})", tell());
    }
    for offset in offsets.iter().filter(|offset| **offset < part.compacted) {
        let newer = newer(part, &offsets, *offset).filter(|newer| *newer < part.compacted);
        assert_eq!(newer, None, "{}: {offset} is back", tell());
    }
    let underway = part.underway.len() as u64;
    let taken = offsets.range(next..).count() as u64;
    assert!(taken == 0 || taken == underway, "{}: a call was split", tell());
    let hole = unexplained(content).filter(|_| !of.compacted);
    assert_eq!(hole, None, "{}: a hole that nobody reports", tell());
    if level == Durability::ProcessCrash {
        assert!(content.end >= next, "{}: ends at {}, {next} was seen", tell(), content.end);
    }
    part.sent.retain(|offset, _| offsets.contains(offset));
    let new: Vec<_> = offsets.range(next..).map(|offset| (*offset, allowed[offset])).collect();
    part.sent.extend(new);
    part.underway.clear();
    (part.start, part.start_asked) = (content.start, content.start);
    part.seen = content.end;
    if level == Durability::PowerLoss {
        part.acked = content.end;
    }
}

impl Bed {
    /// Opens the log that `end` left and looks whether everything is as it may be then; what is
    /// found is the truth from now on.
    pub fn recover(&mut self, end: End, what: &str) {
        self.open().unwrap_or_else(|e| panic!("{what}: does not open: {e:?}"));
        self.verify(end, what);
    }

    pub fn verify(&mut self, end: End, what: &str) {
        self.producer().flush().unwrap_or_else(|e| panic!("{what}: flush: {e:?}"));
        let log = self.log().clone();
        let names: BTreeSet<String> = log.admin().list_topics().unwrap().into_iter().collect();
        let report = log.admin().open_report().clone();
        let known: BTreeSet<&str> = self.account.topics.keys().copied().collect();
        assert!(names.iter().all(|name| known.contains(name.as_str())), "{what}: {names:?}");
        for (name, topic) in &mut self.account.topics {
            match (topic.there, names.contains(*name)) {
                (There::Yes, false) => panic!("{what}: topic {name} is lost"),
                (There::No, true) => panic!("{what}: topic {name} is back"),
                (_, there) => topic.there = if there { There::Yes } else { There::No },
            }
            if topic.there == There::No {
                continue;
            }
            let count = log.admin().describe_topic(name).unwrap().partition_count as usize;
            let counts = [topic.grown, topic.parts.len()];
            assert!(counts.contains(&count), "{what}: {name} has {count}, not one of {counts:?}");
            topic.parts.truncate(count);
            topic.grown = count;
            let of = Known { parts: Vec::new(), ..*topic };
            for (partition, part) in topic.parts.iter_mut().enumerate() {
                let number = u32::try_from(partition).unwrap();
                let what = format!("{what}: {name}-{partition} {:?}", of.level);
                let mut content =
                    read(&log, name, number).unwrap_or_else(|e| panic!("{what}: read: {e:?}"));
                content.gaps.extend(reported(&report, name, number));
                if self.account.limit.is_some() {
                    // Whatever is visible may have gone for want of room.
                    part.start_asked = content.end;
                }
                verify_part(&content, part, &of, end, &what);
            }
        }
        if let Some(limit) = self.account.limit {
            let taken = log.admin().describe_log_dir().unwrap().total_bytes;
            assert!(taken <= limit, "{what}: {taken} bytes of {limit}");
        }
        assert!(report.strangers.is_empty() || report.manifest_cut_bytes > 0, "{what}: {report:?}");
    }

    /// The recovered log is a log like any other: it takes records, closes, and loses nothing.
    pub fn go_on(mut self, seed: u64, what: &str) {
        let step = super::history::Step::Create("z", super::bed::SPARE);
        self.step(step).unwrap_or_else(|e| panic!("{what}: create: {e:?}"));
        let grown: Vec<_> = self.living().into_iter().filter(|(_, number)| *number == 0).collect();
        for (name, _) in grown {
            let total = self.account.topics[name].grown as u32 + 1;
            let grown = self.step(super::history::Step::Grow(name, total));
            grown.unwrap_or_else(|e| panic!("{what}: grow: {e:?}"));
        }
        let topics: Vec<_> = self.living();
        for (name, partition) in &topics {
            self.send(name, *partition, 1, 40).unwrap_or_else(|e| panic!("{what}: send: {e:?}"));
            self.send(name, *partition, 2, 90).unwrap();
        }
        self.step(super::history::Step::Flush).unwrap();
        let mut next = self.end(End::seed(seed));
        next.recover(End::seed(seed), &format!("{what}, went on, {seed}"));
        next.step(super::history::Step::Reopen).unwrap();
        next.verify(End::NOTHING, &format!("{what}, went on and closed"));
    }

    pub fn living(&self) -> Vec<(&'static str, u32)> {
        let there = self.account.topics.iter().filter(|(_, known)| known.there == There::Yes);
        there.flat_map(|(name, known)| (0..known.parts.len() as u32).map(|p| (*name, p))).collect()
    }
}

fn reported(report: &OpenReport, topic: &str, partition: u32) -> Vec<(u64, u64)> {
    let tp = TopicPartition::new(topic, partition);
    report.gaps.iter().filter(|gap| gap.partition == tp).map(|gap| (gap.from, gap.to)).collect()
}
