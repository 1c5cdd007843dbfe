//! Writing a snapshot.

use std::path::Path;

use crate::backend::{SideFiles, SideWriter};
use crate::base::{Error, ErrorKind, Result};

use super::super::state::State;
use super::header::{Header, MAGIC, PartMark, chained};

/// Bytes of records in a frame, but for the last record, which is whole.
const FRAME_BYTES: usize = 256 << 10;

/// Puts `state` at `path`, all or nothing. What is in it must be durable.
pub(in super::super) fn save(
    files: &dyn SideFiles,
    path: &Path,
    state: &State,
    is_chosen: bool,
    now_ms: i64,
) -> Result<()> {
    check_ours(files, path)?;
    files.replace(path, &mut |out| {
        let parts = u32::try_from(state.parts.len()).unwrap_or(u32::MAX);
        let (log_id, topic_id) = (files.log_id(), state.route.id);
        let header = Header { log_id, topic_id, is_chosen, written_ms: now_ms, parts };
        let (mut bytes, crc) = header.encode();
        let crc = put_parts(&mut bytes, crc, state);
        out.write(&bytes)?;
        put_records(out, crc, state)
    })
}

/// A file that is no snapshot is somebody else's: it is not overwritten.
fn check_ours(files: &dyn SideFiles, path: &Path) -> Result<()> {
    let Some(file) = files.open(path)? else { return Ok(()) };
    let begin = file.read(0, MAGIC.len())?;
    if begin.is_empty() || begin == MAGIC {
        return Ok(());
    }
    let message = format!("{} is no snapshot of a table: it is left alone", path.display());
    Err(Error::new(ErrorKind::InvalidRequest, message).with_path(path))
}

fn put_parts(bytes: &mut Vec<u8>, crc: u32, state: &State) -> u32 {
    let from = bytes.len();
    for part in &state.parts {
        PartMark { number: part.number, position: part.position, last: part.last }.encode(bytes);
    }
    let parts = bytes.get(from..).unwrap_or_default();
    let len = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let crc = chained(crc, &[parts, &len.to_le_bytes()]);
    bytes.extend(crc.to_le_bytes());
    bytes.extend(len.to_le_bytes());
    crc
}

fn put_records(out: &mut dyn SideWriter, mut crc: u32, state: &State) -> Result<()> {
    let mut frame = Vec::with_capacity(FRAME_BYTES + (4 << 10));
    let (mut records, mut all) = (0_u32, 0_u32);
    for record in state.latest.all_records() {
        let bytes = record.bytes();
        frame.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        frame.extend_from_slice(bytes);
        records += 1;
        if frame.len() >= FRAME_BYTES {
            crc = put_frame(out, crc, records, &frame)?;
            all = all.wrapping_add(records);
            records = 0;
            frame.clear();
        }
    }
    if records > 0 {
        crc = put_frame(out, crc, records, &frame)?;
        all = all.wrapping_add(records);
    }
    put_frame(out, crc, all, &[]).map(|_| ())
}

fn put_frame(out: &mut dyn SideWriter, crc: u32, records: u32, frame: &[u8]) -> Result<u32> {
    // A record is 64 MiB at most.
    let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let crc = chained(crc, &[&len.to_le_bytes(), &records.to_le_bytes(), frame]);
    let words = [len, records, crc, !len].map(u32::to_le_bytes);
    out.write(words.as_flattened())?;
    if !frame.is_empty() {
        out.write(frame)?;
    }
    Ok(crc)
}
