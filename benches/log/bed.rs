//! A log to measure.

use std::path::Path;

use alluvium::{Durability, EventLog, NewTopic, Producer, Topic};
use tempfile::TempDir;

use crate::data::scratch;

/// How a log to measure is made.
#[derive(Clone, Copy)]
pub struct Plan {
    pub level: Durability,
    /// Whether it has its thread. Rows of the append path do without, so that no log works in
    /// the background while another row is measured.
    pub background: bool,
    pub partitions: u32,
    pub segment_bytes: &'static str,
}

impl Plan {
    pub fn new(level: Durability) -> Self {
        Self { level, background: false, partitions: 1, segment_bytes: "67108864" }
    }

    pub fn background(mut self) -> Self {
        self.background = true;
        self
    }

    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = count;
        self
    }

    pub fn segment_bytes(mut self, bytes: &'static str) -> Self {
        self.segment_bytes = bytes;
        self
    }

    pub fn make(self) -> Bed {
        if self.level == Durability::Memory {
            return self.furnish(EventLog::in_memory(), None);
        }
        let home = scratch();
        let log = self.open(&home.path().join(LOG));
        self.furnish(log, Some(home))
    }

    /// Makes it in a directory that somebody else removes.
    pub fn make_in(self, dir: &Path) -> Bed {
        self.furnish(self.open(dir), None)
    }

    fn open(self, dir: &Path) -> EventLog {
        let builder = EventLog::builder().path(dir).durability(self.level);
        builder.background(self.background).open().unwrap()
    }

    fn furnish(self, log: EventLog, home: Option<TempDir>) -> Bed {
        let topic = NewTopic::new(TOPIC).partitions(self.partitions);
        let topic = log.create_topic(topic.config("segment.bytes", self.segment_bytes)).unwrap();
        let producer = log.producer().build().unwrap();
        Bed { producer, topic, log, home }
    }
}

/// The directory of a log in its scratch directory.
pub const LOG: &str = "log";

/// The one topic.
pub const TOPIC: &str = "flights-of-the-year";

/// A log with one topic and one producer. Its files go when it is dropped.
pub struct Bed {
    pub producer: Producer,
    pub topic: Topic,
    pub log: EventLog,
    home: Option<TempDir>,
}

impl Bed {
    /// Brings what was sent to its level and to where it rests.
    pub fn rest(&self) {
        self.producer.flush().unwrap();
        self.log.tick();
    }

    /// Closes the log and leaves its files.
    pub fn close(self) -> Option<TempDir> {
        self.log.close().unwrap();
        self.home
    }
}

/// What a level is called in the name of a row.
pub fn level_name(level: Durability) -> &'static str {
    match level {
        Durability::Memory => "memory",
        Durability::ProcessCrash => "process-crash",
        _ => "power-loss",
    }
}
