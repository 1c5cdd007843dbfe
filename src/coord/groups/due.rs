//! What is due: late members go, dead sessions end, old offsets expire.
//!
//! There is no thread and no interval. Whoever polls, ticks or asks comes by here; while nothing
//! is due that costs one look at an atomic and one at the clock.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use crate::backend::CommittedOffset;
use crate::base::TopicId;
use crate::base::agenda::is_due;

use super::coordinator::{Coordinator, State};
use super::event::GroupEvent;
use super::group::Group;
use super::ledger::Account;
use super::member::MemberKey;
use super::pulse::nanos;
use super::record::Record;
use super::topics::Part;

/// How far the coarse clock is behind at most.
const COARSE: Duration = Duration::from_millis(10);

impl Coordinator {
    /// How long until something may be due.
    pub fn next_due(&self) -> Option<Duration> {
        let due = self.due.load(Ordering::SeqCst);
        let left = || Duration::from_nanos(due).saturating_sub(self.clock.monotonic());
        (due < u64::MAX - 1).then(left)
    }

    /// The time, or so much later as a clock that is cheap to read may be behind: nobody is late
    /// too soon.
    pub(super) fn now_or_later(&self) -> Duration {
        let behind = if self.clock.is_real() { COARSE } else { Duration::ZERO };
        self.clock.monotonic_coarse().saturating_add(behind)
    }

    /// Whether something may be due, by a clock that may be somewhat late.
    #[inline]
    pub fn is_due(&self) -> bool {
        let due = self.due.load(Ordering::SeqCst);
        due < u64::MAX - 1 && is_due(due, &*self.clock)
    }

    /// Does what is due. How long until there may be more.
    pub fn run_due(&self) -> Option<Duration> {
        if self.next_due() != Some(Duration::ZERO) || self.check_open().is_err() {
            return self.next_due();
        }
        let now = self.clock.monotonic();
        let (groups, woken) = {
            let mut state = self.state.lock();
            let late = state.late(now);
            let groups: Vec<Arc<str>> = late.iter().map(|(group, _)| Arc::clone(group)).collect();
            let mut woken = Vec::new();
            for (group, keys) in late {
                woken.extend(self.take_out(&mut state, &group, &keys, true));
            }
            let pass = self.expire_offsets(&mut state, now);
            let next = pass.into_iter().chain(state.next_late(now)).min();
            // Under the lock: who joins meanwhile lowers it afterwards. A poll that ends
            // meanwhile was counted as one that goes on, which is never later.
            self.due.store(next.map_or(u64::MAX, nanos), Ordering::SeqCst);
            (groups, woken)
        };
        woken.into_iter().for_each(Waker::wake);
        for group in groups {
            // What fails is told to the members.
            drop(self.settle(&group));
        }
        self.next_due()
    }

    /// Removes members; `id` is that of a session that may have been replaced.
    pub(super) fn remove_members(&self, group: &str, keys: &[MemberKey], id: Option<&str>) {
        let woken = {
            let mut state = self.state.lock();
            let Some(live) = state.live.get_mut(group) else { return };
            if let Some(id) = id {
                live.forget_fenced(id);
                if live.key(id) != keys.first().copied() {
                    return;
                }
            }
            self.take_out(&mut state, group, keys, false)
        };
        woken.into_iter().for_each(Waker::wake);
        if self.check_open().is_ok() {
            drop(self.settle(group));
        }
    }

    fn take_out(
        &self,
        state: &mut State,
        group: &str,
        keys: &[MemberKey],
        late: bool,
    ) -> Vec<Waker> {
        let (mut woken, mut records) = (Vec::new(), Vec::new());
        let Some(live) = state.live.get_mut(group) else { return woken };
        for member in keys.iter().filter_map(|key| live.remove(*key)) {
            woken.extend(member.pulse().into_iter().flat_map(|pulse| pulse.news()));
            let (member_id, instance) = (member.profile.id, member.profile.instance_id);
            records.extend(instance.map(|id| Record::Static(group.into(), id, None)));
            if late {
                let group = group.into();
                state.events.push(GroupEvent::MemberExpired { group, member_id });
            }
        }
        self.note(state, records);
        woken.extend(self.tell_news(state, group));
        woken
    }

    /// Takes away what is too old, if it is time to look. When to look again.
    fn expire_offsets(&self, state: &mut State, now: Duration) -> Option<Duration> {
        let retention = self.options.offsets_retention?;
        let next = state.retention.at().saturating_add(self.options.retention_check);
        if now < next {
            return Some(next);
        }
        let wall = self.clock.unix_ms();
        let jump = state.retention.look(now, wall).and_then(|ms| u64::try_from(ms).ok());
        let next = Some(now.saturating_add(self.options.retention_check));
        if let Some(by) = jump {
            // Perhaps the clock was set wrong: what is old is as old in the next pass.
            state.events.push(GroupEvent::ClockJumped(Duration::from_millis(by)));
            return next;
        }
        let before = wall.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
        let records = state.expired(before);
        if records.is_empty() || self.append(&records, Duration::ZERO).is_err() {
            return next;
        }
        for record in records {
            state.tell_expired(&record);
            state.apply(record);
        }
        next
    }
}

impl State {
    /// Members that are late, by group.
    fn late(&self, now: Duration) -> Vec<(Arc<str>, Vec<MemberKey>)> {
        let of_group = |(id, group): (&Arc<str>, &Group)| {
            let late = group.members().filter(|(_, m)| m.due().is_some_and(|due| due <= now));
            let keys: Vec<MemberKey> = late.map(|(key, _)| key).collect();
            (!keys.is_empty()).then(|| (Arc::clone(id), keys))
        };
        self.live.iter().filter_map(of_group).collect()
    }

    /// When somebody may be late next. Members that are in a poll count: when theirs ends nobody
    /// is called, and who sleeps by then must not sleep for ever.
    fn next_late(&self, now: Duration) -> Option<Duration> {
        let members = self.live.values().flat_map(Group::members);
        members.filter_map(|(_, member)| member.due_at_soonest(now)).min()
    }

    /// Calls the waiting members of a group to look again at when something is due.
    pub(super) fn sleepers(&self, group: &str) -> Vec<Waker> {
        let members = self.live.get(group).into_iter().flat_map(Group::members);
        members
            .filter_map(|(_, member)| member.pulse())
            .flat_map(|pulse| pulse.sleepers())
            .collect()
    }

    /// What takes away the offsets whose time ended before `before`, and groups that are left
    /// with nothing (C59 to C61).
    fn expired(&self, before: i64) -> Vec<Record> {
        let of_group = |(id, account): (&Arc<str>, &Account)| {
            if self.pending.has_group(id) {
                return Vec::new();
            }
            let live = self.live.get(id).filter(|live| live.members().len() > 0);
            let subscribed: HashSet<TopicId> = live.map_or_else(HashSet::new, |live| {
                let meant =
                    live.members().flat_map(|(_, m)| m.profile.interest.topics(&self.topics));
                meant.map(|topic| topic.id).collect()
            });
            let empty_since =
                account.entry().filter(|e| e.had_members).and_then(|e| e.empty_since_ms);
            let is_old = |(part, offset): &(&Part, &CommittedOffset)| {
                // The time of an empty group begins when its last member has gone.
                let since = match live {
                    Some(_) => offset.commit_ms,
                    None => offset.commit_ms.max(empty_since.unwrap_or(i64::MIN)),
                };
                !subscribed.contains(&part.0) && since <= before
            };
            let old = account.offsets().iter().filter(is_old);
            let mut records: Vec<Record> =
                old.map(|(part, _)| Record::Offset(Arc::clone(id), *part, None)).collect();
            let all = records.len() == account.offsets().len();
            let since = account.entry().and_then(|entry| entry.empty_since_ms);
            if live.is_none() && all && since.is_some_and(|since| since <= before) {
                records.push(Record::Group(Arc::clone(id), None));
            }
            records
        };
        self.ledger.groups().flat_map(of_group).collect()
    }

    fn tell_expired(&mut self, record: &Record) {
        match record {
            Record::Offset(group, part, None) => {
                let known = self.ledger.group(group).and_then(|(_, a)| a.offsets().get(part));
                let named = known.zip(self.topics.name(*part));
                if let Some((offset, partition)) = named {
                    let (group, offset) = (Arc::clone(group), offset.offset);
                    self.events.push(GroupEvent::OffsetExpired { group, partition, offset });
                }
            }
            Record::Group(group, None) => drop(self.live.remove(group)),
            _ => {}
        }
    }
}
