//! A pass over one partition, in slices.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::group::{Copied, Group, groups};
use super::inputs::Inputs;
use super::judge::{Judge, Judgement};
use super::key_hash::KeyHash;
use super::output::Maker;
use super::slice::Slice;
use super::standing::Standing;
use super::survey::Survey;
use super::swap::{Replacement, Swapped};
use super::txns::Aborted;
use crate::base::ids::random_u128;
use crate::base::{Error, ErrorKind, Result};
use crate::batch::BatchHeader;
use crate::log::layer::Layer;
use crate::log::producers::AbortedTxn;
use crate::log::segment_log::SegmentLog;

/// What a pass goes by.
#[derive(Clone, Debug)]
pub struct CompactionLimits {
    /// Bytes of the map.
    pub map_bytes: u64,
    /// Wall time.
    pub now_ms: i64,
    /// The aborted transactions of which records lie in reach.
    pub aborted: Vec<AbortedTxn>,
}

/// What a pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Segments that were looked through.
    pub segments_before: u64,
    /// What they have become.
    pub segments_after: u64,
    /// Bytes of their batches.
    pub bytes_before: u64,
    /// Bytes of the batches that they have become.
    pub bytes_after: u64,
    /// Records that stay.
    pub kept: u64,
    /// Records that are gone, tombstones included.
    pub dropped: u64,
    /// Tombstones that are gone because their time was over.
    pub tombstones: u64,
    /// Bytes that were written.
    pub(super) written_bytes: u64,
}

impl PassReport {
    pub(super) fn add(&mut self, judgement: &Judgement, header: &BatchHeader) {
        self.bytes_before += header.total_len();
        self.kept += u64::from(judgement.kept);
        self.dropped += u64::from(judgement.dropped);
        self.tombstones += u64::from(judgement.tombstones);
    }

    fn add_all(&mut self, other: &PassReport) {
        self.segments_before += other.segments_before;
        self.segments_after += other.segments_after;
        self.bytes_before += other.bytes_before;
        self.bytes_after += other.bytes_after;
        self.kept += other.kept;
        self.dropped += other.dropped;
        self.tombstones += other.tombstones;
        self.written_bytes += other.written_bytes;
    }
}

/// How far a pass came.
#[derive(Debug)]
pub enum Progress {
    /// There is more to do.
    More,
    /// This is to be given to [`SegmentLog::swap`], and its answer to
    /// [`CompactionPass::take`].
    Swap(Replacement),
    /// All is done.
    Done,
}

/// One compaction of one partition.
///
/// It reads segments that nobody writes and writes files that nobody names. Dropped in the
/// middle, it leaves what was swapped, and nothing else.
#[derive(Debug)]
pub struct CompactionPass {
    inputs: Inputs,
    maker: Maker,
    phase: Phase,
    groups: VecDeque<Range<usize>>,
    delete_retention_ms: i64,
    report: PassReport,
    /// The last group's, until it is swapped.
    pending: Option<(Range<usize>, PassReport)>,
}

#[derive(Debug)]
enum Phase {
    Survey(Box<Survey>),
    Copy(Box<Judge>, Option<Box<Group>>),
    Done,
}

impl CompactionPass {
    /// Begins a pass over what `standing` says is in reach; it must be of this very moment.
    #[must_use]
    pub fn begin(log: &SegmentLog, standing: &Standing, limits: CompactionLimits) -> Self {
        let layers: Vec<Layer> = log.closed.iter().take(standing.segments).cloned().collect();
        let config = &log.config;
        let maker = Maker {
            files: Arc::clone(&log.files),
            name: log.name.clone(),
            key: log.key,
            interval: config.index_interval_bytes,
            now_ms: limits.now_ms,
        };
        let groups = groups(&layers, config).into();
        let (from, to) = (standing.first_dirty.min(standing.bound), standing.bound);
        let hash = KeyHash::new(random_u128());
        let aborted = Aborted::new(limits.aborted);
        let survey = Survey::new(hash, aborted, from..to, limits.map_bytes);
        Self {
            inputs: Inputs::new(layers.into_iter()),
            maker,
            phase: Phase::Survey(Box::new(survey)),
            groups,
            delete_retention_ms: config.delete_retention_ms,
            report: PassReport::default(),
            pending: None,
        }
    }

    /// With a hash that tells few keys apart.
    #[cfg(test)]
    pub(in crate::log) fn weaken(&mut self, bits: u32) {
        if let Phase::Survey(survey) = &mut self.phase {
            survey.hash = KeyHash::weak(random_u128(), bits);
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn report(&self) -> PassReport {
        self.report
    }

    /// Does as much as the slice allows, or a little more: whole batches, and the sync of a file.
    ///
    /// # Errors
    /// `CorruptMessage` for a damaged batch, `StorageError` and `StorageFull` from the disk. The
    /// pass is over then.
    pub fn advance(&mut self, slice: &mut Slice<'_>) -> Result<Progress> {
        let advanced = self.advance_phase(slice);
        if advanced.is_err() {
            self.phase = Phase::Done;
        }
        advanced
    }

    fn advance_phase(&mut self, slice: &mut Slice<'_>) -> Result<Progress> {
        match &mut self.phase {
            Phase::Survey(survey) => {
                if survey.advance(&mut self.inputs, slice)? {
                    self.begin_copy();
                }
            }
            Phase::Copy(judge, group) => {
                let Some(current) = group else {
                    let next = self.groups.pop_front().map(|inputs| Box::new(Group::new(inputs)));
                    let Some(next) = next else {
                        self.phase = Phase::Done;
                        return Ok(Progress::Done);
                    };
                    *group = Some(next);
                    return Ok(Progress::More);
                };
                let copied = current.advance(&mut self.inputs, judge, &self.maker, slice)?;
                if let Some(copied) = copied {
                    return Ok(self.finish_group(copied));
                }
            }
            Phase::Done => return Ok(Progress::Done),
        }
        Ok(Progress::More)
    }

    fn begin_copy(&mut self) {
        let Phase::Survey(survey) = std::mem::replace(&mut self.phase, Phase::Done) else { return };
        let Survey { map, hash, aborted, end, .. } = *survey;
        let now_ms = self.maker.now_ms;
        let judge = Judge::new(map, hash, aborted, end, now_ms, self.delete_retention_ms);
        // What begins behind the map stays as it is.
        let begins = |inputs: &Inputs, at| inputs.layer(at).map(|layer| layer.segment.base_offset);
        self.groups.retain(|g| begins(&self.inputs, g.start).is_some_and(|base| base < end));
        self.phase = Phase::Copy(Box::new(judge), None);
    }

    fn finish_group(&mut self, copied: Copied) -> Progress {
        let Copied { inputs, finished, mut told } = copied;
        told.segments_before = inputs.len() as u64;
        told.segments_after = if finished.is_some() { 1 } else { told.segments_before };
        told.bytes_after = if finished.is_some() { told.written_bytes } else { told.bytes_before };
        let Phase::Copy(judge, group) = &mut self.phase else { return Progress::Done };
        *group = None;
        let is_last = self.groups.is_empty();
        // Where keys collided, something older stays: the next pass looks again, with other seeds.
        let compacted = (is_last && !judge.collided).then_some(judge.map_end);
        if finished.is_none() && compacted.is_none() {
            self.report.add_all(&told);
            self.inputs.forget_before(inputs.end);
            return Progress::More;
        }
        let layers = inputs.clone().filter_map(|at| self.inputs.layer(at));
        let old = layers.map(|layer| layer.segment.number).collect();
        self.pending = Some((inputs, told));
        Progress::Swap(Replacement { old, new: finished, compacted })
    }

    /// Takes note of what became of a change.
    ///
    /// # Errors
    /// `IllegalState` when segments were taken from the middle: the pass is over.
    pub fn take(&mut self, swapped: &Swapped) -> Result<()> {
        let Some((inputs, told)) = self.pending.take() else { return Ok(()) };
        match swapped {
            Swapped::Done(_) => {
                self.report.add_all(&told);
                self.inputs.forget_before(inputs.end);
            }
            Swapped::Outdated(left) => {
                // The log start has moved meanwhile: what is left is copied again.
                let rest = inputs.end - left.len().min(inputs.len())..inputs.end;
                let number = |at| self.inputs.layer(at).map(|layer| layer.segment.number);
                if !rest.clone().filter_map(number).eq(left.iter().copied()) {
                    self.phase = Phase::Done;
                    let message = "the segments were changed while they were compacted";
                    return Err(Error::new(ErrorKind::IllegalState, message));
                }
                self.inputs.forget_before(rest.start);
                if !rest.is_empty() {
                    self.groups.push_front(rest);
                }
            }
        }
        Ok(())
    }
}
