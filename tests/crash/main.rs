//! Crashes, full disks, failing disks and tampered files, on the simulated disk.
//!
//! `cargo test --test crash` samples; the whole of it, some minutes long:
//!
//! ```text
//! ALLUVIUM_SOAK=1 PROPTEST_CASES=20000 cargo test --release --test crash
//! ```
//!
//! `ALLUVIUM_SOAK=1` tries every crash point, seed, cut and flipped byte instead of samples of
//! them; `PROPTEST_CASES` is the number of histories that the model is compared with. A failure
//! names what it takes to see it again: the workload, the operation and the power cut.

#![allow(clippy::unwrap_used, missing_docs)]

mod alterations;
mod bed;
mod commits;
mod history;
mod keys;
mod model;
mod points;
mod snapshots;
mod space;
mod syncs;
mod tamper;
mod transactions;
mod verify;
