//! Old records go: a pass over one partition.

use crate::base::Result;
use crate::log::{RetentionRules, SegmentFacts, SegmentLog};

use super::Partition;

/// What a pass did to a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// The log start offset now.
    pub log_start_offset: u64,
    /// Segments that went because more than `retention.bytes` would stay without them.
    pub by_size: usize,
    /// Segments that went because they are older than `retention.ms`.
    pub by_time: usize,
    /// Bytes that went, of headers and batches.
    pub bytes: u64,
    /// The base offset and the timestamp of a segment that is stamped in the future and keeps
    /// older ones.
    pub pinned_by: Option<(u64, i64)>,
}

impl Partition {
    /// Whether retention can ever delete anything here, by the settings of now.
    pub fn has_retention(&self) -> bool {
        let (time, bytes) = self.limits.retention();
        !self.internal && self.limits.deletes() && (time.is_some() || bytes.is_some())
    }

    /// Deletes the segments that are too old or too many. What is staged counts: where that
    /// matters it is settled first. Nothing goes that consumers have not seen (A45).
    ///
    /// Without anything to do it takes no lock that is held over a system call.
    ///
    /// # Errors
    /// `StorageFull` and `StorageError`: a part may be gone, and the next pass goes on.
    pub fn expire(&self, now_ms: i64) -> Result<Expired> {
        let nothing = Expired { log_start_offset: self.marks.start(), ..Expired::default() };
        if !self.has_retention() {
            return Ok(nothing);
        }
        let rules = self.rules(now_ms);
        let view = self.view.read().clone();
        let facts: Vec<_> = view.facts().collect();
        let choice = rules.choose(&facts);
        if choice.count() == 0 && !self.staged_may_expire(&rules, &facts) {
            return Ok(Expired { pinned_by: choice.pinned_by, ..nothing });
        }
        let mut log = self.flush.lock();
        if self.is_closed() {
            return Ok(nothing);
        }
        self.expire_locked(&mut log, now_ms)
    }

    fn expire_locked(&self, log: &mut SegmentLog, now_ms: i64) -> Result<Expired> {
        let mut rules = self.rules(now_ms);
        let mut facts = log.facts();
        let mut choice = rules.choose(&facts);
        if choice.count() == facts.len() || rules.retention_bytes.is_some() {
            // Staged records belong to the active segment, or follow it.
            self.settle_locked(log)?;
            rules = self.rules(now_ms);
            facts = log.facts();
            choice = rules.choose(&facts);
        }
        let (gone, stay) = facts.split_at(choice.count().min(facts.len()));
        let mut expired = Expired {
            log_start_offset: self.marks.start(),
            by_size: choice.by_size,
            by_time: choice.by_time,
            bytes: gone.iter().map(|segment| segment.bytes).sum(),
            pinned_by: choice.pinned_by,
        };
        if let Some(last) = gone.last() {
            let offset = stay.first().map_or(last.next_offset, |segment| segment.base_offset);
            self.move_start(log, offset)?;
            expired.log_start_offset = self.marks.start();
        }
        Ok(expired)
    }

    fn rules(&self, now_ms: i64) -> RetentionRules {
        let (retention_ms, retention_bytes) = self.limits.retention();
        RetentionRules { now_ms, retention_ms, retention_bytes, visible: self.marks_now().visible }
    }

    /// Whether staged records make a difference: with them there are too many bytes, or they are
    /// all that there is, and begin with an old one.
    fn staged_may_expire(&self, rules: &RetentionRules, settled: &[SegmentFacts]) -> bool {
        let bytes: u64 = settled.iter().map(|segment| segment.bytes).sum();
        if self.marks.end() <= self.marks.settled() {
            return false;
        }
        // More than there are at most: then a settle shows how many.
        let staged = self.staged_bytes();
        let too_many = rules.retention_bytes.is_some_and(|limit| bytes + staged > limit);
        let oldest = || {
            let staged = self.staged.read();
            staged.first().is_some_and(|batch| rules.is_older(batch.header.base_timestamp))
        };
        too_many || settled.is_empty() && oldest()
    }
}
