//! Transactions through the public surface, on each kind of log.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]
#![allow(clippy::missing_errors_doc, clippy::missing_panics_doc)]

#[allow(dead_code)]
#[path = "../api/support.rs"]
mod support;

mod admin;
mod bed;
mod commits;
mod deletions;
mod fencing;
mod names;
mod offsets;
mod process;
