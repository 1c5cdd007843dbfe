//! Histories of concurrent producers, transactions and consumers, over kills and reopenings, held
//! against what Kafka's model allows; in the manner of Jepsen's workload for Kafka.
//!
//! `cargo test --test history` runs a few seeds. Many, some minutes long:
//!
//! ```text
//! ALLUVIUM_HISTORY_SEEDS=500 cargo test --release --test history
//! ```
//!
//! A failure names its seed. Threads are the system's to schedule: a seed repeats what is tried,
//! not every interleaving.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod check;
mod copies;
mod history;
mod machine;
mod run;

use std::collections::BTreeSet;

use alluvium::testing::Planted;
use check::{Anomaly, check};
use run::{Plan, run};

fn seeds() -> u64 {
    let asked = std::env::var("ALLUVIUM_HISTORY_SEEDS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(6)
}

#[test]
fn histories_show_nothing_that_is_never_legal() {
    let mut ops = 0;
    for seed in 0..seeds() {
        let history = run(&Plan::of(seed));
        ops += history.len();
        let found = check(&history);
        assert!(found.is_empty(), "seed {seed}: {found:?}");
    }
    assert!(ops as u64 > 100 * seeds(), "only {ops} operations were tried");
}

/// Faults that were put into the log on purpose, each of which must be found as what it is.
fn finds(planted: Planted, any_of: &[Anomaly]) {
    let mut found = BTreeSet::new();
    for seed in 0..20 {
        let plan = Plan { planted: Some(planted), ..Plan::of(seed) };
        found.extend(check(&run(&plan)).into_iter().map(|(anomaly, _)| anomaly));
        if any_of.iter().any(|anomaly| found.contains(anomaly)) {
            return;
        }
    }
    panic!("{planted:?} is found as {found:?}, not as any of {any_of:?}");
}

#[test]
fn a_dropped_marker_is_found() {
    finds(Planted::DroppedMarker, &[Anomaly::Unseen]);
}

#[test]
fn a_last_stable_offset_that_is_wrong_is_found() {
    finds(Planted::NoStableOffset, &[Anomaly::AbortedRead, Anomaly::PrecommittedRead]);
}

#[test]
fn an_offset_that_is_committed_ahead_of_its_data_is_found() {
    finds(Planted::EarlyOffsets, &[Anomaly::LostCopy]);
}
