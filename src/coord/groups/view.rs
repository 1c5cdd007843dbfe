//! Groups as an operator sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::{CommittedOffset, Subscription};
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::commit::unknown_group;
use super::coordinator::{Coordinator, State};
use super::group::GroupState;
use super::member::{Member, MemberKey};

/// Whether a group has had members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupType {
    /// It has members, or had.
    Consumer,
    /// Only offsets were ever committed to it, by consumers that assign partitions themselves.
    Simple,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSummary {
    /// The group's id.
    pub group: Arc<str>,
    /// Where it stands.
    pub state: GroupState,
    /// Whether it has had members.
    pub group_type: GroupType,
}

/// A group, its members and its offsets.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Id, state and type.
    pub summary: GroupSummary,
    /// The assignor in force.
    pub assignor: Arc<str>,
    /// The group's epoch.
    pub epoch: i32,
    /// The epoch of the target assignment.
    pub target_epoch: i32,
    /// What keeps the target from being of the present members.
    pub problem: Option<Error>,
    /// Its members, by id.
    pub members: Vec<MemberView>,
    /// Its committed offsets.
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
}

/// A member of a group.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemberView {
    /// The member's id.
    pub member_id: Arc<str>,
    /// Its client id.
    pub client_id: Arc<str>,
    /// Its instance id, if it is a static member.
    pub instance_id: Option<Arc<str>>,
    /// Whether its handle is alive; a static member outlives it for its session timeout.
    pub is_live: bool,
    /// The topics that it subscribes to; none when it subscribes to a pattern.
    pub topics: Vec<Arc<str>>,
    /// The pattern that it subscribes to.
    pub pattern: Option<Arc<str>>,
    /// The epoch that it was told last.
    pub epoch: i32,
    /// What is in its hands, what it is to let go of included.
    pub assignment: Vec<TopicPartition>,
    /// What is to be in its hands.
    pub target: Vec<TopicPartition>,
}

impl Coordinator {
    /// All groups, by id.
    pub fn list(&self) -> Result<Vec<GroupSummary>> {
        self.check_open()?;
        self.run_due();
        let state = self.state.lock();
        let live = state.live.iter().filter(|(_, group)| group.members().len() > 0);
        let mut ids: Vec<&Arc<str>> =
            state.ledger.groups().map(|(id, _)| id).chain(live.map(|(id, _)| id)).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.into_iter().map(|id| state.summary(id)).collect())
    }

    /// One group; `GroupIdNotFound`.
    pub fn describe(&self, group: &str) -> Result<GroupView> {
        self.check_open()?;
        self.run_due();
        let state = self.state.lock();
        let live = state.live.get(group);
        let account = state.ledger.group(group);
        let has_members = live.is_some_and(|live| live.members().len() > 0);
        if account.is_none() && !has_members {
            return Err(unknown_group(group));
        }
        let mut members: Vec<MemberView> = live
            .iter()
            .flat_map(|live| live.members())
            .map(|(_, member)| state.member_view(member))
            .collect();
        members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        let offsets = account.iter().flat_map(|(_, account)| account.offsets());
        let offsets =
            offsets.filter_map(|(p, offset)| Some((state.topics.name(*p)?, offset.clone())));
        Ok(GroupView {
            summary: state.summary(group),
            assignor: live.and_then(|live| live.assignor()).unwrap_or_else(|| "uniform".into()),
            epoch: live.map_or(0, |live| live.epoch()),
            target_epoch: live.map_or(0, |live| live.target_epoch()),
            problem: live.and_then(|live| live.problem()).cloned(),
            members,
            offsets: offsets.collect(),
        })
    }

    /// Removes members by their ids or instance ids, or all of them: they lose everything, and
    /// their next commit fails. `UnknownMemberId` names those that there are not; nobody is
    /// removed then.
    pub fn expel(&self, group: &str, members: Option<&[&str]>) -> Result<usize> {
        self.check_open()?;
        let keys: Vec<MemberKey> = {
            let state = self.state.lock();
            let Some(live) = state.live.get(group) else {
                return state.ledger.group(group).map(|_| 0).ok_or_else(|| unknown_group(group));
            };
            match members {
                None => live.members().map(|(key, _)| key).collect(),
                Some(ids) => {
                    let find = |id: &&str| live.instance(id).or_else(|| live.key(id));
                    let missing: Vec<_> = ids.iter().filter(|id| find(id).is_none()).collect();
                    if !missing.is_empty() {
                        let message = format!("{group:?} has no members {missing:?}");
                        return Err(Error::new(ErrorKind::UnknownMemberId, message));
                    }
                    ids.iter().filter_map(find).collect()
                }
            }
        };
        self.remove_members(group, &keys, None);
        Ok(keys.len())
    }
}

impl State {
    fn summary(&self, group: &str) -> GroupSummary {
        let live = self.live.get(group);
        let state = live.map_or(GroupState::Empty, |live| live.state());
        let entry = self.ledger.group(group).and_then(|(_, account)| account.entry());
        let is_consumer = state != GroupState::Empty || entry.is_some_and(|e| e.had_members);
        let group_type = if is_consumer { GroupType::Consumer } else { GroupType::Simple };
        GroupSummary { group: group.into(), state, group_type }
    }

    fn member_view(&self, member: &Member) -> MemberView {
        let named = |parts: &mut dyn Iterator<Item = super::topics::Part>| {
            let mut named: Vec<_> = parts.filter_map(|part| self.topics.name(part)).collect();
            named.sort_unstable();
            named
        };
        let profile = &member.profile;
        let (topics, pattern) = match profile.interest.said() {
            Subscription::Topics(topics) => (topics.clone(), None),
            Subscription::Pattern(pattern) => (Vec::new(), Some(Arc::clone(pattern))),
        };
        MemberView {
            member_id: Arc::clone(&profile.id),
            client_id: Arc::clone(&profile.client_id),
            instance_id: profile.instance_id.clone(),
            is_live: member.pulse().is_some(),
            topics,
            pattern,
            epoch: member.epoch,
            assignment: named(&mut member.holds.keys().copied()),
            target: named(&mut member.target.iter().copied()),
        }
    }
}
