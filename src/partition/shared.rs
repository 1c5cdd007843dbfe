//! What all partitions of one log have in common.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::agenda::Agenda;
use crate::base::{Clock, Planted, Validators};
use crate::log::LogFiles;
use crate::stage::{Chunk, Stage, Witness};

use super::budget::Relief;
use super::losses::Losses;
use super::room::Room;
use super::round::Rounds;

/// Stage, files, clock, and the lists of who needs what.
pub struct Shared {
    pub(super) files: Arc<LogFiles>,
    pub(super) stage: Stage,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rounds: Rounds,
    pub(super) room: Room,
    pub(super) losses: Losses,
    /// Who makes room where the log has a disk budget.
    pub(super) relief: Option<Relief>,
    /// What the program asks of records.
    pub(super) validators: Validators,
    /// When housekeeping has something to do next.
    agenda: Agenda,
    /// The longest that a record stays unsynced without a waiter, in milliseconds.
    flush_ms: AtomicU64,
    /// Held while ceilings are raised, which must not go back.
    pub(super) ceilings: parking_lot::Mutex<()>,
    /// A sync of the stage file failed: it is never synced again, records become durable in
    /// segments only.
    stage_failed: AtomicBool,
    /// A settle was asked for since the last long sync.
    pub(super) settled_much: AtomicBool,
    /// A test wants readers not to stop at open transactions.
    ignores_stable: AtomicBool,
}

impl Shared {
    /// What the partitions of one log share.
    pub fn new(files: Arc<LogFiles>, stage: Stage, clock: Arc<dyn Clock>, flush_ms: i64) -> Self {
        Self {
            files,
            stage,
            clock,
            rounds: Rounds::default(),
            room: Room::default(),
            losses: Losses::default(),
            relief: None,
            validators: Validators::default(),
            agenda: Agenda::default(),
            flush_ms: AtomicU64::new(u64::try_from(flush_ms).unwrap_or(1)),
            ceilings: parking_lot::Mutex::new(()),
            stage_failed: AtomicBool::new(false),
            settled_much: AtomicBool::new(false),
            ignores_stable: AtomicBool::new(false),
        }
    }

    /// Lets records stay unsynced for at most `ms`; the shortest time wins for the whole log.
    pub fn limit_flush_ms(&self, ms: i64) {
        self.flush_ms.fetch_min(u64::try_from(ms).unwrap_or(0), Ordering::AcqRel);
    }

    /// Lets records stay unsynced for `ms`, whatever it was before.
    pub fn set_flush_ms(&self, ms: i64) {
        self.flush_ms.store(u64::try_from(ms).unwrap_or(1), Ordering::Release);
    }

    /// The longest that a record stays unsynced without a waiter.
    pub(super) fn flush_interval(&self) -> Duration {
        Duration::from_millis(self.flush_ms.load(Ordering::Acquire))
    }

    /// Puts a fault in, for tests that must find it.
    pub fn plant(&self, fault: Option<Planted>) {
        let ignores = fault == Some(Planted::NoStableOffset);
        self.ignores_stable.store(ignores, Ordering::Relaxed);
    }

    pub(super) fn ignores_stable(&self) -> bool {
        self.ignores_stable.load(Ordering::Relaxed)
    }

    /// The log's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The log's files.
    pub fn files(&self) -> &Arc<LogFiles> {
        &self.files
    }

    /// What failing disks took away in this life.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// The same with rules of the program's own.
    pub fn with_validators(self, validators: Validators) -> Self {
        Self { validators, ..self }
    }

    /// The same under a disk budget.
    pub fn with_relief(self, relief: Option<Relief>) -> Self {
        Self { relief, ..self }
    }

    /// Who makes room where the log has a disk budget.
    pub fn relief(&self) -> Option<&Relief> {
        self.relief.as_ref()
    }

    /// When housekeeping has something to do next.
    pub fn agenda(&self) -> &Agenda {
        &self.agenda
    }

    /// The log's stage.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether one sync of the stage makes staged records durable.
    pub(super) fn stage_syncs(&self) -> bool {
        self.stage.is_shared() && !self.stage_failed.load(Ordering::Acquire)
    }

    /// How long a silent producer is remembered, in milliseconds.
    pub(super) fn producer_expiration_ms(&self) -> i64 {
        self.files.producer_expiration_ms()
    }

    pub(super) fn condemn_stage(&self) {
        self.stage_failed.store(true, Ordering::Release);
    }

    /// Whether a sync of the stage file has failed in this life.
    pub fn stage_is_condemned(&self) -> bool {
        self.stage_failed.load(Ordering::Acquire)
    }

    pub(super) fn give_chunk(&self, chunk: Chunk) {
        self.stage.pool.give_chunk(chunk);
        self.room.wake_all();
    }

    /// Tells the stage how far the manifest is synced, so that a shortened one is found out.
    pub fn note_manifest(&self) {
        let synced = self.files.manifest().synced_len();
        let witness = Witness { generation: synced.generation, len: synced.len };
        self.stage.note_witness(witness);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("stage_free", &self.stage.pool.free_bytes())
            .field("stage_failed", &self.stage_is_condemned())
            .finish_non_exhaustive()
    }
}
