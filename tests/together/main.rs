//! Everything together, over many lives of a log: topics of all policies, producers of all kinds,
//! groups, tables, indexes, aggregates, compaction, retention, settings that change, copies of the
//! log, closes, kills and power cuts at any operation. One thread, manual time, and a simulated
//! disk: a seed repeats to the last operation. After each life, and often within one, all that can
//! be read is held against a plain model in memory.
//!
//! `cargo test --test together` plays a few seeds. Many, some minutes long:
//!
//! ```text
//! ALLUVIUM_TOGETHER_SEEDS=2000 cargo test --release --test together
//! ```
//!
//! `ALLUVIUM_TOGETHER_FROM` is the first seed. A failure names its seed and every step up to it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod actor;
mod chance;
mod check;
mod groups;
mod lives;
mod machine;
mod model;
mod partition;
mod reading;
mod sends;
mod steps;
mod sums;
mod upkeep;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::World;

fn setting(name: &str, default: u64) -> u64 {
    let asked = std::env::var(name).ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(default)
}

#[test]
fn everything_together_is_what_a_plain_model_says() {
    let first = setting("ALLUVIUM_TOGETHER_FROM", 0);
    for seed in first..first + setting("ALLUVIUM_TOGETHER_SEEDS", 12) {
        let mut world = World::new(seed);
        let played = catch_unwind(AssertUnwindSafe(|| world.play()));
        if let Err(panic) = played {
            eprintln!("seed {seed}:\n{}", world.trace.join("\n"));
            resume_unwind(panic);
        }
    }
}
