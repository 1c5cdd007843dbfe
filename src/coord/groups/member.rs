//! One member of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::pulse::Pulse;
use super::topics::{Interest, Part};

/// A member within its group: numbers are given in the order of joining.
pub type MemberKey = u64;

/// Who joins, and how it wants to be treated.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The member's id.
    pub id: Arc<str>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// `group.instance.id`, of a static member.
    pub instance_id: Option<Arc<str>>,
    /// What it wants to read.
    pub interest: Interest,
    /// `group.remote.assignor`.
    pub assignor: Option<Arc<str>>,
    /// `max.poll.interval.ms`.
    pub max_poll_interval: Duration,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
}

/// How far a partition is in the hands of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grip {
    /// It is the member's, which does not know yet: it can be taken back at once.
    Granted,
    /// The member was told of it, and may use it.
    Told,
    /// The member was told that it has to let go of it.
    Leaving,
}

/// A partition in the hands of a member.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// How far.
    pub grip: Grip,
    /// The group's epoch in which it came.
    pub since: i32,
}

/// What keeps a member alive.
#[derive(Clone, Debug)]
pub enum Life {
    /// Its handle.
    Handle(Arc<Pulse>),
    /// A static member whose handle is gone: until this moment of monotonic time.
    Until(Duration),
}

/// One member of a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who it is.
    pub profile: Profile,
    /// What keeps it alive.
    pub life: Life,
    /// The epoch that it was told last.
    pub epoch: i32,
    /// What is in its hands.
    pub holds: BTreeMap<Part, Hold>,
    /// What is to be in its hands.
    pub target: BTreeSet<Part>,
}

impl Member {
    /// Its name for assignors, that of a static member being the same in its next session.
    pub fn name(&self) -> &Arc<str> {
        self.profile.instance_id.as_ref().unwrap_or(&self.profile.id)
    }

    /// When it is to be removed, should nothing be heard of it; none while it is in a poll.
    pub fn due(&self) -> Option<Duration> {
        match &self.life {
            Life::Handle(pulse) => pulse.rests_since()?.checked_add(self.profile.max_poll_interval),
            Life::Until(end) => Some(*end),
        }
    }

    /// As [`due`](Self::due); of one that is in a poll: if that ended now.
    pub fn due_at_soonest(&self, now: Duration) -> Option<Duration> {
        let in_poll = self.pulse().is_some_and(|pulse| pulse.rests_since().is_none());
        if in_poll { now.checked_add(self.profile.max_poll_interval) } else { self.due() }
    }

    /// Its pulse, while it has a handle.
    pub fn pulse(&self) -> Option<&Arc<Pulse>> {
        match &self.life {
            Life::Handle(pulse) => Some(pulse),
            Life::Until(_) => None,
        }
    }
}
