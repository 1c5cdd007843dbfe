//! The behaviour of the whole, through the public door only: on a log in memory and on disk, at
//! each level. Names begin with the row of Kafka's semantics that a test shows.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod gate;
mod support;

mod admin;
mod admin_races;
mod alterations;
mod auto_create;
mod backpressure;
mod batches;
mod budget;
mod clocks;
mod closing;
mod compaction;
mod concurrency;
mod configs;
mod consuming;
mod damage;
mod deletions;
mod documentation;
mod durability;
mod fairness;
mod fetching;
mod forks;
mod growth;
mod interceptors;
mod large;
mod limits;
mod loops;
mod offsets;
mod opening;
mod partitioners;
mod partitioning;
mod pausing;
mod producer_close;
mod producing;
mod records;
mod resets;
mod retention;
mod segments;
mod settings;
mod snapshots;
mod timestamp_types;
mod timestamps;
mod topics;
mod trimming;
mod unmapped;
mod validators;
mod wakeups;
