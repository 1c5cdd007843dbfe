//! Groups as an operator handles them, and what the node tells their coordinator.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, PartitionBackend};
use crate::backend::{CommitOffset, CommitReply, CommitRequest, CommitTicket, CommittedOffset};
use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, Isolation, LogConfig, Result, TopicConfig, TopicPartition};
use crate::coord::OFFSETS_TOPIC;
use crate::coord::groups::{
    Assignor, Coordinator, GroupEvent, GroupOptions, GroupSummary, GroupTopic, GroupView,
    topic_config,
};
use crate::log::PartitionKey;
use crate::partition::{Opening, Partition, PartitionSpec, Shared};
use crate::stage::FoundChunk;

use super::topics::internal_config;
use super::{Node, OpenTopic};

const OFFSETS: &str = "__consumer_offsets";
/// The log's own topic of groups and offsets.
pub(super) const OFFSETS_KEY: PartitionKey = PartitionKey { topic_id: OFFSETS_TOPIC, partition: 0 };

/// Where committed offsets are to be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetTo {
    /// The log start offset.
    Earliest,
    /// The visible end.
    Latest,
    /// This offset, or the nearest one within the partition's bounds.
    Offset(u64),
    /// The first record with this timestamp or a later one, in milliseconds since the Unix epoch;
    /// the visible end where there is none.
    Timestamp(i64),
    /// As `Timestamp`, of so long ago.
    Ago(Duration),
    /// So many records forwards or backwards, within the partition's bounds. A partition without
    /// a committed offset is shifted from the log start.
    ShiftBy(i64),
    /// Where it is, within the partition's bounds; the visible end where nothing is committed.
    Current,
}

/// A committed offset that was changed, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetChange {
    /// Of which partition.
    pub partition: TopicPartition,
    /// What was committed before.
    pub from: Option<u64>,
    /// What is committed now.
    pub to: u64,
}

/// How far a group has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupLag {
    /// What is committed; none: nothing yet.
    pub committed: Option<CommittedOffset>,
    /// The partition's visible end.
    pub end: u64,
    /// Records from what is committed, or from the log start, to the visible end.
    pub lag: u64,
}

impl Node {
    /// All groups, by id.
    pub fn list_groups(&self) -> Result<Vec<GroupSummary>> {
        self.groups.list()
    }

    /// One group.
    pub fn describe_group(&self, group: &str) -> Result<GroupView> {
        self.groups.describe(group)
    }

    /// How far a group has come, in everything that it has committed or is to read.
    pub fn group_lag(&self, view: &GroupView) -> BTreeMap<TopicPartition, GroupLag> {
        let targets = view.members.iter().flat_map(|m| m.target.iter().chain(&m.assignment));
        let all = targets.chain(view.offsets.keys());
        let lag = |partition: &TopicPartition| {
            let marks = self.door(partition).ok()?.marks();
            let committed = view.offsets.get(partition).cloned();
            let at = committed.as_ref().map_or(marks.start, |offset| offset.offset);
            let lag = marks.visible.saturating_sub(at.max(marks.start));
            Some((partition.clone(), GroupLag { committed, end: marks.visible, lag }))
        };
        all.filter_map(lag).collect()
    }

    /// Deletes a group with its offsets, durably.
    pub fn delete_group(&self, group: &str) -> Result<()> {
        let ticket = self.groups.delete_group(group)?;
        self.wait_groups(ticket)
    }

    /// The committed offsets of a group.
    pub fn group_offsets(&self, group: &str) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        self.groups.describe(group).map(|view| view.offsets)
    }

    /// The same, once no open transaction has committed any of them.
    pub fn stable_group_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        self.groups.committed_stable(group, None)?;
        self.group_offsets(group)
    }

    /// Sets committed offsets of an empty group, which is created if need be.
    pub fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, u64)],
    ) -> Result<Vec<(TopicPartition, Error)>> {
        let offset = |(partition, offset)| CommitOffset {
            partition,
            offset,
            leader_epoch: None,
            metadata: "",
        };
        let offsets: Vec<_> = offsets.iter().map(|(tp, at)| offset((tp, *at))).collect();
        let request = CommitRequest {
            group,
            member: None,
            offsets: &offsets,
            max_block: self.options.close_timeout,
        };
        self.groups.run_due();
        let CommitReply { refused, ticket } = self.groups.commit(&request)?;
        self.wait_groups(ticket)?;
        Ok(refused)
    }

    /// Takes committed offsets away, durably. What was refused.
    pub fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Error)>> {
        let reply = self.groups.delete_offsets(group, partitions)?;
        self.wait_groups(reply.ticket)?;
        Ok(reply.refused)
    }

    /// What a reset would change. Without `partitions`: all that are committed.
    pub fn plan_group_reset(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        to: ResetTo,
    ) -> Result<Vec<OffsetChange>> {
        // All of what is committed: then there must be such a group.
        let known = match partitions {
            [] => self.group_offsets(group)?,
            _ => self.groups.committed(group, None)?,
        };
        let all: Vec<TopicPartition> =
            if partitions.is_empty() { known.keys().cloned().collect() } else { partitions.into() };
        let change = |partition: TopicPartition| {
            let from = known.get(&partition).map(|committed| committed.offset);
            let to = self.reset_offset(&partition, from, to)?;
            Ok(OffsetChange { partition, from, to })
        };
        all.into_iter().map(change).collect()
    }

    /// As planned; the group must be empty.
    pub fn reset_group(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        to: ResetTo,
    ) -> Result<Vec<OffsetChange>> {
        let plan = self.plan_group_reset(group, partitions, to)?;
        let offsets: Vec<_> = plan.iter().map(|c| (c.partition.clone(), c.to)).collect();
        match self.alter_group_offsets(group, &offsets)?.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(plan),
        }
    }

    fn reset_offset(&self, tp: &TopicPartition, from: Option<u64>, to: ResetTo) -> Result<u64> {
        let door = self.door(tp)?;
        let marks = door.marks();
        let by_time = |time| {
            let found = door.find_timestamp(time, Isolation::ReadUncommitted);
            found.map(|hit| hit.map_or(marks.visible, |(offset, _)| offset))
        };
        let offset = match to {
            ResetTo::Earliest => marks.start,
            ResetTo::Latest => marks.visible,
            ResetTo::Offset(offset) => offset,
            ResetTo::Timestamp(time) => by_time(time)?,
            ResetTo::Ago(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                by_time(self.clock().unix_ms().saturating_sub(age))?
            }
            ResetTo::ShiftBy(by) => from.unwrap_or(marks.start).saturating_add_signed(by),
            ResetTo::Current => from.unwrap_or(marks.visible),
        };
        Ok(offset.clamp(marks.start, marks.visible.max(marks.start)))
    }

    /// Removes members, all of them without `members`; how many.
    pub fn remove_group_members(&self, group: &str, members: Option<&[&str]>) -> Result<usize> {
        self.groups.expel(group, members)
    }

    /// What happened to groups without anybody having asked.
    pub fn take_group_events(&self) -> Vec<GroupEvent> {
        self.groups.take_events()
    }

    fn wait_groups(&self, ticket: CommitTicket) -> Result<()> {
        let deadline = Deadline::after(self.clock(), self.options.close_timeout);
        self.groups.wait_committed(ticket, deadline)
    }

    fn door(&self, tp: &TopicPartition) -> Result<Arc<dyn PartitionBackend>> {
        let route = self.resolve(tp.topic())?;
        let door = route.partitions.get(tp.partition() as usize).cloned();
        door.ok_or_else(|| {
            let message = format!("there is no partition {tp}");
            Error::new(ErrorKind::UnknownTopicOrPartition, message).with_partition(tp)
        })
    }
}

/// Opens the partition of groups and offsets.
pub(super) fn open_offsets(
    config: &LogConfig,
    shared: &Arc<Shared>,
    found: Vec<FoundChunk>,
    opening: &mut Opening<'_>,
) -> Result<Arc<Partition>> {
    let mut topic: TopicConfig = internal_config(config.durability);
    topic_config(&mut topic);
    let tp = TopicPartition::new(OFFSETS, 0);
    let spec = PartitionSpec { key: OFFSETS_KEY, tp, config: Arc::new(topic), internal: true };
    Partition::open(shared, spec, found, opening)
}

/// Replays it.
pub(super) fn boot_groups<'t>(
    partition: Arc<Partition>,
    config: &LogConfig,
    assignors: &[Arc<dyn Assignor>],
    shared: &Shared,
    topics: impl Iterator<Item = &'t OpenTopic>,
) -> Result<Arc<Coordinator>> {
    let minutes = config.offsets_retention_minutes;
    let options = GroupOptions {
        assignors: assignors.to_vec(),
        offset_metadata_max_bytes: config.offset_metadata_max_bytes as usize,
        max_size: config.group_max_size as usize,
        offsets_retention: minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * 60)),
        retention_check: Duration::from_millis(u64::from(config.offsets_retention_check_ms)),
    };
    options.check()?;
    let clock = Arc::clone(shared.clock());
    let incarnation = shared.files().incarnation();
    Coordinator::boot(partition, clock, options, topics.map(group_topic), incarnation)
}

/// What groups need to know of a topic.
pub(super) fn group_topic(open: &OpenTopic) -> GroupTopic {
    let level = open.partitions.first().map(|partition| partition.level());
    GroupTopic {
        id: open.route.id,
        name: Arc::clone(&open.route.name),
        partitions: open.partitions.len() as u32,
        level: level.unwrap_or(crate::base::Durability::Memory),
    }
}
