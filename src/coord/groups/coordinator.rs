//! The coordinator: ledger and groups behind one lock.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use crate::backend::{Changes, CommitTicket, JoinGroup, ProducerStamp, Subscription};
use crate::base::events::Events;
use crate::base::{
    Clock, ClockWatch, Durability, Error, ErrorKind, Isolation, Result, TopicConfig, TopicId,
};
use crate::partition::Partition;

use super::assign::{Assignors, run};
use super::event::GroupEvent;
use super::group::Group;
use super::ledger::Ledger;
use super::member::{Life, Member, MemberKey, Profile};
use super::options::GroupOptions;
use super::pending::Pending;
use super::pulse::{Pulse, nanos};
use super::record::{GroupEntry, Record, StaticEntry};
use super::session::Session;
use super::topics::{GroupTopic, Interest, Topics};
use super::watched::Watched;
use crate::coord::row;
use crate::coord::table::replay_at;

/// `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
const SESSION_MS: std::ops::RangeInclusive<u128> = 6_000..=1_800_000;
/// The longest group id, in bytes.
const MAX_GROUP_ID: usize = 249;

/// Coordinates all groups of a log.
pub struct Coordinator {
    pub(super) state: Watched,
    pub(super) partition: Arc<Partition>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: GroupOptions,
    /// Monotonic nanoseconds before which nobody is late.
    pub(super) due: AtomicU64,
    assignors: Assignors,
    closed: AtomicBool,
    /// In every member's id, so that ids of two lives of the log differ.
    incarnation: u32,
    this: Weak<Self>,
}

/// What stands behind the lock.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) live: HashMap<Arc<str>, Group>,
    pub(super) pending: Pending,
    pub(super) topics: Topics,
    pub(super) events: Events<GroupEvent>,
    pub(super) retention: ClockWatch,
    next_member: u64,
}

impl Coordinator {
    /// Replays the partition. Offsets of topics that do not exist any more are left out; static
    /// members have a session timeout to come back.
    pub fn boot(
        partition: Arc<Partition>,
        clock: Arc<dyn Clock>,
        options: GroupOptions,
        topics: impl IntoIterator<Item = GroupTopic>,
        incarnation: u32,
    ) -> Result<Arc<Self>> {
        let mut state = State::default();
        topics.into_iter().for_each(|topic| state.topics.put(topic));
        // What transactions have committed, in the order in which it was written (B40): nobody has
        // an open one yet.
        replay_at(Isolation::ReadCommitted, &partition, |key, value| {
            let record = Record::decode(key, value)?;
            let dead = matches!(&record, Record::Offset(_, part, Some(_))
                if state.topics.get(part.0).is_none());
            if !dead {
                state.ledger.apply(record);
            }
            Ok(())
        })?;
        let (now, wall) = (clock.monotonic(), clock.unix_ms());
        state.revive(now, wall);
        let assignors = Assignors::new(&options.assignors);
        state.retention = ClockWatch::new(now, wall);
        let made = Arc::new_cyclic(|this| Self {
            state: Watched::new(state),
            partition,
            clock,
            options,
            due: AtomicU64::new(0),
            assignors,
            closed: AtomicBool::new(false),
            incarnation,
            this: Weak::clone(this),
        });
        made.run_due();
        let waited_for: Vec<Arc<str>> = {
            let state = made.state.lock();
            let live = state.live.iter().filter(|(_, group)| group.members().len() > 0);
            live.map(|(id, _)| Arc::clone(id)).collect()
        };
        // What fails is asked again by who comes.
        waited_for.iter().for_each(|group| drop(made.settle(group)));
        Ok(made)
    }

    /// The partition behind the ledger.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// What calls those who wait for groups to change.
    pub fn changes(&self) -> &Changes {
        self.state.changes()
    }

    /// Ends every wait, and refuses later calls.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changes().announce();
        let mut woken = Vec::new();
        for group in self.state.lock().live.values() {
            woken.extend(group.members().filter_map(|(_, m)| m.pulse()).flat_map(|p| p.news()));
        }
        woken.into_iter().for_each(Waker::wake);
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    /// Adds a member; its handle.
    pub fn join(&self, join: JoinGroup) -> Result<Session> {
        self.check_open()?;
        check_group_id(&join.group)?;
        self.run_due();
        let (profile, group) = self.profile(join)?;
        let pulse = Arc::new(Pulse::new(self.clock.monotonic()));
        let Some(this) = self.this.upgrade() else { return Err(Error::closed()) };
        let timeouts = (profile.max_poll_interval, profile.session_timeout);
        // Before and after: somebody may look at what is due in between, and plan anew.
        let due = self.clock.monotonic().saturating_add(timeouts.0);
        let is_sooner = self.plan(due);
        let (key, id) = {
            let mut state = self.state.lock();
            state.admit(&group, &profile, self.options.max_size)?;
            state.next_member += 1;
            let (incarnation, number) = (self.incarnation, state.next_member);
            let id: Arc<str> =
                format!("{}-{incarnation:08x}-{number:08}", profile.client_id).into();
            let profile = Profile { id: Arc::clone(&id), ..profile };
            let woken = state.enter(&group, profile, &pulse);
            let key = woken.1;
            drop(state);
            woken.0.into_iter().for_each(Waker::wake);
            (key, id)
        };
        if self.plan(due) || is_sooner {
            self.plan_for(&group, due);
        }
        let session = Session::new(this, group, id, key, pulse, timeouts);
        if let Some(problem) = self.settle(session.group()) {
            // Nobody has joined: the handle's end takes the member away.
            session.quit();
            return Err(problem);
        }
        Ok(session)
    }

    fn profile(&self, join: JoinGroup) -> Result<(Profile, Arc<str>)> {
        if join.instance_id.is_some() && !SESSION_MS.contains(&join.session_timeout.as_millis()) {
            let (least, most) = (SESSION_MS.start(), SESSION_MS.end());
            let ms = join.session_timeout.as_millis();
            let message = format!("session.timeout.ms={ms}: {least} to {most}");
            return Err(Error::new(ErrorKind::InvalidSessionTimeout, message));
        }
        if let Some(name) = &join.assignor {
            self.assignors.named(name)?;
        }
        let client_id = if join.client_id.is_empty() { "consumer".into() } else { join.client_id };
        let profile = Profile {
            id: "".into(),
            client_id,
            instance_id: join.instance_id,
            interest: Interest::new(join.subscription)?,
            assignor: join.assignor,
            max_poll_interval: join.max_poll_interval,
            session_timeout: join.session_timeout,
        };
        Ok((profile, join.group))
    }

    /// Brings a group's target to its present epoch, asking an assignor outside of the lock.
    /// Returns what keeps it from that, if anything.
    pub(super) fn settle(&self, group: &str) -> Option<Error> {
        loop {
            let question = {
                let state = self.state.lock();
                let live = state.live.get(group)?;
                match live.question(&state.topics) {
                    None => return live.problem().cloned(),
                    Some(question) => question,
                }
            };
            let name = question.assignor.as_deref().unwrap_or("uniform");
            let answer = self.assignors.named(name).and_then(|a| run(&*a, &question.spec));
            let mut state = self.state.lock();
            let live = state.live.get_mut(group)?;
            if live.answer(&question, answer) {
                let problem = live.problem().cloned();
                let woken = self.tell_news(&mut state, group);
                drop(state);
                woken.into_iter().for_each(Waker::wake);
                return problem;
            }
        }
    }

    /// Moves the pulses of those who have news, and remembers what outlives them.
    pub(super) fn tell_news(&self, state: &mut State, group: &str) -> Vec<Waker> {
        let Some(live) = state.live.get_mut(group) else { return Vec::new() };
        let news = live.take_news();
        let (mut woken, mut records) = (Vec::new(), Vec::new());
        for member in news.iter().filter_map(|key| live.member(*key)) {
            woken.extend(member.pulse().into_iter().flat_map(|pulse| pulse.news()));
            records.extend(state.ledger.missing_static(group, member));
        }
        records.extend(state.ledger.missing_group(group, live, &*self.clock));
        self.note(state, records);
        woken
    }

    /// Records that only make a next life of the log begin better: a disk that is full must not
    /// keep anybody from leaving.
    pub(super) fn note(&self, state: &mut State, records: Vec<Record>) {
        if !records.is_empty() && self.append(&records, Duration::ZERO).is_ok() {
            records.into_iter().for_each(|record| state.apply(record));
        }
    }

    /// Appends records, all or none; the offset behind them.
    pub(super) fn append(&self, records: &[Record], max_block: Duration) -> Result<u64> {
        self.append_by(None, records, max_block)
    }

    /// As [`append`](Self::append), by the producer of a transaction.
    pub(super) fn append_by(
        &self,
        producer: Option<ProducerStamp>,
        records: &[Record],
        max_block: Duration,
    ) -> Result<u64> {
        self.check_open()?;
        row::append(&self.partition, producer, records, max_block)
    }

    /// A topic was created, or has got more partitions.
    pub fn put_topic(&self, topic: GroupTopic) {
        let name = Arc::clone(&topic.name);
        self.change_topics(&name, |state| state.topics.put(topic));
    }

    /// A topic has another level: commits for it survive as much as its records from now on.
    /// Returns what to wait for until those of before do.
    pub fn set_topic_level(&self, id: TopicId, level: Durability) -> CommitTicket {
        self.state.lock().topics.set_level(id, level);
        CommitTicket(Some(self.partition.marks_now().end))
    }

    /// A topic was deleted: its committed offsets go with it.
    pub fn remove_topic(&self, id: TopicId) {
        let name = self.state.lock().topics.get(id).map(|topic| Arc::clone(&topic.name));
        let Some(name) = name else { return };
        self.change_topics(&name, |state| {
            state.topics.remove(id);
            state.pending.forget_topic(id);
            let of_group = |(group, account): (&Arc<str>, &super::ledger::Account)| {
                let dead = account.offsets().keys().filter(|part| part.0 == id);
                dead.map(|part| Record::Offset(Arc::clone(group), *part, None)).collect::<Vec<_>>()
            };
            let records: Vec<Record> = state.ledger.groups().flat_map(of_group).collect();
            self.note(state, records.clone());
            // The next open leaves them out, whether they are noted or not.
            records.into_iter().for_each(|record| state.apply(record));
        });
    }

    fn change_topics(&self, name: &str, change: impl FnOnce(&mut State)) {
        let meant: Vec<Arc<str>> = {
            let mut state = self.state.lock();
            change(&mut state);
            let means =
                |group: &Group| group.members().any(|(_, m)| m.profile.interest.means(name));
            let meant = state.live.iter_mut().filter(|(_, group)| means(group));
            meant
                .map(|(id, group)| {
                    group.changed();
                    Arc::clone(id)
                })
                .collect()
        };
        for group in meant {
            // What fails is told to the members.
            drop(self.settle(&group));
        }
    }

    /// Something is to be looked at no later than `at`.
    /// True when that is sooner than what was planned: who sleeps does not know.
    pub(super) fn plan(&self, at: Duration) -> bool {
        let at = nanos(at);
        self.due.load(Ordering::SeqCst) > at && self.due.fetch_min(at, Ordering::SeqCst) > at
    }

    /// Plans, and calls who sleeps in the group, to sleep no longer than that.
    pub(super) fn plan_for(&self, group: &str, at: Duration) {
        let _ = self.plan(at);
        let sleepers = self.state.lock().sleepers(group);
        sleepers.into_iter().for_each(Waker::wake);
    }

    /// What happened since the last call of this.
    pub fn take_events(&self) -> Vec<GroupEvent> {
        self.state.lock().events.take(GroupEvent::Missed)
    }
}

impl State {
    /// Takes a record into the state that was just appended: behind all that transactions have
    /// written.
    pub(super) fn apply(&mut self, record: Record) {
        self.pending.supersede(&record, u64::MAX);
        self.ledger.apply(record);
    }

    /// Who lives after an open: static members, for a session timeout.
    fn revive(&mut self, now: Duration, wall: i64) {
        let mut ended = Vec::new();
        for (group, account) in self.ledger.groups() {
            let entry = account.entry();
            let mut live = Group::at(entry.map_or(0, |entry| entry.epoch));
            for (instance, entry) in account.statics() {
                let Ok(interest) = Interest::new(entry.subscription.clone()) else { continue };
                let profile = Profile {
                    id: Arc::clone(&entry.member_id),
                    client_id: Arc::clone(&entry.client_id),
                    instance_id: Some(Arc::clone(instance)),
                    interest,
                    assignor: entry.assignor.clone(),
                    max_poll_interval: entry.max_poll_interval,
                    session_timeout: entry.session_timeout,
                };
                let until = now.saturating_add(entry.session_timeout);
                live.restore(profile, until, &entry.parts);
            }
            let empty = live.members().len() == 0;
            if let Some(entry) = entry.filter(|e| empty && e.empty_since_ms.is_none()) {
                let entry = GroupEntry { empty_since_ms: Some(wall), ..entry };
                ended.push(Record::Group(Arc::clone(group), Some(entry)));
            }
            self.live.insert(Arc::clone(group), live);
        }
        ended.into_iter().for_each(|record| self.ledger.apply(record));
    }

    fn admit(&self, group: &str, profile: &Profile, max_size: usize) -> Result<()> {
        let Some(live) = self.live.get(group) else { return Ok(()) };
        let known = profile.instance_id.as_deref().is_some_and(|id| live.instance(id).is_some());
        if !known && live.members().len() >= max_size {
            let message = format!("{group:?} has group.max.size={max_size} members");
            return Err(Error::new(ErrorKind::GroupMaxSizeReached, message));
        }
        Ok(())
    }

    fn enter(
        &mut self,
        group: &Arc<str>,
        profile: Profile,
        pulse: &Arc<Pulse>,
    ) -> (Vec<Waker>, MemberKey) {
        let live = self.live.entry(Arc::clone(group)).or_default();
        let old = profile.instance_id.as_deref().and_then(|instance| live.instance(instance));
        let life = Life::Handle(Arc::clone(pulse));
        let Some(old) = old else { return (Vec::new(), live.join(profile, life)) };
        let before = live.member(old).and_then(Member::pulse).cloned();
        let key = live.replace(old, profile, life);
        (before.map_or_else(Vec::new, |pulse| pulse.news()), key)
    }
}

impl Ledger {
    /// The record of a static member, where it is not what is known of it.
    fn missing_static(&self, group: &str, member: &Member) -> Option<Record> {
        let instance = member.profile.instance_id.as_ref()?;
        let profile = &member.profile;
        let entry = StaticEntry {
            member_id: Arc::clone(&profile.id),
            client_id: Arc::clone(&profile.client_id),
            subscription: Subscription::clone(profile.interest.said()),
            assignor: profile.assignor.clone(),
            session_timeout: profile.session_timeout,
            max_poll_interval: profile.max_poll_interval,
            parts: member.target.iter().copied().collect(),
        };
        let known = self.group(group).and_then(|(_, account)| account.statics().get(instance));
        (known != Some(&entry))
            .then(|| Record::Static(group.into(), Arc::clone(instance), Some(entry)))
    }

    /// The record of a group, where it is not known whether it has members.
    fn missing_group(&self, group: &str, live: &Group, clock: &dyn Clock) -> Option<Record> {
        let known = self.group(group).and_then(|(_, account)| account.entry());
        let is_empty = live.members().len() == 0;
        if known.is_some_and(|e| e.had_members && e.empty_since_ms.is_some() == is_empty) {
            return None;
        }
        let empty_since_ms = is_empty.then(|| clock.unix_ms());
        let entry = GroupEntry { epoch: live.epoch(), had_members: true, empty_since_ms };
        Some(Record::Group(group.into(), Some(entry)))
    }
}

pub(super) fn check_group_id(group: &str) -> Result<()> {
    let reason = match group.len() {
        0 => "it is empty".to_owned(),
        len if len > MAX_GROUP_ID => format!("it has {len} bytes, the limit is {MAX_GROUP_ID}"),
        _ => return Ok(()),
    };
    let shown: String = group.chars().take(MAX_GROUP_ID).collect();
    let message = format!("{shown:?} is no group id: {reason}");
    Err(Error::new(ErrorKind::InvalidGroupId, message))
}

/// What the log's own topic of groups goes by: one commit may be of every partition that there is.
pub fn topic_config(config: &mut TopicConfig) {
    config.max_message_bytes = 64 << 20;
    // The newest record of a key is all that a replay goes by.
    (config.cleanup_policy.compact, config.cleanup_policy.delete) = (true, false);
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator")
            .field("partition", &self.partition)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
