//! The process that is killed: opens the log, checks it, appends, and tells of each call.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alluvium::{EventLog, OwnedDelivery, Topic};

use crate::reader;
use crate::workload::{Counts, Random, STREAMS, Shape, WRITERS, send};

/// Nobody kills a child whose parent has died: it ends by itself.
const CALLS: u64 = 20_000;

/// One line of the standard error, by one system call: it arrives whole or not at all, and what
/// was written before the kill stays readable behind it.
pub fn tell(line: std::fmt::Arguments<'_>) {
    let mut text = String::with_capacity(64);
    writeln!(text, "{line}").unwrap();
    if std::io::stderr().write_all(text.as_bytes()).is_err() {
        std::process::exit(3);
    }
}

/// What the child does until it is killed.
pub fn run(dir: &Path, shape: Shape, seed: u64) {
    let log = shape.open(dir).unwrap();
    tell(format_args!("open"));
    let topics = shape.topics(&log);
    let counts = reader::read_all(&log).counts();
    let text: Vec<String> = counts.iter().map(u64::to_string).collect();
    tell(format_args!("have {}", text.join(" ")));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| read_along(&log, &stop));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (log, topics) = (&log, &topics);
                let random = Random(seed ^ (writer as u64) << 32);
                scope.spawn(move || append(log, topics, writer, counts, random))
            })
            .collect();
        let failed = writers.into_iter().filter_map(|writer| writer.join().err()).count();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(failed, 0);
    });
}

/// A consumer that follows: it pins chunks, asks for rounds, and must see dense offsets.
fn read_along(log: &EventLog, stop: &AtomicBool) {
    let mut consumer = reader::consumer(log);
    let partitions = reader::partitions();
    let mut next = vec![0; partitions.len()];
    while !stop.load(Ordering::Relaxed) {
        for record in &consumer.poll(Duration::from_millis(5)).unwrap() {
            let at = partitions.iter().position(|tp| tp == record.topic_partition()).unwrap();
            assert_eq!(record.offset(), next[at], "{}", partitions[at]);
            next[at] += 1;
        }
    }
}

fn append(log: &EventLog, topics: &[Topic], writer: usize, mut next: Counts, mut random: Random) {
    let producer = log.producer().build().unwrap();
    let mut pending: VecDeque<(usize, u64, OwnedDelivery)> = VecDeque::new();
    for _ in 0..CALLS {
        let stream = random.below(STREAMS / WRITERS) * WRITERS + writer;
        let number = next[stream];
        next[stream] += 1;
        let (offset, delivery) = send(&producer, topics, stream, number);
        tell(format_args!("sent {stream} {number} {offset}"));
        pending.extend(delivery.map(|delivery| (stream, number, delivery)));
        if random.one_in(6) {
            for (stream, number, delivery) in pending.drain(..) {
                delivery.wait().unwrap();
                tell(format_args!("safe {stream} {number}"));
            }
        }
        if random.one_in(40) {
            producer.flush().unwrap();
            tell(format_args!("safe {stream} {number}"));
        }
    }
}
