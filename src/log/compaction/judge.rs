//! Which records of a batch stay (A52 to A55), and what becomes of the batch.

use std::hint::black_box;

use super::inputs::Inputs;
use super::key_hash::KeyHash;
use super::key_map::KeyMap;
use super::place::Place;
use super::txns::{Aborted, Remains, Treatment};
use crate::base::Result;
use crate::batch::{Batch, BatchHeader, Damage, HEADER_BYTES, payload_crc};

/// What a pass knows when it judges.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) map: KeyMap,
    pub(super) hash: KeyHash,
    aborted: Aborted,
    /// What was left of transactions.
    pub(super) remains: Remains,
    /// Records from here on are not in the map, and stay.
    pub(super) map_end: u64,
    /// Wall time of the pass.
    pub(super) now_ms: i64,
    /// Until when a tombstone stays that this pass has seen first.
    pub(super) horizon_ms: i64,
    /// Two keys of one hash were met: some records stay that should not.
    pub(super) collided: bool,
    records: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Its bytes in the payload.
    start: u32,
    end: u32,
    /// Where its key stands in the payload, and how long it is.
    key: Option<(u32, u32)>,
    ts_delta: Option<i32>,
    is_tombstone: bool,
    hash: u64,
    /// What the map says of its hash, where that is another record.
    other: Option<Place>,
    /// The map's record of this hash is this one, or the map has none.
    is_newest: bool,
    keep: bool,
}

/// What was decided of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) kept: u32,
    pub(super) dropped: u32,
    /// Of those dropped: tombstones whose time was over.
    pub(super) tombstones: u32,
    /// The horizon that the batch has from now on.
    horizon: Option<i64>,
    /// Nothing changes.
    pub(super) is_verbatim: bool,
}

impl Judgement {
    /// The batch stays as it is.
    pub(super) fn verbatim(batch: &Batch) -> Self {
        let (kept, horizon) = (batch.header.count, batch.delete_horizon());
        Self { kept, horizon, is_verbatim: true, ..Self::default() }
    }
}

impl Judge {
    pub(super) fn new(
        map: KeyMap,
        hash: KeyHash,
        aborted: Aborted,
        map_end: u64,
        now_ms: i64,
        retention: i64,
    ) -> Self {
        let horizon_ms = now_ms.saturating_add(retention);
        let (remains, collided, records) = (Remains::default(), false, Vec::new());
        Self { map, hash, aborted, remains, map_end, now_ms, horizon_ms, collided, records }
    }

    /// Judges the batch that begins at `position` of the segment `input`.
    pub(super) fn judge(
        &mut self,
        inputs: &mut Inputs,
        input: usize,
        position: u64,
        batch: &Batch,
    ) -> Result<Result<Judgement, Damage>> {
        let header = &batch.header;
        let treatment = self.aborted.treatment(header);
        if treatment == Treatment::Aborted {
            self.records.clear();
            let (dropped, is_verbatim) = (header.count, header.count == 0);
            return Ok(Ok(Judgement { dropped, is_verbatim, ..Judgement::default() }));
        }
        if header.base_offset >= self.map_end {
            return Ok(Ok(Judgement::verbatim(batch)));
        }
        if treatment == Treatment::Marker {
            return Ok(self.judge_marker(batch));
        }
        if let Err(damage) = self.list(batch) {
            return Ok(Err(damage));
        }
        self.look_up(inputs, input, position + HEADER_BYTES as u64);
        self.compare(inputs, &batch.payload)?;
        Ok(Ok(self.conclude(batch)))
    }

    /// A marker's time begins when nothing is left of what it ends (A57), and it goes in a later pass.
    fn judge_marker(&mut self, batch: &Batch) -> Result<Judgement, Damage> {
        if self.remains.needs(batch)? {
            return Ok(Judgement::verbatim(batch));
        }
        self.list(batch)?;
        self.records.iter_mut().for_each(|record| record.keep = true);
        let verbatim = Judgement::verbatim(batch);
        Ok(match verbatim.horizon {
            None if batch.header.count == 0 => verbatim,
            None => Judgement { horizon: Some(self.horizon_ms), is_verbatim: false, ..verbatim },
            Some(horizon) if horizon > self.now_ms => verbatim,
            Some(_) => Judgement { dropped: batch.header.count, ..Judgement::default() },
        })
    }

    fn list(&mut self, batch: &Batch) -> Result<(), Damage> {
        self.records.clear();
        let mut records = batch.records();
        loop {
            let start = records.position() as u32;
            let Some(record) = records.next()? else { return Ok(()) };
            let key = record.key.map(|key| (offset_in(&batch.payload, key), key.len() as u32));
            let offset = batch.header.base_offset + u64::from(record.offset_delta);
            self.records.push(Candidate {
                start,
                end: records.position() as u32,
                key,
                ts_delta: record.ts_delta,
                is_tombstone: record.value.is_none(),
                hash: record.key.map_or(0, |key| self.hash.of(key)),
                other: None,
                is_newest: false,
                keep: offset >= self.map_end,
            });
        }
    }

    /// Asks the map, all records together: each look-up alone would wait for memory.
    fn look_up(&mut self, inputs: &Inputs, input: usize, payload_at: u64) {
        let open = self.records.iter().filter(|r| !r.keep && r.key.is_some());
        black_box(open.fold(0, |seen, record| seen ^ self.map.touch(record.hash)));
        for record in self.records.iter_mut().filter(|r| !r.keep && r.key.is_some()) {
            let found = self.map.find(record.hash);
            let own = Place::new(input, payload_at + u64::from(record.start));
            record.other = found.filter(|place| Some(*place) != own);
            record.is_newest = record.other.is_none();
        }
        let others = self.records.iter().filter_map(|record| record.other);
        black_box(others.fold(0, |seen, place| seen ^ inputs.touch(place)));
    }

    /// A record goes only when the newer one has the very same key.
    fn compare(&mut self, inputs: &mut Inputs, payload: &[u8]) -> Result<()> {
        for record in self.records.iter_mut().filter(|record| !record.keep) {
            let Some((at, len)) = record.key else { continue };
            let key = payload.get(at as usize..(at + len) as usize).unwrap_or_default();
            record.keep = match record.other {
                Some(newer) => !inputs.has_key(newer, key)?,
                None => true,
            };
            self.collided |= record.keep && record.other.is_some();
        }
        Ok(())
    }

    fn conclude(&mut self, batch: &Batch) -> Judgement {
        let known = batch.delete_horizon();
        let is_over = known.is_some_and(|horizon| horizon <= self.now_ms);
        let mut told = Judgement { horizon: known, ..Judgement::default() };
        let (mut any_tombstone, mut all_newest) = (false, true);
        for record in &mut self.records {
            if record.keep && record.is_tombstone && record.key.is_some() && is_over {
                record.keep = false;
                told.tombstones += 1;
            }
            told.kept += u32::from(record.keep);
            told.dropped += u32::from(!record.keep);
            if record.keep && record.is_tombstone {
                any_tombstone = true;
                all_newest &= record.is_newest;
            }
        }
        // A tombstone's time begins when nothing older of its key is left: not with records that
        // the map does not know, nor where another key stands in the way.
        let counts = batch.header.next_offset() <= self.map_end && all_newest;
        match (any_tombstone, known) {
            (false, _) => told.horizon = None,
            (true, None) if counts => told.horizon = Some(self.horizon_ms),
            (true, _) => {}
        }
        told.is_verbatim = told.dropped == 0 && told.horizon == known;
        told
    }

    /// The batch that was judged last as it stays: its header, and its payload in `payload`.
    pub(super) fn repack(
        &self,
        batch: &Batch,
        judgement: &Judgement,
        payload: &mut Vec<u8>,
    ) -> BatchHeader {
        payload.clear();
        if let Some(horizon) = judgement.horizon {
            payload.extend_from_slice(&horizon.to_le_bytes());
        }
        let mut max_timestamp_delta = BatchHeader::NO_TIMESTAMP;
        // Neighbours are copied together.
        let mut run = 0..0;
        for record in self.records.iter().filter(|record| record.keep) {
            let latest = record.ts_delta.unwrap_or(BatchHeader::NO_TIMESTAMP);
            max_timestamp_delta = max_timestamp_delta.max(latest);
            let (start, end) = (record.start as usize, record.end as usize);
            if run.end != start {
                payload.extend_from_slice(batch.payload.get(run).unwrap_or_default());
                run = start..end;
            }
            run.end = end;
        }
        payload.extend_from_slice(batch.payload.get(run).unwrap_or_default());
        let header = &batch.header;
        BatchHeader {
            attributes: header.attributes.with_delete_horizon(judgement.horizon.is_some()),
            payload_len: payload.len() as u32,
            payload_crc: payload_crc(payload),
            count: judgement.kept,
            max_timestamp_delta,
            ..*header
        }
    }
}

/// Where `part`, a part of `whole`, begins in it.
fn offset_in(whole: &[u8], part: &[u8]) -> u32 {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize) as u32
}
