//! One pass over a batch: which of its records to give.
//!
//! Every record is decoded here once, so that lending it later cannot fail.

use crate::backend::FetchedBatch;
use crate::batch::Damage;

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

/// Walks `batch` from its position, giving at most `room` records at or after `from`.
///
/// A damaged record ends the walk before it; met first, it is the error.
pub(super) fn walk(batch: &FetchedBatch, from: u64, room: usize) -> Result<Walked, Damage> {
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
    let mut reader = batch.records();
    let start = reader.position();
    let mut given = Walked { start, end: start, next_offset: from, finished: false, ..done };
    let base = batch.header.base_offset;
    while given.count < room {
        let offset = match reader.step() {
            Ok(Some(delta)) => base.saturating_add(u64::from(delta)),
            Ok(None) => return Ok(finish(given, behind)),
            Err(_) if given.count > 0 => return Ok(given),
            Err(damage) => return Err(damage),
        };
        if offset >= batch.below {
            return Ok(finish(given, behind));
        }
        given.end = reader.position();
        if offset < from {
            given.start = given.end;
            continue;
        }
        given.count += 1;
        given.next_offset = offset.saturating_add(1);
    }
    // Without records behind the last one given, the position passes what was filtered (A34).
    let last = given.next_offset >= behind;
    Ok(if last { finish(given, behind) } else { given })
}

fn finish(given: Walked, behind: u64) -> Walked {
    Walked { next_offset: given.next_offset.max(behind), finished: true, ..given }
}
