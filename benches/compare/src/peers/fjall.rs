use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::peer::{Contender, Level, Peer, Result, Seen, number};

pub fn contender() -> Contender {
    Contender {
        name: "fjall",
        at_kill: Some("kill -9 (write)"),
        at_power: Some("power cut (fdatasync)"),
        verified: "checksum of the block on disk",
        can_scan: true,
        open: |dir, level| Ok(Box::new(Log::open(dir, level)?)),
    }
}

struct Log {
    database: Database,
    records: Keyspace,
    level: Level,
    next: u64,
}

impl Log {
    fn open(dir: &Path, level: Level) -> Result<Self> {
        let database = Database::builder(dir.join("fjall")).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        Ok(Self { database, records, level, next: 0 })
    }

    fn persist(&self) -> Result<()> {
        if self.level == Level::Power {
            self.database.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}

impl Peer for Log {
    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.records.insert(self.next.to_be_bytes(), record)?;
        self.next += 1;
        self.persist()
    }

    fn append_all(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut batch = self.database.batch();
        for record in records {
            batch.insert(&self.records, self.next.to_be_bytes(), *record);
            self.next += 1;
        }
        batch.commit()?;
        self.persist()
    }

    fn scan(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        for record in self.records.iter() {
            seen.take(&record.value()?);
        }
        Ok(seen)
    }

    fn read(&mut self, index: u64) -> Result<u64> {
        let record = self.records.get(index.to_be_bytes())?.ok_or("nothing there")?;
        Ok(number(&record))
    }
}
