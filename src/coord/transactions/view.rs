//! Transactions as an operator sees them, and what an operator does to them.

use std::sync::Arc;
use std::time::Duration;

use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, Result, TopicPartition};
use crate::partition::Marker;

use super::coordinator::Coordinator;
use super::live::{Ended, State};
use super::record::{Entry, Stage};
use super::registry::Part;

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransactionState {
    /// The id has had no transaction yet.
    Empty,
    /// It is open.
    Ongoing,
    /// It is committed; some partitions do not know yet.
    PrepareCommit,
    /// It is aborted; some partitions do not know yet.
    PrepareAbort,
    /// The last one was committed, and none has begun since.
    CompleteCommit,
    /// The last one was aborted, and none has begun since.
    CompleteAbort,
}

impl TransactionState {
    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TransactionState::Empty => "Empty",
            TransactionState::Ongoing => "Ongoing",
            TransactionState::PrepareCommit => "PrepareCommit",
            TransactionState::PrepareAbort => "PrepareAbort",
            TransactionState::CompleteCommit => "CompleteCommit",
            TransactionState::CompleteAbort => "CompleteAbort",
        }
    }
}

/// A transactional id and its present or last transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionView {
    /// The id.
    pub transactional_id: Arc<str>,
    /// How far it has come.
    pub state: TransactionState,
    /// The producer id.
    pub producer_id: i64,
    /// The epoch of the open transaction, or of the next one.
    pub producer_epoch: i16,
    /// How long a transaction may be open.
    pub timeout: Duration,
    /// When the open transaction began, in milliseconds of wall time since the Unix epoch.
    pub started_ms: Option<i64>,
    /// The partitions that are part of it; of a transaction that is open or not complete.
    pub partitions: Vec<TopicPartition>,
}

/// Which transactions to list: those for which everything holds that is set.
///
/// ```
/// use alluvium::{TransactionFilter, TransactionState};
/// use std::time::Duration;
///
/// let hanging = TransactionFilter::new()
///     .states([TransactionState::Ongoing])
///     .open_for(Duration::from_secs(60));
/// # drop(hanging);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a filter does nothing until something is listed by it"]
pub struct TransactionFilter {
    states: Vec<TransactionState>,
    producers: Vec<i64>,
    open_for: Option<Duration>,
}

impl TransactionFilter {
    /// Every transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// In one of these states.
    pub fn states(mut self, states: impl IntoIterator<Item = TransactionState>) -> Self {
        self.states.extend(states);
        self
    }

    /// Of one of these producer ids.
    pub fn producer_ids(mut self, ids: impl IntoIterator<Item = i64>) -> Self {
        self.producers.extend(ids);
        self
    }

    /// Open for at least so long, by wall time.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.open_for = Some(time);
        self
    }

    fn takes(&self, view: &TransactionView, now_ms: i64) -> bool {
        let least = self.open_for.map(|t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX));
        let is_old = least.is_none_or(|least| {
            view.started_ms.is_some_and(|began| now_ms.saturating_sub(began) >= least)
        });
        let has_state = self.states.is_empty() || self.states.contains(&view.state);
        let has_producer = self.producers.is_empty() || self.producers.contains(&view.producer_id);
        is_old && has_state && has_producer
    }
}

impl Coordinator {
    /// Transactional ids in order, those that `filter` takes.
    pub fn list(&self, filter: &TransactionFilter) -> Result<Vec<TransactionView>> {
        self.check_open()?;
        self.run_due();
        let now = self.clock.unix_ms();
        let state = self.state.lock();
        let views = state.registry.entries().map(|(id, entry)| state.view(id, entry));
        let mut views: Vec<_> = views.filter(|view| filter.takes(view, now)).collect();
        views.sort_unstable_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
        Ok(views)
    }

    /// One transactional id.
    pub fn describe(&self, id: &str) -> Result<TransactionView> {
        self.check_open()?;
        self.run_due();
        let state = self.state.lock();
        let known = state.registry.shared_entry(id);
        known.map(|(id, entry)| state.view(id, entry)).ok_or_else(|| unknown(id))
    }

    /// Ends the open transaction of a producer: through its transactional id where it has one,
    /// else with an abort marker in this partition alone (a hanging transaction).
    pub fn abort_producer(&self, part: Part, producer: i64) -> Result<()> {
        self.check_open()?;
        let deadline = Deadline::after(&*self.clock, Duration::from_secs(60));
        let (owner, partition) = {
            let mut state = self.state.lock();
            let of = |(id, entry): (&Arc<str>, &Entry)| {
                (entry.producer == producer).then(|| (Arc::clone(id), *entry))
            };
            let owner = state.registry.entries().find_map(of);
            let partition = state.participants.get(part).map(Arc::clone);
            if let Some((id, entry)) = &owner
                && state.registry.is_open(entry)
            {
                self.decide_abort(&mut state, id, Some(Ended::ByOperator));
            }
            (owner, partition)
        };
        if let Some((id, _)) = owner {
            self.complete_soon(&id, deadline)?;
        }
        let Some(partition) = partition else {
            let message = "there is no such partition";
            return Err(Error::new(ErrorKind::UnknownTopicOrPartition, message));
        };
        let open = partition.open_transactions();
        let Some(open) = open.iter().find(|open| open.producer == producer) else { return Ok(()) };
        let (epoch, coordinator_epoch) = (open.epoch, self.incarnation);
        let marker = Marker { producer, epoch, coordinator_epoch, commit: false };
        partition.end_transaction(&marker, deadline).map(drop)
    }

    /// Takes transactional ids from whoever holds them, and aborts what they have open. Each id
    /// with what kept it from that.
    pub fn fence_ids(&self, ids: &[&str]) -> Result<Vec<(String, Error)>> {
        self.check_open()?;
        let mut failed = Vec::new();
        for id in ids {
            let timeout = match self.describe(id) {
                Ok(view) => view.timeout,
                Err(error) => {
                    failed.push(((*id).to_owned(), error));
                    continue;
                }
            };
            let deadline = Deadline::after(&*self.clock, Duration::from_secs(60));
            // A holder that nobody is.
            if let Err(error) = self.hold_id(id, timeout.min(self.options.max_timeout), deadline) {
                failed.push(((*id).to_owned(), error));
            }
        }
        Ok(failed)
    }
}

impl State {
    fn view(&self, id: &Arc<str>, entry: &Entry) -> TransactionView {
        let is_open = self.registry.is_open(entry);
        let state = match entry.stage {
            Stage::Prepared { commit: true } => TransactionState::PrepareCommit,
            Stage::Prepared { commit: false } => TransactionState::PrepareAbort,
            _ if is_open => TransactionState::Ongoing,
            Stage::Complete { commit: true } => TransactionState::CompleteCommit,
            Stage::Complete { commit: false } => TransactionState::CompleteAbort,
            Stage::Empty => TransactionState::Empty,
        };
        let began = self.registry.joined(entry).next().map(|joined| joined.at_ms);
        let names = self.registry.parts(entry).filter_map(|part| self.participants.name(part));
        let mut partitions: Vec<TopicPartition> = names.collect();
        partitions.sort_unstable();
        TransactionView {
            transactional_id: Arc::clone(id),
            state,
            producer_id: entry.producer,
            producer_epoch: entry.epoch,
            timeout: entry.timeout,
            started_ms: began,
            partitions,
        }
    }
}

fn unknown(id: &str) -> Error {
    let message = format!("there is no transactional id {id:?}");
    Error::new(ErrorKind::TransactionalIdNotFound, message)
}
