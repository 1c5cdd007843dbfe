//! Rows of the way in.

use std::time::{Duration, Instant};

use alluvium::{Durability, Record};

use crate::bed::{Bed, Plan, TOPIC, level_name};
use crate::data::{Data, HUGE, LARGE, SMALL, STAGE_BYTES, encoded_len};
use crate::limits::{
    COPY_HUGE, COPY_LARGE, COPY_SMALL, SYNC, SYNC_SHARED, SYNC_WINDOW_LARGE, SYNC_WINDOW_SMALL,
    WRITE, together,
};
use crate::row::{Row, Sample};

use Durability::{Memory, PowerLoss, ProcessCrash};

/// One record at a time and a hundred at once, without waiting.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend([SMALL, LARGE, HUGE].map(|size| one(Door::Place, ProcessCrash, size).aim(4.0)));
    rows.extend([Memory, ProcessCrash].map(|level| one(Door::Partition, level, SMALL)));
    rows.extend([Memory, ProcessCrash, PowerLoss].map(|l| one(Door::Handle, l, SMALL).aim(7.0)));
    rows.extend([Memory, ProcessCrash].map(|level| one(Door::Name, level, SMALL).aim(12.0)));
    rows.extend([Memory, ProcessCrash, PowerLoss].map(|level| one(Door::Handle, level, LARGE)));
    rows.extend([Memory, ProcessCrash, PowerLoss].map(|l| batch(l, 100, SMALL).aim(2.0)));
    rows.extend([(20, LARGE), (100, LARGE)].map(|(n, v)| batch(ProcessCrash, n, v)));
    rows.extend([SMALL, LARGE, HUGE].map(|size| sustained(size).aim(1.1)));
    rows
}

/// Records that are waited for.
pub fn durable_rows() -> Vec<Row> {
    let pipelined = [(SMALL, SYNC_WINDOW_SMALL), (LARGE, SYNC_WINDOW_LARGE)];
    let mut rows = vec![durable_one().aim(1.1), durable_threads(8).aim(1.1)];
    rows.extend(pipelined.map(|(value, limit)| durable_window(value, limit)));
    let rate = format!("window of {WINDOW}, of one at a time");
    rows.push(window_row(rate, SMALL).limited_by(DURABLE_ONE, 1.0 / 400.0).aim(1.0));
    rows
}

/// How a record finds its partition.
#[derive(Clone, Copy)]
enum Door {
    /// By a topic handle and the hash of its key.
    Handle,
    /// By the topic's name and the hash of its key.
    Name,
    /// By a topic handle and a partition number. A handle of a partition does not exist.
    Partition,
    /// The same, with a time of its own: nothing but the append.
    Place,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Door::Handle => "by handle",
            Door::Name => "by name",
            Door::Partition => "by handle and partition",
            Door::Place => "by partition, own time",
        }
    }

    fn record<'a>(self, bed: &'a Bed, key: &'a [u8; 16], value: &'a [u8]) -> Record<'a> {
        match self {
            Door::Handle => bed.topic.record(value).key(key),
            Door::Name => Record::new(TOPIC, value).key(key),
            Door::Partition => bed.topic.record(value).key(key).partition(0),
            Door::Place => bed.topic.record(value).key(key).partition(0).timestamp_ms(TIME),
        }
    }
}

/// Some time in 2023.
const TIME: i64 = 1_700_000_000_000;

fn copy_of(value: usize) -> &'static str {
    match value {
        SMALL => COPY_SMALL,
        LARGE => COPY_LARGE,
        _ => COPY_HUGE,
    }
}

/// About as much as half of the largest chunk.
const WINDOW_BYTES: usize = 128 << 10;
/// Windows until the log may rest: a quarter of the stage.
const BURST: usize = 8;
const BURSTS: usize = 4;
/// A log is replaced when it holds this much.
const RENEW_BYTES: usize = 64 << 20;

/// The append path alone: records are sent in windows of 128 KiB, and the sample is the median
/// window. Moving the stage to segments falls between windows or in a few of them; what that
/// costs is seen in the sustained rows.
struct Windows {
    plan: Plan,
    bed: Bed,
    sent: usize,
}

impl Windows {
    fn new(plan: Plan) -> Self {
        Self { plan, bed: plan.make(), sent: 0 }
    }

    fn sample(&mut self, window: usize, bytes: usize, send: impl Fn(&Bed)) -> Sample {
        if self.sent == 0 || self.sent > RENEW_BYTES {
            self.renew(bytes, &send);
        }
        let mut windows = Vec::with_capacity(BURST * BURSTS);
        for _ in 0..BURSTS {
            for _ in 0..BURST {
                let start = Instant::now();
                send(&self.bed);
                windows.push(start.elapsed());
            }
            self.bed.rest();
        }
        self.sent += BURST * BURSTS * bytes;
        windows.sort();
        Sample::new(windows[windows.len() / 2], window)
    }

    /// A new log whose stage has been filled once, so that all its memory is there.
    fn renew(&mut self, bytes: usize, send: &impl Fn(&Bed)) {
        if self.sent > 0 {
            self.bed = self.plan.make();
        }
        self.sent = 0;
        while self.sent < STAGE_BYTES * 3 / 2 {
            send(&self.bed);
            self.sent += bytes;
        }
        self.bed.rest();
    }
}

fn one(door: Door, level: Durability, value: usize) -> Row {
    let name = format!("send {} {value} B, {}", door.name(), level_name(level));
    let row = Row::new("append", name, move || {
        let mut windows = Windows::new(Plan::new(level));
        let data = Data::new(value);
        let count = WINDOW_BYTES / data.encoded_len();
        move || {
            windows.sample(count, count * data.encoded_len(), |bed| {
                for key in data.keys.iter().cycle().take(count) {
                    let record = door.record(bed, key, &data.value);
                    let _ = bed.producer.send(record).unwrap();
                }
            })
        }
    });
    row.limited_by(copy_of(value), 1.0)
}

fn batch(level: Durability, count: usize, value: usize) -> Row {
    let name = format!("batch of {count}, {value} B, {}", level_name(level));
    let row = Row::new("append", name, move || {
        let mut windows = Windows::new(Plan::new(level));
        let data = Data::new(value);
        let batches = (WINDOW_BYTES / data.encoded_len() / count).max(1);
        let bytes = batches * count * data.encoded_len();
        move || {
            windows.sample(batches * count, bytes, |bed| {
                for _ in 0..batches {
                    let keys = data.keys.iter().take(count);
                    let records = keys.map(|key| bed.topic.record(&data.value).key(key));
                    let sent = bed.producer.send_batch(records);
                    sent.parts()[0].result().unwrap();
                }
            })
        }
    });
    row.limited_by(copy_of(value), 1.0)
}

/// As many bytes as a sustained run writes.
const SUSTAINED_BYTES: usize = 256 << 20;

/// From one thread, with the log's own thread beside it: everything that an append costs, the
/// checksums and the writes to segments included.
fn sustained(value: usize) -> Row {
    let level = ProcessCrash;
    let name = format!("sustained {value} B, {}", level_name(level));
    let row = Row::new("append", name, move || {
        let data = Data::new(value);
        let count = SUSTAINED_BYTES / data.encoded_len();
        move || {
            let bed = Plan::new(level).background().make();
            let start = Instant::now();
            for key in data.keys.iter().cycle().take(count) {
                let _ = bed.producer.send(bed.topic.record(&data.value).key(key)).unwrap();
            }
            Sample::new(start.elapsed(), count)
        }
    });
    row.limited_by(WRITE, encoded_len(value) as f64)
}

const DURABLE_ONE: &str = "send and wait, 100 B, power-loss";

fn durable_one() -> Row {
    let row = Row::new("durable", DURABLE_ONE, || {
        let bed = Plan::new(PowerLoss).make();
        let data = Data::new(SMALL);
        move || {
            let start = Instant::now();
            for key in &data.keys[..8] {
                bed.producer.send(bed.topic.record(&data.value).key(key)).unwrap().wait().unwrap();
            }
            Sample::new(start.elapsed(), 8)
        }
    });
    row.limited_by(SYNC, 1.0)
}

/// Threads that each send a record and wait for it.
fn durable_threads(threads: usize) -> Row {
    const EACH: usize = 8;
    let name = format!("{threads} threads send and wait, 100 B, power-loss");
    let row = Row::new("durable", name, move || {
        let bed = Plan::new(PowerLoss).make();
        let data = Data::new(SMALL);
        move || {
            let elapsed = together(threads, |thread| {
                for key in data.keys.iter().skip(thread * EACH).take(EACH) {
                    let record = bed.topic.record(&data.value).key(key);
                    bed.producer.send(record).unwrap().wait().unwrap();
                }
            });
            Sample::new(elapsed, threads * EACH)
        }
    });
    row.limited_by(SYNC_SHARED, 1.0)
}

const WINDOW: usize = 1_024;

/// A window of records is sent, then the last of them is waited for.
fn durable_window(value: usize, limit: &'static str) -> Row {
    let name = format!("window of {WINDOW}, {value} B, power-loss");
    window_row(name, value).limited_by(limit, 1.0 / WINDOW as f64)
}

fn window_row(name: String, value: usize) -> Row {
    Row::new("durable", name, move || {
        let mut bed = Plan::new(PowerLoss).make();
        let data = Data::new(value);
        let mut sent = 0;
        move || {
            if sent > RENEW_BYTES {
                bed = Plan::new(PowerLoss).make();
                sent = 0;
            }
            let mut elapsed = Duration::ZERO;
            for _ in 0..2 {
                let start = Instant::now();
                let mut last = None;
                for key in &data.keys {
                    let record = bed.topic.record(&data.value).key(key);
                    last = Some(bed.producer.send(record).unwrap());
                }
                last.unwrap().wait().unwrap();
                elapsed += start.elapsed();
            }
            sent += 2 * data.keys.len() * data.encoded_len();
            Sample::new(elapsed, 2 * data.keys.len())
        }
    })
}
