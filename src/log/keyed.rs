//! Looking for the records of a key in sealed segments.

use std::sync::Arc;

use bytes::Bytes;

use super::cursor::{Cursor, Trouble};
use super::layer::Layer;
use super::postings::{Builder, Postings, Run};
use super::segment::FIRST_BATCH;
use super::source::Source;
use super::view::View;
use crate::base::{Error, ErrorKind, Result};
use crate::batch::{Batch, Damage, key_hash};

/// The offsets of records that may have a key, and where to go on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeyPlaces {
    /// In order.
    pub offsets: Vec<u64>,
    /// Nothing was left out below.
    pub next: u64,
}

impl View {
    /// The last offset below `below` at which a record may stand whose key has this hash.
    ///
    /// Where a segment has no postings, or damaged ones, they are made anew, in `most_bytes` of
    /// memory at most.
    ///
    /// # Errors
    /// `CorruptMessage` for a damaged batch, `PolicyViolation` where the memory does not suffice,
    /// `StorageError` from the disk.
    pub fn key_place_before(
        &self,
        hash: u64,
        below: u64,
        most_bytes: usize,
    ) -> Result<Option<u64>> {
        let all = self.closed.partition_point(|layer| layer.segment.base_offset < below);
        let closed = self.closed.get(..all).unwrap_or_default();
        let active = self.active.iter().filter(|layer| layer.segment.base_offset < below);
        for layer in active.chain(closed.iter().rev()) {
            if layer.next_offset <= self.start {
                break;
            }
            let run = layer.key_run(hash, most_bytes)?;
            let base = layer.segment.base_offset;
            let count = run.below(below.saturating_sub(base));
            let last = count.checked_sub(1).map(|at| base + u64::from(run.delta(at)));
            if let Some(offset) = last.filter(|offset| *offset >= self.start) {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    /// The offsets from `from` on at which records may stand whose key has this hash, of the
    /// first segment that has any below `below`.
    ///
    /// # Errors
    /// Those of [`key_place_before`](Self::key_place_before).
    pub fn key_places_from(
        &self,
        hash: u64,
        from: u64,
        below: u64,
        most_bytes: usize,
    ) -> Result<KeyPlaces> {
        let from = from.max(self.start);
        let first = self.closed.partition_point(|layer| layer.next_offset <= from);
        let closed = self.closed.get(first..).unwrap_or_default();
        let active = self.active.iter().filter(|layer| layer.next_offset > from);
        for layer in closed.iter().chain(active) {
            let base = layer.segment.base_offset;
            if base >= below {
                break;
            }
            let run = layer.key_run(hash, most_bytes)?;
            let (skipped, end) =
                (run.below(from.saturating_sub(base)), run.below(below.saturating_sub(base)));
            if skipped < end {
                let offsets = (skipped..end).map(|at| base + u64::from(run.delta(at))).collect();
                return Ok(KeyPlaces { offsets, next: layer.next_offset.min(below) });
            }
        }
        Ok(KeyPlaces { offsets: Vec::new(), next: below })
    }

    /// The end of the sealed segments.
    #[must_use]
    pub fn sealed_end(&self) -> u64 {
        let sealed = self.closed.iter().take_while(|layer| layer.sealed.is_some());
        sealed.last().map_or(self.start, |layer| layer.next_offset.max(self.start))
    }
}

impl Layer {
    fn key_run(&self, hash: u64, most_bytes: usize) -> Result<Run> {
        let mut postings = self.postings(most_bytes)?;
        let io = |error| self.segment.place(Error::io("read", &self.segment.path, error));
        if let Some(run) = postings.run(hash).map_err(io)? {
            return Ok(run);
        }
        // The checksum held, so whoever wrote them wrote them wrong: they are no use.
        let rebuilt = self.rebuilt_postings(most_bytes)?;
        let run = Postings::of_bytes(rebuilt).run(hash).map_err(io)?;
        run.ok_or_else(|| Error::new(ErrorKind::Unknown, "postings that were just made"))
    }

    fn postings(&self, most_bytes: usize) -> Result<Postings> {
        if let Some((file_len, crc, layer)) = self.as_sealed() {
            let loaded = layer.loaded(file_len, crc)?;
            if let Some(range) = loaded.keys {
                return Ok(Postings::new(loaded.source, range));
            }
        }
        self.rebuilt_postings(most_bytes).map(Postings::of_bytes)
    }

    fn rebuilt_postings(&self, most_bytes: usize) -> Result<Bytes> {
        let (number, cache) = (self.segment.number, &self.segment.files.cache);
        let is_final = self.as_sealed().is_some();
        if let Some(known) = cache.rebuilt(number).filter(|_| is_final) {
            return Ok(known);
        }
        let rebuilt = Bytes::from(self.make_postings(Some(most_bytes))?);
        if is_final {
            cache.keep_rebuilt(number, rebuilt.clone());
        }
        Ok(rebuilt)
    }

    /// The postings of what stands in the file, by reading all of it.
    pub(super) fn make_postings(&self, most_bytes: Option<usize>) -> Result<Vec<u8>> {
        let segment = &*self.segment;
        let (base, source) = (segment.base_offset, Source::read(segment.file()?));
        let mut cursor = Cursor::new(source, segment.salt, FIRST_BATCH, self.data_len, base);
        let mut builder = Builder::default();
        let place = |trouble: Trouble| trouble.into_error(segment, base);
        while let Some(header) = cursor.header().map_err(place)? {
            let position = cursor.position();
            let batch = cursor.batch(header).map_err(place)?;
            note(&batch, base, &mut builder).map_err(|Damage { reason, version, .. }| {
                let trouble = Trouble::Bad { position, reason, unknown: version };
                trouble.into_error(segment, header.base_offset)
            })?;
            if let Some(most) = most_bytes.filter(|most| builder.bytes() > *most) {
                return Err(self.too_large(most));
            }
        }
        Ok(builder.finish())
    }

    #[cold]
    fn too_large(&self, most: usize) -> Error {
        let message = format!(
            "{}: the index of its keys is missing, and takes more memory to make than \
             key.index.memory.bytes, which is {most}",
            self.segment.path.display()
        );
        let error = Error::new(ErrorKind::PolicyViolation, message).with_path(&self.segment.path);
        self.segment.place(error)
    }
}

fn note(batch: &Batch, base: u64, builder: &mut Builder) -> Result<(), Damage> {
    if batch.header.attributes.is_control() {
        return Ok(());
    }
    let mut records = batch.records();
    while let Some(record) = records.next()? {
        let offset = batch.header.base_offset.saturating_add(u64::from(record.offset_delta));
        // No segment reaches over more than 2^31 offsets.
        let delta = u32::try_from(offset.saturating_sub(base)).unwrap_or(u32::MAX);
        if let Some(key) = record.key {
            builder.note(key_hash(key), delta);
        }
    }
    Ok(())
}

/// What the footer of a sealed segment holds for those who look for keys.
///
/// Damage is left for whoever reads it: without postings the segment is sealed all the same.
pub(super) fn for_footer(layer: &Layer) -> Vec<u8> {
    let files = Arc::clone(&layer.segment.files);
    if !files.is_indexed(layer.segment.key.topic_id) {
        return Vec::new();
    }
    layer.make_postings(None).unwrap_or_default()
}
