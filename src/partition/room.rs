//! Backpressure: what an appender does when the stage is full.
//!
//! It settles the partitions that have held chunks for the longest time itself, outside every
//! lock, and waits only while somebody else is doing just that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::Mutex;
use crate::base::wait::{Deadline, Parker};
use crate::base::{Error, ErrorKind, Result};
use crate::log::{SegmentLog, SyncTicket};

use super::budget::Hope;
use super::waiters::Waiters;
use super::{Partition, Shared};

/// How long a wait lasts for which nobody may call: for a reader's pin, or a file that is read.
const PIN_WAIT: Duration = Duration::from_millis(1);

/// What a settle has still to sync, and how much of the stage that frees.
type Freed = (Option<SyncTicket>, usize);

/// Who holds chunks, and who waits for one.
#[derive(Debug, Default)]
pub struct Room {
    /// Partitions in the order in which they took their first chunk.
    holders: parking_lot::Mutex<VecDeque<Arc<Partition>>>,
    /// Held by the thread that makes room.
    making: parking_lot::Mutex<()>,
    state: Mutex<RoomState>,
}

#[derive(Debug, Default)]
struct RoomState {
    /// Moves whenever a chunk is given back or room-making ends.
    turn: u64,
    waiters: Waiters,
}

impl Room {
    pub(super) fn holds_chunks(&self, partition: Arc<Partition>) {
        self.holders.lock().push_back(partition);
    }

    /// Moves the turn, and calls everybody who waits for that; the turn.
    pub(super) fn wake_all(&self) -> u64 {
        let (woken, turn) = {
            let mut state = self.state.lock();
            state.turn += 1;
            (state.waiters.take_all(), state.turn)
        };
        woken.wake();
        turn
    }

    fn turn(&self) -> u64 {
        self.state.lock().turn
    }

    /// Parks until the turn moves on from `turn`, or the deadline.
    fn wait(&self, turn: u64, shared: &Shared, deadline: &Deadline) {
        let parker = Parker::new();
        let token = {
            let mut state = self.state.lock();
            if state.turn != turn {
                return;
            }
            state.waiters.add(u64::MAX, &parker.waker())
        };
        parker.park(&*shared.clock, deadline);
        self.state.lock().waiters.remove(token);
    }

    fn next_holder(&self) -> Option<Arc<Partition>> {
        self.holders.lock().pop_front()
    }

    fn holder_count(&self) -> usize {
        self.holders.lock().len()
    }

    /// Forgets one partition: it is deleted.
    pub(super) fn forget(&self, partition: &Partition) {
        self.holders.lock().retain(|p| !std::ptr::eq(Arc::as_ptr(p), partition));
    }

    /// Forgets every partition: the log is closing.
    pub(super) fn clear(&self) {
        self.holders.lock().clear();
    }
}

impl Partition {
    /// Returns when it is worth trying again to get a chunk. `Timeout` at the deadline, the
    /// cause when settling fails; where readers hold what would make room, at the deadline.
    pub(super) fn make_room(&self, deadline: Deadline) -> Result<()> {
        let shared = &*self.shared;
        if deadline.has_passed(&*shared.clock) {
            return Err(self.no_room());
        }
        let turn = shared.room.turn();
        let Some(making) = shared.room.making.try_lock() else {
            shared.room.wait(turn, shared, &deadline);
            return Ok(());
        };
        let times = shared.times_relieved();
        let wanted = shared.stage.pool.total_bytes() / 4;
        let freed = shared.settle_coldest(wanted, Partition::try_settle_for_room);
        let hope = shared.relieve_after(freed.as_ref().err(), times);
        drop(making);
        let now = shared.room.wake_all();
        match (freed, hope) {
            (Ok(true), _) | (_, Hope::Now) => {}
            (Err(error), Hope::None) => return Err(self.error(error)),
            // Who settles beside this thread may have given something back meanwhile.
            (Ok(false), _) if now != turn + 1 => {}
            (Ok(false), _) => {
                let soon = Deadline::after(&*shared.clock, PIN_WAIT).earlier(deadline);
                shared.room.wait(now, shared, &soon);
            }
            (Err(error), Hope::Later) => {
                // Not to be called by others that find nothing either.
                let soon = Deadline::after(&*shared.clock, PIN_WAIT).earlier(deadline);
                Parker::new().park(&*shared.clock, &soon);
                if deadline.has_passed(&*shared.clock) {
                    return Err(self.error(error));
                }
            }
        }
        Ok(())
    }

    fn no_room(&self) -> Error {
        let total = self.shared.stage.pool.total_bytes();
        let message = format!("no room in the stage of {total} bytes within max.block.ms");
        let (kind, why) = match self.shared.wanted_of_readers() {
            0 => (ErrorKind::Timeout, String::new()),
            held => (ErrorKind::StorageFull, format!("; readers hold {held} of what is deleted")),
        };
        Error::new(kind, message + &why).with_partition(&self.tp)
    }
}

impl Shared {
    /// Settles partitions, the longest holder first, until `wanted` bytes of the stage are free.
    /// False when nothing became free; an error only when nothing did because of it.
    pub(super) fn settle_coldest(
        &self,
        wanted: usize,
        settle: impl Fn(&Partition, usize) -> Result<Freed>,
    ) -> Result<bool> {
        self.relieve(0);
        let before = self.stage.pool.free_bytes();
        let wanted = wanted.max(before + 1);
        let mut failure = None;
        let mut tickets = Vec::new();
        let mut pending = 0;
        for _ in 0..self.room.holder_count() {
            let Some(partition) = self.room.next_holder() else { break };
            match settle(&partition, wanted) {
                Ok((ticket, bytes)) => {
                    pending += bytes;
                    tickets.extend(ticket.map(|ticket| (Arc::clone(&partition), ticket)));
                }
                Err(error) => failure = Some(error),
            }
            let holds = {
                let mut appender = partition.append.lock();
                appender.held = appender.has_chunks();
                appender.held
            };
            if holds {
                self.room.holds_chunks(partition);
            }
            if self.stage.pool.free_bytes() + pending >= wanted {
                break;
            }
        }
        failure = finish_all(tickets).err().or(failure);
        let freed = self.stage.pool.free_bytes() > before;
        match failure {
            Some(error) if !freed => Err(error),
            _ => Ok(freed),
        }
    }
}

impl Shared {
    /// Moves everything that stands in the stage to segments, synced.
    pub fn evacuate(&self) -> Result<()> {
        while let Some(partition) = self.room.next_holder() {
            partition.append.lock().held = false;
            let (ticket, _) = partition.settle_for_room(usize::MAX)?;
            finish_all(ticket.into_iter().map(|t| (Arc::clone(&partition), t)).collect())?;
        }
        Ok(())
    }
}

/// Runs and finishes every ticket; the first failure is the answer.
pub(super) fn finish_all(tickets: Vec<(Arc<Partition>, SyncTicket)>) -> Result<()> {
    finish_each(tickets, |_, finished| finished)
}

/// As `finish_all`, with a word about each.
pub(super) fn finish_each(
    tickets: Vec<(Arc<Partition>, SyncTicket)>,
    mut each: impl FnMut(&Arc<Partition>, Result<()>) -> Result<()>,
) -> Result<()> {
    let results = SyncTicket::run_all(tickets.iter().map(|(_, ticket)| ticket));
    let mut outcome = Ok(());
    for ((partition, ticket), result) in tickets.into_iter().zip(results) {
        let finished = partition.finish_sync(ticket, result);
        outcome = outcome.and(each(&partition, finished));
    }
    outcome
}

impl Partition {
    /// Settles until `wanted` bytes of the stage are free; where only a sync frees the chunks,
    /// returns its ticket and how much it frees.
    pub(super) fn settle_for_room(&self, wanted: usize) -> Result<Freed> {
        self.settle_for_room_locked(&mut self.flush.lock(), wanted)
    }

    /// As `settle_for_room`; nothing while somebody else writes this partition's segments. Whoever
    /// appends had better go on as soon as that one has freed a chunk than wait for all of it.
    fn try_settle_for_room(&self, wanted: usize) -> Result<Freed> {
        match self.flush.try_lock() {
            Some(mut log) => self.settle_for_room_locked(&mut log, wanted),
            None => Ok((None, 0)),
        }
    }

    fn settle_for_room_locked(&self, log: &mut SegmentLog, wanted: usize) -> Result<Freed> {
        self.settle_until(log, || self.shared.stage.pool.free_bytes() >= wanted)?;
        if self.lets_go_unsynced() {
            return Ok((None, 0));
        }
        let bytes = self.append.lock().chunk_bytes();
        let ticket = log.begin_sync();
        if ticket.is_none() {
            self.release(self.marks.synced());
        }
        Ok((ticket, bytes))
    }
}
