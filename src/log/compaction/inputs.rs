//! The segments that a pass reads.

use bytes::Bytes;

use super::place::Place;
use crate::base::{Error, Result};
use crate::batch::RecordView;
use crate::log::cursor::Cursor;
use crate::log::index::Target;
use crate::log::layer::Layer;
use crate::log::source::Source;

/// The fixed part of a record that has headers: its key stands behind it.
const KEY_AT: usize = 24;

/// The segments of a pass, oldest first. Their files stay as long as they are here.
#[derive(Debug)]
pub(super) struct Inputs {
    all: Vec<Input>,
    /// Of a key that was read from a file that is not mapped.
    piece: Vec<u8>,
}

#[derive(Debug)]
struct Input {
    layer: Option<Layer>,
    /// Its bytes, where they are mapped.
    map: Option<Bytes>,
}

impl Inputs {
    pub(super) fn new(layers: impl Iterator<Item = Layer>) -> Self {
        let all = layers.map(|layer| Input { layer: Some(layer), map: None }).collect();
        Self { all, piece: Vec::new() }
    }

    pub(super) fn layer(&self, input: usize) -> Option<&Layer> {
        self.all.get(input)?.layer.as_ref()
    }

    /// The segments in front of `input` are not needed any more.
    pub(super) fn forget_before(&mut self, input: usize) {
        for gone in self.all.iter_mut().take(input) {
            (gone.layer, gone.map) = (None, None);
        }
    }

    /// A cursor in front of the batch that holds `offset`; `None` behind the last segment.
    pub(super) fn cursor(&mut self, input: usize, offset: u64) -> Result<Option<Cursor>> {
        let Some(found) = self.all.get_mut(input) else { return Ok(None) };
        let Some(layer) = &found.layer else { return Ok(None) };
        let delta = offset.saturating_sub(layer.segment.base_offset);
        let mut cursor = layer.cursor(Target::Offset(delta))?;
        if let Source::Whole(bytes) = cursor.source() {
            found.map = Some(bytes.clone());
        }
        Ok(Some(cursor))
    }

    /// `cursor`, which stands in that segment; without one, a new one as by [`cursor`](Self::cursor).
    pub(super) fn resume(
        &mut self,
        cursor: Option<Cursor>,
        input: usize,
        offset: u64,
    ) -> Result<Option<Cursor>> {
        if cursor.is_some() { Ok(cursor) } else { self.cursor(input, offset) }
    }

    /// Reads where the record at `place` begins, so that a later look finds it in the cache.
    #[inline]
    pub(super) fn touch(&self, place: Place) -> u8 {
        let map = self.all.get(place.input()).and_then(|input| input.map.as_ref());
        let at = usize::try_from(place.position()).unwrap_or(usize::MAX);
        map.and_then(|map| map.get(at)).copied().unwrap_or(0)
    }

    /// Whether the record at `place` has this key.
    #[inline]
    pub(super) fn has_key(&mut self, place: Place, key: &[u8]) -> Result<bool> {
        let Some(input) = self.all.get(place.input()) else { return Ok(false) };
        if let Some(map) = &input.map {
            let at = usize::try_from(place.position()).unwrap_or(usize::MAX);
            return Ok(map.get(at..).and_then(RecordView::key_in) == Some(key));
        }
        let Some(layer) = &input.layer else { return Ok(false) };
        self.piece.resize(KEY_AT + key.len(), 0);
        let segment = &layer.segment;
        let read = segment.file()?.read_at(&mut self.piece, place.position());
        let read = read.map_err(|e| segment.place(Error::io("read", &segment.path, e)))?;
        // A record at the end of the file may be shorter than what was asked for.
        let piece = self.piece.get(..read).unwrap_or_default();
        Ok(RecordView::key_in(piece) == Some(key))
    }
}
