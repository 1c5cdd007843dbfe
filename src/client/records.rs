//! What a poll returns: it owns what it lends.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;
use std::slice;

use bytes::{Bytes, BytesMut};

use crate::base::{TimestampType, TopicPartition};
use crate::batch::{BatchHeader, RecordView};

use super::consumer_record::ConsumerRecord;
use super::offsets::Offsets;
use super::walk::Walked;

/// The records of one poll, with the bytes that they lend.
///
/// Nothing in it borrows the consumer: seeking and committing inside the loop is fine, and it
/// may go to another thread. Records of one partition stand together, in the order of offsets.
/// They are decoded as the iterator goes; that cannot fail, the poll has checked them.
///
/// ```
/// use alluvium::{EventLog, NewTopic, OffsetReset, TopicPartition};
/// use std::time::Duration;
///
/// let log = EventLog::in_memory();
/// let orders = log.create_topic(NewTopic::new("orders"))?;
/// let producer = log.producer().build()?;
/// producer.send(orders.record("one espresso"))?.wait()?;
///
/// let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
/// consumer.assign([TopicPartition::new("orders", 0)])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     assert_eq!(record.value_str()?, "one espresso");
/// }
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Records {
    /// Those of this poll, and behind them what is left of the poll before, to be used again.
    parts: Vec<Part>,
    live: usize,
    spans: Vec<Span>,
    /// Where each record ends in the payload of its span.
    ends: Vec<u32>,
    gaps: Vec<Gap>,
    len: usize,
    /// How many parts are from earlier rounds of the poll over its partitions.
    earlier: usize,
    /// Room for what is copied out of the stage.
    space: BytesMut,
    is_used_again: bool,
}

/// Room for bytes of records that are filled again and again.
const SPACE: usize = 16 << 10;

/// Offsets that no record will ever have, although records behind them exist.
///
/// From a power cut below `PowerLoss`, or from damage that the log was told to read around.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Gap {
    /// Where.
    pub partition: TopicPartition,
    /// The first missing offset.
    pub from: u64,
    /// The first offset behind the gap.
    pub to: u64,
}

/// One partition's share.
#[derive(Clone, Debug)]
struct Part {
    partition: TopicPartition,
    first_span: usize,
    spans: usize,
    len: usize,
    next_offset: u64,
}

/// Records back to back in one batch, all checked once.
#[derive(Clone)]
struct Span {
    payload: Bytes,
    start: usize,
    /// Where in the list of ends its records' are.
    ends: Range<usize>,
    base_offset: u64,
    base_timestamp: i64,
    timestamp_type: TimestampType,
}

impl Records {
    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no records. There may be [`gaps`](Self::gaps) nevertheless.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All records, partition by partition.
    #[must_use]
    pub fn iter(&self) -> RecordsIter<'_> {
        self.lend(self.parts().iter(), self.len)
    }

    /// The records of one partition; none if it has none here.
    #[must_use]
    pub fn of(&self, partition: &TopicPartition) -> RecordsIter<'_> {
        let at = self.parts().iter().position(|part| part.partition == *partition);
        let parts = at.and_then(|at| self.parts.get(at..=at)).unwrap_or_default();
        self.lend(parts.iter(), parts.iter().map(|part| part.len).sum())
    }

    fn lend<'r>(&'r self, parts: slice::Iter<'r, Part>, count: usize) -> RecordsIter<'r> {
        let spans = Spans { records: self, parts, partition: None, spans: [].iter(), count };
        RecordsIter { spans, open: None }
    }

    /// The partitions that have records here.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.parts().iter().filter(|part| part.len > 0).map(|part| &part.partition)
    }

    /// Where reading goes on in each partition that this poll moved on in: what to commit when
    /// all these records are processed.
    #[must_use]
    pub fn next_offsets(&self) -> Offsets {
        self.parts().iter().map(|part| (part.partition.clone(), part.next_offset)).collect()
    }

    /// Holes that the poll passed, in the order of its passing them.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Empties it and keeps its room.
    pub(super) fn clear(&mut self) {
        self.is_used_again |= self.live > 0;
        self.live = 0;
        self.spans.clear();
        self.ends.clear();
        self.gaps.clear();
        self.len = 0;
        self.earlier = 0;
    }

    /// A round over the partitions begins: each will come once.
    pub(super) fn begin_round(&mut self) {
        self.earlier = self.live;
    }

    /// Whether there is anything that must reach the caller.
    pub(super) fn has_news(&self) -> bool {
        self.len > 0 || !self.gaps.is_empty()
    }

    /// Where to add the ends of the records that the next [`push`](Self::push) adds.
    pub(super) fn ends(&mut self) -> &mut Vec<u32> {
        &mut self.ends
    }

    pub(super) fn push(
        &mut self,
        partition: &TopicPartition,
        header: &BatchHeader,
        payload: Bytes,
        walked: &Walked,
    ) {
        let behind = self.spans.len();
        let part = self.part(partition);
        if part.spans == 0 {
            part.first_span = behind;
        }
        part.spans += 1;
        part.len += walked.count;
        self.len += walked.count;
        self.spans.push(Span {
            payload,
            start: walked.start,
            ends: self.ends.len() - walked.count..self.ends.len(),
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            timestamp_type: header.attributes.timestamp_type(),
        });
    }

    pub(super) fn push_gap(&mut self, partition: &TopicPartition, from: u64, to: u64) {
        self.gaps.push(Gap { partition: partition.clone(), from, to });
    }

    /// Notes how far the poll came in a partition.
    pub(super) fn advance(&mut self, partition: &TopicPartition, next_offset: u64) {
        self.part(partition).next_offset = next_offset;
    }

    /// A partition's part: the last one, one of an earlier round, or a new one.
    fn part(&mut self, partition: &TopicPartition) -> &mut Part {
        let parts = self.parts();
        let last = parts.len().wrapping_sub(1);
        let is_it = |at: &usize| parts.get(*at).is_some_and(|part| part.is_of(partition));
        let at = Some(last).filter(is_it).or_else(|| (0..self.earlier).find(is_it));
        let at = at.unwrap_or_else(|| self.begin_part(partition));
        &mut self.parts[at]
    }

    /// Begins a part. Whoever polls again and again mostly finds one of the same partition left.
    fn begin_part(&mut self, partition: &TopicPartition) -> usize {
        let at = self.live;
        self.live += 1;
        if self.parts.get(at).is_none_or(|left| !left.is_of(partition)) {
            self.parts.truncate(at);
            self.parts.push(Part::of(partition.clone()));
        } else if let Some(left) = self.parts.get_mut(at) {
            (left.first_span, left.spans, left.len, left.next_offset) = (0, 0, 0, 0);
        }
        at
    }

    fn parts(&self) -> &[Part] {
        self.parts.get(..self.live).unwrap_or_default()
    }

    /// Room for bytes of records: as much as is needed where that is for once; where the same
    /// records are filled again and again, room that comes free as they are emptied.
    pub(super) fn space(&mut self) -> &mut BytesMut {
        if self.is_used_again && self.space.capacity() == 0 {
            self.space.reserve(SPACE);
        }
        &mut self.space
    }
}

impl Part {
    fn of(partition: TopicPartition) -> Self {
        Self { partition, first_span: 0, spans: 0, len: 0, next_offset: 0 }
    }

    fn is_of(&self, partition: &TopicPartition) -> bool {
        self.partition == *partition
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("len", &self.len)
            .field("parts", &self.parts())
            .field("gaps", &self.gaps)
            .finish_non_exhaustive()
    }
}

/// Lends the records of a [`Records`] one by one.
#[derive(Clone)]
pub struct RecordsIter<'r> {
    spans: Spans<'r>,
    /// The span whose records come now. By itself, so that a loop can keep it in registers.
    open: Option<OpenSpan<'r>>,
}

/// The spans that have not come yet.
#[derive(Clone)]
struct Spans<'r> {
    records: &'r Records,
    parts: slice::Iter<'r, Part>,
    /// The partition of `spans`.
    partition: Option<&'r TopicPartition>,
    spans: slice::Iter<'r, Span>,
    /// How many records they have.
    count: usize,
}

#[derive(Clone)]
struct OpenSpan<'r> {
    partition: &'r TopicPartition,
    base_offset: u64,
    base_timestamp: i64,
    timestamp_type: TimestampType,
    payload: &'r [u8],
    /// Where the next record begins.
    start: usize,
    /// Where it and the others end. One is found without a look at the one before.
    ends: slice::Iter<'r, u32>,
}

impl<'r> Spans<'r> {
    /// The next one; `None` when there is none.
    #[inline(never)]
    fn next(&mut self) -> Option<OpenSpan<'r>> {
        loop {
            if let (Some(partition), Some(span)) = (self.partition, self.spans.next()) {
                let open = OpenSpan::new(partition, span, &self.records.ends);
                self.count = self.count.saturating_sub(open.ends.len());
                return Some(open);
            }
            let part = self.parts.next()?;
            self.partition = Some(&part.partition);
            let behind = part.first_span + part.spans;
            let spans = self.records.spans.get(part.first_span..behind);
            self.spans = spans.unwrap_or_default().iter();
        }
    }
}

impl<'r> OpenSpan<'r> {
    fn new(partition: &'r TopicPartition, span: &'r Span, ends: &'r [u32]) -> Self {
        let Span { base_offset, base_timestamp, timestamp_type, start, .. } = *span;
        let ends = ends.get(span.ends.clone()).unwrap_or_default().iter();
        let payload = &span.payload[..];
        Self { partition, base_offset, base_timestamp, timestamp_type, payload, start, ends }
    }

    /// The rest of them, one after the other. What it goes by stays in registers.
    #[inline(always)]
    fn fold<B>(self, first: B, mut add: impl FnMut(B, ConsumerRecord<'r>) -> B) -> B {
        let mut open = self;
        let mut all = first;
        while let Some(record) = open.next() {
            all = add(all, record);
        }
        all
    }

    #[inline(always)]
    fn next(&mut self) -> Option<ConsumerRecord<'r>> {
        let end = *self.ends.next()? as usize;
        let view = RecordView::lend_whole(self.payload.get(self.start..end)?)?;
        self.start = end;
        let offset = self.base_offset.saturating_add(u64::from(view.offset_delta));
        let base = self.base_timestamp;
        let timestamp = view.ts_delta.map(|delta| base.saturating_add(i64::from(delta)));
        let timestamp = (timestamp, self.timestamp_type);
        Some(ConsumerRecord::new(self.partition, offset, timestamp, view))
    }
}

impl<'r> Iterator for RecordsIter<'r> {
    type Item = ConsumerRecord<'r>;

    #[inline]
    fn next(&mut self) -> Option<ConsumerRecord<'r>> {
        loop {
            if let Some(record) = self.open.as_mut().and_then(OpenSpan::next) {
                return Some(record);
            }
            self.open = Some(self.spans.next()?);
        }
    }

    fn fold<B, F: FnMut(B, ConsumerRecord<'r>) -> B>(mut self, first: B, mut add: F) -> B {
        let mut all = first;
        while let Some(open) = self.open.take().or_else(|| self.spans.next()) {
            all = open.fold(all, &mut add);
        }
        all
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.spans.count + self.open.as_ref().map_or(0, |open| open.ends.len());
        (left, Some(left))
    }
}

impl ExactSizeIterator for RecordsIter<'_> {}
impl FusedIterator for RecordsIter<'_> {}

impl<'r> IntoIterator for &'r Records {
    type Item = ConsumerRecord<'r>;
    type IntoIter = RecordsIter<'r>;

    fn into_iter(self) -> RecordsIter<'r> {
        self.iter()
    }
}

impl fmt::Debug for RecordsIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordsIter").field("left", &self.len()).finish_non_exhaustive()
    }
}
