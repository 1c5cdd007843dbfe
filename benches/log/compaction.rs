//! Compaction, and appends beside it.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use alluvium::Durability::ProcessCrash;
use alluvium::{CompactionOptions, CompactionOutcome, NewTopic};

use crate::bed::{Bed, Plan};
use crate::crowd::keep_pace;
use crate::data::{Data, KEY, LARGE, SMALL, encoded_len, scratch};
use crate::limits::sum;
use crate::row::{Row, Sample};

/// Bytes of records in a log that is compacted; without optimization a small part of it.
const BYTES: usize = if cfg!(debug_assertions) { 8 << 20 } else { 1 << 30 };
/// So many records have one key.
const EACH: usize = 8;

const WALK_MAPPED: &str = "walk of 1 GiB mapped for it, per byte";
const PACED: &str = "paced 1 M/s, 99.9 %";
const STATE: &str = "state";

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("compaction", WALK_MAPPED, walk).per_byte(),
        compaction("1 GiB of 100 B, 8 records a key", SMALL, EACH).aim(1.0 / 0.08),
        compaction("1 GiB of 1 KiB, 8 records a key", LARGE, EACH).aim(1.0 / 0.2),
        compaction("1 GiB of 100 B, nothing to drop", SMALL, 1),
        paced(PACED, false),
        paced("paced 1 M/s beside a compaction, 99.9 %", true).limited_by(PACED, 1.0).aim(2.0),
    ]
}

/// Reads every byte of a file that is in the page cache, mapped for this one walk as the segments
/// are for a pass.
fn walk() -> impl FnMut() -> Sample {
    let dir = scratch();
    let path = dir.path().join("mapped");
    std::fs::write(&path, vec![7_u8; BYTES]).unwrap();
    move || {
        let _kept = &dir;
        let start = Instant::now();
        let (map, _) = vmap::Map::with_options().open(&path).unwrap();
        black_box(sum(&map));
        Sample::new(start.elapsed(), BYTES)
    }
}

/// A pass over a partition that was never compacted: what it takes for a byte of a record.
fn compaction(name: &'static str, value: usize, each: usize) -> Row {
    let row = Row::new("compaction", name, move || {
        let data = Data::new(value);
        let records = BYTES / encoded_len(value);
        move || {
            let bed = Plan::new(ProcessCrash).make();
            fill(&bed, &data, records, records / each);
            let start = Instant::now();
            let kept = compact(&bed);
            let elapsed = start.elapsed();
            assert_eq!(kept, (records / each) as u64);
            Sample::new(elapsed, records * encoded_len(value))
        }
    });
    row.per_byte().limited_by(WALK_MAPPED, 1.0)
}

/// Records of so many keys, in turn by a stride that is no order, in sealed segments.
fn fill(bed: &Bed, data: &Data, records: usize, keys: usize) {
    let topic = bed.log.create_topic(NewTopic::new(STATE).compacted()).unwrap();
    for number in 0..records {
        let mut key = [b'k'; KEY];
        let of = (number % keys).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize);
        key[..8].copy_from_slice(&of.to_le_bytes());
        let _ = bed.producer.send(topic.record(&data.value).key(&key)).unwrap();
    }
    bed.log.admin().roll(STATE).unwrap();
}

/// Compacts; how many records stay.
fn compact(bed: &Bed) -> u64 {
    let options = CompactionOptions::default().topic(STATE).force(true);
    let report = bed.log.admin().run_compaction(options).unwrap();
    match &report.partitions[0].outcome {
        CompactionOutcome::Compacted(done) => done.records_kept,
        other => panic!("{other:?}"),
    }
}

/// Appends at a pace to one topic, while another one is compacted on another thread.
fn paced(name: &'static str, compacted: bool) -> Row {
    Row::new("compaction", name, move || {
        let data = Data::new(SMALL);
        move || {
            let bed = Plan::new(ProcessCrash).make();
            let records = if compacted { BYTES / 4 / encoded_len(SMALL) } else { EACH };
            fill(&bed, &data, records, records / EACH);
            let ready = Barrier::new(2);
            let mut times = thread::scope(|scope| {
                scope.spawn(|| {
                    ready.wait();
                    compact(&bed)
                });
                ready.wait();
                keep_pace(&bed, &data)
            });
            times.sort_unstable();
            Sample::new(times[(times.len() - 1) * 999 / 1_000], 1)
        }
    })
}
