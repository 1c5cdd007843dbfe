//! A segment as a snapshot sees it: how far it reaches, and how to read it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::Loaded;
use super::cursor::{Cursor, Trouble};
use super::index::{self, Entry, Target};
use super::layout::{FOOTER_HEAD_BYTES, Footer, SEGMENT_HEADER_BYTES};
use super::manifest::SegmentEnd;
use super::producers::{self, Stored};
use super::retention::SegmentFacts;
use super::scan::{self, Order, Replay, Scan};
use super::sections;
use super::segment::{FIRST_BATCH, Segment};
use super::source::Source;
use crate::base::{Error, ErrorKind, Result};
use crate::batch::Batch;

/// The footer of a segment without one.
pub(super) const NO_FOOTER: u32 = 0;

/// One segment, up to where a snapshot may read it.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) segment: Arc<Segment>,
    /// Header and batches, in bytes.
    pub(super) data_len: u64,
    /// The offset behind the last batch.
    pub(super) next_offset: u64,
    /// The greatest record timestamp.
    pub(super) max_timestamp: Option<i64>,
    /// The length of the whole file and the footer's checksum, once the segment is sealed.
    pub(super) sealed: Option<(u64, u32)>,
}

impl Layer {
    pub(super) fn end(&self, file_len: u64, footer_crc: u32) -> SegmentEnd {
        let Self { data_len, next_offset, max_timestamp, .. } = *self;
        let stateful = self.segment.is_stateful();
        SegmentEnd { data_len, file_len, next_offset, max_timestamp, footer_crc, stateful }
    }

    pub(super) fn of_end(segment: Arc<Segment>, end: &SegmentEnd) -> Self {
        segment.raise_synced_len(end.data_len);
        segment.set_stateful(end.stateful);
        Self {
            segment,
            data_len: end.data_len,
            next_offset: end.next_offset,
            max_timestamp: end.max_timestamp,
            sealed: Some((end.file_len, end.footer_crc)),
        }
    }

    /// What retention looks at.
    pub(super) fn facts(&self) -> SegmentFacts {
        SegmentFacts {
            base_offset: self.segment.base_offset,
            next_offset: self.next_offset,
            bytes: self.data_len,
            max_timestamp: self.max_timestamp,
        }
    }

    /// Whether anything in it is not known to be durable.
    pub(super) fn is_unsynced(&self) -> bool {
        self.sealed.is_none() && self.segment.synced_len() < self.data_len
    }

    /// The greatest timestamp of the first batch; `None` also when it cannot be read.
    pub(super) fn first_timestamp(&self) -> Option<i64> {
        let first = || {
            let source = Source::read(self.segment.file().ok()?).wanted(0);
            let header = self.cursor_at(source, None).header();
            header.ok()?.and_then(|header| header.max_timestamp())
        };
        *self.segment.first_timestamp.get_or_init(first)
    }

    /// A cursor that stands in front of the batch that `target` is after.
    pub(super) fn cursor(&self, target: Target) -> Result<Cursor> {
        let (source, entry) = match self.as_sealed() {
            Some((file_len, crc, layer)) => {
                let loaded = layer.loaded(file_len, crc)?;
                let entry = index::find_packed(&loaded.entries, target);
                (loaded.source, entry)
            }
            None => {
                let entry = index::find(&self.segment.live.read(), target);
                if entry.is_none() && self.segment.end.get().is_some() {
                    // Sealed in between: the index has gone to the footer.
                    return self.cursor(target);
                }
                (self.segment.source()?, entry)
            }
        };
        Ok(self.cursor_at(source, entry))
    }

    /// The segment as it was sealed, with the lengths and the footer's checksum to load it by:
    /// before this snapshot was taken, or since.
    pub(super) fn as_sealed(&self) -> Option<(u64, u32, Cow<'_, Self>)> {
        if let Some((file_len, crc)) = self.sealed {
            return Some((file_len, crc, Cow::Borrowed(self)));
        }
        let end = self.segment.end.get()?;
        let layer = Self::of_end(Arc::clone(&self.segment), end);
        Some((end.file_len, end.footer_crc, Cow::Owned(layer)))
    }

    pub(super) fn loaded(&self, file_len: u64, crc: u32) -> Result<Loaded> {
        self.segment.files.loaded(self.segment.number, || self.load(file_len, crc))
    }

    pub(super) fn cursor_at(&self, source: Source, entry: Option<Entry>) -> Cursor {
        let base = self.segment.base_offset;
        // An entry of a live index may lie behind this snapshot's end: search from the front.
        let entry = entry.filter(|entry| u64::from(entry.position) < self.data_len);
        let (position, floor) = match entry {
            Some(e) => (u64::from(e.position), base.saturating_add(u64::from(e.offset_delta))),
            None => (FIRST_BATCH, base),
        };
        Cursor::new(source, self.segment.salt, position, self.data_len, floor)
    }

    /// The offset behind the batch that holds `offset`, when its header can be read.
    pub(super) fn batch_behind(&self, offset: u64) -> Option<u64> {
        let (file, entry) = (self.segment.file().ok()?, self.live_entry(offset));
        let mut cursor = self.cursor_at(Source::read(file), entry);
        while let Some(header) = cursor.header().ok()? {
            if header.next_offset() > offset {
                return Some(header.next_offset());
            }
            cursor.skip(&header);
        }
        None
    }

    /// Where reading can go on when the batch at `from`, or the file's head, is damaged.
    pub(super) fn behind_damage(&self, from: u64) -> Result<u64> {
        let delta = from.saturating_sub(self.segment.base_offset);
        let mut cursor = match self.cursor(Target::Offset(delta)) {
            Ok(cursor) => cursor,
            Err(error) if error.kind() == ErrorKind::CorruptMessage => return Ok(self.next_offset),
            Err(error) => return Err(error),
        };
        loop {
            match cursor.header() {
                Ok(Some(header)) if header.next_offset() <= from => cursor.skip(&header),
                Ok(Some(header)) => return Ok(header.next_offset()),
                Ok(None) => return Ok(self.next_offset),
                Err(trouble @ Trouble::Io(_)) => {
                    return Err(trouble.into_error(&self.segment, from));
                }
                Err(Trouble::Bad { position, .. }) => return self.sound_behind(from, position),
            }
        }
    }

    /// The first batch behind byte `position` and offset `from` that the index leads to.
    fn sound_behind(&self, from: u64, position: u64) -> Result<u64> {
        let entries = self.entries()?;
        let source = Source::read(self.segment.file()?);
        for entry in entries.into_iter().filter(|entry| u64::from(entry.position) > position) {
            match self.cursor_at(source.clone(), Some(entry)).header() {
                Ok(Some(header)) if header.base_offset > from => return Ok(header.base_offset),
                Err(trouble @ Trouble::Io(_)) => {
                    return Err(trouble.into_error(&self.segment, from));
                }
                _ => {}
            }
        }
        Ok(self.next_offset)
    }

    /// The whole index.
    fn entries(&self) -> Result<Vec<Entry>> {
        match self.as_sealed() {
            Some((file_len, crc, layer)) => {
                Ok(index::unpack(&layer.loaded(file_len, crc)?.entries))
            }
            None => match self.segment.live.read().clone() {
                gone if gone.is_empty() && self.segment.end.get().is_some() => self.entries(),
                live => Ok(live),
            },
        }
    }

    fn live_entry(&self, offset: u64) -> Option<Entry> {
        let delta = offset.saturating_sub(self.segment.base_offset);
        index::find(&self.segment.live.read(), Target::Offset(delta))
    }

    /// The batch with the first offset at or behind `offset`, read from the file itself.
    pub(super) fn batch_at(&self, offset: u64) -> Result<Option<Batch>> {
        let entry = self.live_entry(offset);
        let mut cursor = self.cursor_at(Source::read(self.segment.file()?), entry);
        let trouble = |t: Trouble| t.into_error(&self.segment, offset);
        while let Some(header) = cursor.header().map_err(trouble)? {
            if header.next_offset() > offset {
                return cursor.batch(header).map(Some).map_err(trouble);
            }
            cursor.skip(&header);
        }
        Ok(None)
    }

    fn load(&self, file_len: u64, footer_crc: u32) -> Result<Loaded> {
        let segment = &*self.segment;
        let file = segment.file()?;
        let map = usize::try_from(file_len).ok().filter(|_| segment.files.maps());
        // A disk that cannot map is read; so is a file for which there is no address space left.
        let mut source = match map.and_then(|len| file.map(len).ok()) {
            Some(whole) => Source::Whole(whole),
            None => Source::read(file),
        };
        let head = self.slice(&mut source, 0, SEGMENT_HEADER_BYTES as u64, file_len)?;
        segment.check_header(&head).map_err(|flaw| segment.header_error(flaw))?;
        if let Some(footer) = self.footer(&mut source, file_len, footer_crc)?
            && let Some(Stored { aborted, .. }) = producers::decode(&footer.producers())
        {
            let (entries, keys) = self.parts(footer, &source);
            source.forget();
            return Ok(Loaded { source, entries, aborted: aborted.into(), keys });
        }
        let Scan { entries, aborted, .. } = self.scan_all(&mut source)?;
        let entries = entries.iter().flat_map(Entry::encode).collect::<Vec<u8>>();
        source.forget();
        Ok(Loaded { source, entries: entries.into(), aborted: aborted.into(), keys: None })
    }

    /// The index, and where in the file the postings stand.
    fn parts(&self, footer: Footer, source: &Source) -> (Bytes, Option<Range<u64>>) {
        let Some(keys) = sections::find(&footer.rest, sections::KEYS) else {
            return (footer.entries, None);
        };
        let rest = self.data_len + footer.len - footer.rest.len() as u64;
        let keys = rest + keys.start as u64..rest + keys.end as u64;
        match source {
            Source::Whole(_) => (footer.entries, Some(keys)),
            // The postings may be much longer than the index: they are read where they stand.
            Source::Read { .. } => (Bytes::copy_from_slice(&footer.entries), Some(keys)),
        }
    }

    fn slice(&self, source: &mut Source, at: u64, len: u64, file_len: u64) -> Result<Bytes> {
        let segment = &*self.segment;
        let short = || segment.damaged(at, segment.base_offset, "the file is too short");
        let len = usize::try_from(len).map_err(|_| short())?;
        let bytes = source.slice(at, len, file_len);
        let bytes = bytes.map_err(|e| segment.place(Error::io("read", &segment.path, e)))?;
        bytes.ok_or_else(short)
    }

    /// The footer, if there is one and it is the one that the manifest knows.
    pub(super) fn footer(
        &self,
        source: &mut Source,
        file_len: u64,
        crc: u32,
    ) -> Result<Option<Footer>> {
        let len = file_len.saturating_sub(self.data_len);
        if len < FOOTER_HEAD_BYTES as u64 {
            return Ok(None);
        }
        let bytes = self.slice(source, self.data_len, len, file_len)?;
        let footer = Footer::decode(&bytes).ok();
        let mine = |f: &Footer| {
            (f.crc, f.len, f.data_len, f.next_offset) == (crc, len, self.data_len, self.next_offset)
        };
        Ok(footer.filter(mine))
    }

    /// A scan, which must find exactly what the manifest says.
    pub(super) fn scan_all(&self, source: &mut Source) -> Result<Scan> {
        let segment = &*self.segment;
        let cursor = Cursor::new(
            source.clone(),
            segment.salt,
            FIRST_BATCH,
            self.data_len,
            segment.base_offset,
        );
        let scan =
            scan::batches(cursor, segment.base_offset, 4_096, &Order::Growing, Replay::default())
                .map_err(|error| segment.place(Error::io("read", &segment.path, error)))?;
        if let Some(trouble) = scan.trouble {
            return Err(trouble.into_error(segment, scan.next_offset));
        }
        if scan.position != self.data_len || scan.next_offset != self.next_offset {
            let reason = "its batches do not end where the manifest says";
            return Err(segment.damaged(scan.position, scan.next_offset, reason));
        }
        Ok(scan)
    }

    /// Checks file and footer of a segment that will be written again; its index, and what its
    /// header says about its creation.
    pub(super) fn reopen(&self, file_len: u64, footer_crc: u32) -> Result<(Vec<Entry>, i64)> {
        let segment = &*self.segment;
        let mut source = Source::read(segment.file()?);
        let head = SEGMENT_HEADER_BYTES as u64;
        let head = self.slice(&mut source, 0, head, file_len.min(head))?;
        let header = segment.check_header(&head).map_err(|flaw| segment.header_error(flaw))?;
        let entries = match self.footer(&mut source, file_len, footer_crc)? {
            Some(footer) => index::unpack(&footer.entries),
            None => self.scan_all(&mut source)?.entries,
        };
        Ok((entries, header.created_ms))
    }
}
