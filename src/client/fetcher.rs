//! Fair reading over the assigned partitions, within bounds.
//!
//! Only partitions whose *turn* may come are looked at: those that gave something at their last
//! look, and those that have called since (`bell.rs`). The others have left a chime with their
//! partition and cost a poll nothing.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;

use crate::backend::Backend;
use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, Isolation, Result, TopicPartition};

use super::bell::{Bell, Chime};
use super::consumer_settings::ConsumerSettings;
use super::records::Records;
use super::slot::{Context, Room, Slot};

/// So many partitions are looked at by every poll that does not wait.
const FEW: usize = 4;

/// The assigned partitions, and whose turn it is.
#[derive(Debug)]
pub(super) struct Fetcher {
    bell: Arc<Bell>,
    /// By the number that a slot's chime rings with. A slot keeps it while it is assigned.
    slots: Vec<Option<Slot>>,
    /// What all slots see of transactions.
    isolation: Isolation,
    /// The numbers of the slots, in the order of topic and partition.
    order: BTreeMap<TopicPartition, usize>,
    /// The slots that may have something, in the order of their turns. Each knows that it stands
    /// here.
    turns: VecDeque<usize>,
    /// Whether the caller goes on looking, and does not wait to be called.
    pub(super) patient: bool,
    /// Bytes fetched and not yet given, over all slots that are not paused.
    buffered: usize,
    /// Errors that had to wait because records came first.
    errors: VecDeque<(TopicPartition, Error)>,
    scratch: Scratch,
}

/// Room that is kept between rounds.
#[derive(Debug, Default)]
struct Scratch {
    rung: Vec<usize>,
    stay: Vec<usize>,
    gave: Vec<usize>,
}

/// What became of a slot's turn.
enum Turn {
    /// It gave something, or failed: the others come first now.
    Over,
    /// It has something that could not be given yet, and keeps its place.
    Kept,
    /// It has nothing, and will call.
    Rests,
}

impl Fetcher {
    pub(super) fn new(bell: Arc<Bell>, isolation: Isolation) -> Self {
        Self {
            bell,
            isolation,
            slots: Vec::new(),
            order: BTreeMap::new(),
            turns: VecDeque::new(),
            patient: false,
            buffered: 0,
            errors: VecDeque::new(),
            scratch: Scratch::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The assigned partitions, in the order of topic and number.
    pub(super) fn partitions(&self) -> impl ExactSizeIterator<Item = &TopicPartition> {
        self.order.keys()
    }

    /// Those of them that are paused.
    pub(super) fn paused(&self) -> impl Iterator<Item = &TopicPartition> {
        let slot = |at: &usize| self.slots.get(*at)?.as_ref();
        let slots = self.order.values().filter_map(slot);
        slots.filter(|slot| slot.is_paused()).map(Slot::partition)
    }

    pub(super) fn slot(&self, partition: &TopicPartition) -> Option<&Slot> {
        self.slots.get(*self.order.get(partition)?)?.as_ref()
    }

    /// Changes one slot, and forgets what is to be said about where it was.
    pub(super) fn change(&mut self, partition: &TopicPartition, change: impl FnOnce(&mut Slot)) {
        let Some(&at) = self.order.get(partition) else { return };
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let before = slot.counted();
        change(slot);
        self.buffered = self.buffered + slot.counted() - before;
        self.errors.retain(|(of, _)| of != partition);
        self.enlist(at);
    }

    /// Its turn may come.
    fn enlist(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        if !slot.is_paused() && !mem::replace(&mut slot.has_turn, true) {
            self.turns.push_back(at);
        }
    }

    /// Reads these partitions from now on. Those that stay keep position, pause and what was
    /// fetched of them: only the difference costs anything.
    pub(super) fn assign(
        &mut self,
        backend: &dyn Backend,
        mut partitions: Vec<TopicPartition>,
    ) -> Result<()> {
        partitions.sort_unstable();
        partitions.dedup();
        // All that can fail comes before the first change.
        let numbers = self.free_numbers(partitions.len());
        let mut fresh = Vec::new();
        let is_new = |tp: &&TopicPartition| self.slot(tp).is_none_or(Slot::is_deleted);
        for (partition, at) in partitions.iter().filter(is_new).zip(numbers) {
            let chime = Chime::new(&self.bell, at);
            fresh.push((at, Slot::new(backend, partition.clone(), chime, self.isolation)?));
        }
        self.drop_others(&partitions);
        for (at, slot) in fresh {
            self.place(at, slot);
        }
        Ok(())
    }

    /// Reads this partition too.
    pub(super) fn add(&mut self, backend: &dyn Backend, partition: &TopicPartition) -> Result<()> {
        if self.slot(partition).is_some_and(|slot| !slot.is_deleted()) {
            return Ok(());
        }
        let at = match self.order.get(partition) {
            Some(at) => *at,
            // Without a hole the next number is free.
            None if self.slots.len() == self.order.len() => self.slots.len(),
            None => self.free_numbers(1).first().copied().unwrap_or(self.slots.len()),
        };
        let chime = Chime::new(&self.bell, at);
        let slot = Slot::new(backend, partition.clone(), chime, self.isolation)?;
        if self.order.contains_key(partition) {
            self.remove(std::slice::from_ref(partition));
        }
        self.place(at, slot);
        Ok(())
    }

    /// Reads these no more.
    pub(super) fn remove(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            let Some(at) = self.order.remove(partition) else { continue };
            let Some(slot) = self.slots.get_mut(at).and_then(Option::take) else { continue };
            self.buffered -= slot.counted();
        }
        let slots = &self.slots;
        self.turns.retain(|at| slots.get(*at).is_some_and(Option::is_some));
        self.errors.retain(|(of, _)| !partitions.contains(of));
    }

    fn place(&mut self, at: usize, slot: Slot) {
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        self.order.insert(slot.partition().clone(), at);
        if let Some(place) = self.slots.get_mut(at) {
            *place = Some(slot);
        }
        self.enlist(at);
    }

    /// Numbers that no slot has, enough for `count` new ones.
    fn free_numbers(&self, count: usize) -> Vec<usize> {
        let taken = |at: &usize| self.slots.get(*at).is_some_and(Option::is_some);
        (0..).filter(|at| !taken(at)).take(count).collect()
    }

    /// Drops the slots of all partitions but these, and those of topics that are gone.
    fn drop_others(&mut self, partitions: &[TopicPartition]) {
        let slots = &mut self.slots;
        self.order.retain(|partition, at| {
            let Some(place) = slots.get_mut(*at) else { return false };
            let gone = place.as_ref().is_none_or(Slot::is_deleted);
            let stays = !gone && partitions.binary_search(partition).is_ok();
            if !stays {
                *place = None;
            }
            stays
        });
        self.turns.retain(|at| slots.get(*at).is_some_and(Option::is_some));
        self.errors.retain(|(of, _)| partitions.binary_search(of).is_ok());
        self.buffered = slots.iter().flatten().map(Slot::counted).sum();
    }

    /// Gives what is there, each partition in its turn. True if the caller must be told of it.
    ///
    /// Records come before errors: an error that is met on the way is kept for the next call.
    pub(super) fn collect(
        &mut self,
        context: Context<'_>,
        settings: &ConsumerSettings,
        into: &mut Records,
    ) -> Result<bool> {
        if self.errors.is_empty() {
            self.answer();
            if !self.turns.is_empty() {
                self.round(context, settings, into);
            }
        }
        if into.has_news() {
            return Ok(true);
        }
        self.errors.pop_front().map_or(Ok(false), |(_, error)| Err(error))
    }

    /// Those that have called get their turn.
    pub(super) fn answer(&mut self) {
        if !self.bell.has_called() {
            return;
        }
        let mut rung = mem::take(&mut self.scratch.rung);
        self.bell.take_ready(&mut rung);
        for at in rung.drain(..) {
            if let Some(slot) = self.slots.get(at).and_then(Option::as_ref) {
                slot.called();
                self.enlist(at);
            }
        }
        self.scratch.rung = rung;
    }

    /// One turn for each of those in line, while there is room. Who gave goes behind the others;
    /// who could not be served stays in front of them. After the first that finds no room for its
    /// bytes nobody else fetches: what becomes free meanwhile is for that one.
    fn round(&mut self, context: Context<'_>, settings: &ConsumerSettings, into: &mut Records) {
        into.begin_round();
        if let (Some(&only), 1) = (self.turns.front(), self.turns.len()) {
            let bytes = settings.fetch_max_bytes.saturating_sub(self.buffered);
            let bytes = bytes.min(settings.max_partition_fetch_bytes);
            let room = Room { records: settings.max_poll_records, bytes };
            if let Turn::Rests = self.turn(only, context, room, into) {
                self.turns.clear();
            }
            return;
        }
        let mut stay = mem::take(&mut self.scratch.stay);
        let mut gave = mem::take(&mut self.scratch.gave);
        let mut denied = false;
        for in_line in (1..=self.turns.len()).rev() {
            let room = settings.max_poll_records.saturating_sub(into.len());
            let Some(at) = self.turns.pop_front().filter(|_| room > 0) else { break };
            let free = settings.fetch_max_bytes.saturating_sub(self.buffered);
            let bytes = if denied { 0 } else { free.min(settings.max_partition_fetch_bytes) };
            let records = share(settings.max_poll_records, room, in_line);
            match self.turn(at, context, Room { records, bytes }, into) {
                Turn::Over => gave.push(at),
                Turn::Kept => {
                    denied |= bytes == 0;
                    stay.push(at);
                }
                Turn::Rests => {}
            }
            if into.len() >= settings.max_poll_records {
                break;
            }
        }
        if self.turns.is_empty() && !gave.is_empty() {
            // The same ones come again: somebody else is to be the first.
            gave.rotate_left(1);
        }
        stay.drain(..).rev().for_each(|at| self.turns.push_front(at));
        self.turns.extend(gave.drain(..));
        (self.scratch.stay, self.scratch.gave) = (stay, gave);
    }

    fn turn(&mut self, at: usize, context: Context<'_>, room: Room, into: &mut Records) -> Turn {
        let stays = self.stays_in_line();
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else {
            return Turn::Rests;
        };
        if slot.is_paused() {
            slot.has_turn = false;
            return Turn::Rests;
        }
        let (given, before) = (into.len(), slot.counted());
        let outcome = slot.collect(context, room, into);
        self.buffered = self.buffered + slot.counted() - before;
        if let Err(error) = outcome {
            self.errors.push_back((slot.partition().clone(), error));
            return Turn::Over;
        }
        if into.len() > given {
            return Turn::Over;
        }
        slot.has_turn = stays || !slot.rest(self.patient);
        if slot.has_turn { Turn::Kept } else { Turn::Rests }
    }

    /// Whether the caller goes on looking at so few that calling costs more, both sides.
    fn stays_in_line(&self) -> bool {
        self.patient && self.order.len() <= FEW
    }

    /// Brings what was appended to its level where this reader waits for that. True when a
    /// second look is worth it.
    pub(super) fn help(&self, deadline: Deadline) -> Result<bool> {
        let mut helped = false;
        for slot in self.turns.iter().filter_map(|at| self.slots.get(*at)?.as_ref()) {
            let Some(from) = slot.waits_at() else { continue };
            match slot.door().help(from, self.isolation, deadline) {
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

    /// Whether everybody in line rests or waits for a topic: nothing but a call, a new topic or
    /// time brings records.
    pub(super) fn may_sleep(&self) -> bool {
        let idle = |slot: &Slot| slot.is_paused() || slot.is_deleted();
        self.turns.iter().filter_map(|at| self.slots.get(*at)?.as_ref()).all(idle)
    }

    /// Whether a partition's topic was deleted and may come again.
    pub(super) fn waits_for_a_topic(&self) -> bool {
        let mut slots = self.turns.iter().filter_map(|at| self.slots.get(*at)?.as_ref());
        slots.any(|slot| slot.is_deleted() && !slot.is_paused())
    }
}

/// How many of `room` records one slot may give of those that are in line: its even part, but
/// not less than a quarter of a poll, so that many busy partitions give long runs in turn.
fn share(max_poll_records: usize, room: usize, in_line: usize) -> usize {
    room.div_ceil(in_line.max(1)).max(max_poll_records / 4).min(room)
}

fn is_deadline(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::DeliveryTimeout | ErrorKind::Timeout)
}
