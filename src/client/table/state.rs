//! All that a table knows at one moment, and how a record changes it.

use std::sync::Arc;

use crate::backend::{FetchInfo, FetchedBatch, TopicRoute};
use crate::base::{Result, TopicPartition};
use crate::batch::RecordView;

use super::super::owned_record::OwnedRecord;
use super::super::packed_record::{PackedRecord, Packing, Place};
use super::super::slot::damaged;
use super::latest::Latest;
use super::part::{Part, Witness};
use super::stats::TableStats;

/// All that a table knows at one moment. Whoever lends a view shares it, and it is copied for the
/// next change then: pointers, not records.
#[derive(Clone)]
pub(super) struct State {
    pub(super) route: Arc<TopicRoute>,
    pub(super) parts: Vec<Part>,
    pub(super) latest: Latest,
    pub(super) stats: TableStats,
}

/// What became of fetched batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The position has moved.
    Moved,
    /// There was nothing.
    Stands,
    /// Records are missing that were there once, behind others that are kept: among them may have
    /// been the tombstone of one that is kept. The partition has begun anew.
    Anew,
}

impl State {
    /// Whether the log has something that the table has not.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        !self.route.is_live() || self.parts.iter().any(Part::has_news)
    }

    pub(super) fn part(&self, number: u32) -> Option<&Part> {
        let at = self.parts.binary_search_by_key(&number, |part| part.number).ok()?;
        self.parts.get(at)
    }

    /// A copy of the record of `key`, which shares its memory.
    #[inline]
    pub(super) fn owned(&self, key: &[u8]) -> Option<OwnedRecord> {
        self.latest.get(key).map(|record| self.own(record))
    }

    pub(super) fn own(&self, record: &PackedRecord) -> OwnedRecord {
        let place = TopicPartition::new(Arc::clone(&self.route.name), record.partition());
        OwnedRecord::of(place, record.clone())
    }

    /// Goes over to the topic's route of now. New partitions are read too, unless some were
    /// chosen.
    pub(super) fn follow(&mut self, route: Arc<TopicRoute>, is_chosen: bool) {
        let known = self.parts.len();
        self.route = route;
        if is_chosen {
            return;
        }
        for (number, door) in (0..).zip(&self.route.partitions).skip(known) {
            self.parts.push(Part::new(number, Arc::clone(door)));
        }
    }

    /// The log start has moved up to `start`: what stands below it is gone.
    pub(super) fn trim(&mut self, at: usize, start: u64) {
        let Self { parts, latest, .. } = self;
        let Some(part) = parts.get_mut(at).filter(|part| part.start < start) else { return };
        if part.lowest < start {
            latest.drop_below(part.number, start);
            part.lowest = latest.lowest(part.number).unwrap_or(u64::MAX);
        }
        part.start = start;
        part.position = part.position.max(start);
    }

    /// A pass over a partition has ended, at the visible end or before. What is missing when the
    /// next one goes on may be the tombstone of what is kept now.
    pub(super) fn rest(&mut self, at: usize, is_done: bool) {
        if !is_done && self.parts.get(at).is_some_and(Part::is_torn) {
            self.begin_anew(at);
        }
        if let Some(part) = self.parts.get_mut(at) {
            part.from_start = false;
        }
    }

    /// Drops what is kept of a partition, and reads it again from the log start.
    pub(super) fn begin_anew(&mut self, at: usize) {
        let Self { parts, latest, stats, .. } = self;
        let Some(part) = parts.get_mut(at) else { return };
        latest.drop_below(part.number, u64::MAX);
        part.begin_anew();
        stats.rescans += 1;
    }

    /// There is nothing any more up to `to`.
    pub(super) fn pass_nothing(&mut self, at: usize, to: u64) {
        match self.parts.get_mut(at) {
            Some(part) if part.from_start => {
                part.position = part.position.max(to);
                part.met_hole = true;
            }
            Some(_) => self.begin_anew(at),
            None => {}
        }
    }

    /// Applies what was fetched of a partition from its position on.
    pub(super) fn apply(
        &mut self,
        at: usize,
        batches: &[FetchedBatch],
        info: &FetchInfo,
        packing: &mut Packing,
    ) -> Result<Outcome> {
        let Self { parts, latest, stats, route } = self;
        let Some(part) = parts.get_mut(at) else { return Ok(Outcome::Stands) };
        let before = part.position;
        let mut pass = Pass { part, latest, stats, packing, gaps: &info.gaps, is_whole: true };
        let applied = batches.iter().try_for_each(|batch| pass.batch(batch));
        if applied.is_ok() && batches.is_empty() {
            pass.step_over_gap();
        }
        let is_whole = pass.is_whole;
        part.hint = info.hint;
        if !is_whole {
            self.begin_anew(at);
            return Ok(Outcome::Anew);
        }
        applied.map_err(|bad| {
            let place = TopicPartition::new(Arc::clone(&route.name), part.number);
            damaged(&place, part.position, bad.behind, bad.damage)
        })?;
        Ok(if part.position > before { Outcome::Moved } else { Outcome::Stands })
    }
}

/// A batch that cannot be read on.
struct Bad {
    behind: u64,
    damage: crate::batch::Damage,
}

/// The pass over fetched batches of one partition.
struct Pass<'a> {
    part: &'a mut Part,
    latest: &'a mut Latest,
    stats: &'a mut TableStats,
    packing: &'a mut Packing,
    gaps: &'a [(u64, u64)],
    /// No record is missing behind others that are kept.
    is_whole: bool,
}

impl Pass<'_> {
    fn batch(&mut self, batch: &FetchedBatch) -> Result<(), Bad> {
        let header = &batch.header;
        let behind = header.next_offset().min(batch.below);
        if behind <= self.part.position || !self.is_whole {
            return Ok(());
        }
        self.reach(header.base_offset);
        // Nothing for this reader in it; or nothing at all, if a compaction has emptied it.
        if header.attributes.is_control() || batch.is_hidden() {
            self.part.position = behind;
            return Ok(());
        }
        let mut reader = batch.records();
        let mut last = None;
        while let Some(record) = reader.next().map_err(|damage| Bad { behind, damage })? {
            let offset = header.base_offset.saturating_add(u64::from(record.offset_delta));
            if offset < self.part.position {
                continue;
            }
            if offset >= batch.below {
                break;
            }
            self.reach(offset);
            if !self.is_whole {
                return Ok(());
            }
            let place = Place {
                partition: self.part.number,
                offset,
                timestamp_ms: header.timestamp(record.ts_delta),
                timestamp_type: header.attributes.timestamp_type(),
            };
            self.record(&place, &record);
            self.part.position = offset.saturating_add(1);
            last = Some((place, record));
        }
        if let Some((place, record)) = last {
            self.part.last = Some(Witness::of(place.offset, place.timestamp_ms, &record));
        }
        self.reach(behind);
        Ok(())
    }

    /// Comes to `offset`. What lies between was there once, unless it is a gap; it may only be
    /// missing while nothing is kept from before.
    #[inline]
    fn reach(&mut self, offset: u64) {
        let position = self.part.position;
        if offset > position {
            if !self.is_gap(position, offset) {
                self.part.met_hole = true;
                self.is_whole &= self.part.from_start;
            }
            self.part.position = offset;
        }
    }

    fn is_gap(&self, mut from: u64, to: u64) -> bool {
        while let Some((_, end)) = self.gaps.iter().find(|(f, t)| (*f..*t).contains(&from)) {
            from = *end;
            if from >= to {
                return true;
            }
        }
        false
    }

    fn record(&mut self, place: &Place, record: &RecordView<'_>) {
        self.stats.applied += 1;
        let Some(key) = record.key else {
            self.stats.null_keys += 1;
            return;
        };
        if record.value.is_none() {
            self.stats.tombstones += 1;
            self.latest.remove(key, place.partition);
            return;
        }
        self.part.lowest = self.part.lowest.min(place.offset);
        self.latest.put(key, self.packing.pack(place, record.encoded()));
    }

    /// No batch stands behind the position: a gap may end there.
    fn step_over_gap(&mut self) {
        let position = self.part.position;
        let gap = self.gaps.iter().find(|(from, to)| (*from..*to).contains(&position));
        if let Some((_, to)) = gap {
            self.part.position = *to;
        }
    }
}
