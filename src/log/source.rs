//! Where the bytes of a segment come from: a map, or positioned reads of bounded pieces.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::DiskFile;

/// A piece that stays in the second-level cache while it is decoded.
const PIECE: u64 = 64 << 10;
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
        Source::Read { file, at: 0, piece: Bytes::new(), stride: PIECE }
    }

    /// For somebody who wants about so many bytes: no more is read than may be wanted.
    pub(super) fn wanted(mut self, bytes: u64) -> Self {
        if let Source::Read { stride, .. } = &mut self {
            *stride = bytes.clamp(ONE_BATCH, PIECE);
        }
        self
    }

    /// What of the bytes from `position` to `end` is in memory and may be far away.
    pub(super) fn distant(&self, position: u64, end: u64) -> &[u8] {
        let Source::Whole(bytes) = self else { return &[] };
        let [start, end] = [position, end].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        bytes.get(start..end.min(bytes.len())).unwrap_or_default()
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
        match self {
            Source::Whole(bytes) => Ok(cut(bytes, position, len)),
            Source::Read { file, at, piece, stride } => {
                let inside = position.checked_sub(*at).and_then(|skip| cut(piece, skip, len));
                if inside.is_some() {
                    return Ok(inside);
                }
                let wanted = len as u64;
                if wanted > PIECE {
                    return Ok(Some(fill(&**file, position, wanted)?).filter(|b| b.len() == len));
                }
                let room = limit.saturating_sub(position).min(*stride).max(wanted);
                (*at, *piece) = (position, fill(&**file, position, room)?);
                Ok(cut(piece, 0, len))
            }
        }
    }
}

fn cut(bytes: &Bytes, position: u64, len: usize) -> Option<Bytes> {
    let start = usize::try_from(position).ok()?;
    let end = start.checked_add(len)?;
    (end <= bytes.len()).then(|| bytes.slice(start..end))
}

fn fill(file: &dyn DiskFile, position: u64, len: u64) -> io::Result<Bytes> {
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.read_fresh(len, position).map(Bytes::from)
}
