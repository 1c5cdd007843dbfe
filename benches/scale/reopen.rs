//! Opening what a killed process left.

use std::path::Path;
use std::time::Instant;

use alluvium::Durability::PowerLoss;

use crate::counted::CountedDisk;
use crate::fill::{ms, tell_process};
use crate::logs::{open, scan};
use crate::report::Row;
use crate::task::Size;

pub fn run(size: Size, dir: &Path, say: &mut dyn FnMut(Row)) {
    let disk = CountedDisk::default();
    let start = Instant::now();
    let log = open(dir, &disk, PowerLoss);
    say(Row::new("open after a kill", ms(start.elapsed()), "ms"));
    say(Row::new("syncs of that", disk.counts().syncs() as f64, ""));
    let all = size.rounds * size.partitions as usize;
    assert_eq!(scan(&log, size.partitions, all), all, "a record is lost, or came twice");
    tell_process("after a kill, read", say);
    let start = Instant::now();
    log.close().unwrap();
    say(Row::new("close", ms(start.elapsed()), "ms"));
}
