//! What is measured: each workload fills fresh logs, and proves that the records are there.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::peer::{Contender, Level, Peer, Result, Seen, fill, number};

/// Bytes of a record.
pub const RECORD: usize = 116;

pub struct Workload {
    pub name: &'static str,
    pub level: Level,
    pub run: fn(&mut dyn Peer, &Sizes) -> Result<Measured>,
    /// Everything it does is appending, and a walk afterwards must meet it.
    pub appends: bool,
    pub needs_scan: bool,
}

/// How much of each a round does.
pub struct Sizes {
    pub appends: u64,
    pub syncs: u64,
    pub reads: u64,
}

pub struct Measured {
    pub time: Duration,
    pub records: u64,
}

pub fn all() -> [Workload; 6] {
    use Level::{Kill, Power};
    let append = |name, level, run| Workload { name, level, run, appends: true, needs_scan: false };
    let read =
        |name, run, needs_scan| Workload { name, level: Power, run, appends: false, needs_scan };
    [
        append("append, one at a time, survives kill -9", Kill, one_by_one),
        append("append, 100 at a time, survives kill -9", Kill, in_hundreds),
        append("append, one at a time, survives a power cut", Power, durable),
        append("append, 1,000 at a time, survives a power cut", Power, durable_batches),
        read("scan, from the first record to the last", scan, true),
        read("read one record by its offset, at random", point_reads, false),
    ]
}

/// One round of one contender, on a fresh directory.
pub fn round(contender: &Contender, workload: &Workload, sizes: &Sizes) -> Result<Measured> {
    let dir = TempDir::new_in(std::env::var_os("COMPARE_DIR").unwrap_or_else(|| ".".into()))?;
    let mut peer = (contender.open)(dir.path(), workload.level)?;
    let measured = (workload.run)(&mut *peer, sizes)?;
    if contender.can_scan && workload.appends {
        expect(peer.scan()?, measured.records)?;
    }
    Ok(measured)
}

fn expect(seen: Seen, records: u64) -> Result<()> {
    let wanted = Seen::of_first(records);
    if seen == wanted { Ok(()) } else { Err(format!("{seen:?} instead of {wanted:?}").into()) }
}

fn batches(peer: &mut dyn Peer, count: u64, batch: u64) -> Result<Measured> {
    let len = usize::try_from(batch)?;
    let mut bytes = vec![0; RECORD * len];
    let mut time = Duration::ZERO;
    for from in (0..count).step_by(len) {
        for (number, record) in (from..).zip(bytes.chunks_exact_mut(RECORD)) {
            fill(record, number);
        }
        let records: Vec<&[u8]> = bytes.chunks_exact(RECORD).collect();
        let begin = Instant::now();
        peer.append_all(&records)?;
        time += begin.elapsed();
    }
    Ok(Measured { time, records: count })
}

fn singles(peer: &mut dyn Peer, count: u64) -> Result<Measured> {
    let mut record = [0; RECORD];
    let begin = Instant::now();
    for number in 0..count {
        fill(&mut record, number);
        peer.append(&record)?;
    }
    Ok(Measured { time: begin.elapsed(), records: count })
}

fn one_by_one(peer: &mut dyn Peer, sizes: &Sizes) -> Result<Measured> {
    singles(peer, sizes.appends)
}

fn in_hundreds(peer: &mut dyn Peer, sizes: &Sizes) -> Result<Measured> {
    batches(peer, sizes.appends / 100 * 100, 100)
}

fn durable(peer: &mut dyn Peer, sizes: &Sizes) -> Result<Measured> {
    singles(peer, sizes.syncs)
}

fn durable_batches(peer: &mut dyn Peer, sizes: &Sizes) -> Result<Measured> {
    batches(peer, sizes.syncs * 1000, 1000)
}

fn scan(peer: &mut dyn Peer, sizes: &Sizes) -> Result<Measured> {
    let filled = batches(peer, sizes.reads, 1000)?.records;
    let begin = Instant::now();
    let seen = peer.scan()?;
    let time = begin.elapsed();
    expect(seen, filled)?;
    Ok(Measured { time, records: filled })
}

fn point_reads(peer: &mut dyn Peer, sizes: &Sizes) -> Result<Measured> {
    let filled = batches(peer, sizes.reads, 1000)?.records;
    let mut at = [0; RECORD];
    let count = filled / 10;
    let begin = Instant::now();
    for step in 0..count {
        fill(&mut at, step);
        let index = number(&at[8..]) % filled;
        let found = peer.read(index)?;
        if found != index {
            return Err(format!("record {found} instead of {index}").into());
        }
    }
    Ok(Measured { time: begin.elapsed(), records: count })
}
