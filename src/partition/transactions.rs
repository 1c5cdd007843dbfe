//! Transactions as a partition sees them: who may take part, what is open, how it ended.

use std::ops::DerefMut;

use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, RawRecord, Result};
use crate::batch::{Attributes, BatchHeader, Control, Measure};
use crate::log::producers::{AbortedTxn, Ending, Producer, Refusal};

use super::Partition;
use super::append::News;
use super::appender::{Appender, Place};

/// The end of a transaction in a partition, as its coordinator decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The producer's id.
    pub producer: i64,
    /// The epoch of its transaction, or a higher one that fences it.
    pub epoch: i16,
    /// The life of the coordinator.
    pub coordinator_epoch: i32,
    /// Whether it is committed, not aborted.
    pub commit: bool,
}

/// A transaction that has records in a partition and no marker yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The producer's id.
    pub producer: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Where its first record stands.
    pub first_offset: u64,
    /// The greatest timestamp of the producer's last batch, in milliseconds since 1970.
    pub last_timestamp: i64,
}

/// What a partition knows of a producer (E20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The producer's id.
    pub id: i64,
    /// Its highest epoch.
    pub epoch: i16,
    /// The sequence number of its last record, if that is remembered.
    pub last_sequence: Option<i32>,
    /// The offset of it.
    pub last_offset: Option<u64>,
    /// The greatest timestamp of its last batch, in milliseconds since 1970; -1: not known.
    pub last_timestamp: i64,
    /// Where its open transaction begins.
    pub open_first_offset: Option<u64>,
    /// The epoch of its last marker, and whether that committed.
    pub last_marker: Option<(i16, bool)>,
}

impl ProducerState {
    fn of(id: i64, known: &Producer) -> Self {
        Self {
            id,
            epoch: known.epoch,
            last_sequence: known.last_sequence(),
            last_offset: known.last_offset(),
            last_timestamp: known.last_timestamp,
            open_first_offset: known.open,
            last_marker: known.last_marker.map(|marker| (marker.epoch, marker.commit)),
        }
    }
}

/// What an attempt to place a marker came to.
enum Attempt {
    Done(u64, Option<News>),
    NeedChunk(usize),
    NeedCeiling,
    Busy,
}

impl Partition {
    /// Lets this producer append to its transaction of `epoch`, and refuses lower epochs from now
    /// on. Not stored: the coordinator says it in every life of the log.
    ///
    /// # Errors
    ///
    /// `InvalidProducerEpoch` when a higher epoch is in use or the transaction of this one has
    /// ended; `Closed`.
    pub fn admit(&self, producer: i64, epoch: i16) -> Result<()> {
        let now = self.shared.clock.unix_ms();
        let mut appender = self.open_appender()?;
        let admitted = appender.producers.admit(producer, epoch, now);
        admitted.map_err(|refusal| self.refused_epoch(producer, epoch, &refusal))
    }

    /// Refuses appends of lower epochs from now on, in this life of the log.
    ///
    /// # Errors
    ///
    /// `InvalidProducerEpoch` when a higher epoch is in use; `Closed`.
    pub fn fence(&self, producer: i64, epoch: i16) -> Result<()> {
        let now = self.shared.clock.unix_ms();
        let mut appender = self.open_appender()?;
        let fenced = appender.producers.fence(producer, epoch, now);
        fenced.map_err(|refusal| self.refused_epoch(producer, epoch, &refusal))
    }

    /// Ends a transaction: the offset of its control record. What the producer appends with this
    /// epoch or a lower one is refused from now on (B44). The same end told again is no second
    /// record: the answer is the first one's offset.
    ///
    /// Order of effects: the control record, as every append; the list of aborted transactions;
    /// the last stable offset; the end; those who wait for either. A reader that sees the last
    /// stable offset move finds what was aborted.
    ///
    /// It takes room that appends of users leave: it waits for none of them.
    ///
    /// # Errors
    ///
    /// `InvalidTxnState` when the transaction of this epoch has ended the other way,
    /// `InvalidProducerEpoch` when one of a higher epoch has ended; what an append can meet.
    pub fn end_transaction(&self, marker: &Marker, deadline: Deadline<'_>) -> Result<u64> {
        loop {
            let now = self.shared.clock.unix_ms();
            match self.try_marker(marker, now)? {
                Attempt::Done(offset, news) => {
                    if let Some(news) = news {
                        self.tell(news);
                    }
                    return Ok(offset);
                }
                Attempt::NeedChunk(payload) => self.refill(payload, true, deadline)?,
                Attempt::NeedCeiling => self.raise_ceiling(1)?,
                Attempt::Busy => self.wait_idle(deadline)?,
            }
        }
    }

    fn try_marker(&self, marker: &Marker, now: i64) -> Result<Attempt> {
        let mut appender = self.append.lock();
        self.check_takes(&appender)?;
        if appender.busy {
            return Ok(Attempt::Busy);
        }
        appender.end_turn();
        let Marker { producer, epoch, coordinator_epoch, commit } = *marker;
        let ending = Ending { producer, epoch, commit };
        let known = appender.producers.check_end(&ending);
        let known = known.map_err(|refusal| self.refused_epoch(producer, epoch, &refusal))?;
        if let Some(offset) = known {
            return Ok(Attempt::Done(offset, None));
        }
        let offset = appender.next_offset;
        if offset >= appender.ceiling {
            return Ok(Attempt::NeedCeiling);
        }
        let (first_offset, stable) = appender.producers.stable_behind(producer, offset);
        let control = Control { commit, coordinator_epoch, first_offset, stable };
        if let Place::NeedChunk(payload) =
            self.place_marker(&mut appender, marker, &control, now)?
        {
            return Ok(Attempt::NeedChunk(payload));
        }
        appender.producers.end(&ending, offset, now);
        if let (false, Some(first)) = (commit, first_offset) {
            let txn = AbortedTxn { producer, first, marker: offset, stable };
            self.aborted.write().push(txn);
        }
        self.marks.set_unstable(appender.producers.first_unstable());
        self.marks.set_end(appender.next_offset);
        let news = self.has_news(&appender).then(|| self.news(&mut appender));
        Ok(Attempt::Done(offset, news))
    }

    fn place_marker(
        &self,
        appender: &mut Appender,
        marker: &Marker,
        control: &Control,
        now: i64,
    ) -> Result<Place> {
        let stamp = self.stamp(appender, now);
        let (key, value) = (control.key(), control.value());
        let record = RawRecord { key: Some(&key), value: Some(&value), ..RawRecord::default() };
        let measure = Measure::of(&record)?;
        let header = stamp.header(appender.next_offset, stamp.now, None, 0);
        let kind = Attributes::TRANSACTIONAL.with(Attributes::CONTROL);
        let header = BatchHeader {
            attributes: header.attributes.with(kind),
            producer_id: marker.producer,
            producer_epoch: marker.epoch,
            ..header
        };
        let opened = |batch| self.staged.write().push(batch);
        Ok(appender.place_control(header, &record, measure, opened))
    }

    /// The transactions that are open, in no order.
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        let mut appender = self.append.lock();
        appender.end_turn();
        let open = |(producer, state): (i64, &Producer)| {
            let (epoch, last_timestamp) = (state.epoch, state.last_timestamp);
            state.open.map(|first_offset| OpenTransaction {
                producer,
                epoch,
                first_offset,
                last_timestamp,
            })
        };
        appender.producers.iter().filter_map(open).collect()
    }

    /// What is known of producers with ids (E20), in the order of their ids.
    pub fn producers(&self) -> Vec<ProducerState> {
        let mut appender = self.append.lock();
        appender.end_turn();
        let known = appender.producers.iter();
        let mut all: Vec<_> = known.map(|(id, known)| ProducerState::of(id, known)).collect();
        drop(appender);
        all.sort_unstable_by_key(|state| state.id);
        all
    }

    /// What is known of one producer with an id.
    pub fn producer(&self, id: i64) -> Option<ProducerState> {
        let mut appender = self.append.lock();
        appender.end_turn();
        appender.producers.get(id).map(|known| ProducerState::of(id, known))
    }

    /// The append lock of a partition that is open, with every append noted.
    fn open_appender(&self) -> Result<impl DerefMut<Target = Appender>> {
        let mut appender = self.append.lock();
        if appender.closed {
            return Err(self.closed());
        }
        appender.end_turn();
        Ok(appender)
    }

    fn refused_epoch(&self, producer: i64, epoch: i16, refusal: &Refusal) -> Error {
        let (kind, message) = match *refusal {
            Refusal::OtherOutcome(commit) => {
                let done = if commit { "committed" } else { "aborted" };
                let kind = ErrorKind::InvalidTxnState;
                (kind, format!("the transaction of producer {producer}, epoch {epoch}, is {done}"))
            }
            Refusal::Fenced(other) | Refusal::Ended(other) => (
                ErrorKind::InvalidProducerEpoch,
                format!("epoch {epoch} of producer {producer}: epoch {other} is in use or ended"),
            ),
            _ => (ErrorKind::Unknown, format!("producer {producer}, epoch {epoch}: {refusal:?}")),
        };
        self.error(Error::new(kind, message))
    }
}
