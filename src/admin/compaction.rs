//! Compaction on demand.

use crate::admin::Admin;
use crate::base::Result;
use crate::node::CompactionReport;

/// What is compacted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionOptions {
    /// The topic; none for all.
    pub topic: Option<String>,
    /// Whatever share of the partition is new.
    pub force: bool,
}

impl CompactionOptions {
    /// Only this topic. Default: all compacted ones, the log's own too.
    #[must_use]
    pub fn topic(mut self, name: &str) -> Self {
        self.topic = Some(name.to_owned());
        self
    }

    /// Also partitions of which less is new than `min.cleanable.dirty.ratio` asks for, or nothing:
    /// tombstones whose time is over go then. Default: no.
    #[must_use]
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }
}

impl Admin {
    /// Compacts partitions of topics whose `cleanup.policy` has compact, now and on this thread:
    /// the newest record of each key stays, with its offset and timestamp. Returns when it is
    /// done. Appends and reads go on meanwhile.
    ///
    /// The log does so by itself when enough is new (`min.cleanable.dirty.ratio`,
    /// `max.compaction.lag.ms`), within `log.cleaner.io.max.bytes.per.second`, which does not
    /// hold this call up; a log without threads when [`EventLog::tick`] is called. The segment
    /// that is written is never touched: [`roll`](Admin::roll) ends it.
    ///
    /// ```
    /// use alluvium::{CompactionOptions, CompactionOutcome, EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let names = log.create_topic(NewTopic::new("names").config("cleanup.policy", "compact"))?;
    /// let producer = log.producer().build()?;
    /// for name in ["Ann", "Anna", "Hanna"] {
    ///     producer.send(names.record(name).key("user-1"))?.wait()?;
    /// }
    /// log.admin().roll("names")?;
    /// let report = log.admin().run_compaction(CompactionOptions::default().topic("names"))?;
    /// let CompactionOutcome::Compacted(done) = &report.partitions[0].outcome else { panic!() };
    /// assert_eq!((done.records_kept, done.records_dropped), (1, 2));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// [`EventLog::tick`]: crate::EventLog::tick
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, `Closed`. What fails in one partition is told in the report and
    /// keeps no other one.
    pub fn run_compaction(&self, options: CompactionOptions) -> Result<CompactionReport> {
        self.node().run_compaction(options.topic.as_deref(), options.force)
    }
}
