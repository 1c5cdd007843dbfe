//! One pass over a batch: which of its records to give.
//!
//! Every record is checked here once, so that lending it later cannot fail.

use crate::backend::FetchedBatch;
use crate::batch::{Damage, Stop, Wanted};

/// What a walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    /// The byte position of the first record to give.
    pub(super) start: usize,
    /// How many records to give, back to back from `start`.
    pub(super) count: usize,
    /// The byte position behind them.
    pub(super) end: usize,
    /// The offset to go on from.
    pub(super) next_offset: u64,
    /// Whether the batch has nothing more to give.
    pub(super) finished: bool,
}

/// Walks `batch` from its position, giving at most `room` records at or after `from`; adds to
/// `ends` where each of them ends.
///
/// A damaged record ends the walk before it; met first, it is the error.
pub(super) fn walk(
    batch: &FetchedBatch,
    from: u64,
    room: usize,
    ends: &mut Vec<u32>,
) -> Result<Walked, Damage> {
    let behind = batch.behind();
    let done = Walked {
        start: batch.position,
        count: 0,
        end: batch.position,
        next_offset: from.max(behind),
        finished: true,
    };
    if batch.header.attributes.is_control() || from >= batch.below {
        return Ok(done);
    }
    let base = batch.header.base_offset;
    let (first, below) = (from.saturating_sub(base), batch.below.saturating_sub(base));
    let last = batch.header.last_offset_delta;
    let mut reader = batch.records();
    if first > 0 {
        let before = ends.len();
        let skipped = Wanted { deltas: 0..first, last, most: usize::MAX };
        let skipped = reader.pass(&skipped, ends);
        ends.truncate(before);
        if let Stop::Damaged(damage) = skipped.stop {
            return Err(damage);
        }
    }
    let start = reader.position();
    let passed = reader.pass(&Wanted { deltas: first..below, last, most: room }, ends);
    let next_offset = if passed.count == 0 { from } else { base.saturating_add(passed.next) };
    let (count, end) = (passed.count, reader.position());
    let given = Walked { start, count, end, next_offset, finished: false };
    match passed.stop {
        Stop::Damaged(damage) if count == 0 => Err(damage),
        Stop::Damaged(_) => Ok(given),
        // Without records behind the last one given, the position passes what was filtered (A34).
        Stop::Full if next_offset < behind => Ok(given),
        Stop::Full | Stop::Behind | Stop::End => Ok(finish(given, behind)),
    }
}

fn finish(given: Walked, behind: u64) -> Walked {
    Walked { next_offset: given.next_offset.max(behind), finished: true, ..given }
}
