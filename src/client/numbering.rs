//! Who numbers a producer's records: an idempotent producer by itself, partition by partition,
//! a transactional one within its transaction.

use std::sync::{Arc, OnceLock};

use crate::backend::{
    Append, Appended, Backend, Fenced, PartitionBackend, ProducerEpoch, ProducerStamp,
};
use crate::base::{Error, ErrorKind, Expect, RawRecord, Result, TimestampType, TopicId};
use crate::lock::Biased;

use super::routes::Entry;
use super::transaction::Current;

/// Who numbers the records.
#[derive(Debug)]
pub(super) enum Numbering {
    /// An idempotent producer, with or without a name.
    Own(Identity),
    /// The transaction that is open.
    Transaction(Current),
}

/// A producer that the log knows.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) stamp: ProducerEpoch,
    /// Its name, and whether another one has taken it.
    pub(super) name: Option<(Arc<str>, Fenced)>,
}

/// The next number of a partition; none before it is known.
type Next = Biased<Option<i32>>;

/// The next numbers of a topic's partitions. Entries of the same topic share it, however often
/// the topic grows.
///
/// Runs of them, each twice as long as the one before: what is there never moves, so that a look
/// takes no lock.
#[derive(Debug, Default)]
pub(super) struct Numbers([OnceLock<Box<[Next]>>; 32]);

impl Numbers {
    #[inline]
    fn of(&self, partition: u32) -> Option<&Next> {
        // The last partition of all has no number of its own: there are never so many.
        let place = partition.checked_add(1)?;
        let (run, first) = (place.ilog2(), 1 << place.ilog2());
        let slot = self.0.get(run as usize)?;
        let run = slot.get_or_init(|| (0..first).map(|_| Next::new(None)).collect());
        run.get((place - first) as usize)
    }
}

/// The number behind `count` records that begin with `first`.
pub(super) fn number_after(first: i32, count: usize) -> i32 {
    // i32::MAX is followed by 0.
    ((i64::from(first) + count as i64) & i64::from(i32::MAX)) as i32
}

/// Where records go.
#[derive(Clone, Copy)]
pub(super) struct Way<'w> {
    pub(super) backend: &'w dyn Backend,
    pub(super) entry: &'w Entry,
    pub(super) partition: u32,
    pub(super) door: &'w dyn PartitionBackend,
    /// What the append depends on.
    pub(super) expect: Option<Expect>,
}

impl Way<'_> {
    /// Appends, if what it depends on holds.
    pub(super) fn append(&self, request: Append<'_>) -> Result<Appended> {
        match self.expect {
            None => match *request.records {
                [ref record] if record.timestamp_ms.is_none() => self.append_one(record, request),
                _ => self.door.append(request),
            },
            Some(expect) => self.door.append_if(request, expect),
        }
    }

    fn append_one(&self, record: &RawRecord<'_>, request: Append<'_>) -> Result<Appended> {
        match self.door.append_one(record, request.producer.as_ref()) {
            Some(spot) => Ok(Appended {
                base_offset: spot.offset(),
                timestamp_ms: spot.timestamp_ms,
                timestamp_type: TimestampType::CreateTime,
                duplicate: false,
                exact: true,
            }),
            None => self.door.append(request),
        }
    }

    pub(super) fn part(&self) -> (TopicId, u32) {
        (self.entry.route.id, self.partition)
    }
}

impl Numbering {
    /// Appends with numbers. `first` is the number of the first record where the program has
    /// said it.
    pub(super) fn append(
        &self,
        way: Way<'_>,
        request: Append<'_>,
        first: Option<i32>,
    ) -> Result<Appended> {
        match self {
            Numbering::Own(identity) => identity.append(way, request, first),
            Numbering::Transaction(_) if first.is_some() => {
                let message = "a transaction numbers its records itself: give no sequence";
                Err(Error::new(ErrorKind::InvalidRequest, message))
            }
            Numbering::Transaction(current) => current.append(way, request),
        }
    }
}

impl Identity {
    fn append(&self, way: Way<'_>, request: Append<'_>, first: Option<i32>) -> Result<Appended> {
        let next = way.entry.numbers.of(way.partition).ok_or_else(|| no_number(way.partition))?;
        // Held over the append: numbers stand in the partition in their order.
        let mut next = next.lock();
        self.check_held()?;
        let known = match *next {
            Some(known) => known,
            None => self.resume(way)?.map_or(0, |last| number_after(last, 1)),
        };
        let sequence = first.unwrap_or(known);
        let ProducerEpoch { producer: id, epoch } = self.stamp;
        let stamp = ProducerStamp { id, epoch, sequence, transactional: false };
        let appended = way.append(Append { producer: Some(stamp), ..request });
        let appended = appended.map_err(|error| self.explain(error))?;
        *next = Some(match appended.duplicate {
            true => known,
            false => number_after(sequence, request.records.len()),
        });
        Ok(appended)
    }

    /// The last number that the log knows. From then on no former holder appends there.
    fn resume(&self, way: Way<'_>) -> Result<Option<i32>> {
        way.backend.transactions()?.last_sequence(self.stamp, way.part())
    }

    pub(super) fn last_sequence(
        &self,
        backend: &dyn Backend,
        part: (TopicId, u32),
    ) -> Result<Option<i32>> {
        self.check_held()?;
        let last = backend.transactions()?.last_sequence(self.stamp, part);
        last.map_err(|error| self.explain(error))
    }

    pub(super) fn check_held(&self) -> Result<()> {
        match &self.name {
            Some((name, fenced)) if fenced.is_set() => Err(taken(name)),
            _ => Ok(()),
        }
    }

    /// The true cause of a refusal.
    fn explain(&self, error: Error) -> Error {
        match &self.name {
            Some((name, _)) if error.kind() == ErrorKind::InvalidProducerEpoch => taken(name),
            _ => error,
        }
    }
}

#[cold]
fn no_number(partition: u32) -> Error {
    let message = format!("partition {partition}: none of that number is ever numbered");
    Error::new(ErrorKind::UnknownTopicOrPartition, message)
}

fn taken(name: &str) -> Error {
    let message = format!("another producer has taken the name {name:?}");
    Error::new(ErrorKind::ProducerFenced, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b18_numbers_go_on_from_0_after_the_greatest() {
        assert_eq!(number_after(0, 3), 3);
        assert_eq!(number_after(i32::MAX, 1), 0);
        assert_eq!(number_after(i32::MAX - 1, 3), 1);
    }

    #[test]
    fn numbers_of_a_topic_that_grows_are_the_same_ones() {
        let numbers = Numbers::default();
        let of = |partition| numbers.of(partition).unwrap().lock();
        for partition in 0..100 {
            *of(partition) = i32::try_from(partition).ok();
        }
        assert!((0..100).all(|partition| *of(partition) == i32::try_from(partition).ok()));
        assert_eq!(*of(100), None);
        assert!(numbers.of(u32::MAX).is_none());
    }
}
