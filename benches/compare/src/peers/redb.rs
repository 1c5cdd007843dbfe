use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::peer::{Contender, Level, Peer, Result, Seen, number};

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

pub fn contender() -> Contender {
    Contender {
        name: "redb",
        // `Durability::None` keeps a commit in memory until a durable one.
        at_kill: None,
        at_power: Some("power cut (fsync)"),
        verified: "nothing",
        can_scan: true,
        open: |dir, _: Level| Ok(Box::new(Log::open(dir)?)),
    }
}

struct Log {
    database: Database,
    next: u64,
}

impl Log {
    fn open(dir: &Path) -> Result<Self> {
        let database = Database::create(dir.join("redb"))?;
        let write = database.begin_write()?;
        write.open_table(RECORDS)?;
        write.commit()?;
        Ok(Self { database, next: 0 })
    }
}

impl Peer for Log {
    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_all(&[record])
    }

    fn append_all(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        let mut table = write.open_table(RECORDS)?;
        for record in records {
            table.insert(self.next, *record)?;
            self.next += 1;
        }
        drop(table);
        write.commit()?;
        Ok(())
    }

    fn scan(&mut self) -> Result<Seen> {
        let read = self.database.begin_read()?;
        let mut seen = Seen::default();
        for record in read.open_table(RECORDS)?.iter()? {
            seen.take(record?.1.value());
        }
        Ok(seen)
    }

    fn read(&mut self, index: u64) -> Result<u64> {
        let read = self.database.begin_read()?;
        let record = read.open_table(RECORDS)?.get(index)?.ok_or("nothing there")?;
        Ok(number(record.value()))
    }
}
