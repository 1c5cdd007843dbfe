//! What every contender can do, and what it says of an append that has returned.

use std::error::Error;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What an append must survive when it has returned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `kill -9`: the operating system has the bytes.
    Kill,
    /// A power cut: the disk has them.
    Power,
}

/// One open log, filled with numbered records.
pub trait Peer {
    /// Appends one record.
    fn append(&mut self, record: &[u8]) -> Result<()>;

    /// Appends many at once, with one commit at the level.
    fn append_all(&mut self, records: &[&[u8]]) -> Result<()>;

    /// Walks every record in order.
    fn scan(&mut self) -> Result<Seen>;

    /// The number inside of the record at `index`.
    fn read(&mut self, index: u64) -> Result<u64>;
}

/// What a walk has met: enough to know that it was a real one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Seen {
    pub records: u64,
    pub sum: u64,
}

impl Seen {
    pub fn take(&mut self, record: &[u8]) {
        self.records += 1;
        self.sum = self.sum.wrapping_add(number(record));
    }

    /// What a walk over the records 0 to `count` must meet.
    pub fn of_first(count: u64) -> Self {
        Self { records: count, sum: (0..count).fold(0, u64::wrapping_add) }
    }
}

/// A record of `len` bytes that carries its number; the rest does not compress to nothing.
pub fn fill(record: &mut [u8], number: u64) {
    let mut word = number;
    for bytes in record.chunks_mut(8) {
        let from = word.to_le_bytes();
        bytes.copy_from_slice(&from[..bytes.len()]);
        word = (word ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
}

pub fn number(record: &[u8]) -> u64 {
    record.first_chunk().copied().map_or(u64::MAX, u64::from_le_bytes)
}

/// A crate that takes part.
pub struct Contender {
    pub name: &'static str,
    /// What an append that returned survives, as its documentation and source say; `None` where
    /// it has no such mode.
    pub at_kill: Option<&'static str>,
    pub at_power: Option<&'static str>,
    /// Whether reads verify a checksum of what they return.
    pub verified: &'static str,
    pub can_scan: bool,
    pub open: fn(&Path, Level) -> Result<Box<dyn Peer>>,
}

impl Contender {
    pub fn promise(&self, level: Level) -> Option<&'static str> {
        match level {
            Level::Kill => self.at_kill,
            Level::Power => self.at_power,
        }
    }
}
