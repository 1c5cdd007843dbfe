//! Finding out what an unsealed segment holds: its batches, and what stands behind them.

use std::io;

use super::cursor::{Cursor, Trouble};
use super::gaps::Gaps;
use super::index::{Entry, Indexer};
use super::layout::{FOOTER_HEAD_BYTES, Footer};
use super::producers::{AbortedTxn, Producers};
use crate::batch::{Batch, BatchHeader, Damage, HEADER_BYTES};

/// How offsets must follow each other.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// Without a hole, except for registered gaps, up to this offset.
    Contiguous { gaps: Gaps, below: u64 },
    /// Holes are fine: nothing that was sealed is judged again.
    Growing,
}

impl Order {
    fn allows(&self, next: u64, header: &BatchHeader) -> bool {
        match self {
            Order::Growing => true,
            Order::Contiguous { gaps, below } => {
                (header.base_offset == next || header.base_offset == gaps.behind(next))
                    && header.next_offset() <= *below
            }
        }
    }
}

/// The producers as of the beginning of what is scanned.
#[derive(Clone, Debug, Default)]
pub(super) struct Replay {
    pub(super) producers: Producers,
    pub(super) aborted: Vec<AbortedTxn>,
    pub(super) now_ms: i64,
}

impl Replay {
    pub(super) fn new(producers: Producers, now_ms: i64) -> Self {
        Self { producers, aborted: Vec::new(), now_ms }
    }

    fn note(&mut self, batch: &Batch) -> Result<(), Damage> {
        let aborted = self.producers.replay(&batch.header, &batch.payload, self.now_ms)?;
        self.aborted.extend(aborted);
        Ok(())
    }
}

/// The valid batches at the front of a file.
#[derive(Debug)]
pub(super) struct Scan {
    /// Where they end.
    pub(super) position: u64,
    /// The offset behind the last one.
    pub(super) next_offset: u64,
    pub(super) max_timestamp: Option<i64>,
    pub(super) entries: Vec<Entry>,
    /// The producers as of its end.
    pub(super) producers: Producers,
    /// The transactions that markers in it abort.
    pub(super) aborted: Vec<AbortedTxn>,
    /// Why the next one is none; `None` at the end of the data.
    pub(super) trouble: Option<Trouble>,
}

/// Reads and verifies batches until one is invalid.
///
/// A failing device is an error: bytes that could not be read are not known to be torn.
pub(super) fn batches(
    mut cursor: Cursor,
    base_offset: u64,
    interval: u32,
    order: &Order,
    mut replay: Replay,
) -> io::Result<Scan> {
    let mut indexer = Indexer::new(interval, base_offset);
    let mut entries = Vec::new();
    let trouble = loop {
        match step(&mut cursor, &mut indexer, order, &mut replay) {
            Ok(Some(entry)) => entries.extend(entry),
            Ok(None) => break None,
            Err(Trouble::Io(error)) => return Err(error),
            Err(bad) => break Some(bad),
        }
    };
    Ok(Scan {
        position: cursor.position(),
        next_offset: cursor.next_offset(),
        max_timestamp: indexer.max_timestamp(),
        entries,
        producers: replay.producers,
        aborted: replay.aborted,
        trouble,
    })
}

fn step(
    cursor: &mut Cursor,
    indexer: &mut Indexer,
    order: &Order,
    replay: &mut Replay,
) -> Result<Option<Option<Entry>>, Trouble> {
    let position = cursor.position();
    let Some(header) = cursor.header()? else { return Ok(None) };
    if !order.allows(cursor.next_offset(), &header) {
        let reason = "the batch does not follow the one before";
        return Err(Trouble::Bad { position, reason, unknown: false });
    }
    let batch = cursor.batch(header)?;
    if let Err(Damage { reason, version, .. }) = replay.note(&batch) {
        return Err(Trouble::Bad { position, reason, unknown: version });
    }
    Ok(Some(indexer.note(&header, position)))
}

/// What stands behind the last valid batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Behind {
    /// Bytes up to the last one that is not zero, unless they are a footer.
    pub(super) torn: u64,
    /// A batch proves that everything below this offset was durable once.
    pub(super) proven: Option<u64>,
}

/// Looks at everything from the cursor's position to `limit`.
pub(super) fn behind(cursor: &mut Cursor, salt: u32, limit: u64) -> io::Result<Behind> {
    let start = cursor.position();
    let next = cursor.next_offset();
    if is_footer(cursor, start, limit)? {
        return Ok(Behind::default());
    }
    let mut found = Behind::default();
    let mut at = start;
    while at < limit {
        let len = (limit - at).min(WINDOW);
        let Some(bytes) = cursor.source().slice(at, usize_of(len), limit)? else { break };
        if let Some(last) = last_set(&bytes) {
            found.torn = at - start + last as u64 + 1;
            found.proven = found.proven.max(proof(&bytes, salt, next));
        }
        // Windows overlap, so that no header is cut by their border.
        at += if len == WINDOW { WINDOW - HEADER_BYTES as u64 } else { len };
    }
    Ok(found)
}

/// The position of the last byte that is not zero. There rarely is one: space is reserved in
/// steps of megabytes, and all of it is looked at, without leaving early.
fn last_set(bytes: &[u8]) -> Option<usize> {
    let any = bytes.iter().fold(0, |all, byte| all | byte);
    if any == 0 { None } else { bytes.iter().rposition(|byte| *byte != 0) }
}

const WINDOW: u64 = 64 << 10;

fn usize_of(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

fn proof(bytes: &[u8], salt: u32, next: u64) -> Option<u64> {
    let header = |at: usize| BatchHeader::decode(bytes.get(at..)?, salt).ok();
    let starts = (0..bytes.len()).step_by(8).filter_map(header);
    let proves = |h: &BatchHeader| h.attributes.prev_durable() && h.base_offset > next;
    starts.filter(proves).map(|h| h.base_offset).max()
}

/// A crash while the segment was sealed, or closed, leaves its footer: that is no damage.
fn is_footer(cursor: &mut Cursor, start: u64, limit: u64) -> io::Result<bool> {
    let Some(head) = cursor.source().slice(start, FOOTER_HEAD_BYTES, limit)? else {
        return Ok(false);
    };
    let Some(len) = Footer::len_of(&head).ok().filter(|len| *len <= limit - start) else {
        return Ok(false);
    };
    let Some(bytes) = cursor.source().slice(start, usize_of(len), limit)? else {
        return Ok(false);
    };
    Ok(Footer::decode(&bytes).is_ok_and(|footer| footer.data_len == start))
}
