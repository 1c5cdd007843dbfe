//! What a program asks of the records of a topic before they are appended.

use std::fmt;
use std::sync::Arc;

use super::error::{Error, ErrorKind, Result};
use super::ids::TopicPartition;
use super::record::{Header, RawRecord};

/// A record that is about to be appended, as a
/// [validator](crate::EventLogBuilder::validator) sees it.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    partition: &'a TopicPartition,
    record: &'a RawRecord<'a>,
}

impl<'a> RecordView<'a> {
    /// The topic that it is for.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        self.partition.topic()
    }

    /// The partition that it is for.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.partition.partition()
    }

    /// Its key, or null.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.record.key
    }

    /// Its value, or null.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.record.value
    }

    /// Its headers, in order.
    #[must_use]
    pub fn headers(&self) -> &'a [Header<'a>] {
        self.record.headers
    }

    /// Its own time in milliseconds since the Unix epoch; `None` when it takes the clock's.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.record.timestamp_ms
    }
}

/// Why a [validator](crate::EventLogBuilder::validator) does not let a record in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    rule: String,
    reason: String,
}

impl Violation {
    /// The rule that the record breaks, and how.
    pub fn new(rule: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { rule: rule.into(), reason: reason.into() }
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.reason)
    }
}

impl std::error::Error for Violation {}

/// A rule as it is kept.
pub type Rule = dyn Fn(&RecordView<'_>) -> Result<(), Violation> + Send + Sync;

/// The rules of a log, by the topic that each is for.
#[derive(Clone, Default)]
pub struct Validators(Vec<(String, Arc<Rule>)>);

impl Validators {
    /// Adds a rule for a topic.
    pub fn add(&mut self, topic: &str, rule: Arc<Rule>) {
        self.0.push((topic.to_owned(), rule));
    }

    /// The rules of one topic, in the order in which they were added.
    #[must_use]
    pub fn of(&self, topic: &str) -> Vec<Arc<Rule>> {
        let own = self.0.iter().filter(|(name, _)| name == topic);
        own.map(|(_, rule)| Arc::clone(rule)).collect()
    }
}

impl fmt::Debug for Validators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(topic, _)| topic)).finish()
    }
}

/// Asks the rules whether all `records` may be appended to `partition`.
///
/// # Errors
/// `InvalidRecord` naming the first rule that is broken, and every record that breaks one.
pub fn validate(
    rules: &[Arc<Rule>],
    partition: &TopicPartition,
    records: &[RawRecord<'_>],
) -> Result<()> {
    let (mut refused, mut first) = (Vec::new(), None);
    for (at, record) in records.iter().enumerate() {
        let view = RecordView { partition, record };
        if let Some(violation) = rules.iter().find_map(|rule| rule(&view).err()) {
            refused.push(at);
            first.get_or_insert(violation);
        }
    }
    let Some(violation) = first else { return Ok(()) };
    let error = Error::new(ErrorKind::InvalidRecord, format!("the record breaks {violation}"));
    Err(error.with_partition(partition).with_records(refused).with_source(violation))
}
