//! Floor 4: state machines that are replayed from internal topics.
//!
//! A machine decides a command against its state, the table appends the records of the decision
//! through the one write path, and the state changes only by their replay. Boot is the same
//! replay.

mod catalogue;
pub mod groups;
mod row;
mod table;
pub mod transactions;

use crate::base::TopicId;

pub use catalogue::{Catalogue, TopicEntry};
pub use table::{Machine, Table};

/// The log's own topic of groups and their offsets.
pub const OFFSETS_TOPIC: TopicId = TopicId(2);
