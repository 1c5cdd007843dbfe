//! How records are processed.

use std::time::Duration;

use super::backoff::Backoff;
use crate::client::producer::Producer;

/// When [`Consumer::run`](crate::Consumer::run) commits. Whatever it is, what it commits was
/// processed before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitPolicy {
    /// After the records of each poll, and at the end. The default: a failure brings at most one
    /// poll of records again (`max.poll.records`).
    #[default]
    EachPoll,
    /// After each record: a failure brings at most one record again. At `PowerLoss` each takes a
    /// sync.
    EachRecord,
    /// Never: the program commits, or keeps offsets elsewhere, or the consumer does so by itself
    /// (`enable.auto.commit`).
    Never,
}

/// What [`Consumer::run`](crate::Consumer::run) goes by.
///
/// ```
/// use alluvium::{Backoff, CommitPolicy, RunOptions};
/// use std::time::Duration;
///
/// let patient = RunOptions::new()
///     .retries(5)
///     .backoff(Backoff::new(Duration::from_millis(50), Duration::from_secs(5)))
///     .commit(CommitPolicy::EachRecord);
/// # drop(patient);
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a consumer runs by them"]
pub struct RunOptions {
    pub(super) retries: u32,
    pub(super) backoff: Backoff,
    pub(super) commit: CommitPolicy,
    pub(super) dead_letters: Option<(Producer, String)>,
}

impl RunOptions {
    /// Three retries with the default [`Backoff`], a commit after each poll, no dead letters.
    pub fn new() -> Self {
        Self {
            retries: 3,
            backoff: Backoff::default(),
            commit: CommitPolicy::default(),
            dead_letters: None,
        }
    }

    /// How often a failed record is tried again. Default: 3; so four attempts.
    pub fn retries(mut self, times: u32) -> Self {
        self.retries = times;
        self
    }

    /// How long to wait before each retry, on the log's clock.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// When to commit.
    pub fn commit(mut self, policy: CommitPolicy) -> Self {
        self.commit = policy;
        self
    }

    /// Where a record goes that has failed for the last time; without this the run ends at it.
    ///
    /// The record keeps key, value, time and headers, and gets headers that tell where it is
    /// from, as Kafka Connect names them: `__connect.errors.topic`, `.partition`, `.offset`,
    /// `.exception.message` (all text), and `alluvium.errors.attempts`, `alluvium.errors.group`.
    /// It is as durable as its topic before the record counts as processed; a failure in between
    /// may bring it twice. `topic` must exist, or the log must create topics by itself.
    pub fn dead_letters(mut self, producer: Producer, topic: &str) -> Self {
        self.dead_letters = Some((producer, topic.to_owned()));
        self
    }
}

impl RunOptions {
    pub(in crate::client) fn retries_allowed(&self) -> u32 {
        self.retries
    }

    pub(in crate::client) fn wait_before(&self, retry: u32) -> Duration {
        self.backoff.before_retry(retry)
    }

    pub(in crate::client) fn dead_letter_topic(&self) -> Option<&str> {
        self.dead_letters.as_ref().map(|(_, topic)| topic.as_str())
    }
}

impl Default for RunOptions {
    fn default() -> Self {
        Self::new()
    }
}
