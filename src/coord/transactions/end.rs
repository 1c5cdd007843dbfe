//! The end of a transaction: what is waited for, what is decided, and who is told.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{EndError, Outcome, ProducerEpoch, TransactionHolder};
use crate::base::wait::Deadline;
use crate::base::{Durability, Error, ErrorKind, Result};
use crate::coord::OFFSETS_TOPIC;
use crate::partition::{Marker, Partition};

use super::coordinator::{Coordinator, InHand, PATIENCE};
use super::live::{Decided, Ended, State, is_dropped};
use super::record::{Entry, Record, Stage};

/// How long a transaction that could not be completed is left alone.
const RETRY: Duration = Duration::from_millis(100);
/// How long an abort waits for what is in its way.
const ABORT_PATIENCE: Duration = Duration::from_secs(1);

/// What is to be done for a decided transaction.
pub(super) struct Work {
    stamp: ProducerEpoch,
    commit: bool,
    /// As [`Decided::after`].
    after: u64,
    partitions: Vec<Arc<Partition>>,
    offsets: bool,
}

/// What a commit waits for.
struct Data {
    partitions: Vec<Arc<Partition>>,
    durable: bool,
}

impl Coordinator {
    /// Commits. Order of effects: what was written, durable where a partition's level asks for
    /// it; the decision, likewise; the markers. It is waited for twice at most, and many threads
    /// share a wait.
    pub(super) fn commit(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        deadline: Deadline<'_>,
    ) -> Result<(), EndError> {
        self.run_due();
        let data = self.data(who, stamp).map_err(aborted)?;
        let Some(data) = data else { return Ok(()) };
        if data.durable {
            for partition in &data.partitions {
                if let Err(error) = wait_durable(partition, deadline) {
                    return Err(self.abort_instead(who, stamp, error));
                }
            }
        }
        let decided = match self.decide_commit(who, stamp, data.durable) {
            Ok(decided) => decided,
            Err(error) => return Err(self.abort_instead(who, stamp, error)),
        };
        if decided > 0
            && let Err(error) = self.journal.wait(decided, deadline)
        {
            self.leave_for_later(&who.id);
            return Err(EndError { error, outcome: Outcome::Undecided });
        }
        let work = match self.take_up(&who.id) {
            Some(work) => work,
            None => return Ok(()),
        };
        let told = self.tell_all(&who.id, &work, deadline);
        told.map_err(|error| EndError { error, outcome: Outcome::Committed })
    }

    /// What belongs to an open transaction; none where nothing was ever sent (B47).
    fn data(&self, who: &TransactionHolder, stamp: ProducerEpoch) -> Result<Option<Data>> {
        self.check_open()?;
        let state = self.state.lock();
        if state.has_ended(who, stamp, true)? {
            return Ok(None);
        }
        let (entry, live) = state.open(who, stamp)?;
        if !state.registry.is_open(entry) {
            return Ok(None);
        }
        let partitions = state.partitions_of(entry);
        let is_durable = |p: &Arc<Partition>| {
            p.key().topic_id != OFFSETS_TOPIC && p.level() == Durability::PowerLoss
        };
        let durable = live.wants_durable || partitions.iter().any(is_durable);
        Ok(Some(Data { partitions, durable }))
    }

    /// The decision, appended; what to wait for until it is durable.
    fn decide_commit(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        durable: bool,
    ) -> Result<u64> {
        self.check_open()?;
        let mut state = self.state.lock();
        let (entry, _) = state.open(who, stamp)?;
        let stage = Stage::Prepared { commit: true };
        let entry = Entry { stage, changed_ms: self.clock.unix_ms(), ..*entry };
        let record = Record::Transaction(Arc::clone(&who.id), Some(entry));
        let end = self.journal.append(std::slice::from_ref(&record), PATIENCE)?;
        state.registry.apply(record);
        let after = if durable { end } else { 0 };
        let (at, retry) = (end.saturating_sub(1), Duration::ZERO);
        state.set_decided(&who.id, Decided { at, after, in_hand: true, retry });
        Ok(after)
    }

    /// Aborts. It never waits for records of others.
    pub(super) fn abort(&self, who: &TransactionHolder, stamp: ProducerEpoch) -> Result<()> {
        self.run_due();
        {
            let mut state = self.state.lock();
            if state.has_ended(who, stamp, false)? {
                return Ok(());
            }
            let (entry, _) = state.open(who, stamp)?;
            if !state.registry.is_open(entry) {
                return Ok(());
            }
            self.decide_abort(&mut state, &who.id, None);
        }
        let deadline = Deadline::after(&*self.clock, ABORT_PATIENCE);
        match self.take_in_hand(&who.id) {
            // What fails is tried again by whoever comes by.
            InHand::Mine(work) => self.complete(&who.id, work, deadline),
            InHand::Nothing | InHand::Others => Ok(()),
        }
    }

    fn abort_instead(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        error: Error,
    ) -> EndError {
        // Where this fails another end was faster, or a later pass ends it: it cannot be
        // committed any more.
        drop(self.abort(who, stamp));
        aborted(error)
    }

    /// Decides that the transaction of an id is aborted. `why`, when its owner does not know.
    ///
    /// Without the decision's record the next life of the log would abort it all the same: a
    /// full disk keeps nobody from aborting.
    pub(super) fn decide_abort(&self, state: &mut State, id: &Arc<str>, why: Option<Ended>) {
        let Some(entry) = state.registry.entry(id).copied() else { return };
        let stage = Stage::Prepared { commit: false };
        let changed_ms = self.clock.unix_ms();
        let record =
            Record::Transaction(Arc::clone(id), Some(Entry { stage, changed_ms, ..entry }));
        let at = self.partition().marks_now().end;
        drop(self.journal.append(std::slice::from_ref(&record), Duration::ZERO));
        state.registry.apply(record);
        let retry = self.clock.monotonic();
        state.set_decided(id, Decided { at, after: 0, in_hand: false, retry });
        if let (Some(live), Some(why)) = (state.live.get_mut(id), why) {
            live.ended = Some((entry.stamp(), why));
        }
    }

    /// The work for a decided transaction, for one thread at a time.
    pub(super) fn take_in_hand(&self, id: &Arc<str>) -> InHand {
        let mut state = self.state.lock();
        let decided = state.live.get_mut(id).and_then(|live| live.decided.as_mut());
        match decided {
            None => InHand::Nothing,
            Some(decided) if decided.in_hand => InHand::Others,
            Some(decided) => {
                decided.in_hand = true;
                state.work(id).map_or(InHand::Nothing, InHand::Mine)
            }
        }
    }

    fn take_up(&self, id: &Arc<str>) -> Option<Work> {
        self.state.lock().work(id)
    }

    /// Waits for the decision, tells the partitions, and notes that all of them know.
    pub(super) fn complete(&self, id: &Arc<str>, work: Work, deadline: Deadline<'_>) -> Result<()> {
        if work.after > 0
            && let Err(error) = self.journal.wait(work.after, deadline)
        {
            self.leave_for_later(id);
            return Err(error);
        }
        self.tell_all(id, &work, deadline)
    }

    fn tell_all(&self, id: &Arc<str>, work: &Work, deadline: Deadline<'_>) -> Result<()> {
        let mut outcome = Ok(());
        for partition in &work.partitions {
            outcome = outcome.and(self.tell(partition, work, deadline));
        }
        if work.offsets && outcome.is_ok() {
            self.groups.end_transaction(work.stamp.producer, work.commit);
        }
        if let Err(error) = outcome {
            self.leave_for_later(id);
            return Err(error);
        }
        self.note_completed(id, work);
        Ok(())
    }

    fn tell(&self, partition: &Partition, work: &Work, deadline: Deadline<'_>) -> Result<()> {
        let marker = Marker {
            producer: work.stamp.producer,
            epoch: work.stamp.epoch,
            coordinator_epoch: self.incarnation,
            commit: work.commit,
        };
        if is_dropped(self.options.planted, work.stamp, work.commit) {
            return Ok(());
        }
        match partition.end_transaction(&marker, deadline) {
            // Its records are gone, and nobody waits for it any more (B51).
            Err(e) if e.kind() == ErrorKind::UnknownTopicOrPartition => Ok(()),
            // A later transaction has ended there: this one had before.
            Err(e) if e.kind() == ErrorKind::InvalidProducerEpoch => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// All partitions know: the id is free for the next transaction.
    fn note_completed(&self, id: &Arc<str>, work: &Work) {
        let mut state = self.state.lock();
        let Some(entry) = state.registry.entry(id).copied() else { return };
        if entry.stamp() == work.stamp {
            let now = self.clock.unix_ms();
            let next = entry.completed(work.commit, now, || state.take_id());
            let record = Record::Transaction(Arc::clone(id), Some(next));
            // Without it the next life of the log tells the partitions once more.
            drop(self.journal.append(std::slice::from_ref(&record), Duration::ZERO));
            state.registry.apply(record);
        }
        let now = self.clock.monotonic();
        if let Some(live) = state.live.get_mut(id) {
            live.decided = None;
            live.deadline = None;
            live.wants_durable = false;
            live.used = now;
        }
        drop(state);
        self.ends.announce();
    }

    fn leave_for_later(&self, id: &Arc<str>) {
        let retry = self.clock.monotonic().saturating_add(RETRY);
        if let Some(decided) =
            self.state.lock().live.get_mut(id).and_then(|live| live.decided.as_mut())
        {
            decided.in_hand = false;
            decided.retry = retry;
        }
        if self.plan(retry) {
            self.plans.announce();
        }
        self.ends.announce();
    }
}

impl State {
    /// Whether the transaction has ended so already; `InvalidTxnState` when it ended otherwise
    /// (B46).
    fn has_ended(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        commit: bool,
    ) -> Result<bool> {
        let (entry, live) = self.held(who)?;
        if live.ended.is_some_and(|(ended, _)| ended == stamp) {
            return Ok(false);
        }
        let before = entry.epoch.checked_sub(1);
        let is_last = entry.producer == stamp.producer && before == Some(stamp.epoch);
        match entry.stage {
            Stage::Complete { commit: was } if is_last && was == commit => Ok(true),
            Stage::Complete { commit: was } if is_last => {
                let (was, asked) = (said(was), said(commit));
                let message =
                    format!("the transaction of {:?} was {was}, it cannot be {asked}", who.id);
                Err(Error::new(ErrorKind::InvalidTxnState, message))
            }
            _ => Ok(false),
        }
    }

    /// The partitions of a transaction that there still are.
    pub(super) fn partitions_of(&self, entry: &Entry) -> Vec<Arc<Partition>> {
        let parts = self.registry.parts(entry);
        parts.filter_map(|part| self.participants.get(part)).map(Arc::clone).collect()
    }

    pub(super) fn set_decided(&mut self, id: &Arc<str>, decided: Decided) {
        if let Some(live) = self.live.get_mut(id) {
            live.decided = Some(decided);
            live.deadline = None;
        }
    }

    fn work(&self, id: &str) -> Option<Work> {
        let decided = self.live.get(id)?.decided?;
        let entry = self.registry.entry(id)?;
        let Stage::Prepared { commit } = entry.stage else { return None };
        let (partitions, offsets) = (
            self.partitions_of(entry),
            self.registry.parts(entry).any(|part| part.0 == OFFSETS_TOPIC),
        );
        Some(Work { stamp: entry.stamp(), commit, after: decided.after, partitions, offsets })
    }
}

fn said(commit: bool) -> &'static str {
    if commit { "committed" } else { "aborted" }
}

fn aborted(error: Error) -> EndError {
    EndError { error, outcome: Outcome::Aborted }
}

/// Waits until all that stands in a partition now is durable. One that was deleted has nothing.
fn wait_durable(partition: &Partition, deadline: Deadline<'_>) -> Result<()> {
    match partition.wait_durable(partition.marks_now().end, deadline) {
        Err(e) if e.kind() == ErrorKind::UnknownTopicOrPartition => Ok(()),
        outcome => outcome,
    }
}
