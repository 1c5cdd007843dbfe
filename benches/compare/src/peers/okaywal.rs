use std::io::{self, Read};
use std::path::Path;

use okaywal::{
    Configuration, Entry, EntryId, LogManager, LogPosition, SegmentReader, WriteAheadLog,
};

use crate::peer::{Contender, Level, Peer, Result, Seen, number};

pub fn contender() -> Contender {
    Contender {
        name: "okaywal",
        at_kill: None,
        at_power: Some("power cut (fdatasync, group commit)"),
        verified: "CRC-32 if asked",
        // Records are walked by recovery only.
        can_scan: false,
        open: |dir, _: Level| Ok(Box::new(Log::open(dir)?)),
    }
}

struct Log {
    wal: WriteAheadLog,
    places: Vec<LogPosition>,
}

#[derive(Debug)]
struct Keep;

impl LogManager for Keep {
    fn recover(&mut self, _: &mut Entry<'_>) -> io::Result<()> {
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn open(dir: &Path) -> Result<Self> {
        let config = Configuration::default_for(dir.join("okaywal"))
            .preallocate_bytes(64 << 20)
            .checkpoint_after_bytes(4 << 30);
        Ok(Self { wal: config.open(Keep)?, places: Vec::new() })
    }
}

impl Peer for Log {
    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_all(&[record])
    }

    fn append_all(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut entry = self.wal.begin_entry()?;
        for record in records {
            self.places.push(entry.write_chunk(record)?.position);
        }
        entry.commit()?;
        Ok(())
    }

    fn scan(&mut self) -> Result<Seen> {
        Err("only recovery walks".into())
    }

    fn read(&mut self, index: u64) -> Result<u64> {
        let mut chunk = self.wal.read_at(self.places[usize::try_from(index)?])?;
        let mut record = Vec::new();
        chunk.read_to_end(&mut record)?;
        if !chunk.crc_is_valid()? {
            return Err("damaged".into());
        }
        Ok(number(&record))
    }
}
