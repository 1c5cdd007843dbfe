//! What happened to a consumer beside the records that it returned.

use std::collections::VecDeque;

use crate::base::{Error, TopicPartition};

use super::offsets::Offsets;

/// Events that are kept at least, however few partitions are assigned.
const ROOM: usize = 1_024;

/// What happened to a consumer beside the records that it returned. From
/// [`Consumer::take_events`](crate::Consumer::take_events).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConsumerEvent {
    /// The reset policy has moved a position.
    Reset {
        /// Of which partition.
        partition: TopicPartition,
        /// The offset that was wanted, where there was one.
        wanted: Option<u64>,
        /// Where reading goes on.
        to: u64,
        /// Why the policy was asked.
        reason: ResetReason,
    },
    /// Stored data could not be read, and the consumer was told to step over such data:
    /// `[from, to)`. It stands in [`Records::gaps`](crate::Records::gaps) too.
    SkippedDamage {
        /// Of which partition.
        partition: TopicPartition,
        /// The first offset that was not read.
        from: u64,
        /// The first offset behind.
        to: u64,
        /// What was wrong, with its file.
        cause: Error,
    },
    /// The consumer was removed from its group: it has not polled within `max.poll.interval.ms`,
    /// an operator has done it, or another one has taken its `group.instance.id`.
    Removed {
        /// What it had; others may have it now.
        partitions: Vec<TopicPartition>,
        /// Why.
        cause: Error,
    },
    /// A commit that the consumer made by itself has failed. It is tried again at the next
    /// interval.
    CommitFailed {
        /// What was to be committed.
        offsets: Offsets,
        /// Why it was not.
        cause: Error,
    },
    /// The group's assignor has failed, or has panicked: everybody keeps what they have, and a
    /// newcomer is refused.
    AssignorFailed {
        /// What it did.
        cause: Error,
    },
    /// So many earlier events were dropped because nobody took them.
    Missed(u64),
}

/// Why a reset policy was asked where to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResetReason {
    /// No position was known.
    NoPosition,
    /// The position was below the log start or above the log end.
    OutOfRange,
    /// The topic was deleted, and the partition is one of a new topic of its name.
    NewTopic,
}

/// Events until they are taken: a bounded number, the oldest go first.
#[derive(Debug, Default)]
pub(super) struct Events {
    kept: VecDeque<ConsumerEvent>,
    missed: u64,
    /// Each assigned partition may have one at its beginning and another one later.
    partitions: usize,
}

impl Events {
    /// Makes room for so many assigned partitions.
    pub(super) fn fit(&mut self, partitions: usize) {
        self.partitions = partitions;
    }

    pub(super) fn push(&mut self, event: ConsumerEvent) {
        if self.kept.len() >= ROOM.max(2 * self.partitions) {
            self.kept.pop_front();
            self.missed += 1;
        }
        self.kept.push_back(event);
    }

    pub(super) fn take(&mut self) -> Vec<ConsumerEvent> {
        let missed = std::mem::take(&mut self.missed);
        let missed = (missed > 0).then_some(ConsumerEvent::Missed(missed));
        missed.into_iter().chain(self.kept.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_nobody_takes_are_bounded_and_counted() {
        let mut events = Events::default();
        let event = |to| ConsumerEvent::Reset {
            partition: TopicPartition::new("t", 0),
            wanted: None,
            to,
            reason: ResetReason::NoPosition,
        };
        for to in 0..ROOM as u64 + 7 {
            events.push(event(to));
        }
        let taken = events.take();
        assert!(matches!(taken[0], ConsumerEvent::Missed(7)), "{:?}", taken[0]);
        assert!(matches!(taken[1], ConsumerEvent::Reset { to: 7, .. }), "{:?}", taken[1]);
        assert_eq!(taken.len(), 1 + ROOM);
        assert!(events.take().is_empty());
        events.fit(ROOM);
        (0..2 * ROOM as u64).for_each(|to| events.push(event(to)));
        assert_eq!(events.take().len(), 2 * ROOM);
    }
}
