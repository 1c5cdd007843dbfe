//! Taking a snapshot for the state of a table, if it proves to be.

use std::path::Path;

use crate::backend::{Fetch, PartitionBackend, SideFiles};
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::super::part::{ISOLATION, Part, Witness};
use super::super::state::State;
use super::header::{Header, PartMark};
use super::reader::Reader;
use super::restored::Restored;

/// Fills `state`, which has read nothing yet, from the snapshot at `path`.
pub(in super::super) fn load(
    files: &dyn SideFiles,
    path: &Path,
    state: &mut State,
    is_chosen: bool,
) -> Restored {
    let untouched = state.clone();
    match fill(files, path, state, is_chosen) {
        Ok(Some(records)) => Restored::Taken { records },
        Ok(None) => Restored::NotFound,
        Err(error) => {
            *state = untouched;
            let (kind, message) = (error.kind(), format!("{}: {error}", path.display()));
            Restored::Ignored { reason: error.because(kind, message).with_path(path) }
        }
    }
}

fn fill(
    files: &dyn SideFiles,
    path: &Path,
    state: &mut State,
    is_chosen: bool,
) -> Result<Option<usize>> {
    let Some(file) = files.open(path)? else { return Ok(None) };
    let (mut reader, header) = Reader::begin(&*file)?;
    check_whose(&header, files.log_id(), state, is_chosen)?;
    let marks = reader.parts(&header)?;
    check_parts(&marks, state, is_chosen)?;
    for (mark, part) in marks.iter().zip(&mut state.parts) {
        let place = TopicPartition::new(state.route.name.clone(), part.number);
        check_place(mark, part).map_err(|error| error.with_partition(&place))?;
    }
    let records = reader.records(&marks, &mut state.latest)?;
    for (mark, part) in marks.iter().zip(&mut state.parts) {
        (part.position, part.last) = (mark.position, mark.last);
        part.lowest = state.latest.lowest(part.number).unwrap_or(u64::MAX);
        // From here on a hole may hide the tombstone of what was just taken.
        part.from_start = false;
    }
    // What was deleted from the front since is gone.
    for at in 0..state.parts.len() {
        let Some(part) = state.parts.get_mut(at) else { break };
        let start = std::mem::take(&mut part.start);
        state.trim(at, start);
    }
    Ok(Some(records))
}

fn stale(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

fn check_whose(header: &Header, log_id: u128, state: &State, is_chosen: bool) -> Result<()> {
    if header.log_id != log_id {
        return Err(stale("the snapshot is of another log"));
    }
    if header.topic_id != state.route.id {
        return Err(stale("the snapshot is of another topic"));
    }
    if header.is_chosen != is_chosen {
        return Err(stale("the snapshot is of other partitions"));
    }
    Ok(())
}

/// The same partitions, or, where all are read, the first ones of the topic.
fn check_parts(marks: &[PartMark], state: &State, is_chosen: bool) -> Result<()> {
    let known = marks.iter().map(|mark| mark.number);
    let read = state.parts.iter().map(|part| part.number);
    let are_same = known.eq(read.take(marks.len()));
    if !are_same || is_chosen && marks.len() != state.parts.len() {
        return Err(stale("the snapshot is of other partitions"));
    }
    Ok(())
}

/// The log must still say, or say again, what the table had read of it.
fn check_place(mark: &PartMark, part: &Part) -> Result<()> {
    let log = part.door.marks();
    let position = mark.position;
    if position > log.end {
        let end = log.end;
        return Err(stale(format!("the snapshot ends at {position}, the log at {end}")));
    }
    if position < log.start {
        let start = log.start;
        return Err(stale(format!("the snapshot ends at {position}, the log begins at {start}")));
    }
    match &mark.last {
        Some(last) if !says_again(&*part.door, last)? => {
            let message = format!("the log has another record at {}, or none", last.offset);
            Err(stale(message).with_offset(last.offset))
        }
        _ => Ok(()),
    }
}

/// Whether the last record that was read is still there.
fn says_again(door: &dyn PartitionBackend, last: &Witness) -> Result<bool> {
    let mut batches = Vec::new();
    let request = Fetch { isolation: ISOLATION, ..Fetch::new(last.offset, 1) };
    match door.fetch(&request, &mut batches) {
        Err(error) if error.kind() == ErrorKind::OffsetOutOfRange => return Ok(false),
        other => other?,
    };
    for batch in &batches {
        let mut reader = batch.records();
        while let Ok(Some(record)) = reader.next() {
            let offset = batch.header.base_offset.saturating_add(record.offset_delta.into());
            if offset == last.offset {
                let time = batch.header.timestamp(record.ts_delta);
                return Ok(Witness::of(offset, time, &record) == *last);
            }
        }
    }
    Ok(false)
}
