//! One partition's segments: a single writer, and the marks that it moves.

use std::sync::Arc;

use super::active::Active;
use super::files::LogFiles;
use super::gaps::Gaps;
use super::key::PartitionKey;
use super::layer::Layer;
use super::manifest::Record;
use super::producers::Producers;
use super::report::GapEvent;
use super::retention::SegmentFacts;
use super::segment::Segment;
use super::tail::Tail;
use super::view::View;
use crate::base::{Error, ErrorKind, Result, TopicConfig, TopicPartition};
use crate::batch::BatchHeader;

/// A batch that has its offsets, ready to be written.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// Its header; length and checksum of the payload are set.
    pub header: BatchHeader,
    /// Its payload.
    pub payload: &'a [u8],
}

/// The segments of one partition, for their single writer.
///
/// Marks: `start <= end`, `synced <= end`. What [`write`](SegmentLog::write) took survives the
/// death of the process; what is below [`synced_offset`](SegmentLog::synced_offset) survives a
/// power cut.
#[derive(Debug)]
pub struct SegmentLog {
    pub(super) files: Arc<LogFiles>,
    pub(super) key: PartitionKey,
    pub(super) name: TopicPartition,
    pub(super) config: Arc<TopicConfig>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) synced: u64,
    /// Where the part begins that no compaction has seen.
    pub(super) compacted: u64,
    /// Segments that are not written any more, in order. Those at the back may be unsealed.
    pub(super) closed: Arc<Vec<Layer>>,
    pub(super) active: Option<Active>,
    /// Segments without a batch, to be retired with the next record that the manifest gets.
    pub(super) dead: Vec<Arc<Segment>>,
    /// Retired in the manifest, which is not synced yet: their files must stay until it is.
    pub(super) retiring: Vec<Arc<Segment>>,
    pub(super) gaps: Gaps,
    pub(super) tail: Tail,
    /// The producers with ids, as of the end.
    pub(super) producers: Producers,
    /// What the manifest says of them, where no footer does.
    pub(super) carried: Arc<[u8]>,
    /// The manifest must be durable up to here before anything more counts as synced.
    pub(super) manifest_position: u64,
    /// A sync failed: what is not synced must move to new files first.
    pub(super) failed: Option<Error>,
    pub(super) is_closed: bool,
    pub(super) view: Arc<View>,
}

impl SegmentLog {
    /// Goes by other settings from now on; what is written stays as it is.
    pub fn set_config(&mut self, config: Arc<TopicConfig>) {
        self.config = self.files.fit(config);
    }

    /// The settings that it goes by.
    #[must_use]
    pub fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// The offset behind the last record in the segments (or behind the gap that follows it).
    #[must_use]
    pub fn end_offset(&self) -> u64 {
        self.end
    }

    /// The log start offset.
    #[must_use]
    pub fn start_offset(&self) -> u64 {
        self.start
    }

    /// Everything below survives a power cut, in the segments alone.
    #[must_use]
    pub fn synced_offset(&self) -> u64 {
        self.synced
    }

    /// What readers read: a snapshot that every change replaces.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    /// The torn end that the open found, still to be judged.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The holes between the records that exist, registered in the manifest.
    pub fn gaps(&self) -> impl Iterator<Item = GapEvent> + '_ {
        let event = |(from, to)| GapEvent::new(self.name.clone(), from, to);
        self.gaps.above(self.start).map(event)
    }

    /// The first offset at or behind `offset` that is in no gap.
    #[must_use]
    pub fn behind_gaps(&self, offset: u64) -> u64 {
        self.gaps.behind(offset)
    }

    /// The producers with ids, as of the end.
    #[must_use]
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// Why writing has to wait for a [`rescue`](SegmentLog::rescue).
    #[must_use]
    pub fn failure(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// Whether there is anything for [`seal_behind`](SegmentLog::seal_behind) to do.
    #[must_use]
    pub fn needs_seal(&self) -> bool {
        let unsealed = self.closed.last().is_some_and(|layer| layer.sealed.is_none());
        unsealed || !self.dead.is_empty() || !self.retiring.is_empty()
    }

    /// What retention looks at, of each segment that has batches; the last one may be active.
    #[must_use]
    pub fn facts(&self) -> Vec<SegmentFacts> {
        self.view.facts().collect()
    }

    /// The greatest timestamp of the first batch of the segment that is written.
    #[must_use]
    pub fn active_since(&self) -> Option<i64> {
        self.active.as_ref().filter(|active| !active.is_empty())?.growth.first_timestamp()
    }

    /// Bytes of the segment that is written: header and batches.
    #[must_use]
    pub fn active_bytes(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.growth.position)
    }

    /// Ends the active segment; the next batch begins another. What it held, if it held anything.
    pub fn roll(&mut self) -> Option<SegmentFacts> {
        let rolled = self.active.as_ref().filter(|active| !active.is_empty())?.layer().facts();
        self.retire_active();
        self.publish();
        Some(rolled)
    }

    /// Gives back the space that is reserved for records to come.
    pub fn give_back_reserve(&mut self) {
        if let Some(active) = &mut self.active {
            active.give_back_reserve();
        }
    }

    /// Leaves out the offsets from the end to `to`: they will never hold a record. The manifest
    /// says so, durably before anything behind the gap counts as synced.
    ///
    /// # Errors
    /// `InvalidRequest` when `to` is below the end, `StorageError` from the manifest.
    #[cfg_attr(not(test), expect(dead_code, reason = "an append behind a known hole"))]
    pub fn skip_to(&mut self, to: u64) -> Result<()> {
        self.check_open()?;
        if to < self.end {
            return Err(self.misuse(format!("cannot skip from {} back to {to}", self.end)));
        }
        let parts = self.gaps.missing(self.end, to);
        let record = |&(from, to): &(u64, u64)| Record::Gap { key: self.key, from, to };
        let records: Vec<_> = parts.iter().map(record).collect();
        if !records.is_empty() {
            self.manifest_position = self.files.manifest().append(&records)?;
            self.gaps.add(&parts);
        }
        // A gap always lies between segments: within one, offsets have no holes.
        self.retire_active();
        self.advance_over_gap(to);
        self.publish();
        Ok(())
    }

    /// The parts of `from..to` that are in no gap yet.
    #[must_use]
    pub fn missing_gaps(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        self.gaps.missing(from, to)
    }

    /// Takes note of gaps that the caller puts into the manifest, durably, at an end that staged
    /// records may still have before them.
    pub fn note_gaps(&mut self, parts: &[(u64, u64)]) {
        self.gaps.add(parts);
        let nothing_unsynced = self.synced == self.end;
        self.end = self.gaps.behind(self.end);
        if nothing_unsynced {
            self.synced = self.end;
        }
        if self.active.is_some() {
            self.retire_active();
        }
        self.publish();
    }

    fn advance_over_gap(&mut self, to: u64) {
        // With nothing before it that is unsynced, the gap itself is all that a sync has to
        // cover, and the ticket of the next one does.
        self.end = self.gaps.behind(self.end).max(to);
    }

    /// Makes the active segment one that waits for its seal.
    pub(super) fn retire_active(&mut self) {
        let Some(active) = self.active.take() else { return };
        if active.is_empty() {
            self.dead.push(active.segment);
        } else {
            let layer = active.layer();
            layer.segment.store(&self.producers);
            Arc::make_mut(&mut self.closed).push(layer);
        }
    }

    /// Replaces the snapshot after a change.
    pub(super) fn publish(&mut self) {
        debug_assert!(self.start <= self.end, "the log start passed the end");
        debug_assert!(self.synced <= self.end, "more is synced than written");
        debug_assert!(self.view.end <= self.end, "the end went back");
        let active = self.active.as_ref().filter(|active| !active.is_empty());
        self.view = Arc::new(View {
            name: self.name.clone(),
            start: self.start,
            end: self.end,
            compacted: self.compacted,
            carried: Arc::clone(&self.carried),
            closed: Arc::clone(&self.closed),
            active: active.map(Active::layer),
        });
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.is_closed {
            return Err(Error::closed().with_partition(&self.name));
        }
        match &self.failed {
            None => Ok(()),
            Some(cause) => {
                let message = "an earlier sync failed, its records must be moved first";
                Err(cause
                    .clone()
                    .because(ErrorKind::StorageError, message)
                    .with_partition(&self.name))
            }
        }
    }

    pub(super) fn misuse(&self, message: String) -> Error {
        Error::new(ErrorKind::InvalidRequest, message).with_partition(&self.name)
    }
}
