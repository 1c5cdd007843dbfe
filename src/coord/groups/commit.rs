//! Committed offsets: given, asked for, taken away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{CommitOffset, CommitReply, CommitRequest, CommitTicket, CommittedOffset};
use crate::base::wait::Deadline;
use crate::base::{Durability, Error, ErrorKind, Result, TopicPartition};

use super::coordinator::{Coordinator, State, check_group_id};
use super::group::Group;
use super::member::Member;
use super::record::{GroupEntry, Record};
use super::topics::Part;

/// How long an operator waits for room in the stage.
const PATIENCE: Duration = Duration::from_secs(60);

impl Coordinator {
    /// Commits offsets; see [`GroupBackend::commit`](crate::backend::GroupBackend::commit).
    pub fn commit(&self, request: &CommitRequest<'_>) -> Result<CommitReply> {
        self.check_open()?;
        check_group_id(request.group)?;
        let now = self.clock.unix_ms();
        let mut state = self.state.lock();
        let Opening { live, member, group, mut records } = Opening::of(&state, request, now)?;
        let (mut reply, mut waits) = (CommitReply::default(), false);
        let first = records.len();
        for offset in request.offsets {
            match self.check_offset(&state, live.zip(member), offset) {
                Ok((part, level)) => {
                    waits |= level == Durability::PowerLoss;
                    records.push(Record::Offset(Arc::clone(&group), part, Some(kept(offset, now))));
                }
                Err(error) => {
                    let error = error.with_partition(offset.partition);
                    reply.refused.push((offset.partition.clone(), error));
                }
            }
        }
        if records.len() > first {
            let end = self.append(&records, request.max_block)?;
            records.into_iter().for_each(|record| state.apply(record));
            reply.ticket = CommitTicket(waits.then_some(end));
        }
        Ok(reply)
    }

    pub(super) fn check_offset(
        &self,
        state: &State,
        member: Option<(&Group, (&Member, i32))>,
        offset: &CommitOffset<'_>,
    ) -> Result<(Part, Durability)> {
        let limit = self.options.offset_metadata_max_bytes;
        if offset.metadata.len() > limit {
            let len = offset.metadata.len();
            let message = format!("metadata of {len} bytes: offset.metadata.max.bytes is {limit}");
            return Err(Error::new(ErrorKind::OffsetMetadataTooLarge, message));
        }
        if i64::try_from(offset.offset).is_err() {
            let message = format!("offset {}: the greatest is {}", offset.offset, i64::MAX);
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
        let number = offset.partition.partition();
        let topic = state.topics.named(offset.partition.topic());
        let Some(topic) = topic.filter(|topic| number < topic.partitions) else {
            let message = format!("there is no partition {}", offset.partition);
            return Err(Error::new(ErrorKind::UnknownTopicOrPartition, message));
        };
        let part = (topic.id, number);
        if let Some((group, (member, epoch))) = member {
            group.check_part(member, epoch, part)?;
        }
        Ok((part, topic.level))
    }

    /// Waits for the level of a commit.
    pub fn wait_committed(&self, ticket: CommitTicket, deadline: Deadline) -> Result<()> {
        ticket.0.map_or(Ok(()), |end| self.partition.wait_level(end, deadline))
    }

    /// Committed offsets, by name.
    pub fn committed(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        self.check_open()?;
        self.run_due();
        let state = self.state.lock();
        let Some((_, account)) = state.ledger.group(group) else { return Ok(BTreeMap::new()) };
        let offsets = account.offsets();
        Ok(match partitions {
            None => {
                let named = |(part, offset): (&Part, &CommittedOffset)| {
                    Some((state.topics.name(*part)?, offset.clone()))
                };
                offsets.iter().filter_map(named).collect()
            }
            Some(partitions) => {
                let found = |partition: &TopicPartition| {
                    let offset = offsets.get(&state.topics.part(partition)?)?;
                    Some((partition.clone(), offset.clone()))
                };
                partitions.iter().filter_map(found).collect()
            }
        })
    }

    /// Takes committed offsets away, each on its own: `GroupSubscribedToTopic` for those of topics
    /// that a member subscribes to. Returns what was refused, and what to wait for.
    pub fn delete_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<CommitReply> {
        self.check_open()?;
        self.run_due();
        let mut state = self.state.lock();
        let Some((id, account)) = state.ledger.group(group) else {
            return Err(unknown_group(group));
        };
        let live = state.live.get(group);
        let (mut reply, mut records) = (CommitReply::default(), Vec::new());
        for partition in partitions {
            let means = |live: &Group| {
                live.members().any(|(_, m)| m.profile.interest.means(partition.topic()))
            };
            if live.is_some_and(means) {
                let message = format!("{group:?} has members that subscribe to the topic");
                let error = Error::new(ErrorKind::GroupSubscribedToTopic, message);
                reply.refused.push((partition.clone(), error.with_partition(partition)));
            } else if let Some(part) = state.topics.part(partition) {
                if account.offsets().contains_key(&part) {
                    records.push(Record::Offset(Arc::clone(id), part, None));
                }
            } else {
                let message = format!("there is no partition {partition}");
                let error = Error::new(ErrorKind::UnknownTopicOrPartition, message);
                reply.refused.push((partition.clone(), error.with_partition(partition)));
            }
        }
        if !records.is_empty() {
            reply.ticket = CommitTicket(Some(self.append(&records, PATIENCE)?));
            records.into_iter().for_each(|record| state.apply(record));
        }
        Ok(reply)
    }

    /// Takes a group away with its offsets. What to wait for.
    pub fn delete_group(&self, group: &str) -> Result<CommitTicket> {
        self.check_open()?;
        self.run_due();
        let mut state = self.state.lock();
        let members = state.live.get(group).map_or(0, |live| live.members().len());
        if members > 0 {
            let message = format!("{group:?} has {members} members");
            return Err(Error::new(ErrorKind::NonEmptyGroup, message));
        }
        let Some((id, account)) = state.ledger.group(group) else {
            return Err(unknown_group(group));
        };
        let records = account.tombstones(id);
        let end = self.append(&records, PATIENCE)?;
        records.into_iter().for_each(|record| state.apply(record));
        state.live.remove(group);
        Ok(CommitTicket(Some(end)))
    }
}

/// Who may commit: a member in an epoch of its own, or anybody while there are no members.
pub(super) fn may_commit<'g>(
    live: Option<&'g Group>,
    request: &CommitRequest<'_>,
) -> Result<Option<(&'g Member, i32)>> {
    match (request.member, live) {
        (Some(member), Some(live)) => {
            Ok(Some((live.check_member(&member.member_id, member.epoch)?, member.epoch)))
        }
        (Some(member), None) => Err(Group::default().no_member(&member.member_id)),
        (None, Some(live)) if live.members().len() > 0 => {
            let message = format!("{:?} has members: only they can commit", request.group);
            Err(Error::new(ErrorKind::UnknownMemberId, message))
        }
        (None, _) => Ok(None),
    }
}

/// What every commit begins with.
pub(super) struct Opening<'s> {
    pub live: Option<&'s Group>,
    /// Who commits, and in which epoch; nobody from outside.
    pub member: Option<(&'s Member, i32)>,
    /// The group's name.
    pub group: Arc<str>,
    /// Room for a record of each offset; the group's own where it has none.
    pub records: Vec<Record>,
}

impl<'s> Opening<'s> {
    /// Refuses who may not commit.
    pub fn of(state: &'s State, request: &CommitRequest<'_>, now: i64) -> Result<Self> {
        let live = state.live.get(request.group);
        let member = may_commit(live, request)?;
        let known = state.ledger.group(request.group);
        let group = known.map_or_else(|| Arc::from(request.group), |(id, _)| Arc::clone(id));
        let mut records = Vec::with_capacity(request.offsets.len() + 1);
        if known.is_none_or(|(_, account)| account.entry().is_none()) && member.is_none() {
            let entry = GroupEntry { epoch: 0, had_members: false, empty_since_ms: Some(now) };
            records.push(Record::Group(Arc::clone(&group), Some(entry)));
        }
        Ok(Self { live, member, group, records })
    }
}

pub(super) fn kept(offset: &CommitOffset<'_>, now: i64) -> CommittedOffset {
    CommittedOffset {
        offset: offset.offset,
        leader_epoch: offset.leader_epoch,
        metadata: if offset.metadata.is_empty() { Arc::default() } else { offset.metadata.into() },
        commit_ms: now,
    }
}

pub(super) fn unknown_group(group: &str) -> Error {
    Error::new(ErrorKind::GroupIdNotFound, format!("there is no group {group:?}"))
}
