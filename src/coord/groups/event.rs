//! What happened to groups without anybody having asked.

use std::sync::Arc;
use std::time::Duration;

use crate::base::TopicPartition;

/// What happened to groups without anybody having asked. From
/// [`Admin::take_group_events`](crate::Admin::take_group_events).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupEvent {
    /// A committed offset has expired (`offsets.retention.minutes`): a consumer that comes back
    /// begins where its reset policy says.
    OffsetExpired {
        /// Of which group.
        group: Arc<str>,
        /// Of which partition.
        partition: TopicPartition,
        /// The offset that was committed.
        offset: u64,
    },
    /// A member was removed: it did not poll for `max.poll.interval.ms`, or its session is over.
    MemberExpired {
        /// Of which group.
        group: Arc<str>,
        /// The member's id.
        member_id: Arc<str>,
    },
    /// Wall time went ahead of monotonic time by this much: no offset expired in that pass.
    ClockJumped(Duration),
    /// So many earlier events were dropped because nobody took them.
    Missed(u64),
}
