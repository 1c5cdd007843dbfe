//! The door: a handle to an open log.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::Admin;
use crate::backend::Backend;
use crate::base::{Clock, Durability, ErrorKind, NewTopic, Planted, RecordView, Result, Violation};
use crate::client::{
    Aggregate, Aggregates, ConsumerBuilder, ProcessedIds, ProducerBuilder, TableBuilder, Topic,
    TransactionalProducerBuilder,
};
use crate::coord::groups::Assignor;
use crate::disk::Disk;
use crate::node::{Node, Options, SnapshotReport};

/// An open log: topics, and the producers and consumers of their records.
///
/// A handle is cheap to clone and can be shared between threads. The log is closed by
/// [`close`](EventLog::close), or when the last handle, producer and consumer is dropped.
///
/// ```
/// use alluvium::{EventLog, NewTopic, TopicPartition, OffsetReset};
/// use std::time::Duration;
///
/// let log = EventLog::in_memory();
/// let orders = log.create_topic(NewTopic::new("orders"))?;
/// let producer = log.producer().build()?;
/// producer.send(orders.record("one espresso").key("table-7"))?.wait()?;
///
/// let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
/// consumer.assign([TopicPartition::new("orders", 0)])?;
/// for order in &consumer.poll(Duration::from_secs(1))? {
///     assert_eq!(order.value_str()?, "one espresso");
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct EventLog(Arc<Node>);

impl EventLog {
    /// Opens the log in the directory `dir`, or creates one there.
    ///
    /// The default level is [`Durability::PowerLoss`]. The directory is created if its parent
    /// exists.
    ///
    /// # Errors
    ///
    /// `NotALog` when `dir` holds something else, `Locked` when another process or handle has it
    /// open, `CorruptMessage` with file and position for damage that could hide acknowledged
    /// records, `UnsupportedVersion` for a newer format, `StorageError` from the file system.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::builder().path(dir).open()
    }

    /// A new log in memory. It starts no thread and leaves nothing behind.
    ///
    /// # Panics
    ///
    /// Never: opening a log in memory has no cause to fail.
    #[must_use]
    #[expect(clippy::expect_used, reason = "memory and default options cannot refuse")]
    pub fn in_memory() -> Self {
        Self::builder().open().expect("a log in memory opens")
    }

    /// A builder for everything that `open` and `in_memory` decide by default.
    pub fn builder() -> EventLogBuilder {
        EventLogBuilder(Options::default())
    }

    /// A handle to a topic, for sending to it without a look-up.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, or `Closed`.
    pub fn topic(&self, name: &str) -> Result<Topic> {
        self.0.resolve(name).map(Topic::new)
    }

    /// Creates a topic.
    ///
    /// # Errors
    ///
    /// `TopicAlreadyExists`, `InvalidTopic` for its name, `InvalidPartitions`, `InvalidConfig`
    /// naming key, value and bounds, `Closed`, or what the disk says. Nothing is created then.
    pub fn create_topic(&self, topic: NewTopic) -> Result<Topic> {
        self.0.create_topic(&topic).map(Topic::new)
    }

    /// The topic of that name, created if there is none.
    ///
    /// # Errors
    ///
    /// `TopicAlreadyExists` naming the difference when it exists in another shape; else as
    /// [`create_topic`](EventLog::create_topic).
    pub fn ensure_topic(&self, topic: NewTopic) -> Result<Topic> {
        self.0.ensure_topic(&topic).map(Topic::new)
    }

    /// A builder for a producer.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(self.backend())
    }

    /// A builder for a producer whose records count together or not at all, under an id that
    /// outlives it: 1 to 249 bytes.
    pub fn transactional_producer(&self, id: &str) -> TransactionalProducerBuilder {
        TransactionalProducerBuilder::new(self.producer(), id)
    }

    /// A builder for a consumer.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self.backend())
    }

    /// A builder for a table: the current latest record of each key of `topic`.
    pub fn table(&self, topic: &str) -> TableBuilder {
        TableBuilder::new(self.backend(), topic)
    }

    /// The aggregates whose events are the records of `events`, by key: a topic with
    /// [`key_index`](NewTopic::key_index).
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn aggregates<A: Aggregate>(&self, events: &Topic) -> Result<Aggregates<A>> {
        Ok(Aggregates::new(events.clone(), self.producer().build()?))
    }

    /// Ids that were processed already, remembered in `topic`: a compacted topic, which is
    /// created with one partition if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`topic`](EventLog::topic) and [`create_topic`](EventLog::create_topic), and what
    /// reading the topic can meet.
    pub fn processed_ids(&self, topic: &str) -> Result<ProcessedIds> {
        let known = match self.topic(topic) {
            Err(error) if error.kind() == ErrorKind::UnknownTopicOrPartition => {
                self.ensure_topic(NewTopic::new(topic).config("cleanup.policy", "compact"))
            }
            found => found,
        };
        ProcessedIds::load(known?, self.producer().build()?, self.consumer().build()?)
    }

    /// Makes a copy of the whole log in the directory `dir`, as everything is at one moment, while
    /// producers, consumers and retention go on. The copy is a log of its own, with an identity of
    /// its own: [`open`](EventLog::open) it, move it, send it elsewhere.
    ///
    /// The moment is the same for all partitions: no committed offset is beyond the data, and a
    /// transaction is in it wholly, or open as after a kill. Appends wait for microseconds. Sealed
    /// segments are shared with the copy by hard links, so the time does not depend on how much
    /// they hold; what is in none is copied. On another file system everything is copied, and the
    /// report says so. When this returns everything of the copy is synced.
    ///
    /// `dir` must be absent (its parent must be there) or empty. What a snapshot that was
    /// interrupted has left is refused by `open`, and cleared by the next snapshot into it.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` when there is something in `dir`, or when it lies in the log's own
    /// directory; `Locked` when another snapshot is made there; `CorruptMessage` for a damaged
    /// batch that would have to be copied; `StorageFull` and `StorageError`; `IllegalState` for a
    /// log in memory, which is [forked](EventLog::fork); `Closed`. What was made is removed then,
    /// and the log is not affected.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let log = EventLog::open(dir.path().join("log"))?;
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// log.producer().build()?.send(orders.record("one espresso"))?.wait()?;
    ///
    /// let report = log.snapshot(dir.path().join("copy"))?;
    /// assert_eq!(report.copied_segments, 0);
    /// let copy = EventLog::open(&report.path)?;
    /// assert_eq!(copy.topic("orders")?.id(), orders.id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self, dir: impl AsRef<Path>) -> Result<SnapshotReport> {
        self.0.snapshot(dir.as_ref())
    }

    /// Another log in memory that begins with everything that this one has at this moment. The two
    /// go on by themselves: what happens to one is not seen in the other. It has the same clock
    /// and settings; sealed segments are shared and take no memory of their own.
    ///
    /// # Errors
    ///
    /// `IllegalState` for a log on disk: see [`fork_to`](EventLog::fork_to). `Closed`. Whatever
    /// reading its records can meet.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, TopicPartition};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// log.producer().build()?.send(orders.record("one espresso"))?;
    ///
    /// let what_if = log.fork()?;
    /// what_if.producer().build()?.send(what_if.topic("orders")?.record("another one"))?;
    /// let end = |log: &EventLog| {
    ///     let part = [TopicPartition::new("orders", 0)];
    ///     Ok::<_, alluvium::Error>(log.consumer().build()?.end_offsets(&part)?.get(&part[0]))
    /// };
    /// assert_eq!((end(&log)?, end(&what_if)?), (Some(1), Some(2)));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn fork(&self) -> Result<EventLog> {
        self.0.fork().map(EventLog)
    }

    /// A [`snapshot`](EventLog::snapshot) in `dir`, opened with the options of this log: clock,
    /// settings, size of the stage and all else.
    ///
    /// # Errors
    ///
    /// Those of `snapshot` and [`open`](EventLog::open).
    pub fn fork_to(&self, dir: impl AsRef<Path>) -> Result<EventLog> {
        self.0.fork_to(dir.as_ref()).map(EventLog)
    }

    /// Topics listed, described and deleted; what recovery did.
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.0))
    }

    /// Does the background work that is due: syncs, settling, rolls. Only needed where no thread
    /// does it: in memory, and with [`background(false)`](EventLogBuilder::background).
    pub fn tick(&self) -> Tick {
        Tick { next_due: self.0.tick() }
    }

    /// Closes the log for all its handles, producers and consumers: their later calls, and those
    /// that wait, end with `Closed`. Everything acknowledged is durable at its level when this
    /// returns; everything else is too, unless it fails.
    ///
    /// # Errors
    ///
    /// What kept records from becoming durable. On a full disk records stay in the stage, synced,
    /// and the next open finds them there.
    pub fn close(self) -> Result<()> {
        self.0.close()
    }

    fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.0) as Arc<dyn Backend>
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventLog").field(&self.0).finish()
    }
}

/// What [`EventLog::tick`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// How long until something is due on the log's monotonic clock; `None` when nothing is
    /// planned.
    pub next_due: Option<Duration>,
}

/// How a log is opened. Everything is checked by [`open`](EventLogBuilder::open).
///
/// ```
/// use alluvium::{EventLog, ManualClock};
///
/// let clock = ManualClock::starting_at(1_700_000_000_000);
/// let log = EventLog::builder().clock(clock).stage_bytes(1 << 20).open()?;
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct EventLogBuilder(Options);

impl EventLogBuilder {
    /// The directory of the log. Default: none, the log lives in memory.
    pub fn path(mut self, dir: impl AsRef<Path>) -> Self {
        self.0.home = Some(dir.as_ref().to_owned());
        self
    }

    /// What an acknowledged record survives, for topics that do not say. Default:
    /// [`Durability::PowerLoss`] on disk; a log in memory has only [`Durability::Memory`]. The
    /// same as the setting `durability`.
    pub fn durability(mut self, level: Durability) -> Self {
        self.0.settings.insert("durability".to_owned(), level.name().to_owned());
        self
    }

    /// One of Kafka's string settings of a broker, for example `("num.partitions", "3")` or
    /// `("log.segment.bytes", "1048576")`. The last value of a key counts.
    ///
    /// What begins with `log.`, and what Kafka lets a broker set for its topics beside that, holds
    /// for topics that do not say otherwise. Settings are checked by [`open`](Self::open) and are
    /// not stored: every open brings its own. `docs/configuration.md` lists the keys.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let log = EventLog::builder().set("num.partitions", "3").open()?;
    /// assert_eq!(log.create_topic(NewTopic::new("orders"))?.partition_count(), 3);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.0.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The defaults of a Kafka cluster where this crate has others: segments of 1 GiB,
    /// `retention.ms` of 7 days, `offsets.retention.minutes` of 7 days, unknown topics created on
    /// first use (`auto.create.topics.enable`). What is set wins, before or after this call.
    ///
    /// Durability stays what it is: an acknowledged record survives what
    /// [`durability`](Self::durability) says, where a cluster relies on replicas.
    pub fn kafka_defaults(mut self) -> Self {
        self.0.cluster_defaults = true;
        self
    }

    /// An assignor of your own, for members of groups that ask for its name
    /// (`group.remote.assignor`). One named as a built-in takes its place.
    pub fn assignor(mut self, assignor: impl Assignor) -> Self {
        self.0.assignors.push(Arc::new(assignor));
        self
    }

    /// A rule for the records of `topic`, in this process and as long as the log is open: each
    /// record is shown to it before it is appended. One that breaks it is refused with
    /// `InvalidRecord`; the error names the rule, and `record_indexes` the records. Nothing of such
    /// a call is appended for the partition. Schemas plug in here. A topic may have several rules;
    /// one without any pays nothing. Default: none.
    ///
    /// The rule is called on the sending thread and under no lock of the log; a producer that numbers
    /// its records keeps its own other sends to the partition waiting meanwhile, so a rule must not
    /// send. If it panics the panic goes on to whoever sent the record, and nothing was appended.
    ///
    /// ```
    /// use alluvium::{ErrorKind, EventLog, NewTopic, Violation};
    ///
    /// let log = EventLog::builder().validator("prices", |record| match record.value() {
    ///     Some(value) if value.iter().all(u8::is_ascii_digit) => Ok(()),
    ///     _ => Err(Violation::new("digits-only", "the value is no number")),
    /// });
    /// let log = log.open()?;
    /// let prices = log.create_topic(NewTopic::new("prices"))?;
    /// let producer = log.producer().build()?;
    /// producer.send(prices.record("350"))?;
    /// let refused = producer.send(prices.record("cheap")).unwrap_err();
    /// assert_eq!((refused.kind(), refused.record_indexes()), (ErrorKind::InvalidRecord, &[0][..]));
    /// assert!(refused.to_string().contains("digits-only"));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn validator(
        mut self,
        topic: &str,
        rule: impl Fn(&RecordView<'_>) -> Result<(), Violation> + Send + Sync + 'static,
    ) -> Self {
        self.0.validators.add(topic, Arc::new(rule));
        self
    }

    /// The source of time. Default: the system's clocks.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.0.clock = Arc::new(clock);
        self
    }

    /// The size of the write-ahead stage in bytes, 64 KiB to 1 GiB, a multiple of 4 KiB. Default 4 MiB. An existing
    /// stage is replaced only when it is empty.
    pub fn stage_bytes(mut self, bytes: usize) -> Self {
        self.0.stage_bytes = bytes;
        self
    }

    /// The most bytes that the log's files may take together: segments with what is reserved in
    /// them, the stage, the manifest, the log's own topics, files that compaction writes, and
    /// files that are deleted but still read. Whole blocks of 4 KiB count; what the file system
    /// needs for itself does not. At least 1 MiB more than the stage. Default: no limit.
    ///
    /// When less than an eighth of it is left the oldest segments are deleted, of all topics whose
    /// `cleanup.policy` has `delete` (the default), until three sixteenths are free; the segments
    /// that are written are ended for it where there are no others. Nothing else is deleted, and
    /// nothing that consumers cannot see yet. Each deletion is told by
    /// [`Admin::take_events`](crate::Admin::take_events). Compacted topics are compacted then,
    /// whatever `min.cleanable.dirty.ratio` says; a sixteenth is kept for what that writes.
    /// Segments grow to a sixteenth of the budget at most, but not less than 64 KiB, whatever
    /// `segment.bytes` says. When nothing may be deleted appends fail with `StorageFull`, and go
    /// on by themselves once there is room. Where readers hold what is deleted they wait for that
    /// up to `max.block.ms` first.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, OffsetSpec, TopicPartition};
    ///
    /// let log = EventLog::builder().stage_bytes(256 << 10).max_disk_bytes(2 << 20).open()?;
    /// let readings = log.create_topic(NewTopic::new("readings"))?;
    /// let producer = log.producer().build()?;
    /// for _ in 0..100 {
    ///     producer.send(readings.record(&[7; 50_000]))?.wait()?;
    /// }
    /// assert!(log.admin().describe_log_dir()?.total_bytes <= 2 << 20);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn max_disk_bytes(mut self, bytes: u64) -> Self {
        self.0.max_disk_bytes = Some(bytes);
        self
    }

    /// The longest that an appended record stays unsynced when nobody waits for it. Default
    /// 100 ms, at least 1 ms. The same as the setting `log.flush.interval.ms`.
    pub fn flush_interval(self, interval: Duration) -> Self {
        let ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        self.set("log.flush.interval.ms", &ms.to_string())
    }

    /// Whether a thread of the log's own does background work. Default: yes on disk, never in
    /// memory. Without it, call [`EventLog::tick`]; calls that wait do the work that they need
    /// themselves.
    pub fn background(mut self, thread: bool) -> Self {
        self.0.background = thread;
        self
    }

    /// Whether segments are read through memory maps, as far as they are synced. Default: yes
    /// where pointers have 64 bits. Without maps a read copies, and a dying disk is an error and
    /// not a signal.
    pub fn maps(mut self, maps: bool) -> Self {
        self.0.maps = maps;
        self
    }

    /// How long [`EventLog::close`] tries to make everything durable. Default 30 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.0.close_timeout = timeout;
        self
    }

    /// The file system that `path` is on. Default: the operating system's. For tests: see
    /// [`testing`](crate::testing).
    pub fn disk(mut self, disk: impl Disk) -> Self {
        self.0.disk = Some(Arc::new(disk));
        self
    }

    /// A fault on purpose, for tests that must find it.
    #[doc(hidden)]
    pub fn planted(mut self, fault: Planted) -> Self {
        self.0.planted = Some(fault);
        self
    }

    /// Opens the log, or creates it.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` naming the option, its value and its bounds; else as [`EventLog::open`].
    pub fn open(self) -> Result<EventLog> {
        Node::open(self.0).map(EventLog)
    }
}
