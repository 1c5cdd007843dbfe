//! How far the journal may be compacted.
//!
//! After a crash a decision is looked up in the journal, also one that newer records of its id have
//! made obsolete, wherever a partition lacks the marker. So nothing may go before all partitions
//! have all markers for good. Nobody waits for that: it is looked at when the journal could be
//! compacted, and again later.

use std::collections::HashSet;
use std::sync::Arc;

use crate::base::Durability;
use crate::partition::Partition;

use super::coordinator::Coordinator;
use super::live::State;

/// What is waited for.
#[derive(Debug, Default)]
pub(super) struct Ripening {
    /// The decisions below this offset of the journal,
    below: u64,
    /// once these partitions are durable up to here, where their markers stand.
    waits: Vec<(Arc<Partition>, u64)>,
}

impl Coordinator {
    /// Lets compaction have the part of the journal that nobody will ever ask for again.
    pub fn ripen(&self) {
        let journal = self.partition();
        let mut state = self.state.lock();
        if !state.ripening.is_over() {
            return;
        }
        // A marker that a disk has lost is told by its decision alone.
        if !journal.has_seen_losses() {
            journal.allow_compaction_below(state.ripening.below);
        }
        if journal.compactable_end() > state.ripening.below && !state.has_orphans() {
            state.ripening = Ripening::begin(&state, journal.marks_now().end);
            if state.ripening.is_over() && !journal.has_seen_losses() {
                journal.allow_compaction_below(state.ripening.below);
            }
        }
    }
}

impl State {
    /// Whether a partition holds a transaction for open that is not the present one of any id: an
    /// open could not end it, and only older decisions tell the next one how to.
    fn has_orphans(&self) -> bool {
        let present = self.registry.entries().map(|(_, entry)| (entry.producer, entry.epoch));
        let present: HashSet<_> = present.collect();
        let open = self.participants.all().flat_map(|part| part.open_transactions());
        open.into_iter().any(|open| !present.contains(&(open.producer, open.epoch)))
    }
}

impl Ripening {
    /// Decisions on their way to their partitions, and later ones, are not part of it.
    fn begin(state: &State, end: u64) -> Self {
        let decided = state.live.values().filter_map(|live| live.decided);
        let below = decided.map(|decided| decided.at).fold(end, u64::min);
        let waits = state.participants.all();
        let waits = waits.map(|part| (Arc::clone(part), part.marks_now().end)).collect();
        Self { below, waits }
    }

    fn is_over(&mut self) -> bool {
        let lasts = |part: &Partition| part.level() != Durability::Memory && !part.is_closed();
        self.waits.retain(|(part, end)| lasts(part) && part.marks_now().durable < *end);
        self.waits.is_empty()
    }
}
