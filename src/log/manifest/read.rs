//! From the bytes of a manifest to its state: what is torn, what is damaged.
//!
//! A power cut may leave any part of what was written since the last sync, so everything from
//! the first place that does not check is judged as a whole:
//!
//! * nothing but zeros: the clean end. The file is longer than its content on purpose.
//! * it begins where somebody knows the file to have been synced: damage, refuse. Three know:
//!   the file's birth length, the witness, and every whole frame behind the place, which says
//!   how much was synced when it was written.
//! * otherwise it was never synced, so nobody was told that it happened: torn, cut, reported.
//!   A whole frame behind the place that proves nothing is part of the torn end: two appends
//!   between two syncs reach the disk in any order.

use std::path::Path;

use super::fields::{Fields, Flaw};
use super::frame::{FileHeader, Frame, HEADER_BYTES, Witness};
use super::record::Record;
use super::state::ManifestState;
use crate::base::{Error, ErrorKind, Result};

/// What was read, and where the next frame belongs.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) header: FileHeader,
    pub(super) seed: u32,
    pub(super) state: ManifestState,
    /// Where the valid content ends.
    pub(super) end: usize,
    /// Where the torn bytes behind it end; equal to `end` when there are none.
    pub(super) torn_to: usize,
    pub(super) last_crc: u32,
    pub(super) sequence: u64,
    /// So much is known to have been synced.
    pub(super) synced: u64,
}

/// Reads the whole content of a manifest file.
pub(super) fn read(path: &Path, bytes: &[u8], witness: Witness) -> Result<Reading> {
    let (header, seed) = FileHeader::decode(bytes).map_err(|flaw| refuse(path, 0, flaw))?;
    let mut synced = header.birth_len;
    if witness.generation > header.generation {
        let (old, new) = (header.generation, witness.generation);
        let why = format!("this is generation {old}, but generation {new} was in use already");
        return Err(Error::corrupt(path, why));
    }
    if witness.generation == header.generation {
        synced = synced.max(witness.len);
    }
    let mut reading = Reading {
        header,
        seed,
        state: ManifestState::default(),
        end: HEADER_BYTES,
        torn_to: HEADER_BYTES,
        last_crc: seed,
        sequence: header.first_sequence.wrapping_sub(1),
        synced,
    };
    while reading.take_frame(path, bytes)? {}
    reading.judge_rest(path, bytes)?;
    if reading.state.log_id() != header.log_id {
        return Err(Error::corrupt(path, "the file header and the first record name two logs"));
    }
    Ok(reading)
}

impl Reading {
    /// Applies the next frame, if a whole one that continues the file stands at the end.
    fn take_frame(&mut self, path: &Path, bytes: &[u8]) -> Result<bool> {
        let rest = bytes.get(self.end..).unwrap_or_default();
        let Some(frame) = Frame::decode(rest, self.seed) else {
            return Ok(false);
        };
        let follows = frame.head.sequence == self.sequence.wrapping_add(1)
            && frame.head.previous_crc == self.last_crc
            && frame.head.synced <= as_u64(self.end);
        if !follows {
            return Ok(false);
        }
        let mut fields = Fields::new(frame.payload);
        while !fields.is_empty() {
            let record = Record::decode(&mut fields).map_err(|f| refuse(path, self.end, f))?;
            self.state
                .change(&record)
                .map_err(|why| Error::corrupt(path, format!("frame at {}: {why}", self.end)))?;
        }
        self.synced = self.synced.max(frame.head.synced);
        self.sequence = frame.head.sequence;
        self.last_crc = frame.crc;
        self.end += frame.len();
        self.torn_to = self.end;
        Ok(true)
    }

    fn judge_rest(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let end = as_u64(self.end);
        if end < self.synced {
            let synced = self.synced;
            let why = format!("damaged at position {end}: it was whole and synced up to {synced}");
            return Err(Error::corrupt(path, why));
        }
        let rest = bytes.get(self.end..).unwrap_or_default();
        let Some(last) = last_not_zero(rest) else {
            return Ok(());
        };
        if let Some(at) = self.find_proof(rest) {
            let why = format!("damaged at position {end}: the frame at {at} proves it was whole");
            return Err(Error::corrupt(path, why));
        }
        self.torn_to = self.end + last + 1;
        Ok(())
    }

    /// A whole frame behind the end that was written when the end was synced already.
    fn find_proof(&self, rest: &[u8]) -> Option<usize> {
        let end = as_u64(self.end);
        let mut at = 8;
        while let Some(bytes) = rest.get(at..).filter(|bytes| !bytes.is_empty()) {
            let place = self.end + at;
            let proves = |synced: u64| synced > end && synced <= as_u64(place);
            if Frame::decode_if(bytes, self.seed, |head| proves(head.synced)).is_some() {
                return Some(place);
            }
            at += 8;
        }
        None
    }
}

/// The last byte that is not zero. A manifest ends in kilobytes of zeros: they are looked at by
/// the block, without leaving a block early.
fn last_not_zero(bytes: &[u8]) -> Option<usize> {
    let is_zero = |block: &&[u8]| block.iter().fold(0, |all, byte| all | byte) == 0;
    let zeros: usize = bytes.rchunks(256).take_while(is_zero).map(<[u8]>::len).sum();
    let (front, _) = bytes.split_at(bytes.len() - zeros);
    front.iter().rposition(|byte| *byte != 0)
}

fn refuse(path: &Path, position: usize, flaw: Flaw) -> Error {
    match flaw {
        Flaw::Bad(what) => Error::corrupt(path, format!("damaged at position {position}: {what}")),
        Flaw::Unknown(what) => {
            let path_text = path.display();
            let why = format!("{path_text}: position {position} needs a newer version: {what}");
            Error::new(ErrorKind::UnsupportedVersion, why).with_path(path)
        }
    }
}

fn as_u64(position: usize) -> u64 {
    u64::try_from(position).unwrap_or(u64::MAX)
}
