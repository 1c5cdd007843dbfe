//! What segments say of producers: in their footers, or by their batches where those are missing.

use super::cursor::{Cursor, Trouble};
use super::layer::{Layer, NO_FOOTER};
use super::manifest::Record;
use super::producers::{self, AbortedTxn, Producers, Stored};
use super::segment::FIRST_BATCH;
use super::segment_log::SegmentLog;
use super::source::Source;
use super::view::View;
use crate::base::Result;

impl Layer {
    /// What the footer says; `None` when the batches must be asked.
    pub(super) fn stored(&self) -> Result<Option<Stored>> {
        if !self.segment.is_stateful() {
            return Ok(Some(Stored::default()));
        }
        let Some((file_len, crc)) = self.sealed.filter(|(_, crc)| *crc != NO_FOOTER) else {
            return Ok(None);
        };
        let mut source = Source::read(self.segment.file()?);
        let footer = self.footer(&mut source, file_len, crc)?;
        Ok(footer.and_then(|footer| producers::decode(&footer.producers())))
    }

    /// Adds what the batches say. What stands behind a damaged one is not known then: reading it
    /// is an error that somebody will see, and no reason to refuse the rest of the log.
    fn replay_onto(&self, producers: &mut Producers, now_ms: i64) -> Result<()> {
        let (segment, base) = (&*self.segment, self.segment.base_offset);
        let source = Source::read(segment.file()?);
        let mut cursor = Cursor::new(source, segment.salt, FIRST_BATCH, self.data_len, base);
        loop {
            match replay_next(&mut cursor, producers, now_ms) {
                Ok(true) => {}
                Ok(false) | Err(Trouble::Bad { unknown: false, .. }) => return Ok(()),
                Err(trouble) => return Err(trouble.into_error(segment, cursor.next_offset())),
            }
        }
    }

    /// The transactions that markers in it abort, of a segment that will be written again: what is
    /// read now is not to be kept.
    pub(super) fn aborted_at_close(&self) -> Result<Vec<AbortedTxn>> {
        if let Some(stored) = self.stored()? {
            return Ok(stored.aborted);
        }
        let mut source = Source::read(self.segment.file()?);
        Ok(self.scan_all(&mut source)?.aborted)
    }

    /// The transactions that markers in it abort.
    fn aborted(&self) -> Result<Vec<AbortedTxn>> {
        if let Some((file_len, crc, layer)) = self.as_sealed() {
            if !self.segment.is_stateful() {
                return Ok(Vec::new());
            }
            return Ok(layer.loaded(file_len, crc)?.aborted.to_vec());
        }
        match self.segment.aborted.read().clone() {
            // Sealed in between: they stand in the footer now.
            gone if gone.is_empty() && self.segment.end.get().is_some() => self.aborted(),
            live => Ok(live),
        }
    }
}

fn replay_next(
    cursor: &mut Cursor,
    producers: &mut Producers,
    now_ms: i64,
) -> Result<bool, Trouble> {
    let position = cursor.position();
    let Some(header) = cursor.header()? else { return Ok(false) };
    let replayed = if header.attributes.is_control() {
        let batch = cursor.batch(header)?;
        producers.replay(&header, &batch.payload, now_ms)
    } else {
        cursor.skip(&header);
        producers.replay(&header, &[], now_ms)
    };
    match replayed {
        Ok(_) => Ok(true),
        Err(flaw) => Err(Trouble::Bad { position, reason: flaw.reason, unknown: flaw.version }),
    }
}

/// The producers as of the end of these layers; of what is in front of them the manifest has
/// `carried` something, as a footer says it.
pub(super) fn producers_behind(carried: &[u8], layers: &[Layer], now_ms: i64) -> Result<Producers> {
    let carried = producers::decode(carried).unwrap_or_default();
    let mut known = (carried.producers, 0);
    for (at, layer) in layers.iter().enumerate().rev() {
        if let Some(stored) = layer.stored()? {
            known = (stored.producers, at + 1);
            break;
        }
    }
    let (mut producers, from) = known;
    for layer in layers.iter().skip(from) {
        layer.replay_onto(&mut producers, now_ms)?;
    }
    Ok(producers)
}

impl SegmentLog {
    /// The record that goes on to say what is known of producers when the first `below` segments
    /// that are not written any more go, and the active one too if `all` go. None where a footer
    /// that stays says it.
    pub(super) fn carry_producers(&self, below: usize, all: bool) -> Result<Option<Record>> {
        let has_footer = |layer: &Layer| layer.sealed.is_some_and(|(_, crc)| crc != NO_FOOTER);
        let (gone, stay) = self.closed.split_at(below.min(self.closed.len()));
        let next = gone.last().map(|layer| layer.next_offset);
        let (offset, producers) = match (all, next) {
            (true, _) => (self.end, self.producers.clone()),
            (false, Some(next)) if !stay.iter().any(has_footer) => {
                (next, self.producers_behind_gone(gone)?)
            }
            _ => return Ok(None),
        };
        let state = producers::encode(&producers, &[]);
        Ok((!state.is_empty()).then_some(Record::Producers { key: self.key, offset, state }))
    }

    fn producers_behind_gone(&self, gone: &[Layer]) -> Result<Producers> {
        let Some(last) = gone.last() else { return Ok(Producers::default()) };
        if last.sealed.is_none() {
            // It was noted when the next one was begun.
            let stored = producers::decode(&last.segment.stored());
            return Ok(stored.unwrap_or_default().producers);
        }
        producers_behind(&self.carried, gone, 0)
    }
}

/// What the footer of the segment says that takes the place of these.
pub(super) fn merged(layers: &[Layer]) -> Result<Vec<u8>> {
    let Some(last) = layers.last() else { return Ok(Vec::new()) };
    let mut aborted = Vec::new();
    for layer in layers {
        aborted.extend(layer.aborted()?);
    }
    let stored = last.stored()?;
    // Where the footer of the last one is missing, so is this: who wants it asks the batches.
    Ok(stored.map_or(vec![0], |stored| producers::encode(&stored.producers, &aborted)))
}

impl View {
    /// The aborted transactions of which records lie in `from..to` (B35), as far as their markers
    /// stand in segments.
    ///
    /// # Errors
    /// `StorageError` from the disk; `CorruptMessage` where a footer is missing and a batch is bad.
    pub fn aborted(&self, from: u64, to: u64) -> Result<Vec<AbortedTxn>> {
        let mut found = Vec::new();
        for layer in self.layers_from(from) {
            for txn in layer.aborted()? {
                if txn.overlaps(from, to) {
                    found.push(txn);
                }
                // Whatever began below has ended by here.
                if txn.marker >= from && txn.stable >= to {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}
