//! Reading on where the last read has ended: what a reader at the end of the log does for every
//! record.
//!
//! Nothing is allocated here, and beside two counters that only readers touch nothing is written:
//! of what the writer writes for a record a reader looks at the mark, the chunk's mark and the
//! record. Whatever is not the plain case is left to `read.rs`.

use bytes::BytesMut;

use crate::backend::{Fetch, FetchHint, FetchedBatch, FetchedOn};
use crate::base::Isolation;
use crate::batch::{Attributes, BatchHeader, RecordReader};

use super::Partition;
use super::staged::{StagedBatch, slice};

/// Whoever is further behind than this reads in larger pieces, out of `room`s of their own.
const MOST: usize = 8 << 10;

impl Partition {
    /// What has come to the newest batch since the reader was there, if it was.
    pub(super) fn read_on(&self, request: &Fetch, room: &mut BytesMut) -> FetchedOn {
        let marks = self.marks_for(request.isolation);
        let inside = marks.start <= request.from && request.from <= marks.end;
        if !inside || self.is_closed() || self.has_gaps() {
            return FetchedOn::Elsewhere;
        }
        if request.from >= marks.visible {
            return FetchedOn::Nothing;
        }
        let staged = self.staged.read();
        let newest = staged.newest().filter(|newest| goes_on_in(newest, request));
        let more = newest.and_then(|newest| copy_on(newest, request, marks.visible, room));
        more.map_or(FetchedOn::Elsewhere, |(batch, hint)| FetchedOn::More(batch, hint))
    }
}

/// Whether the reader has read the beginning of this batch, and sees all that comes behind it.
fn goes_on_in(newest: &StagedBatch, request: &Fetch) -> bool {
    let (hint, header) = (&request.hint, &newest.header);
    let shown = |attributes: Attributes| {
        let committed = request.isolation == Isolation::ReadCommitted;
        !(attributes.is_control() || committed && attributes.is_transactional())
    };
    hint.base_offset == header.base_offset
        && hint.next_offset == request.from
        && hint.position > 0
        && shown(header.attributes)
}

/// Copies what stands behind the reader, up to `visible`. `None` if that is much, or nothing: a
/// batch was begun since.
fn copy_on(
    newest: &StagedBatch,
    request: &Fetch,
    visible: u64,
    room: &mut BytesMut,
) -> Option<(FetchedBatch, FetchHint)> {
    let hint = &request.hint;
    {
        // Refused: the chunk was given back, hence its records stand in segments.
        let pin = newest.reader.pin()?;
        let fresh = slice(&pin, newest.position + hint.position, usize::MAX);
        if fresh.len() > MOST.min(request.max_bytes) {
            return None;
        }
        room.clear();
        room.extend_from_slice(fresh);
    }
    let base = newest.header.base_offset;
    let (next, len) = walk_to(room, base, request.from, visible);
    if len == 0 {
        return None;
    }
    let payload = room.split_to(len).freeze();
    let last_offset_delta = u32::try_from(next - base - 1).unwrap_or(u32::MAX);
    let header = BatchHeader { payload_len: len as u32, last_offset_delta, ..newest.header };
    let position = hint.position + len;
    let hint = FetchHint { base_offset: base, next_offset: next, position };
    Some((FetchedBatch { header, payload, position: 0, below: visible }, hint))
}

/// How far the records of one batch go from `from` on, as offset and in bytes. What stands behind
/// `visible` is not counted, nor is a batch that was begun behind this one: its records count from
/// another base.
fn walk_to(bytes: &[u8], base: u64, from: u64, visible: u64) -> (u64, usize) {
    let mut records = RecordReader::at(bytes, 0);
    let (mut next, mut len) = (from, 0);
    while let Ok(Some(delta)) = records.step() {
        if base + u64::from(delta) != next || next >= visible {
            break;
        }
        next += 1;
        len = records.position();
    }
    (next, len)
}
