//! What a run has done.

/// What a [`Consumer::run`](crate::Consumer::run) has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunReport {
    /// Records that were processed, at whichever attempt.
    pub processed: u64,
    /// Attempts beyond the first one of each record.
    pub retries: u64,
    /// Records that went to the dead-letter topic.
    pub dead_lettered: u64,
    /// Commits that came too late: the consumer had been removed from the group, and the records
    /// come again, here or elsewhere.
    pub late_commits: u64,
}

impl RunReport {
    /// Records that need not come again.
    pub(super) fn done(&self) -> u64 {
        self.processed + self.dead_lettered
    }
}
