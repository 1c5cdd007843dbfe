//! Producers and aborted transactions as they stand in a footer and in the manifest.
//!
//! ```text
//! head      0 version u8 (1)     1 zeros (3 bytes)     4 producers u32
//!           8 aborted u32       12 zeros u32
//! producer  0 id i64             8 epoch i16          10 flags u8        11 runs u8
//!          12 marker epoch i16  14 zeros u16          16 last timestamp i64
//!          24 touched i64       32 open from u64      40 marker offset u64
//!          48 runs of 16 bytes: base offset u64, sequence i32, count u32
//! aborted   0 producer i64       8 first u64          16 marker u64      24 stable u64
//! ```
//!
//! Flags: 1 a transaction is open, 2 there was a marker, 4 it committed, 8 the next epoch is fresh.
//! Producers stand in the order of their ids.

use super::producer::{LastMarker, Producer, RUNS};
use super::{AbortedTxn, Producers, Run};

const VERSION: u8 = 1;
const OPEN: u8 = 1;
const MARKED: u8 = 2;
const COMMITTED: u8 = 4;
const FRESH: u8 = 8;
const HEAD: usize = 16;

/// What stands in a footer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The producers as of the segment's end.
    pub producers: Producers,
    /// The transactions that markers in the segment aborted.
    pub aborted: Vec<AbortedTxn>,
}

/// The bytes of these producers and aborted transactions; none when there are none of either.
#[must_use]
pub fn encode(producers: &Producers, aborted: &[AbortedTxn]) -> Vec<u8> {
    if producers.is_empty() && aborted.is_empty() {
        return Vec::new();
    }
    let mut known: Vec<_> = producers.iter().collect();
    known.sort_unstable_by_key(|(id, _)| *id);
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = vec![VERSION, 0, 0, 0];
    out.extend(count(known.len()));
    out.extend(count(aborted.len()));
    out.extend([0; 4]);
    for (id, producer) in known {
        put_producer(&mut out, id, producer);
    }
    for txn in aborted {
        out.extend(txn.producer.to_le_bytes());
        for offset in [txn.first, txn.marker, txn.stable] {
            out.extend(offset.to_le_bytes());
        }
    }
    out
}

fn put_producer(out: &mut Vec<u8>, id: i64, producer: &Producer) {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let marker = producer.last_marker;
    let flags = flag(producer.open.is_some(), OPEN)
        | flag(marker.is_some(), MARKED)
        | flag(marker.is_some_and(|marker| marker.commit), COMMITTED)
        | flag(producer.fresh, FRESH);
    let runs = producer.runs.len().min(RUNS);
    out.extend(id.to_le_bytes());
    out.extend(producer.epoch.to_le_bytes());
    out.extend([flags, runs as u8]);
    out.extend(marker.map_or(0, |marker| marker.epoch).to_le_bytes());
    out.extend([0; 2]);
    out.extend(producer.last_timestamp.to_le_bytes());
    out.extend(producer.touched_ms.to_le_bytes());
    out.extend(producer.open.unwrap_or(0).to_le_bytes());
    out.extend(marker.map_or(0, |marker| marker.offset).to_le_bytes());
    for run in producer.runs.iter().take(runs) {
        out.extend(run.base_offset.to_le_bytes());
        out.extend(run.sequence.to_le_bytes());
        out.extend(run.count.to_le_bytes());
    }
}

/// What `bytes` hold; `None` when they are not what [`encode`] makes, or of a later version.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Stored> {
    if bytes.is_empty() {
        return Some(Stored::default());
    }
    let mut input = Input(bytes);
    let [version, ..] = input.array::<4>()?;
    let (producers, aborted) = (input.u32()?, input.u32()?);
    let _zeros = input.array::<4>()?;
    if version != VERSION {
        return None;
    }
    let mut stored = Stored::default();
    for _ in 0..producers {
        let (id, producer) = take_producer(&mut input)?;
        stored.producers.restore(id, producer);
    }
    for _ in 0..aborted {
        let producer = input.i64()?;
        let (first, marker, stable) = (input.u64()?, input.u64()?, input.u64()?);
        stored.aborted.push(AbortedTxn { producer, first, marker, stable });
    }
    (input.0.is_empty() && bytes.len() >= HEAD).then_some(stored)
}

fn take_producer(input: &mut Input<'_>) -> Option<(i64, Producer)> {
    let (id, epoch) = (input.i64()?, input.i16()?);
    let [flags, runs] = input.array()?;
    let marker_epoch = input.i16()?;
    let _zeros = input.array::<2>()?;
    let (last_timestamp, touched_ms) = (input.i64()?, input.i64()?);
    let (open, offset) = (input.u64()?, input.u64()?);
    let commit = flags & COMMITTED != 0;
    let mut producer = Producer {
        fresh: flags & FRESH != 0,
        last_timestamp,
        touched_ms,
        open: (flags & OPEN != 0).then_some(open),
        last_marker: (flags & MARKED != 0).then_some(LastMarker {
            epoch: marker_epoch,
            commit,
            offset,
        }),
        ..Producer::new(epoch)
    };
    for _ in 0..runs {
        let (base_offset, sequence, count) = (input.u64()?, input.i32()?, input.u32()?);
        producer.runs.push(Run { base_offset, sequence, count });
    }
    let sound = id >= 0 && epoch >= 0 && usize::from(runs) <= RUNS;
    let runs_fit = producer.runs.iter().all(|run| run.count > 0 && run.sequence >= 0);
    (sound && runs_fit).then_some((id, producer))
}

/// Bytes that are taken from the front.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}
