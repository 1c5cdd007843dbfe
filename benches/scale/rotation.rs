//! Appends that go round over many partitions, against as many to one.

use std::path::Path;
use std::time::Instant;

use alluvium::Durability::ProcessCrash;

use crate::counted::CountedDisk;
use crate::fill::tell_process;
use crate::logs::{Bed, furnish, open};
use crate::report::Row;
use crate::task::Size;

pub fn run(size: Size, dir: &Path, say: &mut dyn FnMut(Row)) {
    let disk = CountedDisk::default();
    let make = |name, count| furnish(open(&dir.join(name), &disk, ProcessCrash), count);
    let (one, ring) = (make("one", 1), make("ring", size.ring));
    let (mut alone, mut around) = (Vec::new(), Vec::new());
    // One round of each to begin with, which makes the files.
    for round in 0..=2 * size.rounds {
        let first = nanos_per_record(&one, 1, size.records);
        let second = nanos_per_record(&ring, size.ring, size.records);
        if round > 0 {
            alone.push(first);
            around.push(second);
        }
    }
    alone.sort_by(f64::total_cmp);
    around.sort_by(f64::total_cmp);
    let middle = size.rounds;
    let name = format!("append round {} partitions, per record", size.ring);
    say(Row::new(name, around[middle], "ns").limit(alone[middle]).goal(3.0));
    tell_process("round-robin", say);
}

fn nanos_per_record(bed: &Bed, partitions: u32, records: usize) -> f64 {
    let start = Instant::now();
    (0..partitions).cycle().take(records).for_each(|partition| bed.send(partition));
    start.elapsed().as_secs_f64() * 1e9 / records as f64
}
