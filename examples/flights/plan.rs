//! The ledger: which rows of the input are in the log, and whether they stand there as they must.
//!
//! It knows nothing of how keys find their partitions. All it uses is what the log promises: the
//! records of a partition keep their order, and all records of a key are in one partition. So the
//! n-th record of an aircraft must be the n-th row of that aircraft, byte for byte, and the rows
//! of a partition must come in the order of the input.

use std::collections::HashMap;

use crate::input::Input;

/// A record as it was read from the log.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'r> {
    pub partition: u32,
    pub offset: u64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'r [u8]>,
    pub value: Option<&'r [u8]>,
    pub carrier: Option<&'r [u8]>,
    pub origin: Option<&'r [u8]>,
}

/// Ticks off the rows of an input as their records turn up in the log.
#[derive(Debug)]
pub struct Ledger<'i> {
    input: &'i Input,
    aircraft: HashMap<&'i [u8], Aircraft>,
    /// By row: is its record in the log?
    found: Vec<bool>,
    /// By partition: the offset behind the last record, and the row of it.
    partitions: HashMap<u32, (u64, usize)>,
    records: usize,
}

#[derive(Debug, Default)]
struct Aircraft {
    rows: Vec<usize>,
    seen: usize,
    partition: Option<u32>,
}

impl<'i> Ledger<'i> {
    /// A ledger of `input` with nothing ticked off.
    pub fn new(input: &'i Input) -> Self {
        let mut aircraft: HashMap<&[u8], Aircraft> = HashMap::new();
        for index in 0..input.len() {
            aircraft.entry(input.row(index).tail.as_bytes()).or_default().rows.push(index);
        }
        let found = vec![false; input.len()];
        Self { input, aircraft, found, partitions: HashMap::new(), records: 0 }
    }

    /// Ticks off the row of one record. Records of a partition must come in offset order. An error
    /// says what is wrong with the log: a record that is not of this input, a duplicate, a hole in
    /// the offsets, a broken order.
    pub fn tick_off(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let place = || format!("partition {}, offset {}", seen.partition, seen.offset);
        let row = self.row_of(seen).map_err(|reason| format!("{}: {reason}", place()))?;
        if let Some((next, last_row)) = self.partitions.get(&seen.partition) {
            if seen.offset != *next {
                return Err(format!("{}: offset {next} was expected", place()));
            }
            if row <= *last_row {
                return Err(format!("{}: row {row} stands behind row {last_row}", place()));
            }
        } else if seen.offset != 0 {
            return Err(format!("{}: the partition does not begin at 0", place()));
        }
        self.partitions.insert(seen.partition, (seen.offset + 1, row));
        self.found[row] = true;
        self.records += 1;
        Ok(())
    }

    fn row_of(&mut self, seen: &Seen<'_>) -> Result<usize, String> {
        let key = seen.key.ok_or("a record without key")?;
        let name = String::from_utf8_lossy(key);
        let aircraft =
            self.aircraft.get_mut(key).ok_or_else(|| format!("{name} is not in the input"))?;
        let home = *aircraft.partition.get_or_insert(seen.partition);
        if home != seen.partition {
            return Err(format!("{name} is in partition {home} too"));
        }
        let row = *aircraft.rows.get(aircraft.seen).ok_or_else(|| {
            let rows = aircraft.rows.len();
            format!("a record of {name} beyond the {rows} of the input: a duplicate")
        })?;
        aircraft.seen += 1;
        let wanted = self.input.row(row);
        let same = seen.value == Some(wanted.text.as_bytes())
            && seen.timestamp_ms == Some(wanted.time_ms)
            && seen.carrier == Some(wanted.carrier.as_bytes())
            && seen.origin == Some(wanted.origin.as_bytes());
        if same {
            return Ok(row);
        }
        let number = aircraft.seen;
        Err(format!("record {number} of {name} is not row {row} of the input, {:?}", wanted.text))
    }

    /// The rows whose record is not in the log, in the order of the input.
    pub fn missing(&self) -> Vec<usize> {
        (0..self.found.len()).filter(|row| !self.found[*row]).collect()
    }

    /// Whether the record of this row is in the log.
    pub fn holds(&self, row: usize) -> bool {
        self.found[row]
    }

    /// The number of records ticked off.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The offset that the next record of `partition` must get.
    pub fn next_offset(&self, partition: u32) -> u64 {
        self.partitions.get(&partition).map_or(0, |(next, _)| *next)
    }
}
