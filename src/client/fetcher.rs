//! Fair reading over the assigned partitions, within bounds.

use std::collections::VecDeque;
use std::task::Waker;

use crate::backend::{Backend, WaitToken};
use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::consumer_builder::ConsumerSettings;
use super::records::Records;
use super::slot::{Context, Room, Slot};

/// The assigned partitions, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Fetcher {
    /// In the order of topic and number.
    slots: Vec<Slot>,
    /// The slot that the next poll looks at first.
    turn: usize,
    /// Bytes fetched and not yet given, over all slots.
    buffered: usize,
    /// Errors that had to wait because records came first.
    errors: VecDeque<(TopicPartition, Error)>,
    /// Registrations of the wait that goes on; room that is kept between waits.
    tokens: Vec<(usize, WaitToken)>,
}

impl Fetcher {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn slots(&self) -> impl ExactSizeIterator<Item = &Slot> {
        self.slots.iter()
    }

    pub(super) fn slot(&self, partition: &TopicPartition) -> Option<&Slot> {
        self.slots.get(self.find(partition).ok()?)
    }

    fn find(&self, partition: &TopicPartition) -> Result<usize, usize> {
        self.slots.binary_search_by(|slot| slot.partition().cmp(partition))
    }

    /// Changes one slot, and forgets what is to be said about where it was.
    pub(super) fn change(&mut self, partition: &TopicPartition, change: impl FnOnce(&mut Slot)) {
        let Some(slot) = self.find(partition).ok().and_then(|at| self.slots.get_mut(at)) else {
            return;
        };
        let before = slot.buffered();
        change(slot);
        self.buffered = self.buffered + slot.buffered() - before;
        self.errors.retain(|(of, _)| of != partition);
    }

    /// Reads these partitions from now on; those that stay keep their position.
    pub(super) fn assign(
        &mut self,
        backend: &dyn Backend,
        mut partitions: Vec<TopicPartition>,
    ) -> Result<()> {
        partitions.sort_unstable();
        partitions.dedup();
        // All that can fail comes before the first change.
        let mut fresh = Vec::new();
        for partition in &partitions {
            if self.slot(partition).is_none_or(Slot::is_deleted) {
                fresh.push(Slot::new(backend, partition.clone())?);
            }
        }
        self.slots.retain(|slot| {
            !slot.is_deleted() && partitions.binary_search(slot.partition()).is_ok()
        });
        self.slots.append(&mut fresh);
        self.slots.sort_unstable_by(|a, b| a.partition().cmp(b.partition()));
        self.errors.retain(|(of, _)| partitions.binary_search(of).is_ok());
        self.buffered = self.slots.iter().map(Slot::buffered).sum();
        self.turn = 0;
        Ok(())
    }

    /// Gives what is there, each partition in its turn. True if the caller must be told of it.
    ///
    /// Records come before errors: an error that is met on the way is kept for the next call.
    pub(super) fn collect(
        &mut self,
        backend: &dyn Backend,
        settings: &ConsumerSettings,
        into: &mut Records,
    ) -> Result<bool> {
        if self.errors.is_empty() {
            self.round(backend, settings, into);
        }
        if into.has_news() {
            return Ok(true);
        }
        self.errors.pop_front().map_or(Ok(false), |(_, error)| Err(error))
    }

    fn round(&mut self, backend: &dyn Backend, settings: &ConsumerSettings, into: &mut Records) {
        into.begin_round();
        let context = Context { backend, reset: settings.reset };
        let (count, first) = (self.slots.len(), self.turn);
        for step in 0..count {
            let records = settings.max_poll_records.saturating_sub(into.len());
            if records == 0 {
                return;
            }
            let at = (first + step) % count;
            let bytes = settings.fetch_max_bytes.saturating_sub(self.buffered);
            let room = Room { records, bytes: bytes.min(settings.max_partition_fetch_bytes) };
            let Some(slot) = self.slots.get_mut(at) else { return };
            let (given, before) = (into.len(), slot.buffered());
            if let Err(error) = slot.collect(context, room, into) {
                self.errors.push_back((slot.partition().clone(), error));
            }
            self.buffered = self.buffered + slot.buffered() - before;
            if into.len() > given {
                self.turn = (at + 1) % count;
            }
        }
    }

    /// Brings what was appended to its level where this reader waits for that. True when a
    /// second look is worth it.
    pub(super) fn help(&self, clock_deadline: Deadline) -> Result<bool> {
        let mut helped = false;
        for slot in &self.slots {
            let Some(from) = slot.waits_at() else { continue };
            match slot.door().help(from, clock_deadline) {
                Ok(more) => helped |= more,
                // The poll has a deadline of its own, and it is no error to reach it.
                Err(error) if is_deadline(&error) => {}
                // The next look tells of it.
                Err(_) if slot.is_deleted() => helped = true,
                Err(error) => return Err(error),
            }
        }
        Ok(helped)
    }

    /// Has `waker` called when any partition has something to do. False when one already has:
    /// then nothing stays registered.
    pub(super) fn register(&mut self, waker: &Waker) -> bool {
        for (at, slot) in self.slots.iter().enumerate() {
            let Some(from) = slot.waits_at() else { continue };
            match slot.door().register(from, waker) {
                Some(token) => self.tokens.push((at, token)),
                None => {
                    self.unregister();
                    return false;
                }
            }
        }
        true
    }

    /// Whether a partition's topic was deleted and may come again.
    pub(super) fn waits_for_a_topic(&self) -> bool {
        self.slots.iter().any(Slot::is_deleted)
    }

    pub(super) fn unregister(&mut self) {
        for (at, token) in self.tokens.drain(..) {
            if let Some(slot) = self.slots.get(at) {
                slot.door().unregister(token);
            }
        }
    }
}

fn is_deadline(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::DeliveryTimeout | ErrorKind::Timeout)
}
