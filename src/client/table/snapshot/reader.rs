//! Reading a snapshot: nothing of it is trusted before it has checked.

use crate::backend::SideFile;
use crate::base::{Error, ErrorKind, Result};
use crate::batch::RecordReader;

use super::super::super::packed_record::{PREFIX_BYTES, PackedRecord};
use super::super::latest::Latest;
use super::header::{
    FRAME_HEAD_BYTES, Fields, HEADER_BYTES, Header, MAGIC, PART_BYTES, PARTS_END_BYTES, PartMark,
    VERSION, chained,
};

/// A snapshot under its reading.
pub(super) struct Reader<'a> {
    file: &'a dyn SideFile,
    len: u64,
    position: u64,
    crc: u32,
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::CorruptMessage, format!("the snapshot is damaged: {what}"))
}

impl<'a> Reader<'a> {
    /// Reads what the snapshot says of itself.
    pub(super) fn begin(file: &'a dyn SideFile) -> Result<(Self, Header)> {
        let mut reader = Self { file, len: file.len()?, position: 0, crc: 0 };
        let bytes = reader.take(HEADER_BYTES as u64)?;
        if !bytes.starts_with(&MAGIC) {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "the file is no snapshot of a table",
            ));
        }
        let version = Fields(bytes.get(MAGIC.len()..).unwrap_or_default()).u32();
        let (header, crc) = Header::decode(&bytes).map_err(damaged)?;
        if version != VERSION {
            let message = format!("the snapshot has version {version}, known is {VERSION}");
            return Err(Error::new(ErrorKind::UnsupportedVersion, message));
        }
        reader.crc = crc;
        Ok((reader, header))
    }

    /// How far its partitions were applied.
    pub(super) fn parts(&mut self, header: &Header) -> Result<Vec<PartMark>> {
        let bytes = self.take(u64::from(header.parts) * PART_BYTES as u64)?;
        let end = self.take(PARTS_END_BYTES as u64)?;
        let (crc, len) = end.split_at_checked(4).unwrap_or_default();
        self.crc = chained(self.crc, &[&bytes, len]);
        if crc != self.crc.to_le_bytes() {
            return Err(damaged("its partitions do not check"));
        }
        let mut fields = Fields(&bytes);
        Ok((0..header.parts).map(|_| PartMark::decode(&mut fields)).collect())
    }

    /// All its records. They must be below where their partitions were applied.
    pub(super) fn records(&mut self, parts: &[PartMark], into: &mut Latest) -> Result<usize> {
        let mut all = 0;
        loop {
            let head = self.take(FRAME_HEAD_BYTES as u64)?;
            let mut fields = Fields(&head);
            let (len, records, crc) = (fields.u32(), fields.u32(), fields.u32());
            if fields.u32() != !len {
                return Err(damaged("a frame's length does not check"));
            }
            let frame = self.take(u64::from(len))?;
            self.crc = chained(self.crc, &[&len.to_le_bytes(), &records.to_le_bytes(), &frame]);
            if crc != self.crc {
                return Err(damaged("a frame does not check"));
            }
            if len == 0 {
                return self.end(all, records);
            }
            let read = put_frame(&frame, parts, into)?;
            if read != records as usize {
                return Err(damaged("a frame has another number of records than it says"));
            }
            all += read;
        }
    }

    fn end(&self, read: usize, said: u32) -> Result<usize> {
        // The number is kept in 32 bits.
        if read as u32 != said {
            return Err(damaged("it has another number of records than it says"));
        }
        if self.position != self.len {
            return Err(damaged("there are bytes behind its end"));
        }
        Ok(read)
    }

    fn take(&mut self, len: u64) -> Result<Vec<u8>> {
        // Before anything is allocated for it.
        if len > self.len.saturating_sub(self.position) {
            return Err(damaged("it ends too early"));
        }
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = self.file.read(self.position, wanted)?;
        if bytes.len() != wanted {
            return Err(damaged("it ends too early"));
        }
        self.position += len;
        Ok(bytes)
    }
}

fn put_frame(mut frame: &[u8], parts: &[PartMark], into: &mut Latest) -> Result<usize> {
    let mut count = 0;
    while !frame.is_empty() {
        let len = Fields(frame).u32() as usize;
        let record = frame.get(4..).and_then(|rest| rest.split_at_checked(len));
        let (record, rest) = record.ok_or_else(|| damaged("a record is longer than its frame"))?;
        put_record(record, parts, into)?;
        frame = rest;
        count += 1;
    }
    Ok(count)
}

fn put_record(bytes: &[u8], parts: &[PartMark], into: &mut Latest) -> Result<()> {
    let encoded = bytes.get(PREFIX_BYTES..).unwrap_or_default();
    let mut reader = RecordReader::at(encoded, 0);
    let view = reader.next().map_err(|damage| damaged(damage.reason))?;
    let Some(view) = view.filter(|view| view.encoded().len() == encoded.len()) else {
        return Err(damaged("a record has another length than it says"));
    };
    let (Some(key), Some(_)) = (view.key, view.value) else {
        return Err(damaged("a record has no key or no value"));
    };
    let record = PackedRecord::new(bytes);
    let part = parts.iter().find(|part| part.number == record.partition());
    if part.is_none_or(|part| record.offset() >= part.position) {
        return Err(damaged("a record stands where nothing was applied"));
    }
    into.put(key, bytes);
    Ok(())
}
