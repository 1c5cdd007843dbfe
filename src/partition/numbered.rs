//! Appends of producers with ids: judged before they are placed, answered if they are there.

use crate::backend::{Appended, Fetch, ProducerStamp};
use crate::base::{Error, ErrorKind, Result};
use crate::log::producers::{Claim, Refusal, Run, Verdict, behind};

use super::Partition;
use super::appender::Appender;
use super::call::{Call, Stamp};
use super::turn::Turn;

/// An append that is there already.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    base_offset: u64,
    exact: bool,
}

impl Appender {
    /// Notes what the producer whose turn it is has appended: before anybody looks at producers.
    pub fn end_turn(&mut self) {
        if let Some(turn) = self.turn.take() {
            turn.end(self.next_offset, &mut self.producers);
        }
    }

    /// Takes note of records that were placed at `base_offset`, and of whose turn it is now.
    /// Before the partition's end passes them: a transaction may begin with them.
    pub fn note_placed(&mut self, call: &Call<'_>, base_offset: u64, stamp: Stamp) {
        let Some(producer) = &call.producer else { return };
        let count = u32::try_from(self.next_offset - base_offset).unwrap_or(u32::MAX);
        let run = Run { base_offset, sequence: producer.sequence, count };
        let ProducerStamp { id, epoch, transactional, .. } = *producer;
        self.producers.push(id, epoch, transactional, run, stamp.now);
        self.producers.note_timestamp(id, call.last_time(stamp));
        self.turn = Some(Turn::begin(producer, behind(producer.sequence, count), self.next_offset));
    }
}

impl Partition {
    /// Judges a call of a producer with an id: `None` when it is new.
    pub(super) fn judge(
        &self,
        appender: &mut Appender,
        call: &Call<'_>,
        now: i64,
    ) -> Result<Option<Known>> {
        appender.end_turn();
        let Some(producer) = &call.producer else { return Ok(None) };
        let expiration = self.shared.producer_expiration_ms();
        appender.producers.expire(now, expiration);
        let claim = Claim {
            epoch: producer.epoch,
            sequence: producer.sequence,
            count: u32::try_from(call.count()).unwrap_or(u32::MAX),
            transactional: producer.transactional,
        };
        let verdict = appender.producers.check(producer.id, &claim, now, expiration);
        match verdict.map_err(|refusal| self.refused(producer, &refusal))? {
            Verdict::New => {
                appender.producers.forget_expired(producer.id, now, expiration);
                Ok(None)
            }
            Verdict::Duplicate(base_offset) => Ok(Some(Known { base_offset, exact: true })),
            Verdict::Old(end) => {
                let base_offset = end.saturating_sub(call.count() as u64);
                Ok(Some(Known { base_offset, exact: false }))
            }
        }
    }

    /// Checks what can be said of a stamp without knowing its producer.
    pub(super) fn check_stamp(&self, producer: &ProducerStamp) -> Result<()> {
        let ProducerStamp { id, epoch, sequence, .. } = *producer;
        if id >= 0 && epoch >= 0 && sequence >= 0 {
            return Ok(());
        }
        let message =
            format!("producer id {id}, epoch {epoch}, sequence {sequence}: the least is 0 of each");
        Err(self.error(Error::new(ErrorKind::InvalidRequest, message)))
    }

    /// The error that a refusal is.
    pub(super) fn refused(&self, producer: &ProducerStamp, refusal: &Refusal) -> Error {
        let ProducerStamp { id, epoch, sequence, .. } = *producer;
        let (kind, message) = match *refusal {
            Refusal::OutOfOrder(expected) => (
                ErrorKind::OutOfOrderSequenceNumber,
                format!("sequence {sequence} of producer {id}, epoch {epoch}: {expected} is next"),
            ),
            Refusal::Fenced(newer) => (
                ErrorKind::InvalidProducerEpoch,
                format!("epoch {epoch} of producer {id}: epoch {newer} is in use"),
            ),
            Refusal::Ended(ended) => (
                ErrorKind::InvalidProducerEpoch,
                format!("epoch {epoch} of producer {id}: the transaction of {ended} has ended"),
            ),
            Refusal::NotAdmitted => (
                ErrorKind::InvalidTxnState,
                format!("the partition is no part of a transaction of producer {id}, {epoch}"),
            ),
            Refusal::InTransaction | Refusal::OtherOutcome(_) => (
                ErrorKind::InvalidTxnState,
                format!("producer {id} has an open transaction, and this is no part of it"),
            ),
        };
        self.error(Error::new(kind, message))
    }

    /// What is told of an append that is there already: the times are those of its records, as
    /// far as they can still be read.
    #[cold]
    pub(super) fn answer_known(&self, call: &Call<'_>, known: Known, stamp: Stamp) -> Appended {
        let Known { base_offset, exact } = known;
        let without = call.records().iter().position(|record| record.timestamp_ms.is_none());
        let at = base_offset + without.unwrap_or(0) as u64;
        let time = if exact { self.timestamp_at(at) } else { None };
        let stamp = Stamp { now: time.unwrap_or(stamp.now), ..stamp };
        Appended { duplicate: true, exact, ..stamp.appended(base_offset) }
    }

    /// The timestamp of the record at `offset`, if it can be read.
    fn timestamp_at(&self, offset: u64) -> Option<i64> {
        let request = Fetch::new(offset, 1);
        let mut batches = Vec::new();
        self.read_to_end(&request, &mut batches).ok()?;
        for batch in batches.iter().filter(|batch| batch.header.next_offset() > offset) {
            let mut records = batch.records();
            while let Some(record) = records.next().ok()? {
                if batch.header.base_offset + u64::from(record.offset_delta) == offset {
                    return batch.header.timestamp(record.ts_delta);
                }
            }
        }
        None
    }
}
