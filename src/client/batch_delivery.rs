//! Many records in one call: grouped by partition, each group appended whole or not at all.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::ptr;
use std::sync::{Arc, OnceLock};

use crate::backend::{Appended, PartitionBackend};
use crate::base::{Error, ErrorKind, RawRecord, Result, TimestampType, TopicPartition};

use super::numbering::number_after;
use super::partitioner::{Chosen, Strategy, partition_of};
use super::producer::Shared;
use super::record::Record;
use super::routes::{Entry, door};

/// The answer to [`Producer::send_batch`](crate::Producer::send_batch): one part per partition.
#[must_use = "parts may have failed, and the rest is placed but not yet durable: wait()"]
pub struct BatchDelivery<'p> {
    producer: &'p Arc<Shared>,
    parts: Vec<BatchPart<'p>>,
}

/// The records of a batch that went to one partition, together or not at all.
pub struct BatchPart<'p> {
    topic: Arc<str>,
    partition: Option<u32>,
    door: Option<&'p Arc<dyn PartitionBackend>>,
    indexes: Indexes,
    result: Result<Range<u64>>,
    appended: Option<Appended>,
}

/// The positions of a part's records in the batch. Where the part is the whole batch they are listed
/// only when somebody asks.
#[derive(Debug)]
enum Indexes {
    Listed(Vec<usize>),
    All(usize, OnceLock<Box<[usize]>>),
}

impl Indexes {
    fn all(count: usize) -> Self {
        Indexes::All(count, OnceLock::new())
    }

    fn as_slice(&self) -> &[usize] {
        match self {
            Indexes::Listed(list) => list,
            Indexes::All(count, list) => list.get_or_init(|| (0..*count).collect()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Indexes::Listed(list) => list.len(),
            Indexes::All(count, _) => *count,
        }
    }

    #[inline(always)]
    fn push(&mut self, index: usize) {
        match self {
            Indexes::Listed(list) => list.push(index),
            Indexes::All(count, _) => *count += 1,
        }
    }

    /// Lists them, for what is not the whole batch any more.
    fn list(&mut self, room: usize) {
        if let Indexes::All(count, _) = *self {
            let mut list = Vec::with_capacity(room.max(count));
            list.extend(0..count);
            *self = Indexes::Listed(list);
        }
    }
}

impl<'p> BatchDelivery<'p> {
    /// The answer of a call that appended all of `count` records to one partition.
    pub(super) fn of_one(
        producer: &'p Arc<Shared>,
        entry: &'p Entry,
        door: &'p Arc<dyn PartitionBackend>,
        partition: u32,
        count: usize,
        appended: Appended,
    ) -> Self {
        let first = appended.base_offset;
        let part = BatchPart {
            topic: Arc::clone(&entry.route.name),
            partition: Some(partition),
            door: Some(door),
            indexes: Indexes::all(count),
            result: Ok(first..first + count as u64),
            appended: Some(appended),
        };
        Self { producer, parts: vec![part] }
    }

    /// The parts, in the order in which their partitions first appeared in the batch.
    #[must_use]
    pub fn parts(&self) -> &[BatchPart<'p>] {
        &self.parts
    }

    /// Waits until all placed records have reached their topics' levels, `delivery.timeout.ms`
    /// from now at most.
    ///
    /// # Errors
    ///
    /// The error of the first part that failed, at the append or in the wait (see
    /// [`Delivery::wait`](crate::Delivery::wait)). The other parts were waited for nevertheless.
    pub fn wait(&self) -> Result<()> {
        let deadline = self.producer.deadline(self.producer.delivery_timeout());
        let pending = self.parts.iter().filter(|part| part.is_pending()).count();
        if pending > 1 {
            // One round for all. An error may be another partition's: the parts tell below.
            drop(self.producer.flush_until(deadline));
        }
        let mut first = Ok(());
        for part in &self.parts {
            let reached = match (&part.result, part.door) {
                (Err(error), _) => Err(error.clone()),
                (Ok(range), Some(door)) if part.is_pending() => {
                    self.producer.wait_reached(&**door, range.end, deadline)
                }
                _ => Ok(()),
            };
            first = first.and(reached);
        }
        self.producer.tell_interceptors();
        first
    }
}

impl BatchPart<'_> {
    /// The name of the topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition; `None` when the topic is unknown and the records named none.
    #[must_use]
    pub fn partition(&self) -> Option<u32> {
        self.partition
    }

    /// The positions of this part's records in the batch. The n-th has the n-th offset.
    #[must_use]
    pub fn record_indexes(&self) -> &[usize] {
        self.indexes.as_slice()
    }

    /// The offsets that the records took.
    ///
    /// # Errors
    ///
    /// Why none of them was appended: see [`Producer::send`](crate::Producer::send).
    /// [`Error::record_indexes`] names the records to blame by their position in the batch,
    /// where single ones are.
    pub fn result(&self) -> Result<Range<u64>> {
        self.result.clone()
    }

    pub(super) fn topic_name(&self) -> &Arc<str> {
        &self.topic
    }

    pub(super) fn door(&self) -> Option<&Arc<dyn PartitionBackend>> {
        self.door
    }

    pub(super) fn time_of(&self, own: Option<i64>) -> i64 {
        self.appended.map_or(0, |appended| appended.time_of(own))
    }

    /// The clock's time at the append, in milliseconds since the Unix epoch: what the records
    /// without a time of their own were given, and with `message.timestamp.type=LogAppendTime`
    /// all of them. `None` when nothing was appended.
    #[must_use]
    pub fn append_time_ms(&self) -> Option<i64> {
        self.appended.map(|appended| appended.timestamp_ms)
    }

    /// Whose time the records carry; `None` when nothing was appended.
    #[must_use]
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        self.appended.map(|appended| appended.timestamp_type)
    }

    fn is_pending(&self) -> bool {
        match (&self.result, self.door) {
            (Ok(range), Some(door)) => door.marks().visible < range.end,
            _ => false,
        }
    }
}

impl fmt::Debug for BatchDelivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchDelivery").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl fmt::Debug for BatchPart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchPart")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("records", &self.indexes.len())
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}

pub(super) fn send<'p, 'a>(
    producer: &'p Arc<Shared>,
    records: impl Iterator<Item = Record<'a>>,
) -> BatchDelivery<'p> {
    let mut groups = Groups {
        producer,
        groups: Vec::new(),
        index: HashMap::new(),
        keyless: Vec::new(),
        entry: None,
        last: 0,
    };
    let (expected, _) = records.size_hint();
    for (index, record) in records.enumerate() {
        groups.add(index, record, expected);
    }
    let parts = groups.groups.into_iter().map(|group| group.append(producer)).collect();
    BatchDelivery { producer, parts }
}

/// Records on their way to one partition, or to the same refusal.
struct Group<'p, 'a> {
    home: Home<'p>,
    records: Vec<RawRecord<'a>>,
    indexes: Indexes,
    sticky_bytes: Option<usize>,
    /// The number of the first record, where the program has said it.
    sequence: Option<i32>,
    refused: Option<(Error, Vec<usize>)>,
}

/// Where a record of a batch belongs.
enum Home<'p> {
    Partition(&'p Entry, u32),
    /// There is no such place: its records share a part all the same.
    Nowhere(Arc<str>, Option<u32>),
}

/// A record that cannot go anywhere: the part that it fails, and why.
struct Lost<'p> {
    home: Home<'p>,
    error: Error,
}

impl Home<'_> {
    #[inline]
    fn is_at(&self, entry: &Entry, partition: u32) -> bool {
        matches!(self, Home::Partition(e, p) if *p == partition && ptr::eq(*e, entry))
    }

    fn is(&self, other: &Home<'_>) -> bool {
        match (self, other) {
            (Home::Partition(a, p), Home::Partition(b, q)) => p == q && ptr::eq(*a, *b),
            (Home::Nowhere(a, p), Home::Nowhere(b, q)) => p == q && a == b,
            _ => false,
        }
    }
}

struct Groups<'p, 'a> {
    producer: &'p Arc<Shared>,
    groups: Vec<Group<'p, 'a>>,
    /// Where the group of a partition is, by the address of its topic's entry; filled only
    /// when there are more groups than a walk is good for.
    index: HashMap<(usize, u32), usize>,
    /// The partition of each topic's records without a key.
    keyless: Vec<(&'p Entry, u32)>,
    /// The topic and the group of the record before.
    entry: Option<&'p Entry>,
    last: usize,
}

#[cold]
fn lost<'p>(record: &Record<'_>, partition: Option<u32>, error: Error) -> Box<Lost<'p>> {
    let home = Home::Nowhere(Arc::from(record.topic()), partition);
    Box::new(Lost { home, error })
}

#[cold]
fn out_of_line(expected: Option<i32>, record: &Record<'_>) -> Error {
    let said = record.sequence;
    let message = format!("sequence {said:?} in a batch whose next one is {expected:?}");
    Error::new(ErrorKind::InvalidRequest, message)
}

const WALKABLE: usize = 16;

impl<'p, 'a> Groups<'p, 'a> {
    /// The record comes by value, and goes on by reference only as a copy of it: so the usual way
    /// has it in registers, and does not write it to memory only to read it back.
    #[inline(always)]
    fn add(&mut self, index: usize, record: Record<'a>, expected: usize) {
        if !self.add_to_last(index, record) {
            let copy = record;
            self.add_anywhere(index, &copy, expected);
        }
    }

    /// A record like the one before, which nothing is to be said of: most are.
    #[inline(always)]
    fn add_to_last(&mut self, index: usize, record: Record<'a>) -> bool {
        let producer: &'p Shared = self.producer;
        let Some(entry) = self.entry.filter(|entry| record.is_by_handle_of(&entry.route)) else {
            return false;
        };
        let (Some(group), true) = (self.groups.get_mut(self.last), record.sequence.is_none())
        else {
            return false;
        };
        let partition = match (record.partition, &producer.settings().strategy, record.raw.key) {
            (Some(named), ..) => named,
            (None, Strategy::Kafka, Some(key)) => partition_of(key, entry.partition_count()),
            _ => return false,
        };
        let in_time = record.raw.timestamp_ms.is_none_or(|time| time >= 0);
        let fits = in_time && record.size() <= producer.settings().max_request_size;
        let stays = group.home.is_at(entry, partition) && group.sequence.is_none();
        if !fits || !stays || !producer.is_open() {
            return false;
        }
        group.indexes.push(index);
        group.records.push(record.raw);
        true
    }

    #[inline(never)]
    fn add_anywhere(&mut self, index: usize, record: &Record<'a>, expected: usize) {
        let checked = self.producer.check_open();
        let checked =
            checked.and_then(|()| record.check(self.producer.settings().max_request_size));
        let (at, is_sticky, lost) = match self.find(record) {
            Ok((entry, chosen)) => {
                (self.group(entry, chosen.partition, expected), chosen.is_sticky, None)
            }
            Err(lost) => (self.group_of(lost.home, expected), false, Some(lost.error)),
        };
        let Some(group) = self.groups.get_mut(at) else { return };
        group.indexes.push(index);
        match (checked, lost) {
            (Ok(size), None) => match group.number(record) {
                Ok(()) => group.take(record, is_sticky.then_some(size)),
                Err(error) => group.refuse(error, index),
            },
            (Err(error), _) | (Ok(_), Some(error)) => group.refuse(error, index),
        }
    }

    /// The topic and the partition of a record.
    #[inline]
    fn find(&mut self, record: &Record<'a>) -> Result<(&'p Entry, Chosen), Box<Lost<'p>>> {
        let producer: &'p Shared = self.producer;
        let entry = match self.entry.filter(|entry| record.is_by_handle_of(&entry.route)) {
            Some(entry) => entry,
            None => producer.entry(record).map_err(|e| lost(record, record.partition, e))?,
        };
        self.entry = Some(entry);
        let strategy = &producer.settings().strategy;
        let chosen = strategy.choose(record, entry, || self.keyless(entry));
        let chosen = chosen.map_err(|e| lost(record, e.partition(), e))?;
        match door(&entry.route, chosen.partition) {
            Ok(_) => Ok((entry, chosen)),
            Err(error) => Err(lost(record, Some(chosen.partition), error)),
        }
    }

    /// One partition per topic and call, even if another thread moves the sticky one meanwhile.
    fn keyless(&mut self, entry: &'p Entry) -> u32 {
        if let Some((_, partition)) = self.keyless.iter().find(|(of, _)| ptr::eq(*of, entry)) {
            return *partition;
        }
        let partition = entry.sticky.current();
        self.keyless.push((entry, partition));
        partition
    }

    #[inline]
    fn group(&mut self, entry: &'p Entry, partition: u32, expected: usize) -> usize {
        match self.groups.get(self.last).map(|group| &group.home) {
            Some(home) if home.is_at(entry, partition) => self.last,
            _ => self.group_of(Home::Partition(entry, partition), expected),
        }
    }

    fn group_of(&mut self, home: Home<'p>, expected: usize) -> usize {
        self.last = self.look_up(&home).unwrap_or_else(|| self.open(home, expected));
        self.last
    }

    fn look_up(&self, home: &Home<'p>) -> Option<usize> {
        match home {
            Home::Partition(entry, partition) if self.groups.len() > WALKABLE => {
                self.index.get(&(ptr::from_ref(*entry).addr(), *partition)).copied()
            }
            _ => self.groups.iter().position(|group| group.home.is(home)),
        }
    }

    fn open(&mut self, home: Home<'p>, expected: usize) -> usize {
        // The first group often is the only one, and is the whole batch then.
        let is_first = self.groups.is_empty();
        let share = match &home {
            Home::Partition(entry, _) if !is_first => entry.partition_count().max(1) as usize,
            _ => 1,
        };
        // Keys do not spread evenly.
        let room = expected.min(1_024) / share;
        let room = if is_first { room } else { room + room / 2 + 4 };
        if let [first] = self.groups.as_mut_slice() {
            first.indexes.list(expected.min(1_024));
        }
        let indexes = match is_first {
            true => Indexes::all(0),
            false => Indexes::Listed(Vec::with_capacity(room)),
        };
        self.groups.push(Group {
            home,
            records: Vec::with_capacity(room),
            indexes,
            sticky_bytes: None,
            sequence: None,
            refused: None,
        });
        let unindexed = match self.groups.len() {
            few @ ..=WALKABLE => few,
            many if many == WALKABLE + 1 => 0,
            many => many - 1,
        };
        for (at, group) in self.groups.iter().enumerate().skip(unindexed) {
            if let Home::Partition(entry, partition) = group.home {
                self.index.insert((ptr::from_ref(entry).addr(), partition), at);
            }
        }
        self.groups.len() - 1
    }
}

impl<'p, 'a> Group<'p, 'a> {
    #[inline]
    fn take(&mut self, record: &Record<'a>, sticky: Option<usize>) {
        self.records.push(record.raw);
        if let Some(size) = sticky {
            self.sticky_bytes = Some(self.sticky_bytes.unwrap_or(0) + size);
        }
    }

    /// Numbers that the program says must follow each other.
    #[inline]
    fn number(&mut self, record: &Record<'a>) -> Result<()> {
        if self.records.is_empty() {
            self.sequence = record.sequence;
            return Ok(());
        }
        let expected = self.sequence.map(|first| number_after(first, self.records.len()));
        if expected == record.sequence { Ok(()) } else { Err(out_of_line(expected, record)) }
    }

    fn refuse(&mut self, error: Error, index: usize) {
        self.refused.get_or_insert_with(|| (error, Vec::new())).1.push(index);
    }

    fn append(self, producer: &'p Shared) -> BatchPart<'p> {
        let (topic, partition, entry) = match &self.home {
            Home::Partition(entry, partition) => {
                (Arc::clone(&entry.route.name), Some(*partition), Some(*entry))
            }
            Home::Nowhere(topic, partition) => (Arc::clone(topic), *partition, None),
        };
        let (indexes, result) = (self.indexes, Ok(0..0));
        let mut part = BatchPart { topic, partition, door: None, indexes, result, appended: None };
        part.result = match (self.refused, entry.zip(partition)) {
            (Some((error, blamed)), _) => Err(part.blame(error, blamed)),
            (None, Some((entry, partition))) => door(&entry.route, partition).and_then(|door| {
                part.door = Some(door);
                let appended =
                    producer.append(entry, partition, &**door, &self.records, self.sequence);
                let appended = appended.map_err(|error| part.translate(error))?;
                part.appended = Some(appended);
                let first = appended.base_offset;
                if let Some(bytes) = self.sticky_bytes {
                    producer.count_sticky(entry, partition, bytes);
                }
                Ok(first..first + self.records.len() as u64)
            }),
            (None, None) => Ok(0..0),
        };
        part
    }
}

impl BatchPart<'_> {
    fn blame(&self, error: Error, records: Vec<usize>) -> Error {
        let error = error.with_records(records);
        match self.partition {
            Some(partition) => {
                error.with_partition(&TopicPartition::new(Arc::clone(&self.topic), partition))
            }
            None => error,
        }
    }

    /// Positions in the append become positions in the caller's batch.
    fn translate(&self, error: Error) -> Error {
        let indexes = self.indexes.as_slice();
        let of_caller = |at: &usize| indexes.get(*at).copied();
        let blamed = error.record_indexes().iter().filter_map(of_caller).collect();
        self.blame(error, blamed)
    }
}
