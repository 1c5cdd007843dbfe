//! No crate at all: a file, written with one `pwrite` for each append. What a log cannot beat
//! where it makes the same promise with the same system calls.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::peer::{Contender, Level, Peer, Result, Seen, number};

pub fn contender() -> Contender {
    Contender {
        name: "bare file",
        at_kill: Some("kill -9 (pwrite)"),
        at_power: Some("power cut (pwrite + fdatasync)"),
        verified: "nothing",
        can_scan: true,
        open: |dir, level| {
            let options = File::options().read(true).write(true).create_new(true).clone();
            let file = options.open(dir.join("bare"))?;
            Ok(Box::new(Bare { file, level, record: 0, len: 0, buffer: Vec::new() }))
        },
    }
}

struct Bare {
    file: File,
    level: Level,
    record: usize,
    len: u64,
    buffer: Vec<u8>,
}

impl Bare {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        if self.level == Level::Power {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

impl Peer for Bare {
    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.record = record.len();
        self.write(record)
    }

    fn append_all(&mut self, records: &[&[u8]]) -> Result<()> {
        self.record = records.first().map_or(0, |record| record.len());
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        records.iter().for_each(|record| buffer.extend_from_slice(record));
        let outcome = self.write(&buffer);
        self.buffer = buffer;
        outcome
    }

    fn scan(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut at = 0;
        self.buffer.resize(self.record * 2048, 0);
        while at < self.len {
            let some = self.file.read_at(&mut self.buffer, at)?;
            self.buffer[..some].chunks_exact(self.record).for_each(|record| seen.take(record));
            at += some as u64;
        }
        Ok(seen)
    }

    fn read(&mut self, index: u64) -> Result<u64> {
        self.buffer.resize(self.record, 0);
        self.file.read_exact_at(&mut self.buffer, index * self.record as u64)?;
        Ok(number(&self.buffer))
    }
}
