//! The manifest: the one commit point of a log.
//!
//! One append-only file says which segment files exist, where each partition starts, and how
//! the log was left. A file that it does not name does not count; a change that it does not
//! record did not happen.
//!
//! | file | holds |
//! |---|---|
//! | `record` | what can be said, and its bytes |
//! | `frame` | the file header and the checksummed frames around records |
//! | `state`, `partition`, `numbers`, `origins` | what the records add up to |
//! | `read` | bytes to state, with the rules for damage |
//! | `tail` | the end of the file: room in reserve, one write per append |
//! | `open`, `writer`, `rewrite` | the handle: open, append, group commit, rewrite |
//! | `unborn` | a manifest that no open finds before it is complete |

mod fields;
mod frame;
pub mod fuzz;
mod numbers;
mod open;
mod origins;
mod partition;
mod read;
mod record;
mod rewrite;
mod state;
mod tail;
mod unborn;
mod writer;

#[cfg(test)]
mod tests;

pub use frame::Witness;
pub use partition::{PartitionState, SegmentState};
pub use record::{PartitionEnd, Record, SegmentEnd};
pub use state::ManifestState;
pub use unborn::UNFINISHED;
pub use writer::Manifest;
