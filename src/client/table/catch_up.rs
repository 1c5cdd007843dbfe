//! Applying what has become visible: one thread at a time, on the thread that asks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::backend::{Backend, Fetch, FetchHint, FetchedBatch};
use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, Result};

use super::super::packed_record::Packing;
use super::part::{ISOLATION, Part};
use super::snapshot::{Restored, save};
use super::state::{Outcome, State};

/// Bytes of one fetch: so long readers wait at most for whoever applies.
const FETCH_BYTES: usize = 256 << 10;

/// How often a partition is read anew at once because a compaction has come between. Then it may
/// keep a key whose tombstone was removed within the time of one reading, which is what
/// `delete.retention.ms` must be longer than.
const TRIES: u32 = 3;

/// A table as all its handles share it.
///
/// Whoever applies holds `applying` while it reads, and `state` only while it changes memory. A
/// look takes `state` for a moment; a view shares what is in it.
pub(super) struct Shared {
    pub(super) backend: Arc<dyn Backend>,
    /// Whether partitions were chosen: then no others join.
    pub(super) is_chosen: bool,
    pub(super) state: RwLock<Arc<State>>,
    pub(super) snapshot: Snapshot,
    applying: Mutex<Applier>,
}

/// The file that a table is kept in.
pub(super) struct Snapshot {
    pub(super) path: Option<PathBuf>,
    /// What became of it when the table was built.
    pub(super) restored: Restored,
    /// Held by whoever writes it: how many losses of failing disks the table has heard of.
    saving: Mutex<u64>,
}

impl Snapshot {
    pub(super) fn new(path: Option<PathBuf>, restored: Restored, losses: u64) -> Self {
        Self { path, restored, saving: Mutex::new(losses) }
    }
}

/// Memory that applying uses again and again.
#[derive(Default)]
struct Applier {
    batches: Vec<FetchedBatch>,
    packing: Packing,
}

impl Shared {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        state: State,
        is_chosen: bool,
        snapshot: Snapshot,
    ) -> Self {
        let state = RwLock::new(Arc::new(state));
        Self { backend, is_chosen, state, snapshot, applying: Mutex::default() }
    }

    /// Writes the state of now to the table's file, all or nothing. Nobody waits for it but
    /// others who save.
    pub(super) fn save(&self, path: &Path, timeout: Duration) -> Result<()> {
        let files = self.backend.side_files()?;
        let mut losses = self.snapshot.saving.lock();
        self.catch_up()?;
        let mut state = Arc::clone(&self.state.read());
        // A snapshot must never know more than the log after a power cut.
        files.make_durable(Deadline::after(self.backend.clock(), timeout))?;
        let (now, _) = self.backend.losses_since(*losses);
        if now > *losses {
            // Records that were read may be gone. What is there is read again, and is durable.
            self.begin_anew();
            self.catch_up()?;
            *losses = now;
            state = Arc::clone(&self.state.read());
            files.make_durable(Deadline::after(self.backend.clock(), timeout))?;
        }
        save(files, path, &state, self.is_chosen, self.backend.clock().unix_ms())
    }

    /// Returns when all is applied that was visible at the call.
    pub(super) fn catch_up(&self) -> Result<()> {
        self.backend.check_open()?;
        let mut applier = self.applying.lock();
        self.follow()?;
        let count = self.state.read().parts.len();
        (0..count).try_for_each(|at| {
            if !self.state.read().parts.get(at).is_some_and(Part::wants_a_look) {
                return Ok(());
            }
            let caught_up = self.catch_up_part(at, &mut applier);
            self.change(|state| state.rest(at, caught_up.is_ok()));
            caught_up
        })
    }

    fn begin_anew(&self) {
        // What somebody fetched before must not be applied behind this.
        let _nobody_applies = self.applying.lock();
        self.change(|state| (0..state.parts.len()).for_each(|at| state.begin_anew(at)));
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(Arc::make_mut(&mut self.state.write()))
    }

    /// Takes up what has become of the topic.
    fn follow(&self) -> Result<()> {
        let route = Arc::clone(&self.state.read().route);
        if route.is_live() {
            return Ok(());
        }
        if route.is_deleted() {
            let message = format!("the topic {:?} of this table was deleted", route.name);
            let error = Error::new(ErrorKind::UnknownTopicOrPartition, message);
            return Err(error.with_topic(&route.name));
        }
        self.change(|state| state.follow(route.newest(), self.is_chosen));
        Ok(())
    }

    fn catch_up_part(&self, at: usize, applier: &mut Applier) -> Result<()> {
        let Some(part) = self.state.read().parts.get(at).cloned() else { return Ok(()) };
        let to = Part::end_of(&part.door.marks());
        let mut tries = 0;
        loop {
            let Some(part) = self.state.read().parts.get(at).cloned() else { return Ok(()) };
            let start = part.door.marks().start;
            if start > part.start {
                self.change(|state| state.trim(at, start));
                continue;
            }
            if part.position >= to {
                if tries == TRIES || !part.is_torn() {
                    return Ok(());
                }
                self.change(|state| state.begin_anew(at));
                tries += 1;
                continue;
            }
            if self.fetch(at, &part, applier)? == Outcome::Stands {
                self.pass_nothing(at, to, applier)?;
            }
        }
    }

    /// A fetch below the visible end has found neither a record nor a gap: a compaction has left
    /// nothing there, if a search from the beginning finds nothing either.
    fn pass_nothing(&self, at: usize, to: u64, applier: &mut Applier) -> Result<()> {
        let Some(mut part) = self.state.read().parts.get(at).cloned() else { return Ok(()) };
        part.hint = FetchHint::default();
        if self.fetch(at, &part, applier)? == Outcome::Stands {
            self.change(|state| state.pass_nothing(at, to));
        }
        Ok(())
    }

    fn fetch(&self, at: usize, part: &Part, applier: &mut Applier) -> Result<Outcome> {
        let Applier { batches, packing } = applier;
        let (hint, isolation) = (part.hint, ISOLATION);
        let request = Fetch { hint, isolation, ..Fetch::new(part.position, FETCH_BYTES) };
        batches.clear();
        match part.door.fetch(&request, batches) {
            Ok(info) => {
                let outcome = self.change(|state| state.apply(at, batches, &info, packing));
                // What was read is not held any longer than that.
                batches.clear();
                outcome
            }
            // Trimmed in this moment: the next look at the log start takes note of it.
            Err(error) if error.kind() == ErrorKind::OffsetOutOfRange => {
                let moved = part.door.marks().start > part.position;
                if moved { Ok(Outcome::Moved) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }
}
