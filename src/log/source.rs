//! Where the bytes of a segment come from: a map, or positioned reads of bounded pieces, or the one
//! for the front of the file and the other for the rest.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::piece::{self, PIECE};
use crate::disk::DiskFile;

/// What a batch that the stage has filled is within.
const ONE_BATCH: u64 = 18 << 10;

/// The bytes of one segment file.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// All of them, in memory.
    Whole(Bytes),
    /// Read on demand; the last piece is kept.
    Read {
        /// The file.
        file: Arc<dyn DiskFile>,
        /// What of its front is in memory.
        front: Bytes,
        /// Where `piece` begins.
        at: u64,
        /// The bytes that were read last.
        piece: Bytes,
        /// How many to read at once.
        stride: u64,
    },
}

impl Source {
    pub(super) fn read(file: Arc<dyn DiskFile>) -> Self {
        Source::with_front(file, Bytes::new())
    }

    /// Read where it has to be: `front` is what stands at the file's start.
    pub(super) fn with_front(file: Arc<dyn DiskFile>, front: Bytes) -> Self {
        Source::Read { file, front, at: 0, piece: Bytes::new(), stride: PIECE as u64 }
    }

    /// For somebody who wants about so many bytes: no more is read than may be wanted.
    pub(super) fn wanted(mut self, bytes: u64) -> Self {
        if let Source::Read { stride, .. } = &mut self {
            *stride = bytes.clamp(ONE_BATCH, PIECE as u64);
        }
        self
    }

    /// What of the bytes from `position` to `end` is in memory and may be far away.
    pub(super) fn distant(&self, position: u64, end: u64) -> &[u8] {
        let (Source::Whole(bytes) | Source::Read { front: bytes, .. }) = self;
        let [start, end] = [position, end].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        bytes.get(start..end.min(bytes.len())).unwrap_or_default()
    }

    /// Lets go of what was read; it would be held as long as this lives.
    pub(super) fn forget(&mut self) {
        if let Source::Read { piece, .. } = self {
            *piece = Bytes::new();
        }
    }

    /// The bytes `position..position + len`; `None` when the file is shorter.
    ///
    /// Nobody will ask for anything at or behind `limit`, so nothing behind it is read.
    pub(super) fn slice(
        &mut self,
        position: u64,
        len: usize,
        limit: u64,
    ) -> io::Result<Option<Bytes>> {
        let (piece, start) = self.bring(position, len, limit)?;
        let end = start.and_then(|start| start.checked_add(len));
        let range = start.zip(end).filter(|(_, end)| *end <= piece.len());
        Ok(range.map(|(start, end)| piece.slice(start..end)))
    }

    /// As [`slice`](Self::slice), borrowed.
    pub(super) fn peek(
        &mut self,
        position: u64,
        len: usize,
        limit: u64,
    ) -> io::Result<Option<&[u8]>> {
        let (piece, start) = self.bring(position, len, limit)?;
        let end = start.and_then(|start| start.checked_add(len));
        Ok(start.zip(end).and_then(|(start, end)| piece.get(start..end)))
    }

    /// A piece that holds these bytes, unless the file is shorter, and where in it they begin.
    fn bring(
        &mut self,
        position: u64,
        len: usize,
        limit: u64,
    ) -> io::Result<(&Bytes, Option<usize>)> {
        match self {
            Source::Whole(bytes) => Ok((bytes, usize::try_from(position).ok())),
            Source::Read { file, front, at, piece, stride } => {
                if let Some(start) = within(front, position, len) {
                    return Ok((front, Some(start)));
                }
                let inside = position.checked_sub(*at).and_then(|skip| usize::try_from(skip).ok());
                let reaches = |skip: &usize| len <= piece.len().saturating_sub(*skip);
                if let Some(skip) = inside.filter(|skip| *skip <= piece.len()).filter(reaches) {
                    return Ok((piece, Some(skip)));
                }
                let room = limit.saturating_sub(position).min(*stride);
                let room = usize::try_from(room).unwrap_or(usize::MAX).max(len);
                // Before the next one is read: its memory may come back for that.
                *piece = Bytes::new();
                (*at, *piece) = (position, piece::read(&**file, position, room)?);
                Ok((piece, Some(0)))
            }
        }
    }
}

/// Where `len` bytes from `position` on begin in `front`, if it has them.
fn within(front: &Bytes, position: u64, len: usize) -> Option<usize> {
    let start = usize::try_from(position).ok()?;
    let end = start.checked_add(len)?;
    (end <= front.len()).then_some(start)
}
