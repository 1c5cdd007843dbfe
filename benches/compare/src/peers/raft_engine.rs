use std::path::Path;

use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::peer::{Contender, Level, Peer, Result, Seen, number};

const GROUP: u64 = 1;

pub fn contender() -> Contender {
    Contender {
        name: "raft-engine",
        at_kill: Some("kill -9 (write)"),
        at_power: Some("power cut (fdatasync, group commit)"),
        verified: "CRC-32 of the entries",
        can_scan: true,
        open: |dir, level| Ok(Box::new(Log::open(dir, level)?)),
    }
}

/// Entries must be protobuf messages that know their index. This one, which the protobuf crate
/// brings along, has a number and bytes, as a raft entry has.
struct Numbered;

impl MessageExt for Numbered {
    type Entry = UninterpretedOption;

    fn index(entry: &Self::Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

struct Log {
    engine: Engine,
    sync: bool,
    next: u64,
    batch: LogBatch,
}

impl Log {
    fn open(dir: &Path, level: Level) -> Result<Self> {
        let config = Config {
            dir: dir.join("raft").to_string_lossy().into_owned(),
            batch_compression_threshold: ReadableSize(0),
            ..Config::default()
        };
        let engine = Engine::open(config)?;
        Ok(Self {
            engine,
            sync: level == Level::Power,
            next: 0,
            batch: LogBatch::with_capacity(256),
        })
    }
}

impl Peer for Log {
    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_all(&[record])
    }

    fn append_all(&mut self, records: &[&[u8]]) -> Result<()> {
        let entries: Vec<_> = records
            .iter()
            .map(|record| {
                let mut entry = UninterpretedOption::new();
                entry.set_positive_int_value(self.next);
                entry.set_string_value(record.to_vec());
                self.next += 1;
                entry
            })
            .collect();
        self.batch.add_entries::<Numbered>(GROUP, &entries)?;
        self.engine.write(&mut self.batch, self.sync)?;
        Ok(())
    }

    fn scan(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut entries = Vec::new();
        let mut from = 0;
        while from < self.next {
            entries.clear();
            let to = (from + 4096).min(self.next);
            self.engine.fetch_entries_to::<Numbered>(GROUP, from, to, None, &mut entries)?;
            entries.iter().for_each(|entry| seen.take(entry.get_string_value()));
            from = to;
        }
        Ok(seen)
    }

    fn read(&mut self, index: u64) -> Result<u64> {
        let entry = self.engine.get_entry::<Numbered>(GROUP, index)?.ok_or("nothing there")?;
        Ok(number(entry.get_string_value()))
    }
}
