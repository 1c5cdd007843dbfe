//! Housekeeping on demand, and what it did by itself.

use crate::admin::Admin;
use crate::base::Result;
use crate::node::{HousekeepingEvent, PartitionRoll, RetentionReport};

impl Admin {
    /// Deletes the segments that are too old or too many, in all partitions, now
    /// (`retention.ms`, `retention.bytes`). The log does so by itself every
    /// `log.retention.check.interval.ms`; a log without threads when [`EventLog::tick`] is called.
    ///
    /// Segments go whole, the oldest first: those that `retention.bytes` can do without, then
    /// those whose youngest record is older than `retention.ms`, up to the first that may stay.
    /// The one that is written goes too when all its records are too old. Nothing goes that
    /// consumers cannot see yet; nobody waits for consumers that have not read it. A pass that
    /// finds that wall time has jumped deletes nothing.
    ///
    /// ```
    /// use alluvium::{EventLog, ManualClock, NewTopic};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::starting_at(1_700_000_000_000);
    /// let log = EventLog::builder().clock(clock.clone()).open()?;
    /// let news = log.create_topic(NewTopic::new("news").config("retention.ms", "60000"))?;
    /// log.producer().build()?.send(news.record("stale soon"))?.wait()?;
    ///
    /// assert!(log.admin().run_retention()?.deleted.is_empty());
    /// clock.advance(Duration::from_millis(60_001));
    /// let report = log.admin().run_retention()?;
    /// assert_eq!((report.deleted[0].by_time, report.deleted[0].log_start_offset), (1, 1));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// [`EventLog::tick`]: crate::EventLog::tick
    ///
    /// # Errors
    ///
    /// `Closed`. What fails in one partition is told in the report and keeps no other one.
    pub fn run_retention(&self) -> Result<RetentionReport> {
        self.node().run_retention()
    }

    /// Ends the segment that is written, in every partition of a topic, and seals it: what stands
    /// in it can then be deleted or compacted without what comes. One answer for each partition,
    /// in the order of their numbers; a segment without records is left as it is.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders").partitions(2))?;
    /// log.producer().build()?.send(orders.record("v").partition(1))?.wait()?;
    /// let rolled = log.admin().roll("orders")?;
    /// assert!(rolled[0].segment.is_none());
    /// assert_eq!(rolled[1].segment.as_ref().unwrap().next_offset, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, `Closed`, `StorageError` and `StorageFull` from the disk: some
    /// partitions may be done, and the call can be repeated.
    pub fn roll(&self, topic: &str) -> Result<Vec<PartitionRoll>> {
        self.node().roll(topic)
    }

    /// What happened to stored records since the last call of this, oldest first: segments
    /// deleted, and why; a segment from the future that keeps others; jumps of the clock. At
    /// least the last 1,000 events are kept.
    #[must_use]
    pub fn take_events(&self) -> Vec<HousekeepingEvent> {
        self.node().take_events()
    }
}
