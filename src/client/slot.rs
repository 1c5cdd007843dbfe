//! One assigned partition: its position, and what was fetched but not yet given.

use std::cell::{Cell, RefCell};
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use crate::backend::{
    Backend, Fetch, FetchHint, FetchedBatch, FetchedOn, PartitionBackend, TopicRoute, WaitToken,
};
use crate::base::{Error, ErrorKind, Isolation, Result, TopicPartition};
use crate::batch::Damage;

use super::bell::Chime;
use super::consumer_event::{ConsumerEvent, Events, ResetReason};
use super::offset_reset::OffsetReset;
use super::positions::{Position, Reader};
use super::records::Records;
use super::routes::door;
use super::walk::walk;
use super::window::Window;

/// Looks at a partition that has given something, until it is left to call: some microseconds.
const PATIENCE: u32 = 64;

/// Fetches in one look, each from where the policy says that the one before should have begun:
/// what is there may be deleted while one looks.
const RESETS: usize = 16;

/// What a slot needs to know of its consumer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'c> {
    pub(super) backend: &'c dyn Backend,
    pub(super) reset: OffsetReset,
    /// Whether damage is stepped over.
    pub(super) skip_corrupt: bool,
    /// Whether damage is looked for by checksums.
    pub(super) check_crcs: bool,
    /// What the consumer is to be told of.
    pub(super) events: &'c RefCell<Events>,
}

/// How much one look at a partition may bring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Records to give.
    pub(super) records: usize,
    /// Bytes to fetch; none: only what was fetched before.
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Slot {
    partition: TopicPartition,
    door: Arc<dyn PartitionBackend>,
    route: Arc<TopicRoute>,
    /// A cell, because asking for a position fixes it (C09).
    position: Cell<Position>,
    /// Why the position is not known, while it is not, and where it was.
    unset: Cell<(ResetReason, Option<u64>)>,
    batches: Vec<FetchedBatch>,
    /// The first of `batches` with something left.
    first: usize,
    /// The bytes of `batches` from `first` on.
    buffered: usize,
    gaps: Vec<(u64, u64)>,
    hint: FetchHint,
    window: Window,
    /// Looks that find nothing until the slot rests.
    patience: u32,
    isolation: Isolation,
    /// The topic was deleted and the caller has been told.
    orphaned: bool,
    paused: bool,
    /// It stands in the fetcher's line of turns.
    pub(super) has_turn: bool,
    chime: Arc<Chime>,
    /// The chime as the partition takes it.
    waker: Waker,
    /// Where the chime is registered. It stays here when it has rung: then nobody knows it.
    token: Option<WaitToken>,
}

impl Slot {
    pub(super) fn new(
        backend: &dyn Backend,
        partition: TopicPartition,
        chime: Arc<Chime>,
        isolation: Isolation,
    ) -> Result<Self> {
        let route = backend.resolve(partition.topic())?;
        let door = Arc::clone(door(&route, partition.partition())?);
        Ok(Self {
            partition,
            door,
            route,
            position: Cell::new(Position::Unset),
            unset: Cell::new((ResetReason::NoPosition, None)),
            batches: Vec::new(),
            first: 0,
            buffered: 0,
            gaps: Vec::new(),
            hint: FetchHint::default(),
            window: Window::default(),
            patience: 0,
            isolation,
            orphaned: false,
            paused: false,
            has_turn: false,
            waker: Waker::from(Arc::clone(&chime)),
            chime,
            token: None,
        })
    }

    pub(super) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub(super) fn door(&self) -> &dyn PartitionBackend {
        &*self.door
    }

    /// The partition as this consumer sees it.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { door: &*self.door, isolation: self.isolation }
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.route.is_deleted()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Returns nothing from now on, or goes on. Position and what was fetched are kept (C11).
    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        // What was to be told of it is told when it goes on.
        self.orphaned = false;
    }

    /// Bytes fetched and not yet given, as the bound of all partitions counts them: what stands
    /// behind a pause must not starve the others.
    pub(super) fn counted(&self) -> usize {
        if self.paused { 0 } else { self.buffered }
    }

    /// Where a reader of this partition waits; `None` when there is no position to wait at.
    pub(super) fn waits_at(&self) -> Option<u64> {
        match self.position.get() {
            Position::At(offset) if !self.is_deleted() && !self.paused => Some(offset),
            _ => None,
        }
    }

    /// Leaves the chime with the partition, to be called when there is something to do. False
    /// when there already is, or may be soon and the caller will look again: to leave the chime
    /// and to ring it costs both sides more than some looks.
    pub(super) fn rest(&mut self, patient: bool) -> bool {
        if let Some(fewer) = self.patience.checked_sub(1).filter(|_| patient) {
            self.patience = fewer;
            return false;
        }
        let Some(from) = self.waits_at().filter(|_| self.batches.is_empty()) else { return false };
        self.take_chime_back();
        self.token = self.door.register(from, self.isolation, &self.waker);
        self.token.is_some()
    }

    /// The chime has rung, and the slot is about to be looked at.
    pub(super) fn called(&self) {
        self.chime.reset();
    }

    fn take_chime_back(&mut self) {
        if let Some(token) = self.token.take() {
            self.door.unregister(token);
        }
    }

    /// Where reading goes on, if that is known: nothing is fixed by asking.
    pub(super) fn known_position(&self) -> Option<u64> {
        match self.position.get() {
            Position::At(offset) => Some(offset),
            _ => None,
        }
    }

    /// Reads elsewhere from the next poll on; what was fetched is forgotten (C10).
    pub(super) fn seek(&mut self, position: Position) {
        self.position.set(position);
        self.orphaned = false;
        self.forget();
    }

    fn forget(&mut self) {
        self.batches.clear();
        self.first = 0;
        self.buffered = 0;
        self.gaps.clear();
        self.hint = FetchHint::default();
        self.window = Window::default();
    }

    /// The offset of the next record to give; fixes a position that was not yet known.
    pub(super) fn position(&self, context: Context<'_>) -> Result<u64> {
        let Context { backend, reset, .. } = context;
        let position = self.position.get();
        let to = position.resolve(&self.partition, self.reader(), backend, reset)?;
        if position == Position::Unset {
            let (reason, wanted) = self.unset.get();
            let partition = self.partition.clone();
            let event = ConsumerEvent::Reset { partition, wanted, to, reason };
            context.events.borrow_mut().push(event);
            self.unset.set((ResetReason::NoPosition, None));
        }
        self.position.set(Position::At(to));
        Ok(to)
    }

    /// Gives what there is. On an error, what was given before stays given and the position is
    /// behind it.
    pub(super) fn collect(
        &mut self,
        context: Context<'_>,
        room: Room,
        into: &mut Records,
    ) -> Result<()> {
        if self.is_deleted() && !self.follow(context.backend)? {
            return Ok(());
        }
        match self.collect_sound(context, room, into) {
            Err(error) if context.skip_corrupt && error.kind() == ErrorKind::CorruptMessage => {
                self.skip_damage(context, error, into)
            }
            // What was fetched is read again: the position has not moved past it.
            outcome => outcome.inspect_err(|error| {
                self.forget();
                // Deleted while it was read: this is how the caller is told, and the only time.
                self.orphaned |=
                    error.kind() == ErrorKind::UnknownTopicOrPartition && self.is_deleted();
            }),
        }
    }

    fn collect_sound(
        &mut self,
        context: Context<'_>,
        room: Room,
        into: &mut Records,
    ) -> Result<()> {
        let before = into.len();
        let (mut left, mut brought) = (room.bytes, 0);
        loop {
            self.give(room.records - (into.len() - before), into)?;
            let is_full = into.len() - before >= room.records || !self.batches.is_empty();
            // The next fetch brings as much as the last one at least: batches are whole.
            if is_full || left < brought.max(1) {
                return Ok(());
            }
            let asked = self.window.ask(left);
            match self.fetch(context, asked, into) {
                // Told by the poll that begins with it, as if it had not been tried.
                Err(_) if into.len() > before => {
                    self.forget();
                    return Ok(());
                }
                outcome => outcome?,
            }
            brought = self.buffered;
            // Batches that compaction has emptied say nothing of what is behind them.
            let empty = brought == 0 && !self.batches.is_empty();
            let more = self.window.note(asked, brought) || empty;
            left = if more { left.saturating_sub(brought) } else { 0 };
        }
    }

    /// After a deletion: goes over to a new topic of the name, from where the policy says.
    /// False while there is none; an error the first time (C25).
    fn follow(&mut self, backend: &dyn Backend) -> Result<bool> {
        let (partition, chime) = (self.partition.clone(), Arc::clone(&self.chime));
        match Slot::new(backend, partition, chime, self.isolation) {
            Ok(mut slot) => {
                slot.unset.set((ResetReason::NewTopic, self.known_position()));
                slot.has_turn = self.has_turn;
                *self = slot;
            }
            Err(error) if !self.orphaned => {
                self.orphaned = true;
                self.forget();
                return Err(error);
            }
            Err(_) => return Ok(false),
        }
        Ok(true)
    }

    fn fetch(&mut self, context: Context<'_>, max_bytes: usize, into: &mut Records) -> Result<()> {
        self.fetch_once(context, max_bytes, into)?;
        if self.batches.is_empty() && self.pass_gaps(u64::MAX, into) {
            // Nothing but a gap stood here: what is behind it?
            self.fetch_once(context, max_bytes, into)?;
        }
        Ok(())
    }

    fn fetch_once(
        &mut self,
        context: Context<'_>,
        max_bytes: usize,
        into: &mut Records,
    ) -> Result<()> {
        let mut from = self.position(context)?;
        for _ in 1..RESETS {
            match self.fetch_from(context, from, max_bytes, into) {
                Err(error) if error.kind() == ErrorKind::OffsetOutOfRange => {
                    from = self.reset(context, from, error)?;
                }
                other => return other,
            }
        }
        self.fetch_from(context, from, max_bytes, into)
    }

    fn fetch_from(
        &mut self,
        context: Context<'_>,
        from: u64,
        max_bytes: usize,
        into: &mut Records,
    ) -> Result<()> {
        let Self { isolation, hint, .. } = *self;
        let check_crcs = context.check_crcs;
        let request = Fetch { from, max_bytes, isolation, check_crcs, hint };
        match self.door.fetch_on(&request, into.space()) {
            FetchedOn::Nothing => return Ok(()),
            FetchedOn::More(batch, hint) => {
                (self.first, self.buffered, self.hint) = (0, batch.payload.len(), hint);
                self.batches.push(batch);
                return Ok(());
            }
            FetchedOn::Elsewhere => {}
        }
        let info = self.door.fetch(&request, &mut self.batches).inspect_err(|_| {
            self.batches.clear();
        })?;
        self.first = 0;
        self.buffered = self.batches.iter().map(|batch| batch.payload.len()).sum();
        self.gaps = info.gaps;
        self.hint = info.hint;
        Ok(())
    }

    /// A position out of range starts anew by the policy; `none` is the error (C08).
    fn reset(&mut self, context: Context<'_>, from: u64, error: Error) -> Result<u64> {
        if context.reset == OffsetReset::None {
            return Err(error.with_partition(&self.partition).with_offset(from));
        }
        self.seek(Position::Unset);
        self.unset.set((ResetReason::OutOfRange, Some(from)));
        self.position(context)
    }

    /// Steps over what cannot be read at the position, and tells of it as a gap.
    fn skip_damage(
        &mut self,
        context: Context<'_>,
        cause: Error,
        into: &mut Records,
    ) -> Result<()> {
        let Some(from) = self.known_position() else { return Err(cause) };
        let behind_batch = self.batches.get(self.first).map(|batch| batch.header.next_offset());
        let to = match behind_batch {
            // Its bytes are as they were written, and yet no records.
            Some(behind) => behind,
            None => self.door.behind_damage(from)?,
        };
        if to <= from {
            return Err(cause);
        }
        self.forget();
        self.position.set(Position::At(to));
        into.push_gap(&self.partition, from, to);
        into.advance(&self.partition, to);
        let partition = self.partition.clone();
        let event = ConsumerEvent::SkippedDamage { partition, from, to, cause };
        context.events.borrow_mut().push(event);
        Ok(())
    }

    /// Moves up to `room` records from what was fetched into `into`.
    fn give(&mut self, mut room: usize, into: &mut Records) -> Result<()> {
        while let Some(base) = self.batches.get(self.first).map(|batch| batch.header.base_offset) {
            if room == 0 {
                return Ok(());
            }
            self.pass_gaps(base, into);
            room -= self.give_batch(room, into)?;
        }
        self.batches.clear();
        self.first = 0;
        self.buffered = 0;
        Ok(())
    }

    fn give_batch(&mut self, room: usize, into: &mut Records) -> Result<usize> {
        let Position::At(from) = self.position.get() else { return Ok(0) };
        let Some(batch) = self.batches.get_mut(self.first) else { return Ok(0) };
        let walked = match walk(batch, from, room, into.ends()) {
            Ok(walked) => walked,
            Err(damage) => {
                return Err(damaged(&self.partition, from, batch.header.next_offset(), damage));
            }
        };
        let payload = if walked.finished {
            self.first += 1;
            self.buffered = self.buffered.saturating_sub(batch.payload.len());
            mem::take(&mut batch.payload)
        } else {
            batch.position = walked.end;
            batch.payload.clone()
        };
        if walked.count > 0 {
            self.patience = PATIENCE;
            into.push(&self.partition, &batch.header, payload, &walked);
        }
        self.position.set(Position::At(walked.next_offset));
        into.advance(&self.partition, walked.next_offset);
        Ok(walked.count)
    }

    /// Tells of the gaps between the position and `base`, and steps over them. True if any.
    fn pass_gaps(&mut self, base: u64, into: &mut Records) -> bool {
        let Position::At(mut position) = self.position.get() else { return false };
        let before = position;
        for (from, to) in mem::take(&mut self.gaps) {
            // Without a batch behind it, a gap is passed only from where it begins.
            let reached = if base == u64::MAX { from <= position } else { to <= base };
            if !reached {
                self.gaps.push((from, to));
            } else if to > position {
                into.push_gap(&self.partition, from.max(position), to);
                position = to;
            }
        }
        if position > before {
            self.position.set(Position::At(position));
            into.advance(&self.partition, position);
        }
        position > before
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.take_chime_back();
    }
}

#[cold]
pub(super) fn damaged(
    partition: &TopicPartition,
    offset: u64,
    behind: u64,
    damage: Damage,
) -> Error {
    let kind =
        if damage.version { ErrorKind::UnsupportedVersion } else { ErrorKind::CorruptMessage };
    let message = format!(
        "the record at offset {offset} cannot be decoded: {}; its batch ends before {behind}",
        damage.reason
    );
    Error::new(kind, message).with_partition(partition).with_offset(offset)
}
