//! Consumer groups through the public surface, on each kind of log. Time is the manual clock's.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[allow(dead_code)]
#[path = "../api/support.rs"]
mod support;

mod bed;
mod commits;
mod corners;
mod faults;
mod listeners;
mod membership;
mod runs;
mod statics;
mod stress;
mod waiting;
