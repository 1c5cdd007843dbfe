//! Rows of many threads, and of one that keeps a pace.

use std::hint::spin_loop;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use alluvium::Durability::{PowerLoss, ProcessCrash};
use alluvium::TopicPartition;

use crate::bed::{Bed, Plan, TOPIC};
use crate::data::{Data, SMALL};
use crate::limits::{COPY_SMALL, together};
use crate::row::{Row, Sample};

const ALONE: &str = "1 thread, 1 partition";
const ALONE_ON_MANY: &str = "1 thread, 8 partitions";

/// One thread and several, on one partition and on many.
pub fn rows() -> Vec<Row> {
    let mut rows = vec![threads(ALONE, 1, 1)];
    rows.extend(
        [
            ("2 threads, 1 partition", 2),
            ("4 threads, 1 partition", 4),
            ("8 threads, 1 partition", 8),
        ]
        .map(|(name, count)| threads(name, count, 1).limited_by(ALONE, 1.0).aim(1.0 / 0.75)),
    );
    rows.push(threads(ALONE_ON_MANY, 1, 8));
    rows.extend(
        [("2 threads, 8 partitions", 2), ("8 threads, 8 partitions", 8)]
            .map(|(name, count)| threads(name, count, 8).limited_by(ALONE_ON_MANY, 1.0)),
    );
    rows
}

const UNREAD: &str = "1 writer, no reader";

/// One writer, and readers at the tail that share what the other processor gives them.
pub fn reader_rows() -> Vec<Row> {
    let beside = |name, readers| writer_beside(name, readers).limited_by(UNREAD, 1.0).aim(1.1);
    vec![
        writer_beside(UNREAD, 0),
        beside("1 writer, 1 reader at the tail", 1),
        beside("1 writer, 64 readers at the tail", 64),
    ]
}

/// A writer's time per record beside readers. On two processors most of what 64 readers take from it
/// is its turn on one of them, and only the rest is the log's.
fn writer_beside(name: &'static str, readers: usize) -> Row {
    Row::new("crowd", name, move || {
        let bed = Plan::new(ProcessCrash).make();
        let data = Data::new(SMALL);
        move || {
            let ready = Barrier::new(readers + 1);
            let elapsed = thread::scope(|scope| {
                for _ in 0..readers {
                    scope.spawn(|| follow(&bed, &ready));
                }
                ready.wait();
                let start = Instant::now();
                for key in data.keys.iter().cycle().take(SENDS) {
                    let _ = bed.producer.send(bed.topic.record(&data.value).key(key)).unwrap();
                }
                start.elapsed()
            });
            bed.rest();
            Sample::new(elapsed, SENDS)
        }
    })
}

/// Reads all that comes from now on.
fn follow(bed: &Bed, ready: &Barrier) {
    let mut consumer = bed.log.consumer().build().unwrap();
    consumer.assign([TopicPartition::new(TOPIC, 0)]).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty(), "it stands at the end");
    ready.wait();
    let mut seen = 0;
    while seen < SENDS {
        seen += consumer.poll(Duration::MAX).unwrap().len();
    }
}

/// Sends of all threads for one sample: about 1 MiB, so that nothing settles in between.
const SENDS: usize = 8_000;

/// Time per record of all threads together; each thread has a partition where there are many.
fn threads(name: &'static str, threads: usize, partitions: u32) -> Row {
    Row::new("crowd", name, move || {
        let bed = Plan::new(ProcessCrash).partitions(partitions).make();
        let data = Data::new(SMALL);
        let each = SENDS / threads;
        move || {
            let elapsed = together(threads, |thread| {
                for (key, number) in data.keys.iter().cycle().zip(0..each as u32) {
                    // Alone on many it takes turns in runs, as long as those of a thread's own.
                    let turn = if threads == 1 { number / 1_000 } else { thread as u32 };
                    let record =
                        bed.topic.record(&data.value).key(key).partition(turn % partitions);
                    let _ = bed.producer.send(record).unwrap();
                }
            });
            bed.rest();
            Sample::new(elapsed, SENDS)
        }
    })
}

/// An append every microsecond: the slowest of ten thousand, by itself and beside a sync every
/// 10 ms, and the middle one to compare with.
pub fn paced_rows() -> Vec<Row> {
    vec![
        paced("paced 1 M/s, median", 0.5, None),
        paced("paced 1 M/s, 99.99 %", 0.9999, None).aim(100.0),
        paced("paced 1 M/s beside syncs, median", 0.5, Some(SYNCS)),
        paced("paced 1 M/s beside syncs, 99.99 %", 0.9999, Some(SYNCS)),
    ]
}

const SYNCS: Duration = Duration::from_millis(10);
const PACE: Duration = Duration::from_micros(1);
const PACED: usize = 100_000;

fn paced(name: &'static str, quantile: f64, syncs: Option<Duration>) -> Row {
    let row = Row::new("crowd", name, move || {
        let bed = Plan::new(PowerLoss).background().make();
        let data = Data::new(SMALL);
        move || {
            let over = AtomicBool::new(false);
            let mut times = thread::scope(|scope| {
                if let Some(pause) = syncs {
                    let (bed, over) = (&bed, &over);
                    scope.spawn(move || {
                        while !over.load(Ordering::Acquire) {
                            bed.producer.flush().unwrap();
                            thread::sleep(pause);
                        }
                    });
                }
                let times = keep_pace(&bed, &data);
                over.store(true, Ordering::Release);
                times
            });
            times.sort_unstable();
            let at = ((times.len() - 1) as f64 * quantile) as usize;
            Sample::new(times[at], 1)
        }
    });
    row.limited_by(COPY_SMALL, 1.0)
}

/// How long each append took. Whoever is late goes on at once, as a real source would.
pub fn keep_pace(bed: &Bed, data: &Data) -> Vec<Duration> {
    let mut times = Vec::with_capacity(PACED);
    let mut due = Instant::now();
    for key in data.keys.iter().cycle().take(PACED) {
        while Instant::now() < due {
            spin_loop();
        }
        let start = Instant::now();
        let _ = bed.producer.send(bed.topic.record(&data.value).key(key)).unwrap();
        times.push(start.elapsed());
        due += PACE;
    }
    times
}
