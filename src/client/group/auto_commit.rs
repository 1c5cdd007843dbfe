//! Commits that a consumer makes by itself, inside of its polls.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{Clock, TopicPartition};

use super::super::offsets::Offsets;

/// When to commit next, and what has been committed.
#[derive(Debug)]
pub(super) struct AutoCommit {
    interval: Option<Duration>,
    /// When, on the monotonic clock; none: not yet planned.
    next: Option<Duration>,
    committed: BTreeMap<TopicPartition, u64>,
}

impl AutoCommit {
    pub(super) fn new(interval: Option<Duration>) -> Self {
        Self { interval, next: None, committed: BTreeMap::new() }
    }

    pub(super) fn is_on(&self) -> bool {
        self.interval.is_some()
    }

    /// Whether it is time to commit. Plans the first one.
    pub(super) fn is_due(&mut self, clock: &dyn Clock) -> bool {
        let Some(interval) = self.interval else { return false };
        let now = clock.monotonic_coarse();
        let next = *self.next.get_or_insert(now.saturating_add(interval));
        now >= next
    }

    /// Plans the next one.
    pub(super) fn plan(&mut self, clock: &dyn Clock) {
        self.next = self.interval.map(|interval| clock.monotonic().saturating_add(interval));
    }

    /// How long until the next one.
    pub(super) fn due_in(&self, clock: &dyn Clock) -> Option<Duration> {
        self.next.map(|next| next.saturating_sub(clock.monotonic()))
    }

    /// Those of `positions` that have moved since they were committed last.
    pub(super) fn moved(&self, positions: &Offsets) -> Offsets {
        let moved = positions.iter().filter(|(tp, at)| self.committed.get(tp) != Some(at));
        moved.map(|(tp, at)| (tp.clone(), at)).collect()
    }

    /// Takes note of what stands committed.
    pub(super) fn note<'a>(
        &mut self,
        offsets: impl IntoIterator<Item = (&'a TopicPartition, u64)>,
    ) {
        if !self.is_on() {
            return;
        }
        for (partition, offset) in offsets {
            match self.committed.get_mut(partition) {
                Some(known) => *known = offset,
                None => drop(self.committed.insert(partition.clone(), offset)),
            }
        }
    }

    /// Somebody else may commit for these from now on.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        self.committed.retain(|known, _| partitions.binary_search(known).is_err());
    }
}
