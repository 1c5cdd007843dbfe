//! Event sourcing through the public surface, on each kind of log: conditional appends, the index
//! of keys, aggregates.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../api/support.rs"]
#[allow(dead_code)]
mod support;

mod aggregates;
mod bed;
mod conditions;
mod keys;
mod model;
mod races;
mod transactions;
