//! Three kinds of log, and the few calls that every test makes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use alluvium::{
    Consumer, Durability, Error, ErrorKind, EventLog, EventLogBuilder, NewTopic, OffsetReset,
    OwnedRecord, Producer, Record, Topic, TopicPartition,
};
use tempfile::TempDir;

/// Longer than any test takes: a wait of this length that ends in time was ended by its event.
pub const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Memory,
    ProcessCrash,
    PowerLoss,
}

/// A place for one log of some kind.
pub struct Bed {
    pub kind: Kind,
    dir: Option<TempDir>,
}

impl Bed {
    pub fn new(kind: Kind) -> Self {
        let dir = (kind != Kind::Memory).then(|| tempfile::tempdir().unwrap());
        Self { kind, dir }
    }

    /// The directory of the log; none in memory.
    pub fn path(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.path().join("log"))
    }

    pub fn is_memory(&self) -> bool {
        self.kind == Kind::Memory
    }

    pub fn builder(&self) -> EventLogBuilder {
        let level = match self.kind {
            Kind::Memory => return EventLog::builder(),
            Kind::ProcessCrash => Durability::ProcessCrash,
            Kind::PowerLoss => Durability::PowerLoss,
        };
        EventLog::builder().path(self.path().unwrap()).durability(level)
    }

    pub fn open(&self) -> EventLog {
        self.builder().open().unwrap()
    }

    /// The same records in another life of the log. A log in memory has only one life.
    pub fn reopen(&self, log: EventLog) -> EventLog {
        self.reopen_with(log, |builder| builder)
    }

    pub fn reopen_with(
        &self,
        log: EventLog,
        with: impl FnOnce(EventLogBuilder) -> EventLogBuilder,
    ) -> EventLog {
        if self.is_memory() {
            return log;
        }
        log.close().unwrap();
        with(self.builder()).open().unwrap()
    }

    /// The segment files of a topic, by the identity in their headers.
    pub fn segment_files(&self, topic: &Topic) -> Vec<PathBuf> {
        let id = topic.id().to_bytes();
        let mut reversed = id;
        reversed.reverse();
        let of_topic = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap();
            let head = &bytes[..64.min(bytes.len())];
            head.windows(16).any(|window| window == id || window == reversed)
        };
        let entries = fs::read_dir(self.path().unwrap().join("segments")).unwrap();
        let mut files: Vec<_> = entries.map(|e| e.unwrap().path()).filter(of_topic).collect();
        files.sort();
        files
    }
}

/// Runs a test on each kind of log.
pub fn on_each_kind(test: impl Fn(&Bed)) {
    for kind in [Kind::Memory, Kind::ProcessCrash, Kind::PowerLoss] {
        run(kind, &test);
    }
}

/// Runs a test on both kinds of log on disk.
pub fn on_disk(test: impl Fn(&Bed)) {
    for kind in [Kind::ProcessCrash, Kind::PowerLoss] {
        run(kind, &test);
    }
}

fn run(kind: Kind, test: &impl Fn(&Bed)) {
    // Shown only when the test fails: which kind it was.
    eprintln!("on a log of kind {kind:?}");
    test(&Bed::new(kind));
}

pub fn tp(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

pub fn topic(log: &EventLog, name: &str) -> Topic {
    log.create_topic(NewTopic::new(name)).unwrap()
}

pub fn topic_of(log: &EventLog, name: &str, partitions: u32) -> Topic {
    log.create_topic(NewTopic::new(name).partitions(partitions)).unwrap()
}

/// A topic whose records may come from the far future.
pub fn topic_of_any_time(log: &EventLog, name: &str) -> Topic {
    let most = i64::MAX.to_string();
    log.create_topic(NewTopic::new(name).config("message.timestamp.after.max.ms", &most)).unwrap()
}

pub fn producer(log: &EventLog) -> Producer {
    log.producer().build().unwrap()
}

/// Sends and waits for the level; the offset.
pub fn put(producer: &Producer, record: Record<'_>) -> u64 {
    producer.send(record).unwrap().wait().unwrap().offset
}

/// Places a record without waiting for its level; the offset.
pub fn place(producer: &Producer, record: Record<'_>) -> u64 {
    producer.send(record).unwrap().placed().offset
}

/// A consumer at the beginning of these partitions.
pub fn reader(log: &EventLog, partitions: impl IntoIterator<Item = TopicPartition>) -> Consumer {
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign(partitions).unwrap();
    consumer
}

/// Polls until `count` records are there; more are a failure.
pub fn take(consumer: &mut Consumer, count: usize) -> Vec<OwnedRecord> {
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let records = consumer.poll(LONG).unwrap();
        assert!(!records.is_empty(), "{} of {count} records came", taken.len());
        taken.extend(records.iter().map(|record| record.to_owned()));
    }
    assert_eq!(taken.len(), count);
    taken
}

/// Every visible record of a partition, from its start.
pub fn read_all(log: &EventLog, partition: &TopicPartition) -> Vec<OwnedRecord> {
    let mut consumer = reader(log, [partition.clone()]);
    let mut all = Vec::new();
    while consumer.lag(partition).unwrap() > 0 {
        let records = consumer.poll(LONG).unwrap();
        let position = consumer.position(partition).unwrap();
        assert!(!records.is_empty() || !records.gaps().is_empty(), "nothing at {position}");
        all.extend(records.iter().map(|record| record.to_owned()));
    }
    all
}

pub fn values(records: &[OwnedRecord]) -> Vec<&[u8]> {
    records.iter().map(|record| record.value().unwrap()).collect()
}

pub fn offsets(records: &[OwnedRecord]) -> Vec<u64> {
    records.iter().map(OwnedRecord::offset).collect()
}

#[track_caller]
pub fn refused<T>(kind: ErrorKind, outcome: Result<T, Error>) -> Error {
    match outcome {
        Ok(_) => panic!("{kind:?} was expected"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{error:?}");
            error
        }
    }
}

/// Whether the text of an error names all of these.
#[track_caller]
pub fn names(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not named by: {text}");
    }
}
