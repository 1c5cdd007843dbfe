//! Applying what has become visible: one thread at a time, on the thread that asks.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::backend::{Backend, Fetch, FetchedBatch};
use crate::base::{Error, ErrorKind, Result};

use super::super::packed_record::Packing;
use super::part::{ISOLATION, Part};
use super::state::{Outcome, State};

/// Bytes of one fetch: so long readers wait at most for whoever applies.
const FETCH_BYTES: usize = 256 << 10;

/// A table as all its handles share it.
///
/// Whoever applies holds `applying` while it reads, and `state` only while it changes memory. A
/// look takes `state` for a moment; a view shares what is in it.
pub(super) struct Shared {
    pub(super) backend: Arc<dyn Backend>,
    /// Whether partitions were chosen: then no others join.
    pub(super) is_chosen: bool,
    pub(super) state: RwLock<Arc<State>>,
    applying: Mutex<Applier>,
}

/// Memory that applying uses again and again.
#[derive(Default)]
struct Applier {
    batches: Vec<FetchedBatch>,
    packing: Packing,
}

impl Shared {
    pub(super) fn new(backend: Arc<dyn Backend>, state: State, is_chosen: bool) -> Self {
        let state = RwLock::new(Arc::new(state));
        Self { backend, is_chosen, state, applying: Mutex::default() }
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
            self.change(|state| state.rest(at));
            caught_up
        })
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
        loop {
            let Some(part) = self.state.read().parts.get(at).cloned() else { return Ok(()) };
            let start = part.door.marks().start;
            if start > part.start {
                self.change(|state| state.trim(at, start));
                continue;
            }
            if part.position >= to || self.fetch(at, &part, applier)? == Outcome::Stands {
                return Ok(());
            }
        }
    }

    fn fetch(&self, at: usize, part: &Part, applier: &mut Applier) -> Result<Outcome> {
        let Applier { batches, packing } = applier;
        let (from, hint, isolation) = (part.position, part.hint, ISOLATION);
        let request = Fetch { from, max_bytes: FETCH_BYTES, hint, isolation };
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
