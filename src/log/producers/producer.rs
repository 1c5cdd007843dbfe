//! What a partition knows of one producer.

use crate::base::NAMED_PRODUCERS;

use super::run::Run;
use super::sequence::{HALF, behind, steps};

/// So many runs of records are remembered (B20).
pub const RUNS: usize = 5;

/// Whether an id belongs to a name: its state never expires and goes on over its epochs.
#[must_use]
pub const fn is_named(id: i64) -> bool {
    id >= NAMED_PRODUCERS
}

/// The marker that a producer's last transaction ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastMarker {
    /// Its epoch: appends of it, and of lower ones, are refused (B44).
    pub epoch: i16,
    /// Whether it committed.
    pub commit: bool,
    /// Where it stands.
    pub offset: u64,
}

/// What a partition knows of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// The highest epoch that it has used, or that was said to be its.
    pub epoch: i16,
    /// Its last records, oldest first, at most [`RUNS`]: of this epoch, or of any for a named one.
    pub runs: Vec<Run>,
    /// Without runs: whether its first number must be 0, because the epoch is a new one (B22).
    /// Else nothing is known, and any will do (B23).
    pub fresh: bool,
    /// The greatest timestamp of its last batch.
    pub last_timestamp: i64,
    /// The clock's time when it was last heard of.
    pub touched_ms: i64,
    /// Where its open transaction begins.
    pub open: Option<u64>,
    /// How its last one ended.
    pub last_marker: Option<LastMarker>,
    /// The coordinator has made the partition part of the transaction of this epoch (B49). Not
    /// stored: after an open the coordinator says it again.
    pub admitted: bool,
}

/// An append, as the state machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The producer's epoch.
    pub epoch: i16,
    /// The number of its first record.
    pub sequence: i32,
    /// How many records.
    pub count: u32,
    /// Whether they belong to a transaction.
    pub transactional: bool,
}

/// What is to be done with an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on where the last one ended.
    New,
    /// It is there already, from this offset on.
    Duplicate(u64),
    /// It is there already, somewhere below this offset: a named producer's.
    Old(u64),
}

/// Why an append is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The number that would have been taken.
    OutOfOrder(i32),
    /// A higher epoch has been used.
    Fenced(i16),
    /// The transaction of this epoch has ended.
    Ended(i16),
    /// A transactional append, and the coordinator has not said that the partition takes part.
    NotAdmitted,
    /// An append outside of the transaction that is open.
    InTransaction,
    /// The transaction of this epoch has ended the other way: whether it committed.
    OtherOutcome(bool),
}

impl Producer {
    /// Of one that nothing is known of.
    #[must_use]
    pub fn new(epoch: i16) -> Self {
        Self {
            epoch,
            runs: Vec::new(),
            fresh: false,
            last_timestamp: -1,
            touched_ms: 0,
            open: None,
            last_marker: None,
            admitted: false,
        }
    }

    /// The number of its last record, if any is remembered.
    #[must_use]
    pub fn last_sequence(&self) -> Option<i32> {
        self.runs.last().map(Run::last_sequence)
    }

    /// The offset of its last record, if any is remembered.
    #[must_use]
    pub fn last_offset(&self) -> Option<u64> {
        self.runs.last().map(|run| run.next_offset().saturating_sub(1))
    }

    /// Whether it has been silent for so long that it is forgotten (B24).
    #[must_use]
    pub fn is_expired(&self, id: i64, now_ms: i64, expiration_ms: i64) -> bool {
        let busy = is_named(id) || self.open.is_some() || self.admitted;
        !busy && now_ms.saturating_sub(self.touched_ms) >= expiration_ms
    }

    /// Judges an append of producer `id`.
    ///
    /// # Errors
    ///
    /// Why it is refused; then nothing of it may be appended.
    pub fn check(&self, id: i64, claim: &Claim) -> Result<Verdict, Refusal> {
        if claim.epoch < self.epoch {
            return Err(Refusal::Fenced(self.epoch));
        }
        if let Some(marker) = self.last_marker.filter(|marker| claim.epoch <= marker.epoch) {
            return Err(Refusal::Ended(marker.epoch));
        }
        let same = claim.epoch == self.epoch || is_named(id);
        // A duplicate is answered whatever else is wrong with it (B20).
        if same && let Some(duplicate) = self.find(id, claim) {
            return Ok(duplicate);
        }
        if claim.transactional && !(self.admitted && claim.epoch == self.epoch) {
            return Err(Refusal::NotAdmitted);
        }
        if !claim.transactional && self.open.is_some() {
            return Err(Refusal::InTransaction);
        }
        let expected = match self.runs.last().filter(|_| same) {
            Some(run) => run.next_sequence(),
            None if same && !self.fresh => return Ok(Verdict::New),
            None => 0,
        };
        if claim.sequence == expected {
            Ok(Verdict::New)
        } else {
            Err(Refusal::OutOfOrder(expected))
        }
    }

    fn find(&self, id: i64, claim: &Claim) -> Option<Verdict> {
        let found = self.runs.iter().rev().find_map(|run| run.find(claim.sequence, claim.count));
        if let Some(offset) = found {
            return Some(Verdict::Duplicate(offset));
        }
        let newest = self.runs.last().filter(|_| is_named(id))?;
        let last = behind(claim.sequence, claim.count.saturating_sub(1));
        let is_old = steps(last, newest.last_sequence()) < HALF;
        is_old.then(|| Verdict::Old(newest.next_offset()))
    }

    /// Takes note of an epoch that is not lower than the one that is known.
    pub fn raise_epoch(&mut self, id: i64, epoch: i16) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.admitted = false;
            if !is_named(id) {
                self.runs.clear();
                self.fresh = true;
            }
        }
    }

    /// Takes note of records that were appended.
    pub fn push(&mut self, run: Run) {
        self.fresh = false;
        if self.runs.last_mut().is_some_and(|last| last.join(&run)) {
            return;
        }
        if self.runs.len() == RUNS {
            self.runs.remove(0);
        }
        self.runs.push(run);
    }

    /// Takes note that the records at the offsets `from..to` are lost: they may come again.
    pub fn forget(&mut self, from: u64, to: u64) {
        let parts: Vec<_> = self.runs.iter().flat_map(|run| run.without(from, to)).collect();
        self.runs = parts.into_iter().flatten().collect();
        let excess = self.runs.len().saturating_sub(RUNS);
        self.runs.drain(..excess);
    }
}
