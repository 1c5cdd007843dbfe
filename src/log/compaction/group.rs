//! The second half of a pass: a group of neighbouring segments becomes one.

use std::ops::Range;

use super::inputs::Inputs;
use super::judge::{Judge, Judgement};
use super::output::{Finished, Maker, Output};
use super::pass::PassReport;
use super::slice::Slice;
use super::txns::{Remains, keeps_header};
use crate::base::{Result, TopicConfig};
use crate::batch::Batch;
use crate::log::cursor::{Cursor, Trouble};
use crate::log::layer::Layer;
use crate::log::producers::Producers;
use crate::log::segment::FIRST_BATCH;

/// Which neighbours become one segment: as many as `segment.bytes` has room for (A59).
pub(super) fn groups(layers: &[Layer], config: &TopicConfig) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let (mut bytes, mut index, mut base) = (0, 0, 0);
    for (at, layer) in layers.iter().enumerate() {
        let data = layer.data_len - FIRST_BATCH;
        let footer = layer.sealed.map_or(0, |(len, _)| len - layer.data_len);
        let fits = bytes + data <= u64::from(config.segment_bytes)
            && index + footer <= u64::from(config.segment_index_bytes)
            && layer.next_offset.saturating_sub(base) <= i32::MAX as u64;
        match groups.last_mut().filter(|_| fits) {
            Some(group) => group.end = at + 1,
            None => {
                groups.push(at..at + 1);
                (bytes, index, base) = (0, 0, layer.segment.base_offset);
            }
        }
        (bytes, index) = (bytes + data, index + footer);
    }
    groups
}

/// A group that is being copied.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) inputs: Range<usize>,
    at: usize,
    cursor: Option<Cursor>,
    /// `None` as long as nothing was found that changes.
    output: Option<Output>,
    payload: Vec<u8>,
    /// Who appended, as of the group's end; `None` where nothing says so.
    producers: Option<Producers>,
    /// What was left of transactions in front of the group.
    before: Remains,
    told: PassReport,
}

/// What became of a group.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) inputs: Range<usize>,
    /// `None`: it stays as it is.
    pub(super) finished: Option<Finished>,
    pub(super) told: PassReport,
}

impl Group {
    pub(super) fn new(inputs: Range<usize>) -> Self {
        let at = inputs.start;
        let (before, told) = (Remains::default(), PassReport::default());
        let (cursor, output, payload, producers) = (None, None, Vec::new(), None);
        Self { inputs, at, cursor, output, payload, producers, before, told }
    }

    /// Goes on until the slice is over; the result when the group is done.
    pub(super) fn advance(
        &mut self,
        inputs: &mut Inputs,
        judge: &mut Judge,
        maker: &Maker,
        slice: &mut Slice<'_>,
    ) -> Result<Option<Copied>> {
        if self.at == self.inputs.start && self.cursor.is_none() {
            let last = self.inputs.end.checked_sub(1).and_then(|at| inputs.layer(at));
            let stored = last.map(Layer::stored).transpose()?.flatten();
            self.producers = stored.map(|stored| stored.producers);
            self.before = judge.remains.clone();
        }
        if self.output.is_none() && self.inputs.len() > 1 {
            self.restart(inputs, judge, maker)?;
        }
        while !slice.is_over() {
            if !self.step(inputs, judge, maker, slice)? {
                let all = self.inputs.clone().filter_map(|at| inputs.layer(at));
                let finished = match self.output.take() {
                    Some(output) => output.finish(&all.cloned().collect::<Vec<_>>())?,
                    None => None,
                };
                let told = std::mem::take(&mut self.told);
                return Ok(Some(Copied { inputs: self.inputs.clone(), finished, told }));
            }
        }
        Ok(None)
    }

    /// From the front, writing.
    fn restart(&mut self, inputs: &Inputs, judge: &mut Judge, maker: &Maker) -> Result<()> {
        let first = inputs.layer(self.inputs.start).map(|layer| layer.segment.base_offset);
        let Some(base_offset) = first else { return Ok(()) };
        (self.at, self.cursor, self.told) = (self.inputs.start, None, PassReport::default());
        judge.remains = self.before.clone();
        self.output = Some(Output::begin(maker, base_offset)?);
        Ok(())
    }

    /// One batch; false behind the last one.
    fn step(
        &mut self,
        inputs: &mut Inputs,
        judge: &mut Judge,
        maker: &Maker,
        slice: &mut Slice<'_>,
    ) -> Result<bool> {
        if self.at == self.inputs.end {
            return Ok(false);
        }
        let Some(layer) = inputs.layer(self.at).cloned() else { return Ok(false) };
        let resumed = inputs.resume(self.cursor.take(), self.at, layer.segment.base_offset)?;
        let Some(mut cursor) = resumed else { return Ok(false) };
        let passed = cursor.next_offset();
        let trouble = |t: Trouble| t.into_error(&layer.segment, passed);
        let position = cursor.position();
        let Some(header) = cursor.header().map_err(trouble)? else {
            self.leave(&layer, &cursor)?;
            return Ok(true);
        };
        let batch = cursor.batch(header).map_err(trouble)?;
        slice.spend(header.total_len());
        let judgement = judge.judge(inputs, self.at, position, &batch)?;
        let bad = |d: crate::batch::Damage| Trouble::Bad {
            position,
            reason: d.reason,
            unknown: d.version,
        };
        let mut judgement = judgement.map_err(|damage| trouble(bad(damage)))?;
        let is_last = self.at + 1 == self.inputs.end && cursor.position() == layer.data_len;
        let stays = is_last || keeps_header(&header, self.producers.as_ref());
        if stays && judgement.kept == 0 && header.attributes.is_control() {
            judgement = Judgement::verbatim(&batch);
        }
        let fate = Fate::of(&judgement, stays);
        if self.output.is_none() && fate != Fate::Verbatim {
            self.restart(inputs, judge, maker)?;
            return Ok(true);
        }
        if fate != Fate::Gone {
            judge.remains.note(&header);
        }
        self.told.add(&judgement, &header);
        self.cursor = Some(cursor);
        self.write(judge, &batch, (&judgement, fate), slice)?;
        Ok(true)
    }

    fn leave(&mut self, layer: &Layer, cursor: &Cursor) -> Result<()> {
        if cursor.next_offset() != layer.next_offset {
            let reason = "batches are missing at the segment's end";
            return Err(layer.segment.damaged(cursor.position(), cursor.next_offset(), reason));
        }
        self.at += 1;
        Ok(())
    }

    fn write(
        &mut self,
        judge: &Judge,
        batch: &Batch,
        (judgement, fate): (&Judgement, Fate),
        slice: &mut Slice<'_>,
    ) -> Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let header = match fate {
            Fate::Gone => return Ok(()),
            Fate::Verbatim => {
                output.push(&batch.header, &batch.payload)?;
                batch.header
            }
            Fate::Repacked => {
                let header = judge.repack(batch, judgement, &mut self.payload);
                output.push(&header, &self.payload)?;
                header
            }
        };
        slice.spend(header.total_len());
        self.told.written_bytes += header.total_len();
        Ok(())
    }
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Verbatim,
    Repacked,
    Gone,
}

impl Fate {
    /// A header `stays` without records where it is the last one of a group: it says where the group
    /// ends, and that its last offset was used (A58). The last ones of producers do so too.
    fn of(judgement: &Judgement, stays: bool) -> Self {
        match judgement {
            Judgement { kept: 0, .. } if !stays => Fate::Gone,
            Judgement { is_verbatim: true, .. } => Fate::Verbatim,
            _ => Fate::Repacked,
        }
    }
}
