//! The way out: positions, and polls that wait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, PartitionBackend};
use crate::base::wait::{Deadline, Parker};
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::consumer_builder::ConsumerSettings;
use super::fetcher::Fetcher;
use super::offsets::{OffsetAndTimestamp, Offsets};
use super::positions::{Position, first_since};
use super::records::Records;
use super::routes::door;
use super::slot::{Context, Slot};
use super::wakeup::{Wakeup, WakeupHandle};

/// How often a poll looks whether a deleted topic was created again.
const TOPIC_CHECK: Duration = Duration::from_millis(100);

/// Reads records of assigned partitions.
///
/// One thread at a time uses a consumer; it may be sent to another. To end its poll from
/// elsewhere there is [`wakeup_handle`](Self::wakeup_handle).
///
/// ```
/// use alluvium::{EventLog, NewTopic, OffsetReset, TopicPartition};
/// use std::time::Duration;
///
/// let log = EventLog::in_memory();
/// let orders = log.create_topic(NewTopic::new("orders").partitions(2))?;
/// let producer = log.producer().build()?;
/// for value in ["one", "two", "three"] {
///     producer.send(orders.record(value).partition(1))?.wait()?;
/// }
/// let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
/// let tp = TopicPartition::new("orders", 1);
/// consumer.assign([tp.clone()])?;
/// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 3);
/// consumer.seek(&tp, 2)?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// let last = records.iter().next().map(|record| record.value());
/// assert_eq!(last, Some(Some("three".as_bytes())));
/// assert_eq!(consumer.position(&tp)?, 3);
/// # Ok::<(), alluvium::Error>(())
/// ```
pub struct Consumer {
    backend: Arc<dyn Backend>,
    settings: ConsumerSettings,
    fetcher: Fetcher,
    wakeup: Arc<Wakeup>,
}

impl Consumer {
    pub(super) fn new(backend: Arc<dyn Backend>, settings: ConsumerSettings) -> Self {
        Self { backend, settings, fetcher: Fetcher::default(), wakeup: Arc::default() }
    }

    /// Reads these partitions from now on, instead of those before; none at all unassigns.
    ///
    /// A partition that stays keeps its position and what was fetched of it. A new one begins
    /// where the reset policy says, at the moment its position is first needed.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, naming it; then nothing has changed.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) -> Result<()> {
        self.backend.check_open()?;
        self.fetcher.assign(&*self.backend, partitions.into_iter().collect())
    }

    /// The assigned partitions, in the order of topic and number.
    pub fn assignment(&self) -> impl ExactSizeIterator<Item = &TopicPartition> {
        self.fetcher.slots().map(Slot::partition)
    }

    /// Returns records as soon as there are any, `max.poll.records` at most; none when
    /// `timeout` has passed.
    ///
    /// With `Duration::ZERO` it returns what is there; `Duration::MAX` waits for ever. Under a
    /// [`ManualClock`](crate::ManualClock) the timeout ends when injected or real time has
    /// passed. Partitions take turns. What was read beyond `max.poll.records` is kept for the
    /// next poll.
    ///
    /// # Errors
    ///
    /// An error never costs records: those that were found before it are returned first, and
    /// the error by the next poll. The position stays where it is.
    ///
    /// - `IllegalState`: nothing is assigned.
    /// - `Wakeup`: [`WakeupHandle::wakeup`] was called.
    /// - `NoOffsetForPartition`, `OffsetOutOfRange`: with the reset policy `none`, naming the
    ///   partition and the offset. Seek to go on.
    /// - `UnknownTopicOrPartition`: a topic was deleted. Told once; the other partitions go on,
    ///   and a new topic of that name is read as if it had just been assigned.
    /// - `CorruptMessage`, `StorageError`: what is stored cannot be read, naming partition and
    ///   offset. Seek past it to go on.
    /// - `Closed`: the log is closed.
    pub fn poll(&mut self, timeout: Duration) -> Result<Records> {
        let mut records = Records::default();
        self.poll_into(&mut records, timeout)?;
        Ok(records)
    }

    /// Like [`poll`](Self::poll), into `records`, whose former content is dropped and whose room
    /// is used again. Returns how many records there are.
    ///
    /// # Errors
    ///
    /// Those of [`poll`](Self::poll); `records` is then empty.
    pub fn poll_into(&mut self, records: &mut Records, timeout: Duration) -> Result<usize> {
        records.clear();
        if self.look(records)? {
            return Ok(records.len());
        }
        let deadline = Deadline::after(self.backend.clock(), timeout);
        loop {
            let due = self.backend.run_due();
            if deadline.has_passed(self.backend.clock()) {
                self.look(records)?;
                return Ok(records.len());
            }
            if !self.fetcher.help(deadline)? {
                self.park(due, deadline);
            }
            if self.look(records)? {
                return Ok(records.len());
            }
        }
    }

    /// One look at everything that can end a poll. True when there is something to return.
    fn look(&mut self, into: &mut Records) -> Result<bool> {
        if self.fetcher.is_empty() {
            let message = "the consumer has no partitions: assign some first";
            return Err(Error::new(ErrorKind::IllegalState, message));
        }
        self.wakeup.check()?;
        self.backend.check_open()?;
        self.fetcher.collect(&*self.backend, &self.settings, into)
    }

    /// Waits until there is something to do, background work is due, or `deadline`.
    fn park(&mut self, due: Option<Duration>, deadline: Deadline) {
        let clock = self.backend.clock();
        let mut until = due.map_or(deadline, |due| deadline.earlier(Deadline::after(clock, due)));
        if self.fetcher.waits_for_a_topic() {
            // Nobody calls when a topic is created.
            until = until.earlier(Deadline::after(clock, TOPIC_CHECK));
        }
        let parker = Parker::new();
        let waker = parker.waker();
        if self.fetcher.register(&waker) {
            self.wakeup.set_sleeper(Some(waker));
            if !self.wakeup.is_requested() {
                parker.park(clock, &until);
            }
            self.wakeup.set_sleeper(None);
            self.fetcher.unregister();
        }
    }

    /// Reads `partition` from `offset` at the next poll; what was fetched of it is forgotten.
    ///
    /// An offset out of range is accepted here; the next poll applies the reset policy.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the partition is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: u64) -> Result<()> {
        self.move_to(partition, Position::At(offset))
    }

    /// Reads these partitions from their first record, whichever that is at the next poll.
    /// All assigned partitions if there are none.
    ///
    /// # Errors
    ///
    /// `IllegalState` when a partition is not assigned; then nothing has changed.
    pub fn seek_to_beginning(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.move_all(partitions, Position::Beginning)
    }

    /// Reads these partitions from behind their last visible record, whichever that is at the
    /// next poll. All assigned partitions if there are none.
    ///
    /// # Errors
    ///
    /// `IllegalState` when a partition is not assigned; then nothing has changed.
    pub fn seek_to_end(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.move_all(partitions, Position::End)
    }

    /// Reads `partition` from the first record whose timestamp is at least `timestamp_ms`, or
    /// from the visible end when there is none.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the partition is not assigned; `InvalidRequest` for a negative time;
    /// what a search in stored records can meet otherwise.
    pub fn seek_to_time(&mut self, partition: &TopicPartition, timestamp_ms: i64) -> Result<()> {
        let slot = self.slot(partition)?;
        check_time(partition, timestamp_ms)?;
        let offset = first_since(slot.door(), timestamp_ms)?;
        self.move_to(partition, Position::At(offset))
    }

    fn move_all(&mut self, partitions: &[TopicPartition], position: Position) -> Result<()> {
        for partition in partitions {
            self.slot(partition)?;
        }
        let all: Vec<_> = match partitions {
            [] => self.assignment().cloned().collect(),
            some => some.to_vec(),
        };
        all.iter().try_for_each(|partition| self.move_to(partition, position))
    }

    fn move_to(&mut self, partition: &TopicPartition, position: Position) -> Result<()> {
        self.slot(partition)?;
        self.fetcher.change(partition, |slot| slot.seek(position));
        Ok(())
    }

    /// The offset of the next record that a poll would return of `partition`.
    ///
    /// A position that is not yet known is fixed now, by the reset policy.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the partition is not assigned; `NoOffsetForPartition` when the
    /// position is unknown and the policy is `none`.
    pub fn position(&self, partition: &TopicPartition) -> Result<u64> {
        self.slot(partition)?.position(self.context())
    }

    /// How many offsets lie between the position and the visible end of `partition`.
    ///
    /// # Errors
    ///
    /// Those of [`position`](Self::position).
    pub fn lag(&self, partition: &TopicPartition) -> Result<u64> {
        let position = self.position(partition)?;
        Ok(self.slot(partition)?.door().marks().visible.saturating_sub(position))
    }

    /// The offset of the first record of each of these partitions, assigned or not.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, naming it; `Closed`.
    pub fn beginning_offsets(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let start = |tp: &TopicPartition| Ok((tp.clone(), self.door(tp)?.marks().start));
        partitions.iter().map(start).collect()
    }

    /// The offset behind the last visible record of each of these partitions, assigned or not.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, naming it; `Closed`.
    pub fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let end = |tp: &TopicPartition| Ok((tp.clone(), self.door(tp)?.marks().visible));
        partitions.iter().map(end).collect()
    }

    /// For each partition and time (in milliseconds since the Unix epoch): the first visible
    /// record whose timestamp is at least that; `None` when there is none. Assigned or not.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, naming it; `InvalidRequest` for a negative time; `Closed`; what
    /// a search in stored records can meet.
    pub fn offsets_for_times(
        &self,
        times: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        let find = |(partition, time): (TopicPartition, i64)| {
            let door = self.door(&partition)?;
            check_time(&partition, time)?;
            let found = door.find_timestamp(time)?;
            let found = found.map(|(offset, at)| OffsetAndTimestamp { offset, timestamp_ms: at });
            Ok((partition, found))
        };
        times.into_iter().map(find).collect()
    }

    /// A handle that ends a poll of this consumer from another thread.
    #[must_use]
    pub fn wakeup_handle(&self) -> WakeupHandle {
        self.wakeup.handle()
    }

    /// Ends the consumer.
    ///
    /// # Errors
    ///
    /// None as long as a consumer has no group to leave.
    pub fn close(self) -> Result<()> {
        Ok(())
    }

    fn context(&self) -> Context<'_> {
        Context { backend: &*self.backend, reset: self.settings.reset }
    }

    fn slot(&self, partition: &TopicPartition) -> Result<&Slot> {
        self.fetcher.slot(partition).ok_or_else(|| {
            let message = "the partition is not assigned to this consumer";
            Error::new(ErrorKind::IllegalState, message).with_partition(partition)
        })
    }

    fn door(&self, partition: &TopicPartition) -> Result<Arc<dyn PartitionBackend>> {
        self.backend.check_open()?;
        let route = self.backend.resolve(partition.topic())?;
        door(&route, partition.partition()).map(Arc::clone)
    }
}

/// No record is older than the epoch: asking for that is a slip (A25).
fn check_time(partition: &TopicPartition, timestamp_ms: i64) -> Result<()> {
    if timestamp_ms >= 0 {
        return Ok(());
    }
    let message = format!("the time to look for is {timestamp_ms} ms, the least is 0");
    Err(Error::new(ErrorKind::InvalidRequest, message).with_partition(partition))
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("settings", &self.settings)
            .field("assignment", &self.assignment().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
