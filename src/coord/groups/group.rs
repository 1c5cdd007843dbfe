//! The members of one group: a deterministic machine.
//!
//! Every change is a method, time is an argument, and nothing happens by itself. Each change of
//! membership makes a new group epoch; an assignor's answer to it becomes the target; partitions
//! go from hand to hand until what is held is the target. A partition is never in two hands: it
//! is granted only when nobody holds it, and whoever was told of it holds it until it says that
//! it has let go, or is removed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Error, ErrorKind, Result};

use super::assign::{GroupSpec, MemberSpec, Slot, TopicSpec};
use super::member::{Grip, Hold, Life, Member, MemberKey, Profile};
use super::part_map::{PartMap, TopicMap};
use super::topics::{Part, Topics};

/// The members of one group, and who holds what.
#[derive(Debug, Default)]
pub struct Group {
    epoch: i32,
    target_epoch: i32,
    members: BTreeMap<MemberKey, Member>,
    ids: HashMap<Arc<str>, MemberKey>,
    /// Members that others have taken the instance id of, while their handles live.
    fenced: HashSet<Arc<str>>,
    next_key: MemberKey,
    /// Who holds a partition.
    owners: PartMap<MemberKey>,
    /// Who is to hold it.
    wanted: PartMap<MemberKey>,
    problem: Option<Error>,
    /// Who has news.
    news: BTreeSet<MemberKey>,
}

/// What an assignor is asked, and what its answer is about.
#[derive(Debug)]
pub struct Question {
    /// The group's epoch: the answer counts only while it stays.
    pub epoch: i32,
    /// The question itself.
    pub spec: GroupSpec,
    /// Which assignor its members ask for, if any.
    pub assignor: Option<Arc<str>>,
    members: Vec<MemberKey>,
    topics: Vec<crate::base::TopicId>,
}

/// What a member is told.
#[derive(Debug)]
pub struct Told {
    /// Its epoch.
    pub epoch: i32,
    /// What it owns, in order of topic identity.
    pub parts: Vec<Part>,
    /// Those of them that it was not told of before.
    pub fresh: Vec<Part>,
    /// Whether others hold what is to be its own.
    pub pending: bool,
    /// What kept the target from being of the present members.
    pub problem: Option<Error>,
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// The assignment of its present members is not known yet.
    Assigning,
    /// Partitions are on their way from hand to hand.
    Reconciling,
    /// Everybody has what is to be theirs.
    Stable,
}

impl Group {
    /// A group that goes on at an epoch.
    pub fn at(epoch: i32) -> Self {
        Self { epoch, target_epoch: epoch, ..Self::default() }
    }

    /// Adds a member.
    pub fn join(&mut self, profile: Profile, life: Life) -> MemberKey {
        let key = self.next_key;
        self.next_key += 1;
        self.ids.insert(Arc::clone(&profile.id), key);
        let (holds, target) = (BTreeMap::new(), BTreeSet::new());
        self.members.insert(key, Member { profile, life, epoch: 0, holds, target });
        self.changed();
        key
    }

    /// Brings a static member of an earlier life back, with what was to be in its hands.
    pub fn restore(&mut self, profile: Profile, until: Duration, parts: &[Part]) {
        let key = self.join(profile, Life::Until(until));
        for &part in parts {
            // Two members of one record's time never named the same partition.
            if let std::collections::hash_map::Entry::Vacant(free) = self.wanted.entry(part) {
                free.insert(key);
                self.owners.insert(part, key);
                let hold = Hold { grip: Grip::Granted, since: self.epoch };
                if let Some(member) = self.members.get_mut(&key) {
                    member.target.insert(part);
                    member.holds.insert(part, hold);
                }
            }
        }
    }

    /// Puts a new session in the place of a static member, with what is in its hands and no new
    /// epoch, unless it wants something else (C43). The old session is fenced.
    pub fn replace(&mut self, old: MemberKey, profile: Profile, life: Life) -> MemberKey {
        let Some(member) = self.members.get_mut(&old) else { return self.join(profile, life) };
        let same = member.profile.interest.said() == profile.interest.said()
            && member.profile.assignor == profile.assignor;
        self.ids.remove(&member.profile.id);
        self.ids.insert(Arc::clone(&profile.id), old);
        let before = std::mem::replace(&mut member.profile, profile);
        if let Life::Handle(_) = std::mem::replace(&mut member.life, life) {
            self.fenced.insert(before.id);
        }
        // What the old session was to let go of nobody uses any more.
        member.epoch = self.target_epoch;
        let gone: Vec<Part> =
            member.holds.keys().copied().filter(|part| !member.target.contains(part)).collect();
        for hold in member.holds.values_mut() {
            *hold = Hold { grip: Grip::Granted, since: self.target_epoch };
        }
        self.free(old, &gone);
        self.news.insert(old);
        if !same {
            self.changed();
        }
        old
    }

    /// Removes a member with all that is in its hands.
    pub fn remove(&mut self, key: MemberKey) -> Option<Member> {
        let member = self.members.remove(&key)?;
        self.ids.remove(&member.profile.id);
        for part in member.holds.keys() {
            self.owners.remove(part);
        }
        for part in &member.target {
            self.wanted.remove(part);
        }
        self.news.remove(&key);
        self.changed();
        Some(member)
    }

    /// A static member's handle is gone.
    pub fn detach(&mut self, key: MemberKey, until: Duration) {
        if let Some(member) = self.members.get_mut(&key) {
            member.life = Life::Until(until);
        }
    }

    /// Subscribes a member to something else.
    pub fn subscribe(&mut self, key: MemberKey, interest: super::topics::Interest) {
        if let Some(member) = self.members.get_mut(&key)
            && member.profile.interest.said() != interest.said()
        {
            member.profile.interest = interest;
            self.changed();
        }
    }

    /// The members, or the topics that they mean, are others.
    pub fn changed(&mut self) {
        self.epoch = self.epoch.wrapping_add(1).max(1);
    }

    /// What an assignor is to be asked; none while the target is that of the present epoch.
    pub fn question(&self, topics: &Topics) -> Option<Question> {
        if self.target_epoch == self.epoch {
            return None;
        }
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by(|(_, a), (_, b)| a.name().cmp(b.name()));
        let meant: Vec<_> =
            members.iter().map(|(_, m)| m.profile.interest.topics(topics)).collect();
        let mut names: BTreeMap<&Arc<str>, _> = BTreeMap::new();
        names.extend(meant.iter().flatten().map(|topic| (&topic.name, *topic)));
        let index: TopicMap<usize> = names.values().enumerate().map(|(at, t)| (t.id, at)).collect();
        let spec = |((_, member), meant): (&(&MemberKey, &Member), &Vec<_>)| {
            let mut last = None;
            let slot = |part: &Part| {
                // Parts come topic by topic.
                let (_, topic) = last
                    .filter(|(id, _)| *id == part.0)
                    .or_else(|| Some((part.0, *index.get(&part.0)?)))?;
                last = Some((part.0, topic));
                Some(Slot { topic, partition: part.1 })
            };
            let mut owned: Vec<Slot> = member.target.iter().filter_map(slot).collect();
            owned.sort_unstable();
            let topics = meant.iter().map(|topic: &&super::topics::GroupTopic| index[&topic.id]);
            MemberSpec { id: Arc::clone(member.name()), topics: topics.collect(), owned }
        };
        Some(Question {
            epoch: self.epoch,
            assignor: self.assignor(),
            topics: names.values().map(|topic| topic.id).collect(),
            spec: GroupSpec {
                members: members.iter().zip(&meant).map(spec).collect(),
                topics: names
                    .values()
                    .map(|topic| TopicSpec {
                        name: Arc::clone(&topic.name),
                        partitions: topic.partitions,
                    })
                    .collect(),
            },
            members: members.iter().map(|(key, _)| **key).collect(),
        })
    }

    /// The assignor that most members ask for; of equals the first by name.
    pub fn assignor(&self) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for name in self.members.values().filter_map(|m| m.profile.assignor.as_ref()) {
            *votes.entry(name).or_default() += 1;
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| Arc::clone(name))
    }

    /// Takes an assignor's answer for the target; false when the group has changed meanwhile.
    pub fn answer(&mut self, question: &Question, answer: Result<Vec<Vec<Slot>>>) -> bool {
        if question.epoch != self.epoch {
            return false;
        }
        if self.target_epoch == self.epoch {
            return true;
        }
        self.target_epoch = self.epoch;
        match answer {
            Ok(answer) => {
                let had_problem = self.problem.take().is_some();
                if had_problem {
                    self.news.extend(self.members.keys());
                }
                self.aim(question, &answer);
            }
            Err(error) => {
                self.problem = Some(error);
                self.news.extend(self.members.keys());
            }
        }
        true
    }

    fn aim(&mut self, question: &Question, answer: &[Vec<Slot>]) {
        // Who is to hold what is the targets of all members, turned round: that of those whose
        // target stays, stays.
        let mut moved = Vec::new();
        let asked = question.members.iter().zip(&question.spec.members);
        for ((key, spec), slots) in asked.zip(answer) {
            let Some(member) = self.members.get_mut(key) else { continue };
            // The question counts for this epoch only: what it says of the target is still so.
            if *slots == spec.owned && slots.len() == member.target.len() {
                continue;
            }
            let part = |slot: &Slot| (question.topics[slot.topic], slot.partition);
            let target = slots.iter().map(part).collect();
            if member.target != target {
                let before = std::mem::replace(&mut member.target, target);
                for part in &before {
                    self.wanted.remove(part);
                }
                moved.push(*key);
                self.news.insert(*key);
            }
        }
        for key in moved {
            let target = self.members.get(&key).map(|member| &member.target);
            self.wanted.extend(target.into_iter().flatten().map(|part| (*part, key)));
        }
        let misplaced = |(part, owner): (&Part, &MemberKey)| {
            (self.wanted.get(part) != Some(owner)).then_some((*part, *owner))
        };
        let misplaced: Vec<_> = self.owners.iter().filter_map(misplaced).collect();
        for (part, owner) in misplaced {
            let Some(member) = self.members.get_mut(&owner) else { continue };
            // Nobody knows of what was only granted, and nobody uses what a dead handle held.
            let unused = matches!(member.life, Life::Until(_))
                || member.holds.get(&part).is_some_and(|hold| hold.grip == Grip::Granted);
            if unused {
                member.holds.remove(&part);
                self.owners.remove(&part);
            } else {
                self.news.insert(owner);
            }
        }
        let vacant: Vec<Part> =
            self.wanted.keys().copied().filter(|part| !self.owners.contains_key(part)).collect();
        vacant.into_iter().for_each(|part| self.grant(part));
    }

    /// Gives a partition that nobody holds to whom it is to belong.
    fn grant(&mut self, part: Part) {
        let Some(&key) = self.wanted.get(&part) else { return };
        let Some(member) = self.members.get_mut(&key) else { return };
        debug_assert!(!self.owners.contains_key(&part), "a partition in two hands");
        member.holds.insert(part, Hold { grip: Grip::Granted, since: self.target_epoch });
        self.owners.insert(part, key);
        self.news.insert(key);
    }

    /// Takes partitions out of a member's hands and gives them on.
    fn free(&mut self, key: MemberKey, parts: &[Part]) {
        let Some(member) = self.members.get_mut(&key) else { return };
        for part in parts {
            member.holds.remove(part);
            self.owners.remove(part);
        }
        parts.iter().for_each(|part| self.grant(*part));
    }

    /// Tells a member what it owns, and what not any more.
    pub fn tell(&mut self, key: MemberKey) -> Option<Told> {
        let member = self.members.get_mut(&key)?;
        let (mut parts, mut fresh) = (Vec::with_capacity(member.target.len()), Vec::new());
        for (part, hold) in &mut member.holds {
            fresh.extend(
                (hold.grip == Grip::Granted && member.target.contains(part)).then_some(*part),
            );
            let stays = hold.grip != Grip::Leaving && member.target.contains(part);
            hold.grip = if stays { Grip::Told } else { Grip::Leaving };
            parts.extend(stays.then_some(*part));
        }
        member.epoch = self.target_epoch;
        let pending = parts.len() < member.target.len();
        Some(Told { epoch: member.epoch, parts, fresh, pending, problem: self.problem.clone() })
    }

    /// A member has let go of everything that it was told to.
    pub fn release(&mut self, key: MemberKey) {
        let Some(member) = self.members.get(&key) else { return };
        let leaving = member.holds.iter().filter(|(_, hold)| hold.grip == Grip::Leaving);
        let leaving: Vec<Part> = leaving.map(|(part, _)| *part).collect();
        self.free(key, &leaving);
    }

    /// Whether a member may commit in the epoch that it names; the partition is asked for apart.
    pub fn check_member(&self, id: &str, epoch: i32) -> Result<&Member> {
        let Some(member) = self.ids.get(id).and_then(|key| self.members.get(key)) else {
            return Err(self.no_member(id));
        };
        if epoch > member.epoch {
            let message = format!("{id} is in epoch {}, it was never told {epoch}", member.epoch);
            return Err(Error::new(ErrorKind::FencedMemberEpoch, message));
        }
        Ok(member)
    }

    /// Whether a member may commit for a partition: its own since the epoch that it names, or in
    /// its present epoch any that is nobody else's (C45, C52).
    pub fn check_part(&self, member: &Member, epoch: i32, part: Part) -> Result<()> {
        let message = match member.holds.get(&part) {
            Some(hold) if hold.since <= epoch || epoch == member.epoch => return Ok(()),
            Some(hold) => {
                format!("it owns the partition since epoch {}, not since {epoch}", hold.since)
            }
            None if self.owners.contains_key(&part) => {
                "another member owns the partition".to_owned()
            }
            None if epoch == member.epoch => return Ok(()),
            None => format!("epoch {epoch} is over, and it does not own the partition"),
        };
        let message = format!("{}: {message}", member.profile.id);
        Err(Error::new(ErrorKind::StaleMemberEpoch, message))
    }

    /// Why there is no member of this id.
    pub fn no_member(&self, id: &str) -> Error {
        if self.fenced.contains(id) {
            let message = format!("a newer consumer has taken the instance id of {id}");
            return Error::new(ErrorKind::FencedInstanceId, message);
        }
        let message = format!("{id} is no member of the group: it left, or was removed");
        Error::new(ErrorKind::UnknownMemberId, message)
    }

    /// The handle of a fenced session is gone.
    pub fn forget_fenced(&mut self, id: &str) {
        self.fenced.remove(id);
    }

    /// The static member of this instance id.
    pub fn instance(&self, instance_id: &str) -> Option<MemberKey> {
        let is = |m: &Member| m.profile.instance_id.as_deref() == Some(instance_id);
        self.members.iter().find(|(_, member)| is(member)).map(|(key, _)| *key)
    }

    /// The member of this id.
    pub fn key(&self, id: &str) -> Option<MemberKey> {
        self.ids.get(id).copied()
    }

    /// A member.
    pub fn member(&self, key: MemberKey) -> Option<&Member> {
        self.members.get(&key)
    }

    /// All members.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (MemberKey, &Member)> {
        self.members.iter().map(|(key, member)| (*key, member))
    }

    /// Who has news; each is told once.
    pub fn take_news(&mut self) -> BTreeSet<MemberKey> {
        std::mem::take(&mut self.news)
    }

    /// The group's epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The epoch that the target is of.
    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    /// What keeps the target from being of the present members.
    pub fn problem(&self) -> Option<&Error> {
        self.problem.as_ref()
    }

    /// Where the group stands.
    pub fn state(&self) -> GroupState {
        let has_all = |member: &Member| {
            let told = |hold: &Hold| hold.grip != Grip::Leaving;
            member.holds.len() == member.target.len()
                && member.holds.iter().all(|(p, hold)| told(hold) && member.target.contains(p))
        };
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.target_epoch != self.epoch {
            GroupState::Assigning
        } else if self.members.values().all(has_all) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }
}
