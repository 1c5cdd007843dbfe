//! The coordinator of transactions: who holds an id, and what its transaction has come to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::backend::{Changes, TransactionHolder};
use crate::base::wait::{Deadline, Parker};
use crate::base::{Clock, ClockWatch, Error, ErrorKind, Result, TopicId};
use crate::coord::groups;
use crate::partition::Partition;

use super::journal::Journal;
use super::live::{Decided, Live, State, TransactionOptions};
use super::record::{Entry, Record, Stage};
use super::recover::Recovered;
use super::registry::LAST_EPOCH;

/// So many producer ids are reserved at once.
const IDS: i64 = 1_000;
/// The longest transactional id or producer name, in bytes.
const MAX_ID: usize = 249;
/// How long a decision waits for room in the stage, with the lock held.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Coordinates all transactions of a log.
pub struct Coordinator {
    pub(super) state: Mutex<State>,
    pub(super) journal: Journal,
    pub(super) groups: Arc<groups::Coordinator>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: TransactionOptions,
    /// Monotonic nanoseconds before which nothing is due.
    pub(super) due: AtomicU64,
    /// Where those who sleep learn that something is due sooner than they know.
    pub(super) plans: Changes,
    /// Where it is told that a transaction has come to its end.
    pub(super) ends: Changes,
    /// In every marker: which life of the log decided.
    pub(super) incarnation: i32,
    closed: AtomicBool,
}

impl Coordinator {
    /// Goes on from what recovery has found.
    pub fn new(
        recovered: Recovered,
        groups: Arc<groups::Coordinator>,
        clock: Arc<dyn Clock>,
        options: TransactionOptions,
    ) -> Self {
        let Recovered { mut state, journal, incarnation, unfinished, .. } = recovered;
        let (now, wall) = (clock.monotonic(), clock.unix_ms());
        state.watch = ClockWatch::new(now, wall);
        for id in unfinished {
            let decided = Decided { at: 0, after: 0, in_hand: false, retry: now };
            state.live.entry(id).or_default().decided = Some(decided);
        }
        Self {
            state: Mutex::new(state),
            journal,
            groups,
            clock,
            options,
            due: AtomicU64::new(0),
            plans: Changes::default(),
            ends: Changes::default(),
            incarnation,
            closed: AtomicBool::new(false),
        }
    }

    /// The partition behind the registry.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.journal.0
    }

    /// Where those who sleep learn that something is due sooner than they know.
    pub fn plans(&self) -> &Changes {
        &self.plans
    }

    /// Refuses later calls.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.plans.announce();
        self.ends.announce();
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    /// A topic was created or has got more partitions.
    pub fn put_topic(&self, id: TopicId, partitions: Vec<Arc<Partition>>) {
        self.state.lock().participants.put(id, partitions);
    }

    /// A topic was deleted: what it had of transactions is gone, and they end without it (B51).
    pub fn remove_topic(&self, id: TopicId) {
        self.state.lock().participants.remove(id);
    }

    /// Has producer ids ready, durably reserved: one that was given before a power cut must not
    /// be given again after it.
    pub(super) fn reserve_ids(&self, deadline: Deadline<'_>) -> Result<()> {
        let end = {
            let mut state = self.state.lock();
            // One in reserve, for a transactional id whose epochs come to their end.
            if state.ids.end - state.ids.start > 1 {
                return Ok(());
            }
            let below = state.registry.free() + IDS;
            let record = Record::Ids(below);
            let end = self.journal.append(std::slice::from_ref(&record), PATIENCE)?;
            let from = state.registry.free();
            state.registry.apply(record);
            // What is left of the former ones is not worth a list.
            state.ids = from..below;
            end
        };
        self.journal.wait(end, deadline).inspect_err(|_| {
            // Whoever comes next waits for another reservation.
            self.state.lock().ids = 0..0;
        })
    }

    pub(super) fn new_producer(&self, deadline: Deadline<'_>) -> Result<i64> {
        self.check_open()?;
        loop {
            self.reserve_ids(deadline)?;
            if let Some(id) = self.state.lock().take_id() {
                return Ok(id);
            }
        }
    }

    /// Takes an id: fences its holder, ends that one's transaction.
    pub(super) fn hold_id(
        &self,
        id: &str,
        timeout: Duration,
        deadline: Deadline<'_>,
    ) -> Result<TransactionHolder> {
        self.check_open()?;
        check_id("transactional.id", id)?;
        self.check_timeout(timeout)?;
        self.run_due();
        self.reserve_ids(deadline)?;
        let holder = self.fence(id);
        self.end_former(&holder, deadline)?;
        loop {
            let mut state = self.state.lock();
            state.held_live(&holder)?;
            let known = state.registry.entry(id).copied();
            let used_up = |e: &Entry| e.epoch.saturating_add(1) >= LAST_EPOCH;
            let is_first = state.live.get(id).is_none_or(|live| live.used.is_zero());
            let distrusted = is_first && state.distrusts_epochs;
            let (producer, epoch) = match known {
                Some(entry) if !distrusted && !used_up(&entry) => (entry.producer, entry.epoch + 1),
                _ => match state.take_id() {
                    Some(fresh) => (fresh, 0),
                    None => {
                        drop(state);
                        self.reserve_ids(deadline)?;
                        continue;
                    }
                },
            };
            let changed_ms = self.clock.unix_ms();
            let entry = Entry { producer, epoch, stage: Stage::Empty, timeout, changed_ms };
            let record = Record::Transaction(Arc::clone(&holder.id), Some(entry));
            self.journal.append(std::slice::from_ref(&record), PATIENCE)?;
            state.registry.apply(record);
            let now = self.clock.monotonic();
            if let Some(live) = state.live.get_mut(id) {
                live.used = now.max(Duration::from_nanos(1));
                live.ended = None;
            }
            return Ok(holder);
        }
    }

    fn check_timeout(&self, timeout: Duration) -> Result<()> {
        let most = self.options.max_timeout;
        if timeout <= most {
            return Ok(());
        }
        let (ms, most) = (timeout.as_millis(), most.as_millis());
        let message = format!("transaction.timeout.ms={ms}: transaction.max.timeout.ms is {most}");
        Err(Error::new(ErrorKind::InvalidTransactionTimeout, message))
    }

    /// A new holder of the id; the former one gets nothing done from here on.
    pub(super) fn fence(&self, id: &str) -> TransactionHolder {
        let mut state = self.state.lock();
        state.sessions += 1;
        let session = state.sessions;
        let shared = state.registry.shared_entry(id).map(|(id, _)| Arc::clone(id));
        let id = shared.unwrap_or_else(|| Arc::from(id));
        state.live.entry(Arc::clone(&id)).or_default().session = session;
        TransactionHolder { id, session }
    }

    /// Aborts what is open of a former holder, and completes what is decided.
    fn end_former(&self, holder: &TransactionHolder, deadline: Deadline<'_>) -> Result<()> {
        loop {
            let is_decided = {
                let mut state = self.state.lock();
                state.held_live(holder)?;
                let Some(entry) = state.registry.entry(&holder.id).copied() else { return Ok(()) };
                if state.registry.is_open(&entry) {
                    self.decide_abort(&mut state, &holder.id, None);
                }
                state.live.get(&holder.id).is_some_and(|live| live.decided.is_some())
            };
            if !is_decided {
                return Ok(());
            }
            self.complete_soon(&holder.id, deadline)?;
        }
    }

    /// Completes a decided transaction, or waits for the thread that does.
    pub(super) fn complete_soon(&self, id: &Arc<str>, deadline: Deadline<'_>) -> Result<()> {
        let seen = self.ends.version();
        let outcome = match self.take_in_hand(id) {
            InHand::Nothing => return Ok(()),
            InHand::Mine(work) => self.complete(id, work, deadline),
            InHand::Others => {
                let parker = Parker::new();
                if let Some(token) = self.ends.register(seen, &parker.waker()) {
                    parker.park(&*self.clock, &deadline);
                    self.ends.unregister(token);
                }
                Ok(())
            }
        };
        self.check_open()?;
        match outcome {
            Ok(()) if !deadline.has_passed(&*self.clock) => Ok(()),
            Ok(()) => Err(self.still_concurrent(id)),
            Err(e) => {
                let message = format!("the former transaction of {id:?} could not be completed");
                Err(e.because(ErrorKind::ConcurrentTransactions, message))
            }
        }
    }

    fn still_concurrent(&self, id: &str) -> Error {
        let message = format!("the former transaction of {id:?} is still being completed");
        Error::new(ErrorKind::ConcurrentTransactions, message)
    }
}

/// Who completes a decided transaction.
pub(super) enum InHand {
    /// There is none.
    Nothing,
    /// Whoever asked.
    Mine(super::end::Work),
    /// Another thread.
    Others,
}

impl State {
    /// Whether `holder` still holds its id.
    fn held_live(&self, holder: &TransactionHolder) -> Result<&Live> {
        let live = self.live.get(&holder.id).filter(|live| live.session == holder.session);
        live.ok_or_else(|| super::live::fenced(&holder.id))
    }
}

/// Ids and names are text of a bounded length.
pub(super) fn check_id(key: &str, id: &str) -> Result<()> {
    let reason = match id.len() {
        0 => "it is empty".to_owned(),
        len if len > MAX_ID => format!("it has {len} bytes, the limit is {MAX_ID}"),
        _ => return Ok(()),
    };
    let shown: String = id.chars().take(MAX_ID).collect();
    Err(Error::new(ErrorKind::InvalidConfig, format!("{key}={shown:?}: {reason}")))
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("transactions::Coordinator")
            .field("partition", &self.journal.0)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
