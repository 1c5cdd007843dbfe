use std::path::Path;

use heed::byteorder::BigEndian;
use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvFlags, EnvOpenOptions, PutFlags, WithTls};

use crate::peer::{Contender, Level, Peer, Result, Seen, number};

pub fn contender() -> Contender {
    Contender {
        name: "heed (LMDB)",
        at_kill: Some("kill -9 (MDB_NOSYNC; a power cut may damage all)"),
        at_power: Some("power cut (fdatasync)"),
        verified: "nothing",
        can_scan: true,
        open: |dir, level| Ok(Box::new(Log::open(dir, level)?)),
    }
}

struct Log {
    env: Env<WithTls>,
    records: Database<U64<BigEndian>, Bytes>,
    next: u64,
}

impl Log {
    fn open(dir: &Path, level: Level) -> Result<Self> {
        let dir = dir.join("lmdb");
        std::fs::create_dir(&dir)?;
        let mut options = EnvOpenOptions::new();
        options.map_size(4 << 30);
        if level == Level::Kill {
            // SAFETY: the directory is fresh, belongs to this process, and dies with it.
            unsafe { options.flags(EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP) };
        }
        // SAFETY: nobody else opens or changes the files.
        let env = unsafe { options.open(&dir)? };
        let mut write = env.write_txn()?;
        let records = env.create_database(&mut write, None)?;
        write.commit()?;
        Ok(Self { env, records, next: 0 })
    }
}

impl Peer for Log {
    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_all(&[record])
    }

    fn append_all(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut write = self.env.write_txn()?;
        for record in records {
            self.records.put_with_flags(&mut write, PutFlags::APPEND, &self.next, record)?;
            self.next += 1;
        }
        write.commit()?;
        Ok(())
    }

    fn scan(&mut self) -> Result<Seen> {
        let read = self.env.read_txn()?;
        let mut seen = Seen::default();
        for record in self.records.iter(&read)? {
            seen.take(record?.1);
        }
        Ok(seen)
    }

    fn read(&mut self, index: u64) -> Result<u64> {
        let read = self.env.read_txn()?;
        Ok(number(self.records.get(&read, &index)?.ok_or("nothing there")?))
    }
}
