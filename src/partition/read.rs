//! The read path. It takes no lock that an append takes.

use bytes::Bytes;

use crate::backend::{Fetch, FetchHint, FetchInfo, FetchedBatch, PartitionMarks};
use crate::base::{Error, ErrorKind, Result};
use crate::batch::{BatchHeader, Damage, RecordReader};

use super::Partition;
use super::staged::{StagedBatch, slice};

/// Staged batches that stand one behind the other in one chunk. Their headers say where each
/// ends as far as it is visible.
struct Run {
    batches: Vec<StagedBatch>,
    /// Where the run ends; `None` for the chunk's published mark.
    end: Option<usize>,
}

impl Partition {
    /// The marks of this moment.
    pub fn marks_now(&self) -> PartitionMarks {
        // In this order each is at most the next.
        let start = self.marks.start();
        let durable = self.marks.durable();
        let visible = self.visible().max(start);
        let stable = visible.min(self.marks.unstable()).max(start);
        PartitionMarks { start, stable, visible, end: self.marks.end(), durable }
    }

    /// All batches up to the log end, markers too: for tables, whose own decisions they replay.
    pub fn read_to_end(&self, request: &Fetch, into: &mut Vec<FetchedBatch>) -> Result<FetchInfo> {
        let marks = self.marks_now();
        self.read_below(request, PartitionMarks { visible: marks.end, ..marks }, into)
    }

    /// What damage in a record of this partition is called.
    pub fn damage(&self, damage: Damage) -> Error {
        self.error(Error::new(ErrorKind::CorruptMessage, damage.to_string()))
    }

    pub(super) fn read_below(
        &self,
        request: &Fetch,
        marks: PartitionMarks,
        into: &mut Vec<FetchedBatch>,
    ) -> Result<FetchInfo> {
        self.check_range(request.from, &marks)?;
        let mut info = FetchInfo::default();
        if request.from >= marks.visible {
            info.hint = request.hint;
            return Ok(info);
        }
        let before = into.len();
        // The stage first: what it has given up by now stands in the view that is loaded after.
        if !self.read_staged(request, marks.visible, into, &mut info) {
            self.read_segments(request, marks.visible, into)?;
        }
        let last = into.get(before..).and_then(|read| read.last());
        let to = last.map_or(marks.visible, |batch| batch.header.next_offset());
        info.gaps = self.gaps_between(request.from, to);
        Ok(info)
    }

    fn check_range(&self, from: u64, marks: &PartitionMarks) -> Result<()> {
        if self.is_closed() {
            return Err(self.closed());
        }
        if from >= marks.start && from <= marks.end {
            return Ok(());
        }
        let (start, end) = (marks.start, marks.end);
        let message = format!("offset {from} is outside of {start}..={end}");
        let error = Error::new(ErrorKind::OffsetOutOfRange, message);
        Err(error.with_partition(&self.tp).with_offset(from))
    }

    /// The gaps that a reader passes on its way from `from` to `to`.
    fn gaps_between(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        if !self.has_gaps() {
            return Vec::new();
        }
        let gaps = self.gaps.read();
        let passed = gaps.iter().filter(|(gap_from, gap_to)| *gap_to > from && *gap_from < to);
        passed.copied().collect()
    }

    fn is_in_gap(&self, offset: u64) -> bool {
        self.gaps.read().iter().any(|(from, to)| (*from..*to).contains(&offset))
    }

    fn read_segments(
        &self,
        request: &Fetch,
        visible: u64,
        into: &mut Vec<FetchedBatch>,
    ) -> Result<()> {
        let view = self.view.read().clone();
        if request.from > view.end() && self.is_in_gap(request.from) {
            return Ok(()); // A hole behind what is staged: nothing has settled up to here.
        }
        let batches = view.read(request.from, request.max_bytes, visible, request.check_crcs);
        let batches = batches.map_err(|e| self.error(e))?;
        into.extend(batches.into_iter().map(|batch| FetchedBatch {
            header: batch.header,
            payload: batch.payload,
            position: 0,
            below: visible,
        }));
        Ok(())
    }

    /// Copies staged batches out of their chunks. False when the segments must serve.
    fn read_staged(
        &self,
        request: &Fetch,
        visible: u64,
        into: &mut Vec<FetchedBatch>,
        info: &mut FetchInfo,
    ) -> bool {
        let before = into.len();
        let mut bytes = 0;
        for run in self.staged_runs(request, visible) {
            let Some(first) = run.batches.first() else { break };
            let skip = skip_by_hint(request, first);
            let start = first.position + skip;
            // Refused: the chunk was given back, hence its records stand in segments.
            let Some(pin) = first.reader.pin() else { break };
            let end = run.end.unwrap_or(usize::MAX);
            let payload = Bytes::copy_from_slice(slice(&pin, start, end));
            drop(pin);
            bytes += payload.len();
            cut_run(&run, &payload, start, visible, into);
            if bytes >= request.max_bytes {
                break;
            }
        }
        if let Some(last) = into[before..].last_mut() {
            info.hint = end_hint(last, visible, request);
        }
        into.len() > before
    }

    fn staged_runs(&self, request: &Fetch, visible: u64) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let gaps = if self.has_gaps() { self.gaps.read().clone() } else { Vec::new() };
        let staged = self.staged.read();
        // Nothing is older in the stage than what has settled, but for a hole between the two.
        let in_hole = request.from >= self.marks.settled();
        let (mut from_chunk, mut run_start) = (0, 0);
        let mut next = staged.from(request.from, in_hole).skip(1);
        for batch in staged.from(request.from, in_hole) {
            if batch.header.base_offset >= visible {
                break;
            }
            let end = next.next().map_or(visible, |next| next.header.base_offset.min(visible));
            let end = before_gap(&gaps, batch.header.base_offset, end);
            if end <= request.from {
                continue; // The reader stands in the gap behind it.
            }
            let batch = bounded(batch, end);
            let same = runs.last().and_then(|run| run.batches.last());
            if same.is_some_and(|last| last.generation == batch.generation) {
                from_chunk = batch.position - run_start;
                if let Some(run) = runs.last_mut() {
                    if from_chunk >= request.max_bytes {
                        run.end = Some(batch.position);
                        return runs;
                    }
                    run.batches.push(batch);
                }
                continue;
            }
            if !runs.is_empty() && from_chunk >= request.max_bytes {
                break;
            }
            (from_chunk, run_start) = (0, batch.position);
            runs.push(Run { batches: vec![batch], end: None });
        }
        runs
    }
}

/// The batch with a header that reaches up to `end`: what stands in the list is as of the
/// batch's beginning.
fn bounded(batch: &StagedBatch, end: u64) -> StagedBatch {
    let last = end.saturating_sub(batch.header.base_offset + 1);
    let last_offset_delta = u32::try_from(last).unwrap_or(u32::MAX);
    StagedBatch { header: BatchHeader { last_offset_delta, ..batch.header }, ..batch.clone() }
}

/// Where a batch that begins at `base` ends at the latest, `end` or a gap before it: a reader
/// must come to the gap to be told of it.
fn before_gap(gaps: &[(u64, u64)], base: u64, end: u64) -> u64 {
    let first = gaps.get(gaps.partition_point(|(from, _)| *from <= base));
    first.map_or(end, |(from, _)| end.min(*from))
}

/// How far into the first batch the last fetch came, if it ended there.
fn skip_by_hint(request: &Fetch, first: &StagedBatch) -> usize {
    let hint = &request.hint;
    let same = hint.base_offset == first.header.base_offset && hint.next_offset == request.from;
    if same { hint.position } else { 0 }
}

/// Cuts one copied run into its batches. `start` is where the copy began in the chunk.
fn cut_run(run: &Run, copy: &Bytes, start: usize, visible: u64, into: &mut Vec<FetchedBatch>) {
    let copied_to = start + copy.len();
    for (index, batch) in run.batches.iter().enumerate() {
        let from = batch.position.max(start);
        let to = run.batches.get(index + 1).map_or(copied_to, |next| next.position);
        if to <= from || to > copied_to {
            continue;
        }
        into.push(FetchedBatch {
            header: BatchHeader { payload_len: (to - from) as u32, ..batch.header },
            payload: copy.slice(from - start..to - start),
            position: 0,
            below: visible,
        });
    }
}

/// Where the next fetch goes on: behind the batch's last record below `visible`. What is copied
/// of later records is cut off.
fn end_hint(last: &mut FetchedBatch, visible: u64, request: &Fetch) -> FetchHint {
    let base_offset = last.header.base_offset;
    let (mut skipped, mut next_offset) = (0, base_offset);
    if request.hint.base_offset == base_offset && request.hint.next_offset == request.from {
        (skipped, next_offset) = (request.hint.position, request.from);
    }
    let mut records = RecordReader::at(&last.payload, 0);
    let mut position = 0;
    while let Ok(Some(record)) = records.next() {
        let offset = base_offset + u64::from(record.offset_delta);
        // The copy reaches to the chunk's mark. A batch that is not visible yet, or was opened
        // after the list was read, stands there too: its records count from another base.
        if offset != next_offset || offset >= visible {
            break;
        }
        next_offset = offset + 1;
        position = records.position();
    }
    last.payload.truncate(position);
    FetchHint { base_offset, next_offset, position: skipped + position }
}
