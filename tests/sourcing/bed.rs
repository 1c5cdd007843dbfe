//! The few calls that every test makes.

use alluvium::{EventLog, NewTopic, Topic};

use crate::support::*;

/// A topic whose records are found by their keys.
pub fn indexed(log: &EventLog) -> Topic {
    log.create_topic(NewTopic::new("t").key_index(true)).unwrap()
}

/// Offsets of all records of a key.
pub fn history(topic: &Topic, key: &str) -> Vec<u64> {
    topic.history(key).unwrap().map(|record| record.unwrap().offset()).collect()
}

/// The offset of the latest record of a key.
pub fn latest(topic: &Topic, key: &str) -> Option<u64> {
    topic.latest(key).unwrap().map(|record| record.offset())
}

/// Ends the segments of a topic and seals them.
pub fn seal(log: &EventLog, topic: &Topic) {
    log.admin().roll(topic.name()).unwrap();
}

/// Runs a test on a log whose records stay where they were put, and on one where all are sealed
/// whenever the test says so.
pub fn staged_and_sealed(test: impl Fn(&EventLog, &dyn Fn(&Topic))) {
    on_each_kind(|bed| {
        let log = bed.open();
        test(&log, &|_| {});
        let other = Bed::new(bed.kind);
        let log = other.open();
        test(&log, &|topic| seal(&log, topic));
    });
}
