//! A member's handle: as long as it is held, the member lives.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;

use crate::backend::{GroupAssignment, GroupSession, Subscription, WaitToken};
use crate::base::{Error, Result};

use super::coordinator::{Coordinator, State};
use super::group::Group;
use super::member::MemberKey;
use super::pulse::Pulse;
use super::topics::{Interest, Part};

/// A member's handle.
pub struct Session {
    coordinator: Arc<Coordinator>,
    group: Arc<str>,
    id: Arc<str>,
    key: MemberKey,
    pulse: Arc<Pulse>,
    max_poll_interval: Duration,
    session_timeout: Duration,
    left: AtomicBool,
}

impl Session {
    pub(super) fn new(
        coordinator: Arc<Coordinator>,
        group: Arc<str>,
        id: Arc<str>,
        key: MemberKey,
        pulse: Arc<Pulse>,
        (max_poll_interval, session_timeout): (Duration, Duration),
    ) -> Self {
        let left = AtomicBool::new(false);
        Self { coordinator, group, id, key, pulse, max_poll_interval, session_timeout, left }
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }

    /// The group, while this is a member of it.
    fn with<T>(&self, act: impl FnOnce(&mut State, MemberKey) -> T) -> Result<T> {
        self.coordinator.check_open()?;
        let mut state = self.coordinator.state.lock();
        self.find(&state)?;
        let done = act(&mut state, self.key);
        let woken = self.coordinator.tell_news(&mut state, &self.group);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        Ok(done)
    }

    fn find(&self, state: &State) -> Result<()> {
        match state.live.get(&self.group) {
            Some(live) if live.key(&self.id) == Some(self.key) => Ok(()),
            Some(live) => Err(live.no_member(&self.id)),
            None => Err(Group::default().no_member(&self.id)),
        }
    }

    /// Leaves, once.
    pub(super) fn quit(&self) {
        if !self.left.swap(true, Ordering::AcqRel) {
            self.coordinator.remove_members(&self.group, &[self.key], Some(&self.id));
        }
    }
}

impl GroupSession for Session {
    fn member_id(&self) -> &Arc<str> {
        &self.id
    }

    fn version(&self) -> u64 {
        self.pulse.version()
    }

    fn assignment(&self) -> Result<GroupAssignment> {
        self.with(|state, key| {
            let version = self.pulse.version();
            let told = state.live.get_mut(&self.group)?.tell(key)?;
            let named = |parts: &[Part]| {
                let names = parts.iter().filter_map(|part| state.topics.name(*part));
                let mut partitions: Vec<_> = names.collect();
                partitions.sort_unstable();
                partitions
            };
            Some(GroupAssignment {
                version,
                epoch: told.epoch,
                partitions: named(&told.parts),
                fresh: named(&told.fresh),
                pending: told.pending,
                problem: told.problem,
            })
        })?
        .ok_or_else(Error::closed)
    }

    fn check_member(&self) -> Result<()> {
        self.coordinator.check_open()?;
        self.find(&self.coordinator.state.lock())
    }

    fn release(&self) -> Result<()> {
        self.with(|state, key| {
            if let Some(group) = state.live.get_mut(&self.group) {
                group.release(key);
            }
        })
    }

    fn subscribe(&self, subscription: Subscription) -> Result<()> {
        let interest = Interest::new(subscription)?;
        let before = self.with(|state, key| {
            let group = state.live.get_mut(&self.group)?;
            let before = group.member(key)?.profile.interest.clone();
            group.subscribe(key, interest);
            Some(before)
        })?;
        let Some(problem) = self.coordinator.settle(&self.group) else { return Ok(()) };
        if let Some(before) = before {
            self.with(|state, key| {
                state.live.get_mut(&self.group).map(|group| group.subscribe(key, before))
            })?;
            drop(self.coordinator.settle(&self.group));
        }
        Err(problem)
    }

    fn poll_began(&self) {
        self.pulse.begin();
        if self.coordinator.is_due() {
            self.coordinator.run_due();
        }
    }

    fn poll_ended(&self) {
        let now = self.coordinator.now_or_later();
        self.pulse.rest(now);
        // Nobody is called: who sleeps has counted this poll as one that ends.
        let _ = self.coordinator.plan(now.saturating_add(self.max_poll_interval));
    }

    fn next_due(&self) -> Option<Duration> {
        self.coordinator.next_due()
    }

    fn register(&self, seen: u64, waker: &Waker) -> Option<WaitToken> {
        self.pulse.register(seen, waker)
    }

    fn unregister(&self, token: WaitToken) {
        self.pulse.unregister(token);
    }

    fn leave(&self) {
        self.quit();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.left.load(Ordering::Acquire) {
            return;
        }
        let until = self.coordinator.clock.monotonic().saturating_add(self.session_timeout);
        let is_static = {
            let mut state = self.coordinator.state.lock();
            let Some(live) = state.live.get_mut(&self.group) else { return };
            live.forget_fenced(&self.id);
            let mine = live.key(&self.id) == Some(self.key);
            let member = live.member(self.key).filter(|_| mine);
            let is_static = member.is_some_and(|m| m.profile.instance_id.is_some());
            if is_static {
                live.detach(self.key, until);
            }
            is_static
        };
        if is_static {
            self.coordinator.plan_for(&self.group, until);
        } else {
            self.quit();
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("group", &self.group)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
