//! The poll: a look, and the wait between two looks.

use std::hint::spin_loop;
use std::sync::Arc;
use std::thread::yield_now;
use std::time::Duration;

use crate::backend::Changes;
use crate::base::wait::{Deadline, Parker};
use crate::base::{Error, ErrorKind, Isolation, Result};

use super::super::group::{Membership, context};
use super::super::records::Records;
use super::Consumer;

/// How long a poll waits for partitions that others still hold: they may be up to a consumer
/// that the same thread polls next.
const FOR_OTHERS: Duration = Duration::from_millis(10);

/// Looks before a sleep: two microseconds, as long as the system takes to wake a thread at best.
const LOOKS: usize = 40;
/// Where two threads hand records to and fro and both sleep, each would give up before the other is
/// awake: so long they give way and look on, to come together.
const LINGER: Duration = Duration::from_micros(50);

/// Whether to look for a while before sleeping: as long as that finds something soon, and now and
/// then to find out. Where records come rarely, or threads are more than processors, it does not.
#[derive(Debug, Default)]
pub(in crate::client) struct Eager {
    misses: u32,
    skips: u32,
    /// Records that came late, one after the other.
    late: u32,
}

/// When looking has found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Soon,
    /// While it gave way. So it is when the other thread was asleep, and will be awake from now on;
    /// and so it is where records come just as often, which is no reason to go on for long.
    Late,
    Never,
}

impl Eager {
    /// 2 to the power of so many polls in a row sleep at once, at most.
    const MOST_MISSES: u32 = 5;
    const MOST_LATE: u32 = 8;

    /// Whether the poll that begins looks before it sleeps.
    fn is_on(&self) -> bool {
        self.skips == 0
    }

    fn note(&mut self, found: Found) {
        self.late = if found == Found::Late { self.late + 1 } else { 0 };
        match found {
            Found::Soon => self.misses = 0,
            Found::Late if self.late < Self::MOST_LATE => {}
            Found::Late | Found::Never => {
                self.late = 0;
                self.misses = (self.misses + 1).min(Self::MOST_MISSES);
                self.skips = (1 << self.misses) - 1;
            }
        }
    }

    /// A poll has slept without looking.
    fn slept(&mut self) {
        self.skips = self.skips.saturating_sub(1);
    }
}

/// What ends a wait beside records, errors and its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Heed {
    /// Nothing.
    Records,
    /// A [`StopHandle`](crate::StopHandle).
    Stop,
}

impl Consumer {
    /// Returns records as soon as there are any, `max.poll.records` at most; none when
    /// `timeout` has passed.
    ///
    /// With `Duration::ZERO` it returns what is there; `Duration::MAX` waits for ever. Under a
    /// [`ManualClock`](crate::ManualClock) the timeout ends when injected or real time has
    /// passed. Partitions take turns. What was read beyond `max.poll.records` is kept for the
    /// next poll.
    ///
    /// # Errors
    ///
    /// An error never costs records: those that were found before it are returned first, and
    /// the error by the next poll. The position stays where it is.
    ///
    /// - `IllegalState`: nothing is assigned.
    /// - `Wakeup`: [`WakeupHandle::wakeup`](crate::WakeupHandle::wakeup) was called.
    /// - `NoOffsetForPartition`, `OffsetOutOfRange`: with the reset policy `none`, naming the
    ///   partition and the offset. Seek to go on.
    /// - `UnknownTopicOrPartition`: a topic was deleted. Told once; the other partitions go on,
    ///   and a new topic of that name is read as if it had just been assigned.
    /// - `CorruptMessage`, `StorageError`: what is stored cannot be read, naming partition and
    ///   offset. Seek past it to go on.
    /// - `Closed`: the log is closed.
    pub fn poll(&mut self, timeout: Duration) -> Result<Records> {
        let mut records = Records::default();
        self.poll_into(&mut records, timeout)?;
        Ok(records)
    }

    /// Like [`poll`](Self::poll), into `records`, whose former content is dropped and whose room
    /// is used again. Returns how many records there are.
    ///
    /// # Errors
    ///
    /// Those of [`poll`](Self::poll); `records` is then empty.
    pub fn poll_into(&mut self, records: &mut Records, timeout: Duration) -> Result<usize> {
        self.poll_heeding(Heed::Records, records, timeout)
    }

    pub(in crate::client) fn poll_heeding(
        &mut self,
        heed: Heed,
        records: &mut Records,
        timeout: Duration,
    ) -> Result<usize> {
        records.clear();
        self.fetcher.patient = timeout.is_zero() || self.eager.is_on();
        let mut poll = InPoll { consumer: self, moved: false };
        let outcome = poll.consumer.poll_until(heed, records, timeout);
        poll.moved = !records.is_empty();
        outcome
    }

    fn poll_until(
        &mut self,
        heed: Heed,
        records: &mut Records,
        timeout: Duration,
    ) -> Result<usize> {
        if !timeout.is_zero() {
            self.note_changes();
        }
        if self.look(records)? || !timeout.is_zero() && self.linger(records)? {
            return Ok(records.len());
        }
        if timeout.is_zero() {
            if self.backend.do_due() {
                self.look(records)?;
            }
            return Ok(records.len());
        }
        let clock = self.backend.clock();
        let (end, soon) = (Deadline::after(clock, timeout), Deadline::after(clock, FOR_OTHERS));
        loop {
            let waits = self.group.as_ref().is_some_and(Membership::waits_for_others);
            let deadline = if waits { end.earlier(soon) } else { end };
            let due = self.backend.run_due();
            let stopped = heed == Heed::Stop && self.bell.is_stop();
            if stopped || deadline.has_passed(self.backend.clock()) {
                self.look(records)?;
                return Ok(records.len());
            }
            if !self.fetcher.help(deadline)? {
                self.park(heed, due, deadline);
            }
            self.note_changes();
            if self.look(records)? {
                return Ok(records.len());
            }
        }
    }

    /// Looks for some microseconds before the poll sleeps, if that was of use lately. True when
    /// there is something to return; else what can call has been left to call.
    fn linger(&mut self, records: &mut Records) -> Result<bool> {
        if !self.fetcher.patient {
            return Ok(false);
        }
        for _ in 0..LOOKS {
            spin_loop();
            if self.look(records)? {
                self.eager.note(Found::Soon);
                return Ok(true);
            }
        }
        let backend = Arc::clone(&self.backend);
        let end = Deadline::after(backend.clock(), LINGER);
        while !end.has_passed(backend.clock()) {
            yield_now();
            if self.look(records)? {
                self.eager.note(Found::Late);
                return Ok(true);
            }
        }
        self.eager.note(Found::Never);
        self.fetcher.patient = false;
        self.note_changes();
        self.look(records)
    }

    /// What changes from now on ends a sleep: to be called before the look that is to find nothing.
    fn note_changes(&mut self) {
        self.plans_seen = self.backend.plans().map_or(0, Changes::version);
        self.topics_seen = self.backend.topic_changes().version();
    }

    /// One look at everything that can end a poll. True when there is something to return.
    fn look(&mut self, into: &mut Records) -> Result<bool> {
        self.prepare()?;
        let context = context(&*self.backend, &self.settings, &self.events);
        self.fetcher.collect(context, &self.settings, into)
    }

    /// What comes before anything is fetched: whatever must be seen to, or forbids fetching.
    fn prepare(&mut self) -> Result<()> {
        if self.fetcher.is_empty() && !self.is_subscribed() {
            let message = "the consumer has no partitions: assign some or subscribe first";
            return Err(Error::new(ErrorKind::IllegalState, message));
        }
        self.bell.check_wakeup()?;
        self.backend.check_open()?;
        let Some((group, mut parts)) = self.members_parts() else { return Ok(()) };
        group.poll_began();
        group.tend(&mut parts)?;
        group.auto_commit(&parts);
        Ok(())
    }

    /// Waits until somebody calls, background work is due, or `deadline`.
    fn park(&mut self, heed: Heed, due: Option<Duration>, deadline: Deadline) {
        if self.fetcher.may_sleep() && self.may_sleep() {
            self.eager.slept();
            self.sleep(heed, due, deadline);
        }
    }

    /// Whether the group has removed this consumer, and no poll has noticed yet.
    pub(in crate::client) fn was_removed(&self) -> bool {
        self.group.as_ref().is_some_and(Membership::was_removed)
    }

    /// True once per stop.
    pub(in crate::client) fn take_stop(&self) -> bool {
        self.bell.take_stop()
    }

    /// Waits so long on the log's clock, and stays a member of the group meanwhile. False when a
    /// stop came.
    pub(in crate::client) fn pause_for(&mut self, time: Duration) -> Result<bool> {
        let deadline = Deadline::after(self.backend.clock(), time);
        if let Some(group) = &self.group {
            group.poll_began();
        }
        let outcome = loop {
            if self.bell.take_stop() {
                break Ok(false);
            }
            if let Err(error) = self.bell.check_wakeup().and_then(|()| self.backend.check_open()) {
                break Err(error);
            }
            self.note_changes();
            let due = self.backend.run_due();
            if deadline.has_passed(self.backend.clock()) {
                break Ok(true);
            }
            // What partitions call for is the next poll's: it must not keep this one awake.
            self.fetcher.answer();
            self.sleep(Heed::Stop, due, deadline);
        };
        if let Some(group) = &mut self.group {
            group.poll_ended(false);
        }
        outcome
    }

    fn sleep(&self, heed: Heed, due: Option<Duration>, deadline: Deadline) {
        let clock = self.backend.clock();
        let group_due = self.group.as_ref().and_then(|group| group.next_due(&*self.backend));
        let due = due.into_iter().chain(group_due).min();
        let until = due.map_or(deadline, |due| deadline.earlier(Deadline::after(clock, due)));
        let parker = Parker::new();
        let waker = parker.waker();
        let topics = self.backend.topic_changes();
        let waits_for_a_topic = self.fetcher.waits_for_a_topic();
        let token = waits_for_a_topic.then(|| topics.register(self.topics_seen, &waker));
        // Who waits for a transaction to end looks whether its time is over.
        let waits_for_transactions = self.settings.isolation == Isolation::ReadCommitted;
        let plans = self.backend.plans().filter(|_| waits_for_transactions);
        let plan = plans.map(|plans| (plans, plans.register(self.plans_seen, &waker)));
        let is_late = matches!(plan, Some((_, None)));
        if token != Some(None) && !is_late && self.bell.sleep(waker, heed == Heed::Stop) {
            parker.park(clock, &until);
            self.bell.awake();
        }
        if let Some((plans, Some(token))) = plan {
            plans.unregister(token);
        }
        if let Some(token) = token.flatten() {
            topics.unregister(token);
        }
    }

    fn may_sleep(&mut self) -> bool {
        self.group.as_mut().is_none_or(Membership::may_sleep)
    }

    /// Waits for the group as a poll does, and fetches nothing.
    pub(super) fn await_group(
        &mut self,
        deadline: Deadline,
        done: impl Fn(&Membership) -> bool,
    ) -> Result<bool> {
        let poll = InPoll { consumer: self, moved: false };
        poll.consumer.wait_for_group(deadline, done)
    }

    fn wait_for_group(
        &mut self,
        deadline: Deadline,
        done: impl Fn(&Membership) -> bool,
    ) -> Result<bool> {
        loop {
            self.prepare()?;
            self.note_changes();
            if self.group.as_ref().is_some_and(&done) {
                return Ok(true);
            }
            let due = self.backend.run_due();
            if deadline.has_passed(self.backend.clock()) {
                return Ok(false);
            }
            // What partitions call for is the next poll's: it must not keep this one awake.
            self.fetcher.answer();
            if self.may_sleep() {
                self.sleep(Heed::Records, due, deadline);
            }
        }
    }
}

/// A poll that runs. Dropped, by a panic of a listener too, it has ended: the time until the next
/// one counts.
struct InPoll<'c> {
    consumer: &'c mut Consumer,
    moved: bool,
}

impl Drop for InPoll<'_> {
    fn drop(&mut self) {
        if let Some(group) = &mut self.consumer.group {
            group.poll_ended(self.moved);
        }
    }
}
