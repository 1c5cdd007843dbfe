//! A walk over the batches of one segment file.

use std::io;

use crate::base::{Error, ErrorKind};
use crate::batch::{Batch, BatchHeader, HEADER_BYTES, verify_in_pieces};
use crate::disk::prefetch;

use super::segment::Segment;
use super::source::Source;

/// Why the next batch could not be had.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The device failed; nothing is known about the bytes.
    Io(io::Error),
    /// The bytes at `position` are no batch that belongs there.
    Bad { position: u64, reason: &'static str, unknown: bool },
}

impl Trouble {
    /// The error that this is for a reader of `segment` who wanted `offset`.
    pub(super) fn into_error(self, segment: &Segment, offset: u64) -> Error {
        match self {
            Trouble::Io(error) => segment.place(Error::io("read", &segment.path, error)),
            Trouble::Bad { position, reason, unknown: false } => {
                segment.damaged(position, offset, reason)
            }
            Trouble::Bad { position, reason, unknown: true } => {
                let path = segment.path.display();
                let message = format!("{path}: the batch at byte {position}: {reason}");
                let error = Error::new(ErrorKind::UnsupportedVersion, message);
                segment.place(error.with_path(&segment.path).with_offset(offset))
            }
        }
    }
}

/// Checksums are computed of so many bytes at a time, and so many in front of them are made to
/// come nearer meanwhile.
const PIECE: usize = 4 << 10;
const AHEAD: usize = 16 << 10;
/// From an entry of the index to the end of a small batch behind it.
const BEFORE: usize = 5 << 10;

/// A position in the batches of a segment file.
#[derive(Debug)]
pub(super) struct Cursor {
    source: Source,
    salt: u32,
    position: u64,
    /// No batch reaches behind this position.
    limit: u64,
    /// The next batch begins at or behind this offset.
    floor: u64,
    /// Whether payloads are verified by their checksums.
    checks: bool,
    /// Where what the reader is likely to want ends.
    wanted: u64,
    /// Everything in front of this is on its way into the processor's cache.
    coming: u64,
}

impl Cursor {
    pub(super) fn new(source: Source, salt: u32, position: u64, limit: u64, floor: u64) -> Self {
        let (wanted, coming) = (position, position);
        Self { source, salt, position, limit, floor, checks: true, wanted, coming }
    }

    /// For somebody who wants payloads as they are stored, unless `checks`.
    pub(super) fn checking(self, checks: bool) -> Self {
        Self { checks, ..self }
    }

    /// For somebody who wants about so many bytes.
    pub(super) fn wanting(self, bytes: u64) -> Self {
        let wanted = self.position.saturating_add(bytes);
        // The headers up to the batch lie one behind the other, each a miss that hides the next.
        let coming = (self.position + BEFORE as u64).min(self.limit);
        prefetch(self.source.distant(self.position, coming));
        Self { source: self.source.wanted(bytes), wanted, coming, ..self }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The offset behind the last batch that was passed.
    pub(super) fn next_offset(&self) -> u64 {
        self.floor
    }

    pub(super) fn source(&mut self) -> &mut Source {
        &mut self.source
    }

    /// The header of the batch at this position; `None` at the end.
    pub(super) fn header(&mut self) -> Result<Option<BatchHeader>, Trouble> {
        if self.position >= self.limit {
            return Ok(None);
        }
        let bytes =
            self.source.peek(self.position, HEADER_BYTES, self.limit).map_err(Trouble::Io)?;
        let decoded = bytes.map(|bytes| BatchHeader::decode(bytes, self.salt));
        let decoded = decoded.ok_or_else(|| self.ends_before())?;
        let header = decoded.map_err(|d| self.bad(d.reason, d.version))?;
        if header.base_offset < self.floor {
            return Err(self.bad("the batch's offset is below its place", false));
        }
        if header.total_len() > self.limit - self.position {
            return Err(self.bad("the batch reaches beyond the data", false));
        }
        Ok(Some(header))
    }

    /// Steps over the batch that `header` begins.
    pub(super) fn skip(&mut self, header: &BatchHeader) {
        self.position += header.total_len();
        self.floor = header.next_offset();
    }

    /// The batch that `header` begins, verified unless that was not wanted; steps over it.
    pub(super) fn batch(&mut self, header: BatchHeader) -> Result<Batch, Trouble> {
        let len = usize::try_from(header.payload_len)
            .map_err(|_| self.bad("the batch is too long for this machine", false))?;
        let payload = self.bytes(self.position + HEADER_BYTES as u64, len)?;
        if self.checks {
            let start = self.position + HEADER_BYTES as u64;
            let end = (self.position + header.total_len()).max(self.wanted).min(self.limit);
            let Self { source, coming, .. } = self;
            verify_in_pieces(&header, &payload, PIECE, |at| {
                let to = (start + (at + AHEAD) as u64).min(end);
                if *coming < to {
                    prefetch(source.distant((*coming).max(start + at as u64), to));
                    *coming = to;
                }
            })
            .map_err(|d| self.bad(d.reason, d.version))?;
        }
        self.skip(&header);
        Ok(Batch { header, payload })
    }

    fn bytes(&mut self, position: u64, len: usize) -> Result<bytes::Bytes, Trouble> {
        let got = self.source.slice(position, len, self.limit).map_err(Trouble::Io)?;
        got.ok_or_else(|| self.ends_before())
    }

    fn ends_before(&self) -> Trouble {
        self.bad("the file ends before the batch does", false)
    }

    fn bad(&self, reason: &'static str, unknown: bool) -> Trouble {
        Trouble::Bad { position: self.position, reason, unknown }
    }
}
