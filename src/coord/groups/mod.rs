//! Consumer groups: who reads what, and how far everybody has come.
//!
//! Two kinds of state. What outlives a handle (committed offsets, static members, that a group
//! exists) is a [`Ledger`](ledger::Ledger), the replay of `__consumer_offsets`. Who is a member
//! now is a [`Group`](group::Group), a deterministic machine in memory: a member is a live handle
//! of this process, so nothing of it could be of use to the next one. The
//! [`Coordinator`](coordinator::Coordinator) puts both behind one lock, first in lock order, and
//! asks assignors outside of it.

pub mod assign;
mod commit;
mod coordinator;
mod due;
mod event;
mod group;
mod ledger;
mod member;
mod options;
mod part_map;
mod pending;
mod pulse;
mod record;
mod serve;
mod session;
mod topics;
mod transactional;
mod view;
mod watched;

#[cfg(test)]
mod tests;

pub use assign::{Assignor, GroupSpec, MemberSpec, Range, RoundRobin, Slot, TopicSpec, Uniform};
pub use coordinator::{Coordinator, topic_config};
pub use event::GroupEvent;
pub use group::GroupState;
pub use options::GroupOptions;
pub use topics::GroupTopic;
pub use view::{GroupSummary, GroupType, GroupView, MemberView};
