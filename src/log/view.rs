//! An immutable snapshot of a partition's segments: what readers read.

use std::cmp::Reverse;
use std::sync::Arc;

use super::cursor::Trouble;
use super::index::Target;
use super::layer::Layer;
use super::retention::SegmentFacts;
use crate::base::{Error, ErrorKind, Result, TopicPartition};
use crate::batch::{Batch, BatchHeader, HEADER_BYTES};

/// A partition as it was at one moment. Reading takes no lock of the partition.
///
/// Files of segments that were retired meanwhile live as long as a view of them (A35).
#[derive(Clone, Debug)]
pub struct View {
    pub(super) name: TopicPartition,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where the part begins that no compaction has seen.
    pub(super) compacted: u64,
    /// What the manifest says of producers, where no footer does.
    pub(super) carried: Arc<[u8]>,
    /// Segments that are not written any more.
    pub(super) closed: Arc<Vec<Layer>>,
    /// The one that is.
    pub(super) active: Option<Layer>,
}

/// What a snapshot knows of one segment.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The file's number.
    pub number: u64,
    /// The offset of its first record.
    pub base_offset: u64,
    /// The offset behind its last record.
    pub next_offset: u64,
    /// Bytes of header and batches.
    pub bytes: u64,
    /// The greatest record timestamp.
    pub max_timestamp: Option<i64>,
    /// It has its footer and will never change again.
    pub sealed: bool,
}

impl View {
    /// The log start offset.
    #[must_use]
    #[cfg(test)]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The offset behind the last record that is in the segments.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The segments, in order.
    #[cfg(test)]
    pub fn segments(&self) -> impl Iterator<Item = SegmentInfo> + '_ {
        self.layers().map(|layer| SegmentInfo {
            number: layer.segment.number,
            base_offset: layer.segment.base_offset,
            next_offset: layer.next_offset,
            bytes: layer.data_len,
            max_timestamp: layer.max_timestamp,
            sealed: layer.sealed.is_some(),
        })
    }

    /// Bytes of all segments: headers, batches, and the footers of sealed ones.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.layers().map(|layer| layer.sealed.map_or(layer.data_len, |(len, _)| len)).sum()
    }

    /// The oldest segment, if it is not written any more.
    #[must_use]
    pub fn first_closed(&self) -> Option<SegmentFacts> {
        self.closed.first().map(Layer::facts)
    }

    /// What retention looks at, of each segment, in order.
    pub fn facts(&self) -> impl Iterator<Item = SegmentFacts> + '_ {
        self.layers().map(Layer::facts)
    }

    /// Whole batches from the one that holds `from`, or the first one behind it, on: as many as
    /// `max_bytes` hold and at least one. No batch begins at or behind `below`.
    ///
    /// Every batch was verified by its checksum, unless `check_crcs` is false. Damage behind good
    /// batches is reported by the read that begins with it.
    ///
    /// # Errors
    /// `OffsetOutOfRange` below the start or above the end, `CorruptMessage` for a damaged
    /// batch, `UnsupportedVersion` for one of a newer format, `StorageError` from the disk.
    pub fn read(
        &self,
        from: u64,
        max_bytes: usize,
        below: u64,
        check_crcs: bool,
    ) -> Result<Vec<Batch>> {
        if from < self.start || from > self.end {
            return Err(self.out_of_range(from));
        }
        let (left, batches) = (max_bytes as u64, Vec::new());
        let mut read = Reading { from, below, left, check_crcs, batches };
        for layer in self.layers_from(from) {
            match read.layer(layer) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if read.batches.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(read.batches)
    }

    /// Where reading can go on when the batch at `from` is damaged: behind it if its header can be
    /// read, else at the next batch that the index knows, else behind the segment.
    ///
    /// # Errors
    /// `StorageError` from the disk: nothing is known about the bytes then.
    pub fn behind_damage(&self, from: u64) -> Result<u64> {
        let Some(layer) = self.layers_from(from).next() else { return Ok(from) };
        layer.behind_damage(from)
    }

    /// The earliest offset at or behind the log start, and below `below`, of a record whose
    /// timestamp is at least `ts`, with that timestamp (A25 to A27).
    ///
    /// # Errors
    /// As [`read`](View::read).
    pub fn find_timestamp(&self, ts: i64, below: u64) -> Result<Option<(u64, i64)>> {
        for layer in self.layers_from(self.start) {
            if layer.segment.base_offset >= below {
                break;
            }
            if layer.max_timestamp.is_none_or(|max| max < ts) {
                continue;
            }
            if let Some(hit) = self.find_in(layer, ts, below)? {
                return Ok(Some(hit));
            }
        }
        Ok(None)
    }

    /// The greatest timestamp below `below`, and the earliest offset that has it (A28).
    ///
    /// # Errors
    /// As [`read`](View::read).
    pub fn find_max_timestamp(&self, below: u64) -> Result<Option<(u64, i64)>> {
        let layers = self.layers_from(self.start).take_while(|l| l.segment.base_offset < below);
        let mut promising: Vec<_> = layers.filter(|layer| layer.max_timestamp.is_some()).collect();
        // The best first: nearly always it is the only one that is read.
        promising.sort_by_key(|layer| Reverse(layer.max_timestamp));
        let mut best: Option<(u64, i64)> = None;
        for layer in promising {
            let Some(max) = layer.max_timestamp else { continue };
            // Records that are cut off may have the segment's maximum; then another segment may
            // have the earlier of two equals.
            let cannot_win = |(offset, ts)| ts > max || ts == max && offset < layer.next_offset;
            if best.is_some_and(cannot_win) {
                continue;
            }
            // Usually the segment's own maximum counts, and the index leads to it.
            let hit = match self.find_in(layer, max, below)? {
                Some(hit) => Some(hit),
                None => self.max_in(layer, below)?,
            };
            let rank = |(offset, ts): (u64, i64)| (ts, Reverse(offset));
            let better = |hit: &(u64, i64)| best.is_none_or(|best| rank(*hit) > rank(best));
            best = hit.filter(better).or(best);
        }
        Ok(best)
    }

    fn find_in(&self, layer: &Layer, ts: i64, below: u64) -> Result<Option<(u64, i64)>> {
        let mut cursor = layer.cursor(Target::Timestamp(ts))?;
        let trouble = |t: Trouble| t.into_error(&layer.segment, layer.segment.base_offset);
        while let Some(header) = cursor.header().map_err(trouble)? {
            if header.base_offset >= below {
                break;
            }
            let misses = time_of(&header).is_none_or(|max| max < ts);
            if misses || header.next_offset() <= self.start {
                cursor.skip(&header);
                continue;
            }
            let batch = cursor.batch(header).map_err(trouble)?;
            let mut stamps = self.stamps(layer, &batch, below)?.into_iter();
            if let Some(hit) = stamps.find(|(_, stamp)| *stamp >= ts) {
                return Ok(Some(hit));
            }
        }
        Ok(None)
    }

    fn max_in(&self, layer: &Layer, below: u64) -> Result<Option<(u64, i64)>> {
        let mut cursor = layer.cursor(Target::Offset(0))?;
        let trouble = |t: Trouble| t.into_error(&layer.segment, layer.segment.base_offset);
        let mut best: Option<(u64, i64)> = None;
        while let Some(header) = cursor.header().map_err(trouble)? {
            if header.base_offset >= below {
                break;
            }
            let max = time_of(&header);
            if max.is_none() || max <= best.map(|(_, ts)| ts) || header.next_offset() <= self.start
            {
                cursor.skip(&header);
                continue;
            }
            let batch = cursor.batch(header).map_err(trouble)?;
            for hit in self.stamps(layer, &batch, below)? {
                if best.is_none_or(|(_, ts)| hit.1 > ts) {
                    best = Some(hit);
                }
            }
        }
        Ok(best)
    }

    /// Offset and timestamp of the records of `batch` that lie in this view and below `below`.
    fn stamps(&self, layer: &Layer, batch: &Batch, below: u64) -> Result<Vec<(u64, i64)>> {
        let base = batch.header.base_offset;
        let mut records = batch.records();
        let mut stamps = Vec::new();
        loop {
            let next = records.next().map_err(|damage| {
                let trouble =
                    Trouble::Bad { position: 0, reason: damage.reason, unknown: damage.version };
                trouble.into_error(&layer.segment, base)
            })?;
            let Some(record) = next else { return Ok(stamps) };
            let offset = base.saturating_add(u64::from(record.offset_delta));
            let stamp = batch.header.timestamp(record.ts_delta);
            if let Some(stamp) = stamp.filter(|_| offset >= self.start && offset < below) {
                stamps.push((offset, stamp));
            }
        }
    }

    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.closed.iter().chain(self.active.iter())
    }

    /// The layers that hold `from` or something behind it.
    pub(super) fn layers_from(&self, from: u64) -> impl Iterator<Item = &Layer> {
        let first = self.closed.partition_point(|layer| layer.next_offset <= from);
        let closed = self.closed.get(first..).unwrap_or_default();
        closed.iter().chain(self.active.iter().filter(move |layer| layer.next_offset > from))
    }

    fn out_of_range(&self, from: u64) -> Error {
        let message = format!("offset {from} is not in {}..={}", self.start, self.end);
        Error::new(ErrorKind::OffsetOutOfRange, message)
            .with_partition(&self.name)
            .with_offset(from)
    }
}

/// The greatest timestamp of a batch's records. That of a marker is nobody's (A29).
fn time_of(header: &BatchHeader) -> Option<i64> {
    header.max_timestamp().filter(|_| !header.attributes.is_control())
}

/// A read under way.
struct Reading {
    from: u64,
    below: u64,
    left: u64,
    check_crcs: bool,
    batches: Vec<Batch>,
}

impl Reading {
    /// Takes what fits of `layer`; whether there is room for more.
    fn layer(&mut self, layer: &Layer) -> Result<bool> {
        let base = layer.segment.base_offset;
        let cursor = layer.cursor(Target::Offset(self.from.saturating_sub(base)))?;
        let mut cursor = cursor.wanting(self.left).checking(self.check_crcs);
        loop {
            let at = cursor.next_offset().max(self.from);
            let trouble = |t: Trouble| t.into_error(&layer.segment, at);
            let Some(header) = cursor.header().map_err(trouble)? else { break };
            if header.next_offset() <= self.from {
                cursor.skip(&header);
                continue;
            }
            if !self.takes(&header) {
                return Ok(false);
            }
            let batch = cursor.batch(header).map_err(trouble)?;
            self.left = self.left.saturating_sub(header.total_len());
            self.batches.push(batch);
            if self.left < HEADER_BYTES as u64 {
                return Ok(false);
            }
        }
        if cursor.next_offset() == layer.next_offset {
            return Ok(true);
        }
        let reason = "batches are missing at the segment's end";
        Err(layer.segment.damaged(cursor.position(), cursor.next_offset(), reason))
    }

    fn takes(&self, header: &BatchHeader) -> bool {
        let fits = self.batches.is_empty() || header.total_len() <= self.left;
        fits && header.base_offset < self.below
    }
}
