//! The workload: the same bytes in every run.

use tempfile::TempDir;

/// Bytes of the stage of a log, unless it is told otherwise.
pub const STAGE_BYTES: usize = 4 << 20;

/// The value of a small record, in bytes.
pub const SMALL: usize = 100;

/// The value of a large record, in bytes.
pub const LARGE: usize = 1_024;

/// The value of a record as long as the largest chunk allows three of, in bytes.
pub const HUGE: usize = 64 << 10;

/// The key of every record, in bytes.
pub const KEY: usize = 16;

/// What a record with such a value takes in a log: its header, key and value, padded to 8.
pub const fn encoded_len(value: usize) -> usize {
    (16 + KEY + value).next_multiple_of(8)
}

/// Keys and a value.
pub struct Data {
    pub keys: Vec<[u8; KEY]>,
    pub value: Vec<u8>,
}

impl Data {
    pub fn new(value: usize) -> Self {
        let key = |number: u64| {
            let mut key = [0; KEY];
            key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            key[8..].copy_from_slice(&number.to_le_bytes());
            key
        };
        let value = (0..value).map(|i| b'a' + (i * 7 % 26) as u8).collect();
        Self { keys: (0..1_024).map(key).collect(), value }
    }

    /// What one record takes in a log.
    pub fn encoded_len(&self) -> usize {
        encoded_len(self.value.len())
    }
}

/// A directory beside what cargo builds, hence on a real disk, or in the directory that
/// [`ELSEWHERE`] names; removed when dropped.
pub fn scratch() -> TempDir {
    let elsewhere = std::env::var_os(ELSEWHERE);
    tempfile::tempdir_in(elsewhere.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into())).unwrap()
}

/// Names a directory to measure in.
pub const ELSEWHERE: &str = "ALLUVIUM_BENCH_DIR";
