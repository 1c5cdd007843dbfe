//! Rows of the way out.

use std::hint::{black_box, spin_loop};
use std::thread;
use std::time::{Duration, Instant};

use alluvium::{Consumer, Durability, EventLog, OffsetReset, Records, TopicPartition};
use tempfile::TempDir;

use crate::bed::{Bed, LOG, Plan, TOPIC};
use crate::data::{Data, HUGE, LARGE, SMALL, encoded_len};
use crate::limits::{CHANNEL, MAPPED_READ, MAPPED_READ_LARGE, MAPPED_READ_SMALL, SPIN, SYNC, WALK};
use crate::row::{Row, Sample};

use Durability::{Memory, PowerLoss, ProcessCrash};

/// As many bytes as there are to scan.
pub const SCAN_BYTES: usize = 64 << 20;

/// Scans and reads of single records.
pub fn rows() -> Vec<Row> {
    vec![
        scan("scan sealed", SMALL, || sealed(SMALL)),
        scan("scan sealed", LARGE, || sealed(LARGE)),
        scan("scan active", SMALL, || active(SMALL)),
        scan("scan active", LARGE, || active(LARGE)),
        scan("scan sealed", HUGE, || sealed(HUGE)),
        scan("scan active", HUGE, || active(HUGE)),
        scan("scan active, synced", SMALL, || synced(SMALL)),
        scan("scan active, synced", LARGE, || synced(LARGE)),
        scan("scan active, synced", HUGE, || synced(HUGE)),
        unchecked("scan sealed, unchecked", SMALL, || sealed(SMALL)),
        unchecked("scan sealed, unchecked", LARGE, || sealed(LARGE)),
        scan("scan in memory", SMALL, || filled(Plan::new(Memory), SMALL).into()),
        point("read one by offset, sealed", MAPPED_READ, || sealed(SMALL)),
        point("read one by offset, active", MAPPED_READ, || active(SMALL)),
        point("read one by offset, active, synced", MAPPED_READ, || synced(SMALL)),
        point("read one by offset, batches of 1 KiB", MAPPED_READ_SMALL, || batches_of(7)),
        point("read one by offset, batches of 64 KiB", MAPPED_READ_LARGE, || batches_of(480)),
    ]
}

/// From a producer to a consumer in another thread.
pub fn hand_off_rows() -> Vec<Row> {
    vec![
        hand_off("blocking, memory", Memory, Poll::Blocking, CHANNEL),
        hand_off("blocking, process-crash", ProcessCrash, Poll::Blocking, CHANNEL),
        hand_off("blocking, power-loss", PowerLoss, Poll::Blocking, SYNC),
        hand_off("spinning, memory", Memory, Poll::Spinning, SPIN),
        hand_off("spinning, process-crash", ProcessCrash, Poll::Spinning, SPIN),
    ]
}

/// A log that holds what is to be read.
struct Library {
    log: EventLog,
    _home: Option<TempDir>,
    _bed: Option<Bed>,
}

impl From<Bed> for Library {
    fn from(bed: Bed) -> Self {
        Self { log: bed.log.clone(), _home: None, _bed: Some(bed) }
    }
}

/// A log with [`SCAN_BYTES`] of records.
fn filled(plan: Plan, value: usize) -> Bed {
    filled_with(plan, value, count_of(value))
}

/// A log with so many records.
pub fn filled_with(plan: Plan, value: usize, count: usize) -> Bed {
    let bed = plan.make();
    let data = Data::new(value);
    for key in data.keys.iter().cycle().take(count) {
        let _ = bed.producer.send(bed.topic.record(&data.value).key(key)).unwrap();
    }
    bed.rest();
    bed
}

fn count_of(value: usize) -> usize {
    SCAN_BYTES / encoded_len(value)
}

/// Segments of 16 MiB, sealed by a close and opened again.
fn sealed(value: usize) -> Library {
    let plan = Plan::new(ProcessCrash).segment_bytes("16777216");
    reopened(filled(plan, value))
}

fn reopened(bed: Bed) -> Library {
    let home = bed.close().unwrap();
    let builder = EventLog::builder().path(home.path().join(LOG)).durability(ProcessCrash);
    let log = builder.background(false).open().unwrap();
    Library { log, _home: Some(home), _bed: None }
}

/// Sealed segments, of batches that have so many small records.
fn batches_of(records: usize) -> Library {
    let bed = Plan::new(ProcessCrash).segment_bytes("16777216").make();
    let data = Data::new(SMALL);
    let keys: Vec<_> = data.keys.iter().cycle().take(count_of(SMALL)).collect();
    for call in keys.chunks(records) {
        let sent = call.iter().map(|key| bed.topic.record(&data.value).key(*key));
        bed.producer.send_batch(sent).parts()[0].result().unwrap();
        if records < 120 {
            // What settles is a batch, however short.
            bed.log.tick();
        }
    }
    reopened(bed)
}

/// One segment that is never sealed, all of it synced but for what the stage proves.
fn synced(value: usize) -> Library {
    filled(Plan::new(PowerLoss).segment_bytes("1073741824"), value).into()
}

/// One segment that is never sealed and that nobody has synced, and what is still in the stage.
fn active(value: usize) -> Library {
    filled(Plan::new(ProcessCrash).segment_bytes("1073741824"), value).into()
}

fn partition(number: u32) -> TopicPartition {
    TopicPartition::new(TOPIC, number)
}

fn reader(log: &EventLog, number: u32) -> Consumer {
    reader_with(log, number, &[])
}

fn reader_with(log: &EventLog, number: u32, settings: &[(&str, &str)]) -> Consumer {
    let builder = log.consumer().offset_reset(OffsetReset::Earliest);
    let builder = settings.iter().fold(builder, |builder, (key, value)| builder.set(key, value));
    let mut consumer = builder.build().unwrap();
    consumer.assign([partition(number)]).unwrap();
    consumer
}

fn scan(what: &str, value: usize, make: fn() -> Library) -> Row {
    scan_with(what, value, &[], make).aim(1.82)
}

/// Without the checksums of batches.
fn unchecked(what: &str, value: usize, make: fn() -> Library) -> Row {
    scan_with(what, value, &[("check.crcs", "false")], make).aim(1.11)
}

fn scan_with(
    what: &str,
    value: usize,
    settings: &'static [(&str, &str)],
    make: fn() -> Library,
) -> Row {
    let row = Row::new("read", format!("{what}, {value} B"), move || {
        let library = make();
        let mut consumer = reader_with(&library.log, 0, settings);
        let mut records = Records::default();
        let count = count_of(value);
        move || {
            let _kept = &library;
            consumer.seek_to_beginning(&[]).unwrap();
            let (mut seen, mut bytes) = (0, 0);
            let start = Instant::now();
            while seen < count {
                seen += consumer.poll_into(&mut records, Duration::ZERO).unwrap();
                bytes += records.iter().map(|r| r.value().map_or(0, <[u8]>::len)).sum::<usize>();
            }
            let elapsed = start.elapsed();
            assert_eq!((seen, bytes), (count, count * value));
            Sample::new(elapsed, count)
        }
    });
    row.limited_by(WALK, encoded_len(value) as f64)
}

/// A seek to an offset and a poll of the record that stands there. It cannot be had without the
/// checksum of its batch, which holds about 16 KiB.
fn point(name: &'static str, limit: &'static str, make: fn() -> Library) -> Row {
    const READS: usize = 200;
    let row = Row::new("read", name, move || {
        let library = make();
        let mut consumer = reader_with(&library.log, 0, &[("max.poll.records", "1")]);
        let mut records = Records::default();
        let mut state = 1_u64;
        let place = partition(0);
        move || {
            let _kept = &library;
            let start = Instant::now();
            for _ in 0..READS {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let offset = (state >> 33) % count_of(SMALL) as u64;
                consumer.seek(&place, offset).unwrap();
                consumer.poll_into(&mut records, Duration::ZERO).unwrap();
                assert_eq!(records.iter().next().map(|record| record.offset()), Some(offset));
            }
            Sample::new(start.elapsed(), READS)
        }
    });
    row.limited_by(limit, 1.0).aim(2.0)
}

#[derive(Clone, Copy)]
enum Poll {
    Blocking,
    Spinning,
}

impl Poll {
    fn one(self, consumer: &mut Consumer, records: &mut Records) {
        match self {
            Poll::Blocking => {
                consumer.poll_into(records, Duration::MAX).unwrap();
            }
            Poll::Spinning => {
                while consumer.poll_into(records, Duration::ZERO).unwrap() == 0 {
                    spin_loop();
                }
            }
        }
        assert_eq!(records.len(), 1);
        black_box(records);
    }
}

/// Two threads send a record to and fro over two partitions; half of that is one hand-off.
fn hand_off(name: &'static str, level: Durability, poll: Poll, limit: &'static str) -> Row {
    let trips = match (poll, level) {
        (Poll::Spinning, _) => 2_000,
        (Poll::Blocking, PowerLoss) => 8,
        (Poll::Blocking, _) => 200,
    };
    let row = Row::new("hand-off", name, move || {
        let bed = Plan::new(level).partitions(2).make();
        let (mut here, mut there) = (reader(&bed.log, 1), reader(&bed.log, 0));
        let data = Data::new(SMALL);
        move || {
            let (bed, data) = (&bed, &data);
            let send = |to: u32| {
                let record = bed.topic.record(&data.value).key(&data.keys[0]).partition(to);
                let _ = bed.producer.send(record).unwrap();
            };
            thread::scope(|scope| {
                let there = &mut there;
                scope.spawn(move || {
                    let mut records = Records::default();
                    for _ in 0..trips + 1 {
                        poll.one(there, &mut records);
                        send(1);
                    }
                });
                let mut records = Records::default();
                let mut trip = || {
                    send(0);
                    poll.one(&mut here, &mut records);
                };
                // The first trip waits for the thread to start.
                trip();
                let start = Instant::now();
                (0..trips).for_each(|_| trip());
                Sample::new(start.elapsed(), 2 * trips)
            })
        }
    });
    let aim = if matches!(poll, Poll::Spinning) { 1.5 } else { 1.3 };
    row.limited_by(limit, 1.0).aim(aim)
}
