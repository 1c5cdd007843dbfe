//! The verbs of producers that the log knows: idempotent, named, transactional.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::wait::Deadline;
use crate::base::{Error, Result, TopicId};

use super::CommitRequest;

/// The coordinator of a log's transactions, which also gives producer ids.
pub trait TransactionBackend: Send + Sync + fmt::Debug {
    /// A producer id that nobody ever had, for epoch 0.
    fn new_producer(&self, deadline: Deadline<'_>) -> Result<i64>;

    /// The producer of this name, in an epoch of its own: whoever held the name before is fenced.
    /// Durable when it returns.
    fn hold_name(&self, name: &str, deadline: Deadline<'_>) -> Result<NameHolder>;

    /// The last sequence of a producer in a partition, none where nothing is known of it. From
    /// then on nobody with a lower epoch appends there.
    fn last_sequence(&self, who: ProducerEpoch, part: (TopicId, u32)) -> Result<Option<i32>>;

    /// Takes a transactional id: fences whoever held it, and ends that one's transaction (B27).
    ///
    /// `InvalidTransactionTimeout` above `transaction.max.timeout.ms` (B42);
    /// `ConcurrentTransactions` when a decided transaction could not be completed until the
    /// deadline.
    fn hold_id(
        &self,
        id: &str,
        timeout: Duration,
        deadline: Deadline<'_>,
    ) -> Result<TransactionHolder>;

    /// What the next transaction is stamped with. Completes the one before if need be.
    fn begin(&self, who: &TransactionHolder, deadline: Deadline<'_>) -> Result<ProducerEpoch>;

    /// Makes partitions part of a transaction: from now on they take its records (B49).
    fn join(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        parts: &[(TopicId, u32)],
        max_block: Duration,
    ) -> Result<()>;

    /// Commits offsets as part of a transaction: all or none of them (B38, B39).
    fn send_offsets(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        request: &CommitRequest<'_>,
    ) -> Result<()>;

    /// Ends a transaction.
    fn end(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        commit: bool,
        deadline: Deadline<'_>,
    ) -> Result<(), EndError>;

    /// Why a transaction cannot go on, if it cannot: fenced, timed out, aborted by an operator.
    fn check(&self, who: &TransactionHolder, stamp: ProducerEpoch) -> Result<()>;
}

/// A producer id and an epoch of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerEpoch {
    /// The producer id.
    pub producer: i64,
    /// The epoch.
    pub epoch: i16,
}

/// The holder of a name.
#[derive(Clone, Debug)]
pub struct NameHolder {
    /// What its records are stamped with.
    pub stamp: ProducerEpoch,
    /// Set when another holder has taken over.
    pub fenced: Fenced,
}

/// Whether another one has taken over.
#[derive(Clone, Debug, Default)]
pub struct Fenced(Arc<AtomicBool>);

impl Fenced {
    /// Another one has.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether another one has.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The holder of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionHolder {
    /// The id.
    pub id: Arc<str>,
    /// Which of the holders that the id had in this life of the log.
    pub session: u64,
}

/// What became of a transaction whose commit has failed. From
/// [`CommitError`](crate::CommitError).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing of it counts: its records are skipped at read-committed, its offsets are dropped.
    Aborted,
    /// All of it counts, or will as soon as the disk lets the log say so to every partition.
    Committed,
    /// It was to be committed, and whether that decision survives is not known: in this life of
    /// the log it will be committed, after a crash it may be aborted. Never in parts.
    Undecided,
}

/// Why a transaction did not end as asked.
#[derive(Clone, Debug)]
pub struct EndError {
    /// The cause.
    pub error: Error,
    /// What became of it.
    pub outcome: Outcome,
}
