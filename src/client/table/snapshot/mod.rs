//! A table's memory as a file, so that opening it need not read the topic again.
//!
//! ```text
//!  0 magic "ALVTABLE"   8 version u32   12 flags u32 (1: partitions were chosen)
//! 16 log id u128   32 topic id u128   48 written at i64, ms since 1970   56 parts u32   60 crc u32
//! 64 each part: number u32, flags u32 (1: a record was read, 2: it had a time), position u64,
//!               of the last record read: offset u64, timestamp i64, hash u64
//!    crc u32, length of the parts u32
//!    frames: length u32, records u32, crc u32, the length's complement u32, then the records:
//!            length u32, and the record as it is kept in memory
//!    a frame of length 0 whose number of records is that of all frames, and the end
//! ```
//!
//! Each CRC begins with the one before it, so nothing can be left out, doubled or put elsewhere. A
//! snapshot is a cache: whatever is wrong with one, the table is read from the log, and says so.

mod header;
mod load;
mod reader;
mod restored;
mod writer;

pub(super) use load::load;
pub use restored::Restored;
pub(super) use writer::save;
