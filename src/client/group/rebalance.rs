//! Following the group: what goes is committed, told and let go of, what comes gets a position
//! and is told. In this order, and before the poll returns.

use crate::backend::{GroupAssignment, GroupSession, MemberRef};
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::super::consumer_event::ConsumerEvent;
use super::super::fetcher::Fetcher;
use super::super::positions::Position;
use super::holdings::PATIENCE;
use super::listener::Rebalance;
use super::membership::{Membership, Parts};

impl Membership {
    /// Joins if need be, and takes over what the group has decided since. What goes wrong with
    /// the listener is returned when everything is in order again.
    pub(in crate::client) fn tend(&mut self, parts: &mut Parts<'_>) -> Result<()> {
        self.tell_done(parts.backend);
        if let Some(fatal) = &self.fatal {
            return Err(fatal.clone());
        }
        // Each pass may bring the next one about: what was let go of comes back, say.
        for _ in 0..8 {
            if self.session.is_none() {
                self.join(parts.backend)?;
            }
            let Some(session) = self.session.as_deref() else { return Ok(()) };
            if self.seen == Some(session.version()) {
                return Ok(());
            }
            match session.assignment() {
                Ok(assignment) => self.take_over(parts, assignment)?,
                Err(error) if is_removal(&error) => self.lose(parts, error)?,
                Err(error) => return Err(error),
            }
            if self.unstable {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take_over(&mut self, parts: &mut Parts<'_>, assignment: GroupAssignment) -> Result<()> {
        let GroupAssignment { version, epoch, partitions, fresh, pending, problem } = assignment;
        let is_new_epoch = self.member.as_ref().is_some_and(|member| member.epoch != epoch);
        if let Some(member) = &mut self.member {
            member.epoch = epoch;
        }
        self.pending = pending;
        // A topic that came again has the partitions of the old one no more than any other has.
        let is_gone = |tp: &&TopicPartition| !has(&partitions, tp) || has(&fresh, tp);
        let gone: Vec<_> = self.owned.iter().filter(is_gone).cloned().collect();
        let told = self.give_up(parts, &gone);
        let is_new = |tp: &&TopicPartition| !has(&self.owned, tp);
        let come: Vec<_> = partitions.iter().filter(is_new).cloned().collect();
        let begun = self.begin(parts, &come);
        self.unstable = matches!(&begun, Err(e) if e.kind() == ErrorKind::UnstableOffsetCommit);
        if let Err(error) = begun {
            // Not taken over: the next poll tries again, if they are still to come then.
            parts.fetcher.remove(&come);
            return told.and(if self.unstable { Ok(()) } else { Err(error) });
        }
        self.owned = partitions;
        self.seen = Some(version);
        parts.events.borrow_mut().fit(self.owned.len());
        let told = told.and(if come.is_empty() && !is_new_epoch {
            Ok(())
        } else {
            self.tell_assigned(parts, &come)
        });
        if let Some(cause) = problem {
            parts.events.borrow_mut().push(ConsumerEvent::AssignorFailed { cause });
        }
        told
    }

    /// Commits, tells and lets go of `gone`.
    pub(super) fn give_up(&mut self, parts: &mut Parts<'_>, gone: &[TopicPartition]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        if self.auto.is_on() {
            self.commit_moved(parts, PATIENCE);
        }
        self.auto.forget(gone);
        self.owned.retain(|partition| gone.binary_search(partition).is_err());
        let (session, fetcher) = (self.session.as_deref(), &mut *parts.fetcher);
        let going = Going { session, fetcher, gone };
        let Some(listener) = &mut self.listener else { return Ok(()) };
        let mut cx = Rebalance {
            backend: parts.backend,
            settings: parts.settings,
            events: parts.events,
            fetcher: &mut *going.fetcher,
            group: &self.settings.id,
            member: self.member.as_ref(),
        };
        listener.revoked(&mut cx, gone)
    }

    /// The member was removed: everything is gone already.
    fn lose(&mut self, parts: &mut Parts<'_>, cause: Error) -> Result<()> {
        let gone = std::mem::take(&mut self.owned);
        let was: Option<MemberRef> = self.member.clone();
        drop(self.end_session());
        self.auto.forget(&gone);
        let event = ConsumerEvent::Removed { partitions: gone.clone(), cause: cause.clone() };
        parts.events.borrow_mut().push(event);
        let is_fenced = cause.kind() == ErrorKind::FencedInstanceId;
        if is_fenced {
            self.fatal = Some(cause.clone());
        }
        let going = Going { session: None, fetcher: &mut *parts.fetcher, gone: &gone };
        let told = match &mut self.listener {
            Some(listener) if !gone.is_empty() => {
                let mut cx = Rebalance {
                    backend: parts.backend,
                    settings: parts.settings,
                    events: parts.events,
                    fetcher: &mut *going.fetcher,
                    group: &self.settings.id,
                    member: was.as_ref(),
                };
                listener.lost(&mut cx, &gone)
            }
            _ => Ok(()),
        };
        drop(going);
        if is_fenced { told.and(Err(cause)) } else { told }
    }

    /// Reads `come` from where the group stands, or from where the reset policy says now (C09):
    /// nothing that is sent later is missed.
    fn begin(&mut self, parts: &mut Parts<'_>, come: &[TopicPartition]) -> Result<()> {
        if come.is_empty() {
            return Ok(());
        }
        let committed = self.committed_at(parts.settings.isolation, parts.backend, come)?;
        for partition in come {
            match parts.fetcher.add(parts.backend, partition) {
                Ok(()) => {}
                // It is being deleted, and the group will say so.
                Err(error) if error.kind() == ErrorKind::UnknownTopicOrPartition => continue,
                Err(error) => return Err(error),
            }
            let known = committed.binary_search_by(|(tp, _)| tp.cmp(partition)).ok();
            match known.and_then(|at| committed.get(at)) {
                Some((_, committed)) => {
                    let position = Position::At(committed.offset);
                    parts.fetcher.change(partition, |slot| slot.seek(position));
                    self.auto.note([(partition, committed.offset)]);
                }
                None => fix(parts, partition),
            }
        }
        Ok(())
    }

    fn tell_assigned(&mut self, parts: &mut Parts<'_>, come: &[TopicPartition]) -> Result<()> {
        let Some(listener) = &mut self.listener else { return Ok(()) };
        let mut cx = Rebalance {
            backend: parts.backend,
            settings: parts.settings,
            events: parts.events,
            fetcher: &mut *parts.fetcher,
            group: &self.settings.id,
            member: self.member.as_ref(),
        };
        listener.assigned(&mut cx, come)
    }

    /// Leaves: for good, or, as a static member, only for a while. `commit`: what was returned
    /// is committed before, if that is what the consumer does by itself.
    pub(in crate::client) fn leave(&mut self, parts: &mut Parts<'_>, for_good: bool) -> Result<()> {
        if let Some(cause) = self.removal() {
            return self.leave_late(parts, cause);
        }
        let committed = if self.auto.is_on() { self.commit_all(parts) } else { Ok(()) };
        self.tell_all(parts.backend);
        let gone = self.owned.clone();
        let told = self.give_up(parts, &gone);
        self.wanted = None;
        self.fatal = None;
        let is_static = self.settings.instance_id.is_some();
        if let Some(session) = self.end_session().filter(|_| for_good || !is_static) {
            session.leave();
        }
        committed.and(told)
    }
}

impl Membership {
    /// Leaves a group that has removed it before: nothing can be committed any more, and others
    /// may have what it had.
    fn leave_late(&mut self, parts: &mut Parts<'_>, cause: Error) -> Result<()> {
        self.tell_all(parts.backend);
        let told = self.lose(parts, cause.clone());
        self.wanted = None;
        self.fatal = None;
        if self.auto.is_on() { Err(cause) } else { told }
    }
}

/// The position by the reset policy, now. One that cannot be known yet is the next poll's to
/// tell, unless the listener knows better.
fn fix(parts: &mut Parts<'_>, partition: &TopicPartition) {
    let context = super::holdings::context(parts.backend, parts.settings, parts.events);
    if let Some(slot) = parts.fetcher.slot(partition) {
        drop(slot.position(context));
    }
}

pub(super) fn is_removal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::UnknownMemberId | ErrorKind::FencedInstanceId)
}

/// Whether `all`, which are in order, have this one.
fn has(all: &[TopicPartition], partition: &TopicPartition) -> bool {
    all.binary_search(partition).is_ok()
}

/// Partitions that are going: dropped, by a panic of the listener too, it lets go of them.
struct Going<'g> {
    session: Option<&'g dyn GroupSession>,
    fetcher: &'g mut Fetcher,
    gone: &'g [TopicPartition],
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.fetcher.remove(self.gone);
        if let Some(session) = self.session {
            // A member that was removed meanwhile hears of it with its next assignment.
            drop(session.release());
        }
    }
}
