//! The first half of a pass: where the newest record of each key stands.

use std::hint::black_box;
use std::ops::Range;

use super::inputs::Inputs;
use super::key_hash::KeyHash;
use super::key_map::KeyMap;
use super::place::Place;
use super::slice::Slice;
use super::txns::{Aborted, Treatment};
use crate::base::Result;
use crate::batch::{Batch, HEADER_BYTES};
use crate::log::cursor::{Cursor, Trouble};

/// So many keys are hashed, then looked up: the look-ups wait for memory together.
const BLOCK: usize = 32;

/// Reads the dirty part into the map, up to its end or until the map is full.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) map: KeyMap,
    pub(super) hash: KeyHash,
    pub(super) aborted: Aborted,
    /// Everything below is in the map, from where it began.
    pub(super) end: u64,
    from: u64,
    input: usize,
    cursor: Option<Cursor>,
    block: Vec<Found>,
    is_full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    hash: u64,
    place: Place,
    offset: u64,
}

impl Survey {
    /// Of the records in `span`.
    pub(super) fn new(hash: KeyHash, aborted: Aborted, span: Range<u64>, max_bytes: u64) -> Self {
        let Range { start: from, end: to } = span;
        Self {
            map: KeyMap::new(to.saturating_sub(from), max_bytes),
            hash,
            aborted,
            end: to,
            from,
            input: 0,
            cursor: None,
            block: Vec::with_capacity(BLOCK),
            is_full: false,
        }
    }

    /// Goes on until the slice is over; true when all is done.
    pub(super) fn advance(&mut self, inputs: &mut Inputs, slice: &mut Slice<'_>) -> Result<bool> {
        while !slice.is_over() {
            if self.is_full || !self.step(inputs, slice)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One batch; false behind the last one.
    fn step(&mut self, inputs: &mut Inputs, slice: &mut Slice<'_>) -> Result<bool> {
        let Some(layer) = inputs.layer(self.input).cloned() else { return Ok(false) };
        if layer.next_offset <= self.from {
            self.input += 1;
            return Ok(true);
        }
        let resumed = inputs.resume(self.cursor.take(), self.input, self.from)?;
        let Some(mut cursor) = resumed else { return Ok(false) };
        let passed = cursor.next_offset();
        let trouble = |t: Trouble| t.into_error(&layer.segment, passed);
        let position = cursor.position();
        let Some(header) = cursor.header().map_err(trouble)? else {
            self.input += 1;
            return Ok(true);
        };
        if header.next_offset() <= self.from {
            cursor.skip(&header);
            slice.spend(HEADER_BYTES as u64);
        } else {
            let batch = cursor.batch(header).map_err(trouble)?;
            slice.spend(header.total_len());
            self.take(&batch, position).map_err(trouble)?;
        }
        self.cursor = Some(cursor);
        Ok(true)
    }

    fn take(&mut self, batch: &Batch, position: u64) -> Result<(), Trouble> {
        if self.aborted.treatment(&batch.header) != Treatment::Plain {
            return Ok(());
        }
        let payload_at = position + HEADER_BYTES as u64;
        let bad = |reason, unknown| Trouble::Bad { position, reason, unknown };
        let mut records = batch.records();
        loop {
            let at = payload_at + records.position() as u64;
            let record = records.next().map_err(|d| bad(d.reason, d.version))?;
            let Some(record) = record else { break };
            let offset = batch.header.base_offset + u64::from(record.offset_delta);
            let Some(key) = record.key.filter(|_| offset >= self.from) else { continue };
            let place = Place::new(self.input, at)
                .ok_or(bad("the segment is too long to be compacted", false))?;
            self.block.push(Found { hash: self.hash.of(key), place, offset });
            if self.block.len() == BLOCK {
                self.flush();
            }
        }
        self.flush();
        Ok(())
    }

    fn flush(&mut self) {
        black_box(self.block.iter().fold(0, |seen, found| seen ^ self.map.touch(found.hash)));
        for found in self.block.drain(..) {
            if !self.is_full && !self.map.insert(found.hash, found.place) {
                (self.is_full, self.end) = (true, found.offset);
            }
        }
    }
}
