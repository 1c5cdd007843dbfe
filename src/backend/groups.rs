//! The verbs of consumer groups.
//!
//! A member is a [`GroupSession`]: as long as it is held the member lives, without heartbeats.
//! The coordinator tells it what it owns ([`GroupSession::assignment`]), it lets go of what is
//! gone from there and says so ([`GroupSession::release`]); only then another member gets it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::base::wait::Deadline;
use crate::base::{Error, Result, TopicPartition};

use super::WaitToken;

/// The coordinator of all groups of a log.
pub trait GroupBackend: Send + Sync + fmt::Debug {
    /// Adds a member to a group, which is created if need be. The target assignment is computed
    /// before this returns; what nobody else holds is the member's at once.
    ///
    /// With a `group.instance.id` whose handle is gone the new session takes its place, with the
    /// same partitions and no rebalance; a live one of that id is fenced (C43).
    ///
    /// `InvalidGroupId`, `UnsupportedAssignor`, `InvalidRegularExpression`,
    /// `InvalidSessionTimeout`, `GroupMaxSizeReached`, `AssignorFailed`, `Closed`: nobody has
    /// joined then.
    fn join(&self, join: JoinGroup) -> Result<Box<dyn GroupSession>>;

    /// Commits offsets, each on its own: what is refused is told in the reply, everything else
    /// has taken place when this returns, for whoever asks. It never waits for a disk; whether it
    /// would survive a power cut is what [`wait_committed`](Self::wait_committed) waits for.
    ///
    /// From an outsider (`member` is none) only while the group is empty, else `UnknownMemberId`;
    /// an unknown group is created. From a member: `UnknownMemberId` after it was removed,
    /// `FencedInstanceId` after another one took its instance id, `FencedMemberEpoch` for an
    /// epoch that it was never told. For each partition: `StaleMemberEpoch` when another member
    /// owns it, or the named epoch is an old one and the member does not own it since then.
    /// `UnknownTopicOrPartition`, `OffsetMetadataTooLarge` and `InvalidRequest` (an offset above
    /// i64::MAX) are told for each partition too.
    fn commit(&self, request: &CommitRequest<'_>) -> Result<CommitReply>;

    /// Waits until a commit has reached the level of the topics that it names. Below `PowerLoss`
    /// it returns at once. `DeliveryTimeout` at the deadline.
    fn wait_committed(&self, ticket: CommitTicket, deadline: Deadline) -> Result<()>;

    /// Who holds what in a group, by the members' ids; nobody in an unknown one. For people to
    /// read: it may be old when it is told.
    fn holders(&self, group: &str) -> Result<BTreeMap<Arc<str>, Vec<TopicPartition>>>;

    /// The committed offsets of `partitions`, those that there are; of all with `None`. An
    /// unknown group has none. Needs no membership.
    fn committed(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>>;

    /// As [`committed`](Self::committed); `UnstableOffsetCommit` while an open transaction has
    /// committed any of them (B38).
    fn committed_stable(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        self.committed(group, partitions)
    }
}

/// One member of a group: it lives as long as this is held.
///
/// Dropped, a dynamic member leaves at once; a static one (with an instance id) stays for its
/// session timeout, so that a successor gets the same partitions. A drop commits nothing.
pub trait GroupSession: Send + Sync + fmt::Debug + 'static {
    /// The member's id: another one for each session, also for a static member.
    fn member_id(&self) -> &Arc<str>;

    /// Grows whenever [`assignment`](Self::assignment) would tell something new, its errors
    /// included. One atomic load: for every poll.
    fn version(&self) -> u64;

    /// What the member owns now. Partitions that it was told before and that are not in here any
    /// more stay its own until it calls [`release`](Self::release); it must do so soon, and
    /// before it asks again.
    ///
    /// `UnknownMemberId` when it was removed (it did not poll in time, or an operator did it),
    /// `FencedInstanceId` when another session took its instance id: everything is lost, and
    /// only a new join helps.
    fn assignment(&self) -> Result<GroupAssignment>;

    /// Whether it is still a member; tells it nothing. Errors as [`assignment`](Self::assignment).
    fn check_member(&self) -> Result<()>;

    /// Says that the member uses nothing beyond the last assignment that it was told. What it has
    /// let go of goes to others at once. Errors as [`assignment`](Self::assignment).
    fn release(&self) -> Result<()>;

    /// Subscribes to something else. Errors as [`GroupBackend::join`], the former subscription
    /// stays then; or as [`assignment`](Self::assignment).
    fn subscribe(&self, subscription: Subscription) -> Result<()>;

    /// A poll begins: while it lasts the member cannot be late (C31). Also looks whether others
    /// are, and removes them.
    fn poll_began(&self);

    /// A poll ends: the next one must begin within `max.poll.interval.ms`.
    fn poll_ended(&self);

    /// How long until the coordinator should be looked at again by whoever waits in a poll: some
    /// member is then late. `None` when nothing is planned. The waiter calls
    /// [`poll_began`](Self::poll_began) again when the time has passed.
    fn next_due(&self) -> Option<Duration>;

    /// Calls `waker` once when [`version`](Self::version) is greater than `seen`. `None` when it
    /// already is.
    fn register(&self, seen: u64, waker: &Waker) -> Option<WaitToken>;

    /// Takes a registration back; one that has fired is ignored.
    fn unregister(&self, token: WaitToken);

    /// Leaves the group for good, at once; a static member too. Idempotent.
    fn leave(&self);
}

/// What a member is told.
#[derive(Clone, Debug)]
pub struct GroupAssignment {
    /// The [`version`](GroupSession::version) that this is of.
    pub version: u64,
    /// The member's epoch: what its commits name.
    pub epoch: i32,
    /// What it owns, in order.
    pub partitions: Vec<TopicPartition>,
    /// Those of them that it was not told of before. A partition that the member knows by name
    /// is in here when its topic was deleted and created again: it is another one.
    pub fresh: Vec<TopicPartition>,
    /// Whether others still hold partitions that are to be this member's.
    pub pending: bool,
    /// Why the present target is not one of the present members: an assignor failed.
    pub problem: Option<Error>,
}

/// A request to join.
#[derive(Clone, Debug)]
pub struct JoinGroup {
    /// The group's id.
    pub group: Arc<str>,
    /// `client.id`, what the member's id begins with.
    pub client_id: Arc<str>,
    /// `group.instance.id`, of a static member.
    pub instance_id: Option<Arc<str>>,
    /// What it wants to read.
    pub subscription: Subscription,
    /// `group.remote.assignor`; none: the group's choice, or `uniform`.
    pub assignor: Option<Arc<str>>,
    /// `max.poll.interval.ms`.
    pub max_poll_interval: Duration,
    /// `session.timeout.ms`: how long a static member outlives its handle.
    pub session_timeout: Duration,
}

/// What a member wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// These topics, as far as they exist.
    Topics(Vec<Arc<str>>),
    /// Every topic, now or later, whose whole name matches this regular expression; never the
    /// log's own.
    Pattern(Arc<str>),
}

/// Who commits: a member, in an epoch that it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRef {
    /// The member's id.
    pub member_id: Arc<str>,
    /// Its epoch.
    pub epoch: i32,
}

/// A request to commit.
#[derive(Clone, Copy, Debug)]
pub struct CommitRequest<'a> {
    /// The group's id.
    pub group: &'a str,
    /// Who commits; none: an outsider.
    pub member: Option<&'a MemberRef>,
    /// What; of several for one partition the last one counts.
    pub offsets: &'a [CommitOffset<'a>],
    /// How long to wait for room in the stage.
    pub max_block: Duration,
}

/// One offset to commit.
#[derive(Clone, Copy, Debug)]
pub struct CommitOffset<'a> {
    /// Of which partition.
    pub partition: &'a TopicPartition,
    /// The next offset to be read.
    pub offset: u64,
    /// The epoch of the record before it, where it is known.
    pub leader_epoch: Option<i32>,
    /// Anything, up to `offset.metadata.max.bytes`.
    pub metadata: &'a str,
}

/// What became of a commit.
#[derive(Clone, Debug, Default)]
pub struct CommitReply {
    /// What was refused; everything else was committed.
    pub refused: Vec<(TopicPartition, Error)>,
    /// What to wait for.
    pub ticket: CommitTicket,
}

/// A commit to wait for; the default one has nothing to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitTicket(pub Option<u64>);

impl CommitTicket {
    /// Whether there is anything to wait for.
    pub fn is_due(self) -> bool {
        self.0.is_some()
    }
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommittedOffset {
    /// The next offset to be read.
    pub offset: u64,
    /// The epoch of the record before it, where it was known.
    pub leader_epoch: Option<i32>,
    /// What was committed with it.
    pub metadata: Arc<str>,
    /// When: wall time, in milliseconds since the Unix epoch.
    pub commit_ms: i64,
}
