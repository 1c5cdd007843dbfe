//! The way in: a record gets its place at once, its durability when it is waited for.

use std::fmt;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::backend::{Append, Appended, Backend, PartitionBackend};
use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, Expect, RawRecord, Result, TopicPartition};

use super::batch_delivery::{self, BatchDelivery};
use super::delivery::{Delivery, Placed};
use super::interceptor::Chain;
use super::lifetime::Lifetime;
use super::numbering::{Numbering, Way};
use super::partitioner::{Produced, Random};
use super::pending::name_pending;
use super::producer_settings::ProducerSettings;
use super::record::Record;
use super::routes::{Entry, Routes, door};

/// Appends records to topics. Clones share one producer; threads may share one clone.
///
/// [`send`](Self::send) places the record in the log and returns; the returned
/// [`Delivery`] waits for the topic's durability level. There is no queue behind a producer:
/// dropping it loses nothing.
///
/// ```
/// use alluvium::{EventLog, NewTopic, Record};
///
/// let log = EventLog::in_memory();
/// log.create_topic(NewTopic::new("orders").partitions(3))?;
/// let producer = log.producer().build()?;
/// let placed = producer.send(Record::new("orders", "one espresso").key("key"))?.wait()?;
/// assert_eq!((placed.partition, placed.offset), (1, 0));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

/// What the clones of a producer and its owned deliveries share.
pub(super) struct Shared {
    backend: Arc<dyn Backend>,
    settings: ProducerSettings,
    routes: Routes,
    random: Random,
    chain: Option<Box<Chain>>,
    /// None for one whose records have no numbers: most.
    numbering: Option<Box<Numbering>>,
    lifetime: Lifetime,
    /// How many of the log's losses this producer has told of.
    losses_told: AtomicU64,
}

impl Producer {
    pub(super) fn into_shared(self) -> Arc<Shared> {
        self.shared
    }

    pub(super) fn new(
        backend: Arc<dyn Backend>,
        settings: ProducerSettings,
        random: Random,
        chain: Option<Box<Chain>>,
        numbering: Option<Numbering>,
    ) -> Self {
        let (losses, _) = backend.losses_since(u64::MAX);
        Self {
            shared: Arc::new(Shared {
                backend,
                settings,
                routes: Routes::default(),
                random,
                chain,
                numbering: numbering.map(Box::new),
                lifetime: Lifetime::default(),
                losses_told: AtomicU64::new(losses),
            }),
        }
    }

    /// Appends one record.
    ///
    /// The partition is the record's own, else that of its key (Kafka's murmur2), else a sticky
    /// one that changes every `batch.size` bytes. When this returns, the record has its offset;
    /// wait on the delivery, or [`flush`](Self::flush), to know that it has reached its level.
    /// Blocks only while there is no room to place the record, `max.block.ms` at most.
    ///
    /// # Errors
    ///
    /// Nothing was appended in any case.
    ///
    /// - `UnknownTopicOrPartition`: there is no such topic, or no partition of that number. Where
    ///   the log has `auto.create.topics.enable`, a topic that is named is created instead, and
    ///   `InvalidTopic` says that it cannot have that name.
    /// - `MessageTooLarge`: the record exceeds `max.request.size` or the topic's
    ///   `max.message.bytes`; `RecordListTooLarge`: or `segment.bytes`.
    /// - `InvalidRecord`, `InvalidTimestamp`: the log cannot hold it.
    /// - `Timeout`: there was no room within `max.block.ms`; `StorageFull`, `StorageError`.
    /// - `Closed`: the producer or the log is closed.
    pub fn send(&self, record: Record<'_>) -> Result<Delivery<'_>> {
        match self.shared.place_at_once(&record) {
            Some(delivery) => Ok(delivery),
            None => self.shared.send(&record),
        }
    }

    /// Appends many records: those of one partition together or not at all.
    ///
    /// The records are grouped by partition; each group is one part of the answer, with a
    /// result of its own, in the order in which partitions first appear. Within a part the
    /// order is the caller's. A record that is refused fails its own part only, and the error
    /// names the refused records by their position in `records`. Records without a key and a
    /// partition all go to one partition per topic and call.
    ///
    /// Nothing is returned as an error here: see [`BatchDelivery::parts`] and
    /// [`BatchDelivery::wait`].
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders").partitions(2))?;
    /// let producer = log.producer().build()?;
    /// let values = ["one", "two", "three"];
    /// let batch = producer.send_batch(values.iter().map(|v| orders.record(v).partition(1)));
    /// batch.wait()?;
    /// assert_eq!(batch.parts()[0].result()?, 0..3);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn send_batch<'a>(
        &self,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> BatchDelivery<'_> {
        match &self.shared.chain {
            None => batch_delivery::send(&self.shared, records.into_iter()),
            Some(chain) => chain.send_batch(&self.shared, records.into_iter()),
        }
    }

    /// Returns when every record that was sent before has reached its level, those of other
    /// producers of the log among them.
    ///
    /// # Errors
    ///
    /// `DeliveryTimeout` after `delivery.timeout.ms`, with the cause as its source: the records
    /// are in the log and may still reach their level. `Closed` when producer or log is closed.
    ///
    /// `StorageError`, naming partitions and offsets, when records of this log were lost since the
    /// last flush by a disk that failed to sync them, whether or not anybody waited for their
    /// deliveries. Each producer is told once of each loss; everything else has reached its level.
    pub fn flush(&self) -> Result<()> {
        self.shared.check_open()?;
        self.shared.flush(self.shared.delivery_timeout())
    }

    /// Closes this producer and all its clones, then waits like [`flush`](Self::flush).
    ///
    /// Later calls of a clone fail with `Closed`, and so do those that wait for room to place a
    /// record. Deliveries can still be waited for. The log stays open. Closing twice is no error,
    /// and the second close does not wait.
    ///
    /// # Errors
    ///
    /// Those of [`close_timeout`](Self::close_timeout), after `delivery.timeout.ms`.
    pub fn close(self) -> Result<()> {
        let timeout = self.shared.delivery_timeout();
        self.close_timeout(timeout)
    }

    /// Like [`close`](Self::close), waiting for `timeout` at most. With `Duration::ZERO` it tries
    /// once to make durable what was sent.
    ///
    /// Calls of any clone that still wait when this returns (deliveries, flushes) end with
    /// `Closed`. Whatever this returns, nothing that was sent is taken back.
    ///
    /// ```
    /// use alluvium::{ErrorKind, EventLog, NewTopic};
    /// use std::time::Duration;
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// let producer = log.producer().build()?;
    /// let clone = producer.clone();
    /// let _ = producer.send(orders.record("one espresso"))?;
    /// producer.close_timeout(Duration::from_secs(5))?;
    /// assert_eq!(clone.send(orders.record("too late")).unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `DeliveryTimeout`, which names how many records of this producer's topics have not reached
    /// their level, and in which partitions: they are in the log and may still do so. Else those of
    /// [`flush`](Self::flush). The producer is closed nevertheless.
    pub fn close_timeout(self, timeout: Duration) -> Result<()> {
        let shared = &self.shared;
        if !shared.lifetime.begin_close() {
            return Ok(());
        }
        let outcome = shared.flush(timeout).map_err(|e| name_pending(&shared.routes, e));
        shared.lifetime.end_close();
        if let Some(chain) = &shared.chain {
            chain.tell_rest();
        }
        outcome
    }

    /// The number of the last record of this producer in a partition; none where the log knows of
    /// none. Of a producer with a [name](crate::ProducerBuilder::name) that includes what was sent
    /// by its former holders, however long ago: where an outbox goes on after a failure.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, TopicPartition};
    ///
    /// let log = EventLog::in_memory();
    /// let readings = log.create_topic(NewTopic::new("readings"))?;
    /// let outbox = ["20.1", "20.4", "20.3"]; // Kept elsewhere until it is known to be sent.
    /// let first = log.producer().name("sensor-7").build()?;
    /// let _ = first.send(readings.record(outbox[0]).sequence(0))?;
    /// let _ = first.send(readings.record(outbox[1]).sequence(1))?;
    ///
    /// // After a failure, nobody remembers how far that came.
    /// let again = log.producer().name("sensor-7").build()?;
    /// let partition = TopicPartition::new("readings", 0);
    /// assert_eq!(again.last_sequence(&partition)?, Some(1));
    /// for (number, value) in outbox.iter().enumerate() {
    ///     // What is there already is not appended again.
    ///     again.send(readings.record(value).sequence(number as i32))?.wait()?;
    /// }
    /// assert_eq!(log.admin().describe_topic("readings")?.partition_count, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IllegalState` for a producer that does not number its records; `ProducerFenced` when
    /// another producer has taken the name; `UnknownTopicOrPartition`; `Closed`.
    pub fn last_sequence(&self, partition: &TopicPartition) -> Result<Option<i32>> {
        let shared = &self.shared;
        shared.check_open()?;
        let Some(Numbering::Own(identity)) = shared.numbering() else {
            let message = "the producer has no name, and enable.idempotence is not set";
            return Err(Error::new(ErrorKind::IllegalState, message));
        };
        let route = shared.backend.resolve(partition.topic())?;
        door(&route, partition.partition())?;
        identity.last_sequence(&*shared.backend, (route.id, partition.partition()))
    }

    /// How often an [interceptor](crate::ProducerInterceptor) of this producer has panicked.
    #[must_use]
    pub fn interceptor_failures(&self) -> u64 {
        self.shared.chain.as_ref().map_or(0, |chain| chain.failures())
    }
}

impl Producer {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    pub(super) fn chain(&self) -> Option<&Chain> {
        self.chain.as_deref()
    }

    /// The usual case of `send`, by itself because there every instruction counts: a producer
    /// without numbers and interceptors, a topic that was met, a partition that no program's code
    /// chooses, a record that is taken. `None`, and nothing has happened, elsewhere.
    #[inline(always)]
    fn place_at_once<'p>(self: &'p Arc<Self>, record: &Record<'_>) -> Option<Delivery<'p>> {
        let plain = self.chain.is_none() && self.numbering.is_none() && record.sequence.is_none();
        let size = record.size();
        if !plain || !self.lifetime.is_open() || size > self.settings.max_request_size {
            return None;
        }
        let entry = self.routes.known(record.target)?;
        let chosen = self.settings.strategy.choose_at_once(record, entry)?;
        let partition = chosen.partition;
        let door = entry.route.partitions.get(partition as usize)?;
        let spot = door.append_one(&record.raw, None)?;
        if chosen.is_sticky {
            self.count_sticky(entry, partition, size);
        }
        let placed = placed(record, partition, spot.offset(), spot.timestamp_ms);
        Some(Delivery::new(self, entry, door, placed))
    }

    #[inline(never)]
    fn send<'p>(self: &'p Arc<Self>, record: &Record<'_>) -> Result<Delivery<'p>> {
        match &self.chain {
            None => self.place(record),
            Some(chain) => chain.send(self, record),
        }
    }

    /// Checks, chooses, appends: nothing of a record is copied before it is in the log.
    #[inline(never)]
    pub(super) fn place<'p>(self: &'p Arc<Self>, record: &Record<'_>) -> Result<Delivery<'p>> {
        self.check_open()?;
        let size = record.check(self.settings.max_request_size)?;
        let entry = self.entry(record)?;
        let strategy = &self.settings.strategy;
        let chosen = strategy.choose(record, entry, || entry.sticky.current())?;
        let partition = chosen.partition;
        let door = door(&entry.route, partition)?;
        let plain = self.numbering.is_none() && record.sequence.is_none();
        let spot = if plain { door.append_one(&record.raw, None) } else { None };
        let (offset, timestamp_ms) = match spot {
            Some(spot) => (spot.offset(), spot.timestamp_ms),
            None => self.place_otherwise(record, entry, partition, &**door)?,
        };
        if chosen.is_sticky {
            self.count_sticky(entry, partition, size);
        }
        let placed = placed(record, partition, offset, timestamp_ms);
        Ok(Delivery::new(self, entry, door, placed))
    }

    /// What is numbered, or has something in its way.
    #[inline(never)]
    fn place_otherwise(
        &self,
        record: &Record<'_>,
        entry: &Entry,
        partition: u32,
        door: &dyn PartitionBackend,
    ) -> Result<(u64, i64)> {
        let (records, first) = (slice::from_ref(&record.raw), record.sequence);
        let appended = self.append(entry, partition, door, records, first)?;
        Ok((appended.base_offset, appended.time_of(record.raw.timestamp_ms)))
    }

    /// Tells of what is done since.
    pub(super) fn tell_interceptors(&self) {
        if let Some(chain) = &self.chain {
            chain.tell_all_done();
        }
    }

    #[inline]
    pub(super) fn check_open(&self) -> Result<()> {
        self.lifetime.check_open()
    }

    #[inline(always)]
    pub(super) fn is_open(&self) -> bool {
        self.lifetime.is_open()
    }

    pub(super) fn settings(&self) -> &ProducerSettings {
        &self.settings
    }

    pub(super) fn entry(&self, record: &Record<'_>) -> Result<&Entry> {
        self.routes.entry(record.target, &*self.backend, &self.random)
    }

    #[inline]
    pub(super) fn append(
        &self,
        entry: &Entry,
        partition: u32,
        door: &dyn PartitionBackend,
        records: &[RawRecord<'_>],
        first: Option<i32>,
    ) -> Result<Appended> {
        let (backend, expect) = (&*self.backend, None);
        self.append_by(Way { backend, entry, partition, door, expect }, records, first)
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(super) fn numbering(&self) -> Option<&Numbering> {
        self.numbering.as_deref()
    }

    #[inline]
    fn append_by(
        &self,
        way: Way<'_>,
        records: &[RawRecord<'_>],
        first: Option<i32>,
    ) -> Result<Appended> {
        let (max_block, stop) = (self.settings.max_block, Some(self.lifetime.placing()));
        let request = Append { records, producer: None, max_block, stop };
        let appended = match &self.numbering {
            None if first.is_some() => Err(no_numbers()),
            None => way.append(request),
            Some(numbering) => numbering.append(way, request, first),
        };
        appended.map_err(|e| self.lifetime.not_placed(e))
    }

    /// Appends if what `expect` says holds.
    pub(super) fn append_if(
        &self,
        (entry, partition): (&Entry, u32),
        door: &dyn PartitionBackend,
        records: &[RawRecord<'_>],
        first: Option<i32>,
        expect: Expect,
    ) -> Result<Appended> {
        let (backend, expect) = (&*self.backend, Some(expect));
        self.append_by(Way { backend, entry, partition, door, expect }, records, first)
    }

    #[inline(never)]
    pub(super) fn count_sticky(&self, entry: &Entry, partition: u32, bytes: usize) {
        let produced = Produced { partition, bytes, batch_size: self.settings.batch_size };
        entry.sticky.produced(produced, entry.partition_count(), &self.random);
    }

    /// `timeout` from now, or when a close has ended.
    pub(super) fn deadline(&self, timeout: Duration) -> Deadline<'_> {
        Deadline::after(self.backend.clock(), timeout).or_stop(self.lifetime.waiting())
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        self.settings.delivery_timeout
    }

    /// One round for the whole log.
    pub(super) fn flush_until(&self, deadline: Deadline<'_>) -> Result<()> {
        self.backend.flush(deadline).map_err(|e| self.lifetime.not_reached(e))
    }

    fn flush(&self, timeout: Duration) -> Result<()> {
        let reached = self.flush_until(self.deadline(timeout));
        self.tell_interceptors();
        reached?;
        let told = self.losses_told.load(Ordering::Acquire);
        let (now, error) = self.backend.losses_since(told);
        // Of several threads that flush at once, one tells.
        let first = self.losses_told.fetch_max(now, Ordering::AcqRel) < now;
        error.filter(|_| first).map_or(Ok(()), Err)
    }

    /// Waits until everything below `offset` has reached the partition's level.
    pub(super) fn wait_reached(
        &self,
        door: &dyn PartitionBackend,
        offset: u64,
        deadline: Deadline<'_>,
    ) -> Result<()> {
        door.wait_reached(offset, deadline).map_err(|e| self.lifetime.not_reached(e))
    }
}

#[inline(always)]
fn placed(record: &Record<'_>, partition: u32, offset: u64, timestamp_ms: i64) -> Placed {
    Placed {
        partition,
        offset,
        timestamp_ms,
        key_size: record.raw.key.map(<[u8]>::len),
        value_size: record.raw.value.map(<[u8]>::len),
    }
}

#[cold]
fn no_numbers() -> Error {
    let message = "the record has a sequence: only producers with a name or enable.idempotence \
                   number their records";
    Error::new(ErrorKind::InvalidRequest, message)
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("settings", &self.shared.settings)
            .field("lifetime", &self.shared.lifetime)
            .finish_non_exhaustive()
    }
}
