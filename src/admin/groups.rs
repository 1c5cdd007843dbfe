//! Consumer groups: who is in them, how far they have come, and where they go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::CommittedOffset;
use crate::base::{Error, Result, TopicPartition};
use crate::client::Offsets;
use crate::coord::groups::{GroupEvent, GroupState, GroupSummary, GroupType, MemberView};
use crate::node::{GroupLag, OffsetChange, ResetTo};

use super::Admin;

/// A group as [`Admin::describe_group`] tells of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupDescription {
    /// The group's id.
    pub group: Arc<str>,
    /// Where it stands.
    pub state: GroupState,
    /// Whether it has had members.
    pub group_type: GroupType,
    /// The assignor in force.
    pub assignor: Arc<str>,
    /// The group's epoch: it grows with every change of members, subscriptions and topics.
    pub epoch: i32,
    /// The epoch that the target assignment is of.
    pub target_epoch: i32,
    /// Why the target is not of the present members: an assignor failed.
    pub problem: Option<Error>,
    /// Its members, by id.
    pub members: Vec<MemberView>,
    /// How far it has come, in everything that it has committed or is to read.
    pub partitions: BTreeMap<TopicPartition, GroupLag>,
}

impl GroupDescription {
    /// Records that are visible and not yet committed, over all partitions.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.partitions.values().map(|partition| partition.lag).sum()
    }
}

impl Admin {
    /// All groups, by id.
    ///
    /// ```
    /// use alluvium::{EventLog, GroupState, NewTopic, Offsets, TopicPartition};
    ///
    /// let log = EventLog::in_memory();
    /// log.create_topic(NewTopic::new("orders"))?;
    /// let admin = log.admin();
    /// let offsets = Offsets::from_iter([(TopicPartition::new("orders", 0), 0)]);
    /// admin.alter_group_offsets("billing", &offsets)?;
    /// let groups = admin.list_groups()?;
    /// assert_eq!(&*groups[0].group, "billing");
    /// assert_eq!(groups[0].state, GroupState::Empty);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn list_groups(&self) -> Result<Vec<GroupSummary>> {
        self.0.list_groups()
    }

    /// The groups in one of these states and of one of these types; an empty slice is any.
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn list_groups_by(
        &self,
        states: &[GroupState],
        types: &[GroupType],
    ) -> Result<Vec<GroupSummary>> {
        let mut groups = self.0.list_groups()?;
        groups.retain(|group| {
            (states.is_empty() || states.contains(&group.state))
                && (types.is_empty() || types.contains(&group.group_type))
        });
        Ok(groups)
    }

    /// A group's state, members, assignment, epochs and lag.
    ///
    /// # Errors
    ///
    /// `GroupIdNotFound`, or `Closed`.
    pub fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let view = self.0.describe_group(group)?;
        let partitions = self.0.group_lag(&view);
        Ok(GroupDescription {
            group: view.summary.group,
            state: view.summary.state,
            group_type: view.summary.group_type,
            assignor: view.assignor,
            epoch: view.epoch,
            target_epoch: view.target_epoch,
            problem: view.problem,
            members: view.members,
            partitions,
        })
    }

    /// Waits until a group has committed every record that was sent before this call: its lag
    /// is 0 in everything that its members read, or that it has committed. The group may be yet
    /// to come.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, OffsetReset};
    /// use std::time::Duration;
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// let _placed = log.producer().build()?.send(orders.record("tea"))?.placed();
    /// let kitchen = log.consumer().group("kitchen").topics(["orders"]);
    /// let mut kitchen = kitchen.offset_reset(OffsetReset::Earliest).build()?;
    /// assert_eq!(kitchen.poll(Duration::from_secs(1))?.len(), 1);
    /// let error = log.admin().await_group_lag_zero("kitchen", Duration::ZERO).unwrap_err();
    /// assert!(error.to_string().contains("is behind in orders-0 by 1 records, held by consumer-"));
    /// kitchen.commit()?;
    /// log.admin().await_group_lag_zero("kitchen", Duration::from_secs(1))?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Timeout` after `timeout`, naming the partitions with a lag, and who holds them. Those of
    /// [`Producer::flush`](crate::Producer::flush), for records become visible with their level.
    pub fn await_group_lag_zero(&self, group: &str, timeout: Duration) -> Result<()> {
        self.0.await_group_end(group, timeout)
    }

    /// Deletes an empty group with its offsets.
    ///
    /// # Errors
    ///
    /// `NonEmptyGroup`, `GroupIdNotFound`, `Closed`, or what the disk says.
    pub fn delete_group(&self, group: &str) -> Result<()> {
        self.0.delete_group(group)
    }

    /// The committed offsets of a group.
    ///
    /// # Errors
    ///
    /// `GroupIdNotFound`, or `Closed`.
    pub fn group_offsets(&self, group: &str) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        self.0.group_offsets(group)
    }

    /// As [`group_offsets`](Self::group_offsets), once no open transaction has committed any of
    /// them. (E19)
    ///
    /// # Errors
    ///
    /// `UnstableOffsetCommit` while the outcome of one is open: ask again. Those of
    /// [`group_offsets`](Self::group_offsets).
    pub fn stable_group_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        self.0.stable_group_offsets(group)
    }

    /// Sets committed offsets of a group without members; an unknown one is created. To any
    /// offset, forwards or backwards.
    ///
    /// # Errors
    ///
    /// `UnknownMemberId` when the group has members, `UnknownTopicOrPartition` for the first
    /// partition that does not exist (the others are set), `InvalidGroupId`, `Closed`, or what
    /// the disk says.
    pub fn alter_group_offsets(&self, group: &str, offsets: &Offsets) -> Result<()> {
        let offsets: Vec<_> = offsets.iter().map(|(tp, offset)| (tp.clone(), offset)).collect();
        first(self.0.alter_group_offsets(group, &offsets)?)
    }

    /// What [`reset_group_offsets`](Self::reset_group_offsets) would change: a dry run.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, without partitions `GroupIdNotFound`, `Closed`, or what the disk
    /// says.
    pub fn plan_group_reset(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        to: ResetTo,
    ) -> Result<Vec<OffsetChange>> {
        self.0.plan_group_reset(group, partitions, to)
    }

    /// Sets where a group without members goes on, in these partitions; without any, in all that
    /// it has committed. What has changed.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, ResetTo, TopicPartition};
    ///
    /// let log = EventLog::in_memory();
    /// log.create_topic(NewTopic::new("orders"))?;
    /// let tp = TopicPartition::new("orders", 0);
    /// let changes = log.admin().reset_group_offsets("audit", &[tp], ResetTo::Earliest)?;
    /// assert_eq!((changes[0].from, changes[0].to), (None, 0));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`alter_group_offsets`](Self::alter_group_offsets); without partitions
    /// `GroupIdNotFound`.
    pub fn reset_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        to: ResetTo,
    ) -> Result<Vec<OffsetChange>> {
        self.0.reset_group(group, partitions, to)
    }

    /// Takes committed offsets away.
    ///
    /// # Errors
    ///
    /// `GroupIdNotFound`; `GroupSubscribedToTopic` or `UnknownTopicOrPartition` for the first
    /// partition of such a topic (the others are done); `Closed`, or what the disk says.
    pub fn delete_group_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<()> {
        first(self.0.delete_group_offsets(group, partitions)?)
    }

    /// Removes members by their ids or instance ids: they lose everything, and go on only by
    /// joining again. How many.
    ///
    /// # Errors
    ///
    /// `GroupIdNotFound`; `UnknownMemberId` naming who is no member (nobody is removed then);
    /// `Closed`.
    pub fn remove_group_members(&self, group: &str, members: &[&str]) -> Result<usize> {
        self.0.remove_group_members(group, Some(members))
    }

    /// Removes all members. How many there were.
    ///
    /// # Errors
    ///
    /// `GroupIdNotFound`, or `Closed`.
    pub fn remove_all_group_members(&self, group: &str) -> Result<usize> {
        self.0.remove_group_members(group, None)
    }

    /// What happened to groups without anybody having asked, since the last call of this: offsets
    /// that expired, members that were too late. At least the last 1,000 events are kept.
    #[must_use]
    pub fn take_group_events(&self) -> Vec<GroupEvent> {
        self.0.take_group_events()
    }
}

fn first(refused: Vec<(TopicPartition, Error)>) -> Result<()> {
    refused.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}
