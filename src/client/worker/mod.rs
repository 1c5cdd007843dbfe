//! Processing every record at least once: retries, back-off, dead letters, and commits.

mod backoff;
mod dead_letters;
mod options;
mod report;
mod run;

pub use backoff::Backoff;
pub(super) use dead_letters::{Failure, letter};
pub use options::{CommitPolicy, RunOptions};
pub use report::RunReport;
