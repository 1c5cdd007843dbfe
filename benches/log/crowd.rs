//! Rows of many threads, and of one that keeps a pace.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use alluvium::Durability::{PowerLoss, ProcessCrash};
use alluvium::{Clock, SystemClock, TopicPartition};

use crate::bed::{Bed, Plan, TOPIC};
use crate::data::{Data, SMALL, encoded_len};
use crate::limits::{self, COPY_SMALL, together};
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
const READERS: usize = 64;
/// Copies that take about as long as an append.
const COPIES: usize = 12;

/// One writer, and readers at the tail that share what the other processor gives them.
pub fn reader_rows() -> Vec<Row> {
    let beside =
        |name, readers, time| writer_beside(name, readers, time).limited_by(UNREAD, 1.0).aim(1.1);
    vec![
        writer_beside(UNREAD, 0, Time::Passed),
        beside("1 writer, 1 reader at the tail", 1, Time::Passed),
        beside("1 writer, 64 readers at the tail", READERS, Time::Passed),
        beside("1 writer, 64 readers, its processor time", READERS, Time::OfThread),
        Row::new("crowd", "12 copies, no log, 64 threads woken", || woken_by_a_condvar),
    ]
}

/// What a writer's time is.
#[derive(Clone, Copy)]
enum Time {
    Passed,
    /// Without the time in which other threads had its processor.
    OfThread,
}

impl Time {
    fn now(self) -> Duration {
        match self {
            Time::Passed => SystemClock.monotonic(),
            Time::OfThread => processor_time(),
        }
    }
}

#[cfg(target_os = "linux")]
fn processor_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(not(target_os = "linux"))]
fn processor_time() -> Duration {
    SystemClock.monotonic()
}

/// What the scheduler takes of such a row: a thread copies records and tells each by a number and a
/// condition variable to threads that wait for it, with no log between them.
fn woken_by_a_condvar() -> Sample {
    let (count, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (lock, news) = (Mutex::new(()), Condvar::new());
    let wait_for_more_than = |seen: usize| {
        let mut guard = lock.lock().unwrap();
        waiting.fetch_add(1, Ordering::SeqCst);
        while count.load(Ordering::SeqCst) == seen {
            guard = news.wait(guard).unwrap();
        }
        waiting.fetch_sub(1, Ordering::SeqCst);
        count.load(Ordering::SeqCst)
    };
    let ready = Barrier::new(READERS + 1);
    let mut copy = limits::copier(encoded_len(SMALL));
    let elapsed = thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                ready.wait();
                let mut seen = 0;
                while seen < SENDS {
                    seen = wait_for_more_than(seen);
                }
            });
        }
        ready.wait();
        let start = Instant::now();
        for sent in 1..=SENDS {
            (0..COPIES).for_each(|_| copy());
            count.store(sent, Ordering::SeqCst);
            if waiting.load(Ordering::SeqCst) > 0 {
                drop(lock.lock().unwrap());
                news.notify_all();
            }
        }
        start.elapsed()
    });
    Sample::new(elapsed, SENDS)
}

/// A writer's time per record beside readers. On two processors most of what 64 readers take from it
/// is its turn on one of them, and only the rest is the log's.
fn writer_beside(name: &'static str, readers: usize, time: Time) -> Row {
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
                let start = time.now();
                for key in data.keys.iter().cycle().take(SENDS) {
                    let _ = bed.producer.send(bed.topic.record(&data.value).key(key)).unwrap();
                }
                time.now() - start
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
        paced_copy("paced copy 1 M/s, no log, 99.99 %", 0.9999),
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

/// The copy of a record at the same pace: how much of a quantile is the machine's.
fn paced_copy(name: &'static str, quantile: f64) -> Row {
    let row = Row::new("crowd", name, move || {
        let mut copy = limits::copier(encoded_len(SMALL));
        move || {
            let mut times = pace(std::iter::repeat_n((), PACED), |()| copy());
            times.sort_unstable();
            let at = ((times.len() - 1) as f64 * quantile) as usize;
            Sample::new(times[at], 1)
        }
    });
    row.limited_by(COPY_SMALL, 1.0)
}

/// How long each append took. Whoever is late goes on at once, as a real source would.
pub fn keep_pace(bed: &Bed, data: &Data) -> Vec<Duration> {
    pace(data.keys.iter().cycle().take(PACED), |key| {
        let _ = bed.producer.send(bed.topic.record(&data.value).key(key)).unwrap();
    })
}

fn pace<T>(items: impl Iterator<Item = T>, mut act: impl FnMut(T)) -> Vec<Duration> {
    let mut times = Vec::with_capacity(PACED);
    let mut due = Instant::now();
    for item in items {
        while Instant::now() < due {
            spin_loop();
        }
        let start = Instant::now();
        act(item);
        times.push(start.elapsed());
        due += PACE;
    }
    times
}
