//! An open transaction.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::backend::{CommitOffset, CommitRequest, EndError, MemberRef, Outcome, ProducerEpoch};
use crate::base::{Error, ErrorKind, Expect, Result, TopicPartition};
use crate::client::batch_delivery;
use crate::client::delivery::Placed;
use crate::client::group::{GroupMetadata, OffsetAndMetadata};
use crate::client::offsets::Offsets;
use crate::client::producer::Shared;
use crate::client::record::Record;

use super::commit_error::CommitError;
use super::current::{Current, only_abort};
use super::producer::current;

/// An open transaction. What is sent in it counts when it is [committed](Self::commit);
/// dropping it aborts.
///
/// Threads may share it. A failed call makes it impossible to commit: abort it, or drop it, and
/// begin another one (B48).
#[must_use = "dropping a transaction aborts it"]
pub struct Transaction<'p> {
    shared: &'p Arc<Shared>,
}

impl<'p> Transaction<'p> {
    pub(super) fn new(shared: &'p Arc<Shared>) -> Self {
        Self { shared }
    }

    fn current(&self) -> Result<&Current> {
        current(self.shared)
    }

    /// Why there is no use in another transaction of this producer, if there is none.
    pub(super) fn lost(&self) -> Option<Error> {
        let failed = self.current().ok()?.failed()?;
        let kinds = [ErrorKind::ProducerFenced, ErrorKind::InvalidProducerIdMapping];
        kinds.contains(&failed.kind()).then_some(failed)
    }

    /// Remembers a failure.
    fn note<T>(&self, outcome: Result<T>) -> Result<T> {
        if let (Err(error), Ok(current)) = (&outcome, self.current()) {
            current.fail(error);
        }
        outcome
    }

    /// Sends a record as part of the transaction; where it stands. That it is durable is the
    /// commit's to wait for.
    ///
    /// # Errors
    ///
    /// Those of [`Producer::send`](crate::Producer::send), and nothing can be committed any more
    /// after any of them. `ProducerFenced` when another producer of the same id was built;
    /// `TransactionTimedOut` when the transaction was open for longer than
    /// `transaction.timeout.ms`; `TransactionAbortable` when something has failed in it before,
    /// or an operator has aborted it.
    pub fn send(&self, record: Record<'_>) -> Result<Placed> {
        let placed = self.shared.place(&record).map(|delivery| delivery.placed());
        self.note(placed)
    }

    /// As [`send`](Self::send), if what `expect` says holds in that moment
    /// ([`Producer::send_if`](crate::Producer::send_if)). The transaction's own records count.
    /// What holds then is not kept from changing before the commit: others may append.
    ///
    /// ```
    /// use alluvium::{ErrorKind, EventLog, Expect, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let seats = log.create_topic(NewTopic::new("seats").key_index(true))?;
    /// let mut producer = log.transactional_producer("till-1").build()?;
    /// let sale = producer.begin()?;
    /// sale.send_if(seats.record("Ada").key("12A"), Expect::KeyAbsent)?;
    /// let again = sale.send_if(seats.record("Bob").key("12A"), Expect::KeyAbsent);
    /// assert_eq!(again.unwrap_err().kind(), ErrorKind::ConditionFailed);
    /// sale.commit()?; // Ada's seat
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send). `ConditionFailed`, and `ConcurrentTransactions` when a
    /// record of another open transaction is in the way: these two do not keep the transaction
    /// from being committed.
    pub fn send_if(&self, record: Record<'_>, expect: Expect) -> Result<Placed> {
        let placed = self.shared.place_if(&record, expect).map(|delivery| delivery.placed());
        match placed {
            Err(error) if is_about_condition(&error) => Err(error),
            placed => self.note(placed),
        }
    }

    /// Sends many records; which offsets they took, by partition, in the order in which
    /// partitions first appear.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders").partitions(2))?;
    /// let mut producer = log.transactional_producer("till-1").build()?;
    /// let sale = producer.begin()?;
    /// let placed = sale.send_batch(["tea", "milk"].iter().map(|v| orders.record(v).partition(1)))?;
    /// assert_eq!(placed[0].1, 0..2);
    /// sale.commit()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), of the first partition whose records were refused.
    pub fn send_batch<'a>(
        &self,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<Vec<(TopicPartition, Range<u64>)>> {
        let batch = batch_delivery::send(self.shared, records.into_iter());
        let placed = batch.parts().iter().map(|part| {
            let range = part.result()?;
            let partition = part.partition().unwrap_or_default();
            Ok((TopicPartition::new(Arc::clone(part.topic_name()), partition), range))
        });
        self.note(placed.collect())
    }

    /// Commits a group's offsets as part of the transaction: they count when it is committed.
    /// Until then [`Consumer::committed`](crate::Consumer::committed) tells the old ones (B38).
    /// Offsets of several groups may be part of one transaction.
    ///
    /// `group` is [`Consumer::group_metadata`](crate::Consumer::group_metadata) of whoever has
    /// read the records: a consumer that is no member any more, or has lost a partition, commits
    /// nothing (B39).
    ///
    /// # Errors
    ///
    /// No offset changes, and the transaction can only be aborted: `UnknownMemberId`,
    /// `FencedMemberEpoch`, `StaleMemberEpoch`, `FencedInstanceId`, `InvalidGroupId`,
    /// `UnknownTopicOrPartition`; those of [`send`](Self::send).
    pub fn send_offsets(&self, offsets: &Offsets, group: &GroupMetadata) -> Result<()> {
        let offset = |(partition, offset)| CommitOffset {
            partition,
            offset,
            leader_epoch: None,
            metadata: "",
        };
        self.place_offsets(&offsets.iter().map(offset).collect::<Vec<_>>(), group)
    }

    /// As [`send_offsets`](Self::send_offsets), with metadata.
    ///
    /// # Errors
    ///
    /// Those of [`send_offsets`](Self::send_offsets); `OffsetMetadataTooLarge`.
    pub fn send_offsets_detailed(
        &self,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        group: &GroupMetadata,
    ) -> Result<()> {
        let borrowed: Vec<CommitOffset<'_>> = offsets
            .iter()
            .map(|(partition, offset)| CommitOffset {
                partition,
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata: &offset.metadata,
            })
            .collect();
        self.place_offsets(&borrowed, group)
    }

    fn place_offsets(&self, offsets: &[CommitOffset<'_>], group: &GroupMetadata) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let id = group.member_id.as_ref();
        let member = id.map(|id| MemberRef { member_id: Arc::clone(id), epoch: group.epoch });
        let request = CommitRequest {
            group: &group.group,
            member: member.as_ref(),
            offsets,
            max_block: self.shared.settings().max_block,
        };
        let sent = self.current().and_then(|c| c.send_offsets(self.shared.backend(), &request));
        self.note(sent)
    }

    /// Commits: all of it counts, also after a crash at any moment, as far as its partitions'
    /// level reaches. At `PowerLoss` it waits for two syncs, which many threads share; at
    /// `ProcessCrash` for none. When it returns, consumers of both isolation levels see all of it.
    ///
    /// # Errors
    ///
    /// [`CommitError::outcome`] says what became of it. `Aborted`: nothing counts, send all of
    /// it again. `Committed`: all of it counts, and only telling the partitions has failed, which
    /// the log tries again by itself. `Undecided`: the disk has not confirmed the decision; in
    /// this life of the log it will be committed, after a crash it may be aborted.
    pub fn commit(self) -> Result<(), CommitError> {
        let aborted = |error| CommitError { error, outcome: Outcome::Aborted };
        let ended = self.current().map_err(aborted)?.end();
        let Some((stamp, failed)) = ended else { return Ok(()) };
        if let Some(failed) = failed {
            drop(self.end(stamp, false));
            return Err(aborted(only_abort(&failed)));
        }
        self.end(stamp, true).map_err(CommitError::from)
    }

    /// Aborts: nothing of it counts. Its records keep their offsets, and consumers at
    /// read-committed skip them. The position of a consumer stays where it is (B41): see
    /// [`Consumer::rewind_to_committed`](crate::Consumer::rewind_to_committed).
    ///
    /// # Errors
    ///
    /// `ProducerFenced`, `TransactionTimedOut`: it is aborted already. Others: it will be aborted
    /// as soon as that is possible.
    pub fn abort(self) -> Result<()> {
        let Some((stamp, _)) = self.current()?.end() else { return Ok(()) };
        self.end(stamp, false).map_err(|e| e.error)
    }

    fn end(&self, stamp: ProducerEpoch, commit: bool) -> Result<(), EndError> {
        let failed = |error: Error| EndError { error, outcome: Outcome::Aborted };
        let current = self.current().map_err(failed)?;
        let transactions = self.shared.backend().transactions().map_err(failed)?;
        let deadline = self.shared.deadline(self.shared.settings().max_block);
        transactions.end(&current.holder, stamp, commit, deadline)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // Of one that was committed or aborted nothing is left. What fails is tried again by the
        // log, and ends with the timeout at the latest.
        if let Ok(current) = self.current()
            && let Some((stamp, _)) = current.end()
        {
            drop(self.end(stamp, false));
        }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.current().map_or("", |current| &current.holder.id);
        f.debug_struct("Transaction").field("transactional_id", &id).finish_non_exhaustive()
    }
}

/// Whether nothing but a condition has kept a record out.
fn is_about_condition(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConditionFailed | ErrorKind::ConcurrentTransactions)
}
