//! What lives as long as the process: who holds a transactional id, and what became of it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Fenced, ProducerEpoch, TransactionHolder};
use crate::base::{ClockWatch, Error, ErrorKind, Planted, Result};

use super::participants::Participants;
use super::record::Entry;
use super::registry::Registry;
use super::ripening::Ripening;

/// What a log decides for all transactions.
#[derive(Clone, Copy, Debug)]
pub struct TransactionOptions {
    /// `transaction.max.timeout.ms`.
    pub max_timeout: Duration,
    /// `transactional.id.expiration.ms`.
    pub id_expiration: Duration,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expiration_check: Duration,
    /// A fault that a test has put in.
    pub planted: Option<Planted>,
}

/// Whether a test wants this marker to be forgotten.
pub(super) fn is_dropped(planted: Option<Planted>, stamp: ProducerEpoch, commit: bool) -> bool {
    planted == Some(Planted::DroppedMarker) && commit && stamp.epoch % 4 == 1
}

/// What stands behind the lock.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) registry: Registry,
    pub(super) live: HashMap<Arc<str>, Live>,
    pub(super) names: HashMap<Arc<str>, Fenced>,
    pub(super) participants: Participants,
    /// Producer ids that are reserved, and not given yet.
    pub(super) ids: Range<i64>,
    pub(super) watch: ClockWatch,
    /// What was told of ids of earlier lives may be older than what partitions know.
    pub(super) distrusts_epochs: bool,
    pub(super) sessions: u64,
    /// How far the journal may be compacted.
    pub(super) ripening: Ripening,
}

/// A transactional id in this life of the log.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Its present holder; no holder has 0.
    pub(super) session: u64,
    /// When the open transaction is too old, on the monotonic clock.
    pub(super) deadline: Option<Duration>,
    /// Offsets of a topic of level `PowerLoss` are part of the open transaction.
    pub(super) wants_durable: bool,
    /// What ended a transaction that its owner did not end.
    pub(super) ended: Option<(ProducerEpoch, Ended)>,
    /// The decided transaction, until all of its partitions know.
    pub(super) decided: Option<Decided>,
    /// When the id was last used, on the monotonic clock.
    pub(super) used: Duration,
}

/// Why a transaction ended without its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was open for too long.
    TimedOut,
    /// An operator aborted it.
    ByOperator,
}

/// A decision that is on its way to the partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided {
    /// Where the journal tells of it, or ended before.
    pub(super) at: u64,
    /// The journal's end that must be durable before anybody is told; 0: nothing must be.
    pub(super) after: u64,
    /// A thread is at it.
    pub(super) in_hand: bool,
    /// When to try again.
    pub(super) retry: Duration,
}

impl State {
    /// Whether `who` still holds its id, and what is known of that.
    pub(super) fn held(&self, who: &TransactionHolder) -> Result<(&Entry, &Live)> {
        let (Some(live), Some(entry)) = (self.live.get(&who.id), self.registry.entry(&who.id))
        else {
            let message = format!("the transactional id {:?} has expired: build anew", who.id);
            return Err(Error::new(ErrorKind::InvalidProducerIdMapping, message));
        };
        if live.session != who.session {
            return Err(fenced(&who.id));
        }
        Ok((entry, live))
    }

    /// As [`held`](Self::held), in a transaction that is stamped so and has not ended.
    pub(super) fn open(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
    ) -> Result<(&Entry, &Live)> {
        let (entry, live) = self.held(who)?;
        if let Some((ended, cause)) = live.ended
            && ended == stamp
        {
            return Err(cause.error(&who.id, entry.timeout));
        }
        if entry.stamp() != stamp || live.decided.is_some() {
            let known = entry.stamp();
            let message = format!(
                "{:?}: producer {} epoch {} is not the present transaction, which is {} epoch {}",
                who.id, stamp.producer, stamp.epoch, known.producer, known.epoch
            );
            let kind = if known.producer == stamp.producer {
                ErrorKind::InvalidTxnState
            } else {
                ErrorKind::InvalidProducerIdMapping
            };
            return Err(Error::new(kind, message));
        }
        Ok((entry, live))
    }

    /// A producer id that is reserved.
    pub(super) fn take_id(&mut self) -> Option<i64> {
        self.ids.next()
    }
}

impl Entry {
    /// What the present transaction, or the next one, is stamped with.
    pub(super) fn stamp(&self) -> ProducerEpoch {
        ProducerEpoch { producer: self.producer, epoch: self.epoch }
    }
}

impl Ended {
    fn error(self, id: &str, timeout: Duration) -> Error {
        match self {
            Ended::TimedOut => {
                let ms = timeout.as_millis();
                let message = format!(
                    "the transaction of {id:?} was aborted: it was open for longer than \
                     transaction.timeout.ms={ms}"
                );
                Error::new(ErrorKind::TransactionTimedOut, message)
            }
            Ended::ByOperator => {
                let message = format!("the transaction of {id:?} was aborted by an operator");
                Error::new(ErrorKind::TransactionAbortable, message)
            }
        }
    }
}

pub(super) fn fenced(id: &str) -> Error {
    let message = format!("another producer has taken the transactional id {id:?}");
    Error::new(ErrorKind::ProducerFenced, message)
}
