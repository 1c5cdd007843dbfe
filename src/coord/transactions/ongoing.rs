//! A transaction while it is open: what becomes part of it.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{CommitRequest, ProducerEpoch, ProducerStamp, TransactionHolder};
use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, Planted, Result};
use crate::coord::OFFSETS_TOPIC;
use crate::partition::Partition;

use super::coordinator::{Coordinator, PATIENCE};
use super::live::State;
use super::record::{Entry, Record, Stage};
use super::registry::{LAST_EPOCH, Part};

impl Coordinator {
    /// What the next transaction is stamped with.
    pub(super) fn begin(
        &self,
        who: &TransactionHolder,
        deadline: Deadline<'_>,
    ) -> Result<ProducerEpoch> {
        self.run_due();
        loop {
            self.check_open()?;
            let stamp = {
                let mut state = self.state.lock();
                let (entry, live) = state.held(who)?;
                let (entry, is_decided) = (*entry, live.decided.is_some());
                if !is_decided && state.registry.is_open(&entry) {
                    // Its handle was leaked.
                    self.decide_abort(&mut state, &who.id, None);
                    None
                } else {
                    (!is_decided).then(|| entry.stamp())
                }
            };
            match stamp {
                None => self.complete_soon(&who.id, deadline)?,
                Some(stamp) if stamp.epoch >= LAST_EPOCH => self.renew(who, deadline)?,
                Some(stamp) => return Ok(stamp),
            }
        }
    }

    /// A new producer id, for an epoch that came to its end while none was at hand (B45).
    fn renew(&self, who: &TransactionHolder, deadline: Deadline<'_>) -> Result<()> {
        let producer = self.new_producer(deadline)?;
        let mut state = self.state.lock();
        let (entry, _) = state.held(who)?;
        let changed_ms = self.clock.unix_ms();
        let entry = Entry { producer, epoch: 0, stage: Stage::Empty, changed_ms, ..*entry };
        let record = Record::Transaction(Arc::clone(&who.id), Some(entry));
        self.journal.append(std::slice::from_ref(&record), PATIENCE)?;
        state.registry.apply(record);
        Ok(())
    }

    /// Makes partitions part of a transaction: recorded first, so that whoever finds records
    /// there finds whose they are (B49).
    pub(super) fn join(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        parts: &[Part],
        max_block: Duration,
    ) -> Result<()> {
        self.check_open()?;
        self.run_due();
        let mut state = self.state.lock();
        let (entry, _) = state.open(who, stamp)?;
        let entry = *entry;
        let is_new = |part: &&Part| !state.registry.parts(&entry).any(|known| known == **part);
        let fresh: Vec<Part> = parts.iter().filter(is_new).copied().collect();
        let partitions = fresh.iter().map(|part| state.participant(*part));
        let partitions: Vec<Arc<Partition>> = partitions.collect::<Result<_>>()?;
        if fresh.is_empty() {
            return Ok(());
        }
        let record = state.registry.join(&entry, fresh, self.clock.unix_ms());
        self.journal.append(std::slice::from_ref(&record), max_block.min(PATIENCE))?;
        state.registry.apply(record);
        self.start_timer(&mut state, &who.id, entry.timeout);
        for partition in partitions {
            partition.admit(stamp.producer, stamp.epoch)?;
        }
        Ok(())
    }

    /// The time of a transaction begins with its first partition.
    fn start_timer(&self, state: &mut State, id: &Arc<str>, timeout: Duration) {
        let Some(live) = state.live.get_mut(id) else { return };
        if live.deadline.is_none() {
            let now = self.clock.monotonic();
            let at = now.saturating_add(timeout);
            live.deadline = Some(at);
            live.used = now;
            if self.plan(at) {
                self.plans.announce();
            }
        }
    }

    /// Commits offsets as part of a transaction: all or none.
    pub(super) fn send_offsets(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        request: &CommitRequest<'_>,
    ) -> Result<()> {
        self.groups.check_may_commit(request)?;
        self.join(who, stamp, &[(OFFSETS_TOPIC, 0)], request.max_block)?;
        let mut state = self.state.lock();
        // Held over the append: whoever ends the transaction comes before or after all of it.
        state.open(who, stamp)?;
        let ProducerEpoch { producer, epoch } = stamp;
        let first = ProducerStamp { id: producer, epoch, sequence: 0, transactional: true };
        let durable = self.groups.commit_in_transaction(request, first)?;
        if self.options.planted == Some(Planted::EarlyOffsets) {
            self.groups.end_transaction(producer, true);
        }
        if let Some(live) = state.live.get_mut(&who.id) {
            live.wants_durable |= durable;
        }
        Ok(())
    }

    /// Why a transaction cannot go on, if it cannot.
    pub(super) fn check(&self, who: &TransactionHolder, stamp: ProducerEpoch) -> Result<()> {
        self.check_open()?;
        self.state.lock().open(who, stamp).map(drop)
    }
}

impl State {
    fn participant(&self, part: Part) -> Result<Arc<Partition>> {
        self.participants.get(part).map(Arc::clone).ok_or_else(|| {
            let message = "a partition of the transaction does not exist any more";
            Error::new(ErrorKind::UnknownTopicOrPartition, message)
        })
    }
}
