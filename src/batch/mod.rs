//! Floor 1: bytes <-> records. Pure functions, no I/O, no locks.
//!
//! A batch is a 64-byte [`BatchHeader`] and a payload of records, each padded to 8 bytes.
//! Everything is little endian and of fixed width. Decoding trusts nothing: bytes that
//! [`encode_record`] or [`BatchHeader::encode`] could not have made are [`Damage`].

mod attributes;
#[allow(clippy::module_inception, reason = "the floor's main noun")]
mod batch;
mod check;
mod control;
mod damage;
mod hash;
mod header;
mod headers;
mod pass;
mod reader;
mod record;
#[cfg(test)]
mod samples;

pub use attributes::Attributes;
pub use batch::Batch;
pub use check::RunningCheck;
pub use control::Control;
pub use damage::Damage;
pub use hash::{key_hash, record_hash};
pub use header::{BatchHeader, HEADER_BYTES, payload_crc, verify, verify_in_pieces};
pub use pass::{Stop, Wanted};
pub use reader::{RecordReader, RecordView};
pub use record::{
    Measure, RecordHead, encode_at, encode_record, encoded_len, timestamp_delta, valid_encoded_len,
};
