use std::path::Path;

use rusqlite::Connection;

use crate::peer::{Contender, Level, Peer, Result, Seen, number};

pub fn contender() -> Contender {
    Contender {
        name: "rusqlite",
        at_kill: Some("kill -9 (WAL, synchronous=OFF)"),
        at_power: Some("power cut (WAL, synchronous=FULL)"),
        verified: "nothing",
        can_scan: true,
        open: |dir, level| Ok(Box::new(Log::open(dir, level)?)),
    }
}

const INSERT: &str = "INSERT INTO records (record) VALUES (?1)";

struct Log(Connection);

impl Log {
    fn open(dir: &Path, level: Level) -> Result<Self> {
        let connection = Connection::open(dir.join("sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = match level {
            Level::Kill => "OFF",
            Level::Power => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, record BLOB)", ())?;
        Ok(Self(connection))
    }
}

impl Peer for Log {
    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.0.prepare_cached(INSERT)?.execute([record])?;
        Ok(())
    }

    fn append_all(&mut self, records: &[&[u8]]) -> Result<()> {
        let all = self.0.transaction()?;
        let mut insert = all.prepare_cached(INSERT)?;
        for record in records {
            insert.execute([record])?;
        }
        drop(insert);
        all.commit()?;
        Ok(())
    }

    fn scan(&mut self) -> Result<Seen> {
        let mut all = self.0.prepare_cached("SELECT record FROM records ORDER BY id")?;
        let mut rows = all.query(())?;
        let mut seen = Seen::default();
        while let Some(row) = rows.next()? {
            seen.take(row.get_ref(0)?.as_blob()?);
        }
        Ok(seen)
    }

    fn read(&mut self, index: u64) -> Result<u64> {
        let mut one = self.0.prepare_cached("SELECT record FROM records WHERE id = ?1")?;
        let id = i64::try_from(index + 1)?;
        Ok(one.query_row([id], |row| Ok(number(row.get_ref(0)?.as_blob()?)))?)
    }
}
