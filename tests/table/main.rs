//! Tables through the public surface, on each kind of log. Names begin with the row of Kafka's
//! semantics that a test shows.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[allow(dead_code)]
#[path = "../api/support.rs"]
mod support;

mod compaction;
mod faults;
mod following;
mod looking;
mod memory;
mod model;
mod snapshots;
mod waiting;
