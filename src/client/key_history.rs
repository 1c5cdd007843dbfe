//! The records of one key, found by the index of its topic.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::backend::{Fetch, FetchedBatch, PartitionBackend, TopicRoute};
use crate::base::{ErrorKind, Isolation, Result, TopicPartition};

use super::owned_record::OwnedRecord;
use super::packed_record::{PackedRecord, Packing, Place};
use super::partitioner::partition_of;
use super::producer::Producer;
use super::routes::door;
use super::slot::damaged;
use super::topic::Topic;

impl Topic {
    /// The latest visible record of `key`; `None` when there is none. A tombstone is a record, as
    /// long as it is there: its value is `None`.
    ///
    /// The topic has [`key_index`](crate::NewTopic::key_index), and the record stands in the key's
    /// own partition (Kafka's murmur2): a record that was sent to another one by its number, or by
    /// another partitioner, is not found. Records of transactions that are open or aborted are
    /// not seen.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let accounts = log.create_topic(NewTopic::new("accounts").key_index(true))?;
    /// let producer = log.producer().build()?;
    /// for event in ["opened", "credited 5"] {
    ///     producer.send(accounts.record(event).key("alice"))?.wait()?;
    /// }
    /// assert_eq!(accounts.latest("alice")?.unwrap().value_str()?, "credited 5");
    /// assert!(accounts.latest("bob")?.is_none());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidRequest` on a topic without `key.index`; `CorruptMessage` for a damaged record;
    /// `PolicyViolation` where the index of a segment was lost and is too large to be made again
    /// within `key.index.memory.bytes`; `UnknownTopicOrPartition` when the topic was deleted;
    /// `StorageError`; `Closed`.
    pub fn latest(&self, key: impl AsRef<[u8]>) -> Result<Option<OwnedRecord>> {
        self.latest_at(key.as_ref(), u64::MAX, Isolation::ReadCommitted)
    }

    /// The latest visible record of `key` below an offset of its partition, for a reader of this
    /// isolation: what [`latest`](Self::latest) was when the log ended there.
    ///
    /// # Errors
    ///
    /// Those of [`latest`](Self::latest).
    pub fn latest_before(
        &self,
        key: impl AsRef<[u8]>,
        offset: u64,
        isolation: Isolation,
    ) -> Result<Option<OwnedRecord>> {
        self.latest_at(key.as_ref(), offset, isolation)
    }

    fn latest_at(
        &self,
        key: &[u8],
        below: u64,
        isolation: Isolation,
    ) -> Result<Option<OwnedRecord>> {
        let home = Home::of(self, key)?;
        let Some(batch) = home.door.last_of(key, below, isolation)? else { return Ok(None) };
        let offset = batch.below.saturating_sub(1);
        home.own(&batch, offset, key, &mut Packing::default()).map(|(found, _)| found)
    }

    /// All visible records of `key`, in order; tombstones too.
    ///
    /// What is appended later is not among them. Records of transactions that are open or aborted
    /// are not seen, unless the [isolation](KeyHistory::isolation) says so.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let accounts = log.create_topic(NewTopic::new("accounts").key_index(true))?;
    /// let producer = log.producer().build()?;
    /// for event in ["opened", "credited 5", "debited 2"] {
    ///     producer.send(accounts.record(event).key("alice"))?.wait()?;
    /// }
    /// let mut events = Vec::new();
    /// for event in accounts.history("alice")?.from(1) {
    ///     events.push(event?.value_str()?.to_owned());
    /// }
    /// assert_eq!(events, ["credited 5", "debited 2"]);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`latest`](Self::latest); the iterator's records are errors for the same causes,
    /// and it ends with the first one.
    pub fn history(&self, key: impl AsRef<[u8]>) -> Result<KeyHistory> {
        let key = key.as_ref();
        let home = Home::of(self, key)?;
        // Tells at once what the first record would.
        let end = home.door.places_of(key, 0..0, Isolation::ReadCommitted, &mut Vec::new())?;
        debug_assert_eq!(end, 0);
        let end = home.door.marks().visible;
        Ok(KeyHistory {
            home,
            key: key.into(),
            isolation: Isolation::ReadCommitted,
            next: 0,
            end,
            places: VecDeque::new(),
            batch: None,
            packing: Packing::default(),
        })
    }
}

impl Topic {
    /// The log start of the key's partition.
    pub(super) fn start_of(&self, key: &[u8]) -> Result<u64> {
        Ok(Home::of(self, key)?.door.marks().start)
    }
}

/// Waits until the record at `offset` of the key's partition is visible.
pub(super) fn wait_visible(
    topic: &Topic,
    producer: &Producer,
    key: &[u8],
    offset: u64,
) -> Result<()> {
    let (home, shared) = (Home::of(topic, key)?, producer.shared());
    let deadline = shared.deadline(shared.delivery_timeout());
    shared.wait_reached(&*home.door, offset.saturating_add(1), deadline)
}

/// The partition of a key.
struct Home {
    tp: TopicPartition,
    door: Arc<dyn PartitionBackend>,
}

impl Home {
    fn of(topic: &Topic, key: &[u8]) -> Result<Self> {
        let route: Arc<TopicRoute> = topic.route().newest();
        let count = u32::try_from(route.partitions.len()).unwrap_or(u32::MAX);
        let partition = partition_of(key, count);
        let door = Arc::clone(door(&route, partition)?);
        Ok(Self { tp: TopicPartition::new(Arc::clone(&route.name), partition), door })
    }

    /// The record at `offset`, if the batch has it and it has this key, and where in the batch
    /// the next one begins.
    fn own(
        &self,
        batch: &FetchedBatch,
        offset: u64,
        key: &[u8],
        packing: &mut Packing,
    ) -> Result<(Option<OwnedRecord>, usize)> {
        let header = &batch.header;
        let mut records = batch.records();
        loop {
            let before = records.position();
            let next = records.next();
            let next = next.map_err(|d| damaged(&self.tp, offset, header.next_offset(), d))?;
            let Some(record) = next else { return Ok((None, before)) };
            let at = header.base_offset.saturating_add(u64::from(record.offset_delta));
            if at > offset {
                return Ok((None, before));
            }
            if at < offset {
                continue;
            }
            if record.key != Some(key) {
                return Ok((None, records.position()));
            }
            let place = Place {
                partition: self.tp.partition(),
                offset,
                timestamp_ms: header.timestamp(record.ts_delta),
                timestamp_type: header.attributes.timestamp_type(),
            };
            let packed = PackedRecord::new(packing.pack(&place, record.encoded()));
            let found = OwnedRecord::of(self.tp.clone(), packed);
            return Ok((Some(found), records.position()));
        }
    }
}

/// The records of a key, in order: see [`Topic::history`].
///
/// It reads as it goes: of the log it holds one batch, and of the index the places in one segment.
#[must_use = "it reads nothing until it is asked for records"]
pub struct KeyHistory {
    home: Home,
    key: Box<[u8]>,
    isolation: Isolation,
    /// Where to look for further places.
    next: u64,
    end: u64,
    places: VecDeque<u64>,
    /// The batch of the last record, from behind that one on.
    batch: Option<FetchedBatch>,
    packing: Packing,
}

impl KeyHistory {
    /// Begins at this offset of the key's partition. Default: 0.
    pub fn from(mut self, offset: u64) -> Self {
        self.next = offset;
        self
    }

    /// Ends in front of this offset of the key's partition. Default: the visible end at the call of
    /// [`history`](Topic::history).
    pub fn below(mut self, offset: u64) -> Self {
        self.end = self.end.min(offset);
        self
    }

    /// What is seen of transactions. Default: [`ReadCommitted`](Isolation::ReadCommitted).
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    fn advance(&mut self) -> Result<Option<OwnedRecord>> {
        loop {
            let Some(offset) = self.places.pop_front() else {
                if !self.look_further()? {
                    return Ok(None);
                }
                continue;
            };
            if let Some(found) = self.record_at(offset)? {
                return Ok(Some(found));
            }
        }
    }

    /// Looks for the next places; false when there are no more.
    fn look_further(&mut self) -> Result<bool> {
        if self.next >= self.end {
            return Ok(false);
        }
        let (range, mut places) =
            (self.next..self.end, Vec::from(std::mem::take(&mut self.places)));
        let Home { door, .. } = &self.home;
        let next = door.places_of(&self.key, range, self.isolation, &mut places)?;
        // What ends the look before the end is the end of what is seen.
        let is_over = places.is_empty() && next <= self.next.max(door.marks().start);
        self.places = places.into();
        self.next = self.next.max(next);
        Ok(!is_over)
    }

    fn record_at(&mut self, offset: u64) -> Result<Option<OwnedRecord>> {
        if let Some(batch) = &mut self.batch {
            let (found, position) = self.home.own(batch, offset, &self.key, &mut self.packing)?;
            batch.position = position;
            if found.is_some() {
                return Ok(found);
            }
        }
        let request = Fetch { isolation: self.isolation, ..Fetch::new(offset, 1) };
        let mut batches = Vec::new();
        match self.home.door.fetch(&request, &mut batches) {
            Ok(_) => {}
            // Deleted from the front meanwhile: it is history no more.
            Err(e) if e.kind() == ErrorKind::OffsetOutOfRange => return Ok(None),
            Err(error) => return Err(error),
        }
        let holds = |batch: &FetchedBatch| {
            batch.header.base_offset <= offset && !batch.header.attributes.is_control()
        };
        let Some(mut batch) = batches.into_iter().next().filter(holds) else { return Ok(None) };
        let (found, position) = self.home.own(&batch, offset, &self.key, &mut self.packing)?;
        batch.position = position;
        self.batch = Some(batch);
        Ok(found)
    }
}

impl Iterator for KeyHistory {
    type Item = Result<OwnedRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if matches!(next, Some(Err(_))) {
            self.places.clear();
            self.next = self.end;
        }
        next
    }
}

impl fmt::Debug for KeyHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHistory")
            .field("partition", &self.home.tp)
            .field("next", &self.next)
            .field("end", &self.end)
            .field("isolation", &self.isolation)
            .finish_non_exhaustive()
    }
}
