//! Keyed records, and passes over them.

use std::collections::BTreeMap;

use super::bed::Bed;
use crate::base::{RawRecord, Result};
use crate::batch::Batch;
use crate::log::producers::AbortedTxn;
use crate::log::{
    CompactionLimits, CompactionPass, PassReport, Placed, Progress, SegmentLog, Slice, Standing,
    Swapped, View,
};

/// Key and value; `None` for null.
pub(super) type Pair<'a> = (Option<&'a str>, Option<&'a str>);
/// Offset, key, value.
pub(super) type Found = (u64, Option<String>, Option<String>);

pub(super) const RETENTION: i64 = 1_000;

/// How a pass is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) now: i64,
    pub(super) map_bytes: u64,
    /// Of the hash, where it is to be weak.
    pub(super) bits: Option<u32>,
    pub(super) aborted: Option<AbortedTxn>,
}

impl Run {
    pub(super) fn at(now: i64) -> Self {
        Self { now, map_bytes: 1 << 20, bits: None, aborted: None }
    }
}

/// The records of one batch, each with a timestamp that is its offset.
pub(super) fn keyed(base: u64, pairs: &[Pair<'_>]) -> Batch {
    let mut records = Vec::new();
    for (offset, (key, value)) in (base..).zip(pairs) {
        records.push(RawRecord {
            key: key.map(str::as_bytes),
            value: value.map(str::as_bytes),
            timestamp_ms: Some(offset as i64),
            ..RawRecord::default()
        });
    }
    Batch::encode(base, &records, None).unwrap()
}

pub(super) fn write(log: &mut SegmentLog, pairs: &[Pair<'_>]) {
    let batch = keyed(log.end_offset(), pairs);
    log.write(&[Placed { header: batch.header, payload: &batch.payload }], 0).unwrap();
}

/// Ends the active segment and seals it.
pub(super) fn seal(bed: &mut Bed) {
    bed.log.roll();
    bed.log.sync().unwrap();
    bed.log.seal_behind().unwrap();
}

pub(super) fn begin(log: &SegmentLog, run: Run) -> CompactionPass {
    let standing = Standing::of(&log.view(), log.config(), log.end_offset(), run.now);
    let Run { now, map_bytes, bits, aborted } = run;
    let aborted = aborted.into_iter().collect();
    let limits = CompactionLimits { map_bytes, now_ms: now, aborted };
    let mut pass = CompactionPass::begin(log, &standing, limits);
    bits.into_iter().for_each(|bits| pass.weaken(bits));
    pass
}

/// Goes on to the next change, or to the end.
pub(super) fn advance(pass: &mut CompactionPass) -> Result<Progress> {
    loop {
        match pass.advance(&mut Slice::least())? {
            Progress::More => {}
            other => return Ok(other),
        }
    }
}

pub(super) fn swap(
    log: &mut SegmentLog,
    pass: &mut CompactionPass,
    progress: Progress,
) -> Result<bool> {
    let Progress::Swap(change) = progress else { return Ok(false) };
    let swapped = log.swap(change)?;
    pass.take(&swapped)?;
    if let Swapped::Done(position) = swapped {
        log.files.manifest().sync_to(position)?;
        log.end_swap()?;
    }
    Ok(true)
}

/// A whole pass.
pub(super) fn compact(log: &mut SegmentLog, run: Run) -> Result<PassReport> {
    let mut pass = begin(log, run);
    loop {
        let progress = advance(&mut pass)?;
        if !swap(log, &mut pass, progress)? {
            return Ok(pass.report());
        }
    }
}

/// Everything in `view`, read in small bites, each record with the timestamp that it was given.
pub(super) fn contents(view: &View) -> Vec<Found> {
    let (mut found, mut at) = (Vec::new(), view.start());
    loop {
        let batches = view.read(at, 300, u64::MAX, true).unwrap();
        let Some(last) = batches.last() else { break };
        let next = last.header.next_offset();
        assert!(next > at, "a read makes progress");
        for batch in &batches {
            let mut records = batch.records();
            while let Some(record) = records.next().unwrap() {
                let offset = batch.header.base_offset + u64::from(record.offset_delta);
                let stamp = batch.header.timestamp(record.ts_delta);
                assert_eq!(stamp, Some(offset as i64), "timestamps are kept");
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                if offset >= at {
                    found.push((offset, record.key.map(text), record.value.map(text)));
                }
            }
        }
        at = next;
    }
    assert_eq!(at, view.end(), "the end can be reached");
    assert!(found.windows(2).all(|two| two[0].0 < two[1].0), "offsets grow");
    found
}

pub(super) fn offsets(view: &View) -> Vec<u64> {
    contents(view).into_iter().map(|(offset, ..)| offset).collect()
}

/// What a table of these records holds.
pub(super) fn table(found: &[Found]) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for (_, key, value) in found {
        match (key, value) {
            (Some(key), Some(value)) => drop(table.insert(key.clone(), value.clone())),
            (Some(key), None) => drop(table.remove(key)),
            (None, _) => {}
        }
    }
    table
}
