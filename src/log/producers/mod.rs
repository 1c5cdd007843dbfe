//! What a partition knows of producers with ids: which of their records it has, and which of
//! their transactions are open. A pure state machine: appends and stored batches go in, verdicts
//! and the first unstable offset come out.
//!
//! Two of them stand in a partition. One has seen everything that was appended and judges appends;
//! the other has seen what stands in segments and is what footers say of it. Both learn from the
//! headers of batches alone, and so does whoever opens the partition again.

mod aborted;
mod codec;
mod producer;
mod run;
mod sequence;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use crate::batch::{BatchHeader, Control, Damage};

pub use aborted::AbortedTxn;
pub use codec::{Stored, decode, encode};
pub use producer::{Claim, LastMarker, Producer, Refusal, Verdict};
pub use run::Run;
pub use sequence::behind;

/// How often those are looked for that have expired (Kafka's
/// `producer.id.expiration.check.interval.ms`).
const EXPIRY_CHECK_MS: i64 = 600_000;

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    known: HashMap<i64, Producer>,
    /// Where the open transactions begin.
    open: BTreeSet<u64>,
    /// When those were last looked for that have expired.
    looked_ms: i64,
}

/// A marker that ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The producer.
    pub producer: i64,
    /// The epoch of its transaction, or a higher one that fences it.
    pub epoch: i16,
    /// Whether it commits.
    pub commit: bool,
}

impl Producers {
    /// Whether nothing is known of anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What is known of one, expired or not.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<&Producer> {
        self.known.get(&id)
    }

    /// Everybody who is known, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.known.iter().map(|(id, producer)| (*id, producer))
    }

    /// Where the earliest open transaction begins; `u64::MAX` while there is none (B33).
    #[must_use]
    pub fn first_unstable(&self) -> u64 {
        self.open.first().copied().unwrap_or(u64::MAX)
    }

    /// Judges an append of producer `id`: nothing changes.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn check(
        &self,
        id: i64,
        claim: &Claim,
        now_ms: i64,
        expiration_ms: i64,
    ) -> Result<Verdict, Refusal> {
        let known = self.known.get(&id).filter(|p| !p.is_expired(id, now_ms, expiration_ms));
        match known {
            Some(producer) => producer.check(id, claim),
            None if claim.transactional => Err(Refusal::NotAdmitted),
            None => Ok(Verdict::New),
        }
    }

    /// Takes note of records that were appended, or found: `run` of producer `id`. What is known
    /// already changes nothing.
    pub fn push(&mut self, id: i64, epoch: i16, transactional: bool, run: Run, now_ms: i64) {
        if run.count == 0 {
            return;
        }
        let producer = self.producer(id, epoch);
        // What is replayed may be known already.
        if epoch < producer.epoch || producer.last_offset() >= Some(run.base_offset) {
            return;
        }
        producer.raise_epoch(id, epoch);
        producer.push(run);
        producer.touched_ms = producer.touched_ms.max(now_ms);
        if transactional && producer.open.is_none() {
            producer.open = Some(run.base_offset);
            self.open.insert(run.base_offset);
        }
    }

    /// Takes note of the greatest timestamp of a producer's newest batch.
    pub fn note_timestamp(&mut self, id: i64, timestamp_ms: i64) {
        if let Some(producer) = self.known.get_mut(&id) {
            producer.last_timestamp = timestamp_ms;
        }
    }

    /// Judges a marker: where it stands, if it does already.
    ///
    /// # Errors
    ///
    /// The transaction has ended the other way, or one of a higher epoch has ended.
    pub fn check_end(&self, ending: &Ending) -> Result<Option<u64>, Refusal> {
        let known = self.known.get(&ending.producer).and_then(|producer| producer.last_marker);
        match known {
            Some(last) if last.epoch > ending.epoch => Err(Refusal::Ended(last.epoch)),
            Some(last) if last.epoch < ending.epoch => Ok(None),
            Some(last) if last.commit == ending.commit => Ok(Some(last.offset)),
            Some(last) => Err(Refusal::OtherOutcome(last.commit)),
            None => Ok(None),
        }
    }

    /// What a marker at `offset` ends: the first offset of this producer's transaction, and the
    /// last stable offset behind the marker.
    #[must_use]
    pub fn stable_behind(&self, id: i64, offset: u64) -> (Option<u64>, u64) {
        let first = self.known.get(&id).and_then(|producer| producer.open);
        let mut others = self.open.iter().filter(|open| Some(**open) != first);
        (first, others.next().copied().unwrap_or(offset.saturating_add(1)))
    }

    /// Takes note of a marker at `offset`. Where the transaction begins that it ends, if there is
    /// one.
    pub fn end(&mut self, ending: &Ending, offset: u64, now_ms: i64) -> Option<u64> {
        let Ending { producer: id, epoch, commit } = *ending;
        let producer = self.producer(id, epoch);
        if producer.last_marker.is_some_and(|known| known.offset >= offset) {
            return None;
        }
        producer.raise_epoch(id, epoch);
        producer.admitted = false;
        producer.last_marker = Some(LastMarker { epoch, commit, offset });
        producer.touched_ms = producer.touched_ms.max(now_ms);
        let first = producer.open.take()?;
        self.open.remove(&first);
        Some(first)
    }

    /// Takes note of a batch as it stands in the log. `payload` is looked at if it is a control
    /// batch; of one that aborts, what it aborts is returned.
    ///
    /// # Errors
    ///
    /// A control batch that is none.
    pub fn replay(
        &mut self,
        header: &BatchHeader,
        payload: &[u8],
        now_ms: i64,
    ) -> Result<Option<AbortedTxn>, Damage> {
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        if id < 0 {
            return Ok(None);
        }
        if header.attributes.is_control() {
            let control = Control::decode(header.attributes, payload)?;
            return Ok(control.and_then(|control| self.replay_marker(header, &control, now_ms)));
        }
        let count = header.last_offset_delta.saturating_add(1);
        let run = Run { base_offset: header.base_offset, sequence: header.base_sequence, count };
        self.push(id, epoch, header.attributes.is_transactional(), run, now_ms);
        self.note_timestamp(id, header.max_timestamp().unwrap_or(-1));
        Ok(None)
    }

    fn replay_marker(
        &mut self,
        header: &BatchHeader,
        control: &Control,
        now_ms: i64,
    ) -> Option<AbortedTxn> {
        let (producer, epoch) = (header.producer_id, header.producer_epoch);
        let (commit, offset) = (control.commit, header.base_offset);
        let first = self.end(&Ending { producer, epoch, commit }, offset, now_ms);
        let first = control.first_offset.or(first).filter(|_| !commit)?;
        Some(AbortedTxn { producer, first, marker: offset, stable: control.stable })
    }

    /// Lets this producer append to the transaction of `epoch` (B49).
    ///
    /// # Errors
    ///
    /// A higher epoch is known, or this one's transaction has ended.
    pub fn admit(&mut self, id: i64, epoch: i16, now_ms: i64) -> Result<(), Refusal> {
        self.fence(id, epoch, now_ms)?;
        let producer = self.producer(id, epoch);
        if let Some(marker) = producer.last_marker.filter(|marker| epoch <= marker.epoch) {
            return Err(Refusal::Ended(marker.epoch));
        }
        producer.admitted = true;
        Ok(())
    }

    /// Refuses lower epochs from now on.
    ///
    /// # Errors
    ///
    /// A higher one is known.
    pub fn fence(&mut self, id: i64, epoch: i16, now_ms: i64) -> Result<(), Refusal> {
        let producer = self.producer(id, epoch);
        if epoch < producer.epoch {
            return Err(Refusal::Fenced(producer.epoch));
        }
        producer.raise_epoch(id, epoch);
        producer.touched_ms = producer.touched_ms.max(now_ms);
        Ok(())
    }

    /// Takes note that the records at the offsets `from..to` are lost.
    pub fn forget(&mut self, from: u64, to: u64) {
        self.known.values_mut().for_each(|producer| producer.forget(from, to));
    }

    /// Forgets who has expired, if that has not been looked for within ten minutes (B24).
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        // A clock that was set back must not put the next look off for ever.
        let since = now_ms.saturating_sub(self.looked_ms);
        if (0..EXPIRY_CHECK_MS).contains(&since) {
            return;
        }
        self.looked_ms = now_ms;
        self.known.retain(|id, producer| !producer.is_expired(*id, now_ms, expiration_ms));
    }

    /// Forgets one that has expired: what it appends now is the first that is known of it.
    pub fn forget_expired(&mut self, id: i64, now_ms: i64, expiration_ms: i64) {
        if self.known.get(&id).is_some_and(|p| p.is_expired(id, now_ms, expiration_ms)) {
            self.known.remove(&id);
        }
    }

    fn producer(&mut self, id: i64, epoch: i16) -> &mut Producer {
        self.known.entry(id).or_insert_with(|| Producer::new(epoch))
    }

    fn restore(&mut self, id: i64, producer: Producer) {
        self.open.extend(producer.open);
        self.known.insert(id, producer);
    }
}
