use std::path::Path;

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use crate::peer::{Contender, Level, Peer, Result, Seen, number};

pub fn contender() -> Contender {
    Contender {
        name: "commitlog",
        at_kill: Some("kill -9 (write)"),
        // `flush` is `std::io::Write::flush` of a file, which does nothing.
        at_power: None,
        verified: "nothing unless asked",
        can_scan: true,
        open: |dir, _: Level| Ok(Box::new(Log::open(dir)?)),
    }
}

struct Log(CommitLog);

impl Log {
    fn open(dir: &Path) -> Result<Self> {
        let mut options = LogOptions::new(dir.join("commitlog"));
        options.segment_max_bytes(64 << 20).index_max_items(1_000_000);
        Ok(Self(CommitLog::new(options)?))
    }
}

impl Peer for Log {
    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.0.append_msg(record)?;
        Ok(())
    }

    fn append_all(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut batch: MessageBuf = records.iter().copied().collect();
        self.0.append(&mut batch)?;
        Ok(())
    }

    fn scan(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut from = 0;
        loop {
            let some = self.0.read(from, ReadLimit::max_bytes(1 << 20))?;
            let Some(last) = some.iter().last().map(|record| record.offset()) else {
                return Ok(seen);
            };
            some.iter().for_each(|record| seen.take(record.payload()));
            from = last + 1;
            if Some(last) == self.0.last_offset() {
                return Ok(seen);
            }
        }
    }

    fn read(&mut self, index: u64) -> Result<u64> {
        let some = self.0.read(index, ReadLimit::max_bytes(256))?;
        let first = some.iter().next().ok_or("nothing there")?;
        Ok(number(first.payload()))
    }
}
