//! Offsets that are committed as part of a transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::{CommitRequest, CommittedOffset, ProducerStamp};
use crate::base::{Durability, Error, ErrorKind, Result, TopicPartition};

use super::commit::{Opening, kept, may_commit};
use super::coordinator::{Coordinator, check_group_id};
use super::record::Record;

impl Coordinator {
    /// Whether whoever asks may commit now (B39).
    pub fn check_may_commit(&self, request: &CommitRequest<'_>) -> Result<()> {
        self.check_open()?;
        check_group_id(request.group)?;
        self.run_due();
        may_commit(self.state.lock().live.get(request.group), request).map(drop)
    }

    /// Writes offsets that count when the transaction does: all of them or, with the first
    /// refusal as the error, none (B39). Whether they are of a topic of level `PowerLoss`.
    ///
    /// `producer` says whose transaction it is; the sequence is this coordinator's to know.
    pub fn commit_in_transaction(
        &self,
        request: &CommitRequest<'_>,
        producer: ProducerStamp,
    ) -> Result<bool> {
        self.check_open()?;
        let now = self.clock.unix_ms();
        let mut state = self.state.lock();
        let Opening { live, member, group, mut records } = Opening::of(&state, request, now)?;
        let mut durable = false;
        for offset in request.offsets {
            let checked = self.check_offset(&state, live.zip(member), offset);
            let (part, level) = checked.map_err(|e| e.with_partition(offset.partition))?;
            durable |= level == Durability::PowerLoss;
            records.push(Record::Offset(Arc::clone(&group), part, Some(kept(offset, now))));
        }
        let sequence = state.pending.next_sequence(producer.id, producer.epoch);
        let stamp = ProducerStamp { sequence, ..producer };
        let end = self.append_by(Some(stamp), &records, request.max_block)?;
        state.pending.add(producer.id, producer.epoch, end, records);
        Ok(durable)
    }

    /// A transaction has ended: its offsets count, or never will.
    pub fn end_transaction(&self, producer: i64, commit: bool) {
        let mut state = self.state.lock();
        let written = state.pending.take(producer);
        if !commit {
            return;
        }
        for (at, record) in written {
            state.pending.supersede(&record, at);
            state.ledger.apply_committed(record);
        }
    }

    /// Committed offsets, by name; `UnstableOffsetCommit` while an open transaction has written
    /// any of them (B38).
    pub fn committed_stable(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        {
            let state = self.state.lock();
            let unstable = match partitions {
                None => state.pending.has_group(group).then_some(None),
                Some(partitions) => {
                    let is = |tp: &&TopicPartition| {
                        state.topics.part(tp).is_some_and(|part| state.pending.has(group, part))
                    };
                    partitions.iter().find(is).map(Some)
                }
            };
            if let Some(which) = unstable {
                let message = format!("an open transaction has committed offsets of {group:?}");
                let error = Error::new(ErrorKind::UnstableOffsetCommit, message);
                return Err(which.map_or(error.clone(), |tp| error.with_partition(tp)));
            }
        }
        self.committed(group, partitions)
    }
}
