//! The state of a consumer that names a group.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::backend::{Backend, GroupSession, JoinGroup, MemberRef, Subscription, WaitToken};
use crate::base::{Error, Isolation, Result, TopicPartition};

use super::super::bell::{Bell, Chime};
use super::super::consumer_event::{ConsumerEvent, Events};
use super::super::consumer_settings::ConsumerSettings;
use super::super::fetcher::Fetcher;
use super::super::offsets::Offsets;
use super::async_commits::{AsyncCommits, Callback};
use super::auto_commit::AutoCommit;
use super::committed::OffsetAndMetadata;
use super::holdings::{self, PATIENCE, detailed, plain, positions};
use super::listener::RebalanceListener;
use super::metadata::GroupMetadata;
use super::rebalance::is_removal;
use super::settings::GroupSettings;

/// The number that a group's chime rings with: no slot has it.
const GROUP_CHIME: usize = usize::MAX;

/// How soon a member looks again that waits for the outcome of a transaction.
const FOR_OUTCOME: Duration = Duration::from_millis(1);

/// The parts of a consumer that its membership works on.
pub(in crate::client) struct Parts<'c> {
    pub(in crate::client) backend: &'c dyn Backend,
    pub(in crate::client) settings: &'c ConsumerSettings,
    pub(in crate::client) events: &'c RefCell<Events>,
    pub(in crate::client) fetcher: &'c mut Fetcher,
}

/// A consumer's place in its group, if it has one now.
pub(in crate::client) struct Membership {
    pub(super) settings: GroupSettings,
    pub(super) listener: Option<Box<dyn RebalanceListener>>,
    /// What it subscribes to; none: partitions are assigned by hand, or not at all.
    pub(super) wanted: Option<Subscription>,
    pub(super) session: Option<Box<dyn GroupSession>>,
    /// Who it is for commits.
    pub(super) member: Option<MemberRef>,
    /// The version of the assignment that was taken over.
    pub(super) seen: Option<u64>,
    /// Others still hold what is to be this member's.
    pub(super) pending: bool,
    /// An open transaction has committed offsets of what is to be this member's: it waits for the
    /// outcome.
    pub(super) unstable: bool,
    /// What it owns, in order.
    pub(super) owned: Vec<TopicPartition>,
    /// Why it will never be a member again, until it subscribes anew.
    pub(super) fatal: Option<Error>,
    pub(super) auto: AutoCommit,
    /// Positions have moved since the last commit.
    dirty: bool,
    told_later: AsyncCommits,
    chime: Arc<Chime>,
    waker: Waker,
    token: Option<WaitToken>,
}

impl Membership {
    pub(in crate::client) fn new(
        settings: GroupSettings,
        listener: Option<Box<dyn RebalanceListener>>,
        bell: &Arc<Bell>,
    ) -> Self {
        let chime = Chime::new(bell, GROUP_CHIME);
        Self {
            listener,
            wanted: None,
            session: None,
            member: None,
            seen: None,
            pending: false,
            unstable: false,
            owned: Vec::new(),
            fatal: None,
            auto: AutoCommit::new(settings.auto_commit()),
            dirty: false,
            told_later: AsyncCommits::default(),
            waker: Waker::from(Arc::clone(&chime)),
            chime,
            token: None,
            settings,
        }
    }

    pub(in crate::client) fn group(&self) -> &str {
        &self.settings.id
    }

    /// Whether its polls commit (`enable.auto.commit`).
    pub(in crate::client) fn commits_by_itself(&self) -> bool {
        self.auto.is_on()
    }

    pub(in crate::client) fn is_subscribed(&self) -> bool {
        self.wanted.is_some()
    }

    pub(in crate::client) fn subscription(&self) -> Option<&Subscription> {
        self.wanted.as_ref()
    }

    /// Whether a poll should not wait long: what it waits for may be up to a consumer of the
    /// same thread.
    pub(in crate::client) fn waits_for_others(&self) -> bool {
        (self.pending || self.unstable) && self.wanted.is_some()
    }

    /// Whether it knows what it owns, and nobody else still holds a part of it.
    pub(in crate::client) fn is_settled(&self) -> bool {
        self.seen.is_some() && !self.pending
    }

    pub(in crate::client) fn owned(&self) -> &[TopicPartition] {
        &self.owned
    }

    pub(in crate::client) fn owns_any(&self) -> bool {
        !self.owned.is_empty()
    }

    /// Whether it was removed from the group, and has not noticed.
    pub(in crate::client) fn was_removed(&self) -> bool {
        self.removal().is_some()
    }

    /// Why it was removed from the group, if it was and has not noticed.
    pub(super) fn removal(&self) -> Option<Error> {
        let session = self.session.as_deref()?;
        if self.seen == Some(session.version()) {
            return None;
        }
        session.check_member().err().filter(is_removal)
    }

    /// What to call this member in messages.
    pub(in crate::client) fn name(&self) -> &str {
        self.member.as_ref().map_or("this consumer", |member| &member.member_id)
    }

    /// Who holds what, in words.
    pub(in crate::client) fn holders(&self, backend: &dyn Backend) -> String {
        let held = backend.groups().and_then(|groups| groups.holders(&self.settings.id));
        let held: Vec<String> = held
            .into_iter()
            .flatten()
            .filter(|(_, partitions)| !partitions.is_empty())
            .map(|(member, partitions)| {
                let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
                format!("{member} holds {}", names.join(", "))
            })
            .collect();
        if held.is_empty() { "nobody holds any".to_owned() } else { held.join("; ") }
    }

    pub(in crate::client) fn metadata(&self) -> GroupMetadata {
        GroupMetadata {
            group: Arc::clone(&self.settings.id),
            member_id: self.member.as_ref().map(|member| Arc::clone(&member.member_id)),
            epoch: self.member.as_ref().map_or(-1, |member| member.epoch),
            instance_id: self.settings.instance_id.clone(),
        }
    }

    /// Subscribes to something else. Nothing has changed after an error.
    pub(in crate::client) fn subscribe(&mut self, subscription: Subscription) -> Result<()> {
        if let Some(session) = self.session.as_deref() {
            match session.subscribe(subscription.clone()) {
                // The next poll notices, and joins again with this.
                Err(error) if is_removal(&error) => {}
                outcome => outcome?,
            }
        }
        self.fatal = None;
        self.wanted = Some(subscription);
        Ok(())
    }

    pub(super) fn join(&mut self, backend: &dyn Backend) -> Result<()> {
        let Some(subscription) = self.wanted.clone() else { return Ok(()) };
        let session = backend.groups()?.join(JoinGroup {
            group: Arc::clone(&self.settings.id),
            client_id: Arc::clone(&self.settings.client_id),
            instance_id: self.settings.instance_id.clone(),
            subscription,
            assignor: self.settings.assignor.clone(),
            max_poll_interval: self.settings.max_poll_interval,
            session_timeout: self.settings.session_timeout,
        })?;
        session.poll_began();
        let member_id = Arc::clone(session.member_id());
        self.member = Some(MemberRef { member_id, epoch: 0 });
        self.seen = None;
        self.session = Some(session);
        Ok(())
    }

    /// Lets go of the session: of a member that was removed, or that has left.
    pub(super) fn end_session(&mut self) -> Option<Box<dyn GroupSession>> {
        self.take_chime_back();
        self.seen = None;
        self.pending = false;
        self.unstable = false;
        self.member = None;
        self.session.take()
    }

    /// While a poll lasts the member cannot be late. Also notices other members that are.
    pub(in crate::client) fn poll_began(&self) {
        if let Some(session) = self.session.as_deref() {
            session.poll_began();
        }
    }

    /// `moved`: it has returned something.
    pub(in crate::client) fn poll_ended(&mut self, moved: bool) {
        self.dirty |= moved;
        if let Some(session) = self.session.as_deref() {
            session.poll_ended();
        }
    }

    /// A position was changed by hand.
    pub(in crate::client) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Has the consumer's bell rung when the assignment changes. False when it has already.
    pub(in crate::client) fn may_sleep(&mut self) -> bool {
        self.take_chime_back();
        if self.unstable {
            // It looks again soon.
            return true;
        }
        let (Some(session), Some(seen)) = (self.session.as_deref(), self.seen) else {
            return self.wanted.is_none();
        };
        self.chime.reset();
        self.token = session.register(seen, &self.waker);
        self.token.is_some()
    }

    fn take_chime_back(&mut self) {
        if let (Some(token), Some(session)) = (self.token.take(), self.session.as_deref()) {
            session.unregister(token);
        }
    }

    /// How long a poll may sleep before something here is due.
    pub(in crate::client) fn next_due(&self, backend: &dyn Backend) -> Option<Duration> {
        let late = self.session.as_deref().and_then(GroupSession::next_due);
        let commit = if self.dirty { self.auto.due_in(backend.clock()) } else { None };
        let outcome = self.unstable.then_some(FOR_OUTCOME);
        late.into_iter().chain(commit).chain(outcome).min()
    }

    /// Commits what earlier polls have returned, if it is time to. Never waits for the disk.
    pub(in crate::client) fn auto_commit(&mut self, parts: &Parts<'_>) {
        let clock = parts.backend.clock();
        if self.auto.is_due(clock) {
            self.auto.plan(clock);
            if self.dirty {
                self.commit_moved(parts, Duration::ZERO);
            }
        }
    }

    /// Commits the positions that have moved, and tells of a failure by an event.
    pub(super) fn commit_moved(&mut self, parts: &Parts<'_>, max_block: Duration) {
        let moved = self.auto.moved(&positions(parts.fetcher));
        if moved.is_empty() {
            self.dirty = false;
            return;
        }
        match self.place(parts.backend, &moved, max_block).and_then(|(_, outcome)| outcome) {
            Ok(()) => {
                self.auto.note(moved.iter());
                self.dirty = false;
            }
            Err(cause) => parts
                .events
                .borrow_mut()
                .push(ConsumerEvent::CommitFailed { offsets: moved, cause }),
        }
    }

    fn place(
        &self,
        backend: &dyn Backend,
        offsets: &Offsets,
        max_block: Duration,
    ) -> Result<(crate::backend::CommitTicket, Result<()>)> {
        let plain: Vec<_> = offsets.iter().map(|(tp, offset)| plain(tp, offset)).collect();
        holdings::place(backend, &self.settings.id, self.member.as_ref(), &plain, max_block)
    }

    /// Commits the positions of everything that is assigned, and waits.
    pub(in crate::client) fn commit_all(&mut self, parts: &Parts<'_>) -> Result<()> {
        let all = positions(parts.fetcher);
        self.commit(parts.backend, &all)
    }

    /// Commits these, and waits.
    pub(in crate::client) fn commit(
        &mut self,
        backend: &dyn Backend,
        offsets: &Offsets,
    ) -> Result<()> {
        self.tell_all(backend);
        if offsets.is_empty() {
            return Ok(());
        }
        holdings::commit_offsets(backend, &self.settings.id, self.member.as_ref(), offsets)?;
        self.auto.note(offsets.iter());
        Ok(())
    }

    /// Commits these with their metadata, and waits.
    pub(in crate::client) fn commit_detailed(
        &mut self,
        backend: &dyn Backend,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
    ) -> Result<()> {
        self.tell_all(backend);
        let detailed: Vec<_> = offsets.iter().map(|(tp, offset)| detailed(tp, offset)).collect();
        holdings::commit(backend, &self.settings.id, self.member.as_ref(), &detailed)?;
        self.auto.note(offsets.iter().map(|(tp, offset)| (tp, offset.offset)));
        Ok(())
    }

    /// Commits these and does not wait: `callback` is told by a later poll, commit or close.
    pub(in crate::client) fn commit_async(
        &mut self,
        backend: &dyn Backend,
        offsets: &Offsets,
        callback: Callback,
    ) {
        let placed = self.place(backend, offsets, Duration::ZERO).and_then(|(ticket, outcome)| {
            outcome?;
            self.auto.note(offsets.iter());
            Ok(ticket)
        });
        self.told_later.push(placed, callback);
    }

    /// Tells of asynchronous commits that are done.
    pub(in crate::client) fn tell_done(&mut self, backend: &dyn Backend) {
        self.told_later.tell_done(backend);
    }

    pub(super) fn tell_all(&mut self, backend: &dyn Backend) {
        self.told_later.tell_all(backend, PATIENCE);
    }

    /// What the group has committed for these.
    pub(in crate::client) fn committed(
        &self,
        backend: &dyn Backend,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, OffsetAndMetadata)>> {
        self.committed_at(Isolation::ReadUncommitted, backend, partitions)
    }

    /// As [`committed`](Self::committed); at read-committed `UnstableOffsetCommit` while an open
    /// transaction has committed any of them (B38).
    pub(super) fn committed_at(
        &self,
        isolation: Isolation,
        backend: &dyn Backend,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, OffsetAndMetadata)>> {
        let (groups, id) = (backend.groups()?, &self.settings.id);
        let found = match isolation {
            Isolation::ReadUncommitted => groups.committed(id, Some(partitions))?,
            Isolation::ReadCommitted => groups.committed_stable(id, Some(partitions))?,
        };
        Ok(found.into_iter().map(|(tp, committed)| (tp, committed.into())).collect())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.take_chime_back();
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("group", &self.settings.id)
            .field("wanted", &self.wanted)
            .field("member", &self.member)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}
