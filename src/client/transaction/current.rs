//! The transaction that a producer has open: its partitions and their numbers.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::backend::{
    Append, Appended, Backend, CommitRequest, ProducerEpoch, ProducerStamp, TransactionHolder,
};
use crate::base::{Error, ErrorKind, Result, TopicId};
use crate::client::numbering::{Way, number_after};

/// So many partitions are found by looking at each.
const WALKABLE: usize = 16;

/// What a transactional producer has open, if it has.
#[derive(Debug)]
pub(in crate::client) struct Current {
    pub(super) holder: TransactionHolder,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    stamp: ProducerEpoch,
    slots: Vec<Slot>,
    /// Where each partition stands, once there are many.
    index: HashMap<(TopicId, u32), usize>,
    /// The partition of the record before.
    last: usize,
    /// What makes it impossible to commit (B48).
    failed: Option<Error>,
}

#[derive(Debug)]
struct Slot {
    part: (TopicId, u32),
    next: i32,
}

impl Current {
    pub(super) fn new(holder: TransactionHolder) -> Self {
        Self { holder, open: Mutex::new(None) }
    }

    /// Begins with nothing in it.
    pub(super) fn begin(&self, stamp: ProducerEpoch) {
        let (slots, index) = (Vec::new(), HashMap::new());
        *self.open.lock() = Some(Open { stamp, slots, index, last: 0, failed: None });
    }

    /// Ends; what it was stamped with, and what has failed in it.
    pub(super) fn end(&self) -> Option<(ProducerEpoch, Option<Error>)> {
        let open = self.open.lock().take()?;
        Some((open.stamp, open.failed))
    }

    /// What has failed, if anything.
    pub(super) fn failed(&self) -> Option<Error> {
        self.open.lock().as_ref()?.failed.clone()
    }

    /// What failed can only be aborted.
    pub(super) fn fail(&self, error: &Error) {
        if let Some(open) = self.open.lock().as_mut() {
            open.failed.get_or_insert_with(|| error.clone());
        }
    }

    /// Appends as part of the transaction. A partition joins it before its first record (B49).
    pub(in crate::client) fn append(&self, way: Way<'_>, request: Append<'_>) -> Result<Appended> {
        // Held over the append: numbers stand in the partition in their order.
        let mut open = self.open.lock();
        let open = open.as_mut().ok_or_else(nothing_open)?;
        open.check()?;
        let at = match open.find(way.part()) {
            Some(at) => at,
            None => {
                let (transactions, part) = (way.backend.transactions()?, way.part());
                transactions.join(&self.holder, open.stamp, &[part], request.max_block)?;
                open.add(part)
            }
        };
        let Some(slot) = open.slots.get_mut(at) else { return Err(nothing_open()) };
        let ProducerEpoch { producer: id, epoch } = open.stamp;
        let stamp = ProducerStamp { id, epoch, sequence: slot.next, transactional: true };
        let appended = way.append(Append { producer: Some(stamp), ..request });
        let appended = appended.map_err(|error| self.explain(way.backend, open.stamp, error))?;
        slot.next = number_after(slot.next, request.records.len());
        Ok(appended)
    }

    pub(super) fn send_offsets(
        &self,
        backend: &dyn Backend,
        request: &CommitRequest<'_>,
    ) -> Result<()> {
        let mut open = self.open.lock();
        let open = open.as_mut().ok_or_else(nothing_open)?;
        open.check()?;
        backend.transactions()?.send_offsets(&self.holder, open.stamp, request)
    }

    /// The true cause of a partition's refusal.
    fn explain(&self, backend: &dyn Backend, stamp: ProducerEpoch, error: Error) -> Error {
        use ErrorKind::{InvalidProducerEpoch, InvalidTxnState};
        if !matches!(error.kind(), InvalidProducerEpoch | InvalidTxnState) {
            return error;
        }
        let cause = backend.transactions().and_then(|t| t.check(&self.holder, stamp));
        cause.err().unwrap_or(error)
    }
}

impl Open {
    fn check(&self) -> Result<()> {
        let Some(failed) = &self.failed else { return Ok(()) };
        Err(only_abort(failed))
    }

    fn find(&mut self, part: (TopicId, u32)) -> Option<usize> {
        if self.slots.get(self.last).is_some_and(|slot| slot.part == part) {
            return Some(self.last);
        }
        let at = if self.slots.len() > WALKABLE {
            self.index.get(&part).copied()
        } else {
            self.slots.iter().position(|slot| slot.part == part)
        };
        self.last = at?;
        at
    }

    fn add(&mut self, part: (TopicId, u32)) -> usize {
        self.last = self.slots.len();
        self.slots.push(Slot { part, next: 0 });
        if self.slots.len() > WALKABLE {
            let all = self.slots.iter().enumerate().skip(self.index.len());
            self.index.extend(all.map(|(at, slot)| (slot.part, at)));
        }
        self.last
    }
}

/// What to say of a transaction in which something has failed.
pub(super) fn only_abort(failed: &Error) -> Error {
    // Who was fenced, or came too late, cannot do better by an abort.
    if matches!(failed.kind(), ErrorKind::ProducerFenced | ErrorKind::TransactionTimedOut) {
        return failed.clone();
    }
    let message = format!("the transaction can only be aborted, because of: {failed}");
    failed.clone().because(ErrorKind::TransactionAbortable, message)
}

fn nothing_open() -> Error {
    Error::new(ErrorKind::IllegalState, "no transaction is open")
}
