//! What one partition held at one moment.

use std::sync::Arc;

use crate::base::{Error, ErrorKind, Result, TopicConfig, TopicPartition};
use crate::batch::Batch;
use crate::log::PartitionKey;
use crate::log::layer::Layer;
use crate::log::manifest::{Record, SegmentEnd};
use crate::log::segment_log::{Placed, SegmentLog};
use crate::log::view::View;

/// At most about so many bytes are read, and written, at once.
const PIECE: usize = 1 << 20;

/// A partition as it was at one moment. Its files stay as long as this does.
#[derive(Clone, Debug)]
pub struct PartitionCut {
    /// Topic id and number.
    pub key: PartitionKey,
    /// Topic name and number.
    pub name: TopicPartition,
    /// By which its segments are written.
    pub config: Arc<TopicConfig>,
    /// Its segments.
    pub view: Arc<View>,
    /// What is not in them, without a hole but the gaps: whole batches with their checksums.
    pub staged: Vec<Batch>,
    /// Offsets without records.
    pub gaps: Vec<(u64, u64)>,
    /// The offset behind its last record, or the gap behind that.
    pub end: u64,
}

impl PartitionCut {
    /// The segments that will never change, and how they end. The others are behind them.
    pub(super) fn sealed(&self) -> impl Iterator<Item = (&Layer, SegmentEnd)> {
        let end = |layer: &Layer| layer.sealed.map(|(len, crc)| layer.end(len, crc));
        self.view.closed.iter().map_while(move |layer| Some((layer, end(layer)?)))
    }

    fn unsealed(&self) -> impl Iterator<Item = &Layer> {
        self.view.layers().skip(self.sealed().count())
    }

    /// Whether there is anything that is not sealed.
    pub(super) fn has_tail(&self) -> bool {
        self.unsealed().next().is_some() || !self.staged.is_empty()
    }

    /// The offset that the part which is written anew begins with.
    fn tail_from(&self) -> Option<u64> {
        let unsealed = self.unsealed().next().map(|layer| layer.segment.base_offset);
        unsealed.or_else(|| Some(self.staged.first()?.header.base_offset))
    }

    /// Where the copy begins before its tail is written: the log start may lie in the tail, whose
    /// batches are whole.
    fn first_start(&self) -> u64 {
        let start = self.view.start;
        let tail = self.tail_from().filter(|_| self.sealed().next().is_none());
        tail.map_or(start, |from| from.min(start))
    }

    /// Adds what the manifest of a copy says before the tail is written.
    pub(super) fn add_records(&self, records: &mut Vec<Record>) -> Result<()> {
        let (key, start) = (self.key, self.first_start());
        if !self.view.carried.is_empty() {
            // In front of the segments: a footer that says more takes its place.
            let state = self.view.carried.to_vec();
            records.push(Record::Producers { key, offset: start, state });
        }
        for (layer, end) in self.sealed() {
            let (number, base_offset) = (layer.segment.number, layer.segment.base_offset);
            records.push(Record::SegmentCreated { key, number, base_offset });
            records.push(Record::SegmentSealed { number, end });
        }
        let compacted = self.view.compacted;
        if start > 0 {
            records.push(Record::LogStart { key, offset: start });
        }
        if compacted > 0 {
            records.push(Record::Compacted { key, offset: compacted });
        }
        let holes = self.holes(start)?;
        records.extend(holes.into_iter().map(|(from, to)| Record::Gap { key, from, to }));
        Ok(())
    }

    /// The offsets from `start` to the end that no segment and no staged batch has.
    fn holes(&self, start: u64) -> Result<Vec<(u64, u64)>> {
        let layers = self.view.layers().map(|layer| (layer.segment.base_offset, layer.next_offset));
        let staged = self.staged.iter().map(|b| (b.header.base_offset, b.header.next_offset()));
        let (mut next, mut holes) = (start, Vec::new());
        for (from, to) in layers.chain(staged).chain([(self.end, self.end)]) {
            if from > next {
                holes.push((next, from));
            }
            next = next.max(to);
        }
        let known = |at: u64| self.gaps.iter().find(|(from, to)| (*from..*to).contains(&at));
        for &(from, to) in &holes {
            let mut at = from;
            while at < to {
                let Some((_, end)) = known(at) else {
                    let message = format!("the records from {at} to {to} are not to be found");
                    let error = Error::new(ErrorKind::CorruptMessage, message);
                    return Err(error.with_partition(&self.name).with_offset(at));
                };
                at = *end;
            }
        }
        Ok(holes)
    }

    /// Writes what is not sealed to `log`, which has the rest; how many bytes.
    pub(super) fn write_tail(&self, log: &mut SegmentLog, now_ms: i64) -> Result<u64> {
        let mut bytes = 0;
        let whole = View { start: 0, ..(*self.view).clone() };
        let to = self.unsealed().last().map_or(0, |layer| layer.next_offset);
        let mut from = self.unsealed().next().map_or(to, |layer| layer.segment.base_offset);
        while from < to {
            let batches = whole.read(from, PIECE, to, true)?;
            let Some(last) = batches.last() else { break };
            from = last.header.next_offset();
            bytes += write(log, &batches, now_ms)?;
        }
        bytes += write(log, &self.staged, now_ms)?;
        if self.view.start > log.start_offset() {
            log.set_start(self.view.start)?;
        }
        if log.end_offset() == self.end {
            return Ok(bytes);
        }
        let message = format!("the copy ends at {}, not at {}", log.end_offset(), self.end);
        Err(Error::new(ErrorKind::Unknown, message).with_partition(&self.name))
    }
}

fn write(log: &mut SegmentLog, batches: &[Batch], now_ms: i64) -> Result<u64> {
    let placed = batches.iter().map(|b| Placed { header: b.header, payload: &b.payload });
    let placed: Vec<_> = placed.collect();
    log.write(&placed, now_ms)?;
    Ok(batches.iter().map(|batch| batch.header.total_len()).sum())
}
