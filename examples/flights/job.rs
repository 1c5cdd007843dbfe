//! The log's part of the job: open, write what is missing, read all.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use alluvium::{
    Consumer, ConsumerRecord, EventLog, NewTopic, OffsetReset, Offsets, Producer, Topic,
    TopicPartition,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::input::Input;
use crate::plan::{Ledger, Seen};

/// What a step of the job returns.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

const TOPIC: &str = "flights";

/// A bar is shown from this many records on; a shorter job is over before it can be read.
const LONG_INPUT: usize = 50_000;

/// How often a bar moves, in records.
const BAR_STEP: usize = 4_096;

/// A log with its topic of flights.
pub struct Flights {
    log: EventLog,
    topic: Topic,
}

impl Flights {
    /// Opens or creates the log in `dir` and its topic. The level is the default of a log on disk:
    /// what is acknowledged survives a power cut.
    pub fn open(dir: &Path, partitions: u32) -> Outcome<Self> {
        let log = EventLog::open(dir)?;
        let topic = log.ensure_topic(NewTopic::new(TOPIC).partitions(partitions))?;
        Ok(Self { log, topic })
    }

    /// Opens a log whose process was killed.
    ///
    /// A consumer sees a record when it has reached the level of its topic. Records that the
    /// process had placed but not yet synced are in the log and must be counted, or they would be
    /// written twice; a clean close brings them to that level.
    pub fn recover(dir: &Path, partitions: u32) -> Outcome<Self> {
        Self::open(dir, partitions)?.close()?;
        Self::open(dir, partitions)
    }

    /// Closes the log; everything in it is synced.
    pub fn close(self) -> Outcome<()> {
        Ok(self.log.close()?)
    }

    /// Reads the whole topic and ticks off what is there.
    pub fn ledger<'i>(&self, input: &'i Input) -> Outcome<Ledger<'i>> {
        let mut ledger = Ledger::new(input);
        self.read_all(&ProgressBar::hidden(), |record| Ok(ledger.tick_off(&seen(record))?))?;
        Ok(ledger)
    }

    /// Hands every record of the topic to `each`, in order within a partition. Returns how long
    /// that took.
    pub fn read_all(
        &self,
        bar: &ProgressBar,
        mut each: impl FnMut(&ConsumerRecord<'_>) -> Outcome<()>,
    ) -> Outcome<Duration> {
        let mut consumer = self.log.consumer().offset_reset(OffsetReset::Earliest).build()?;
        let all: Vec<_> =
            (0..self.topic.partition_count()).map(|p| TopicPartition::new(TOPIC, p)).collect();
        consumer.assign(all.iter().cloned())?;
        let ends = consumer.end_offsets(&all)?;
        let start = Instant::now();
        let mut count = 0;
        while !at_the_end(&consumer, &ends)? {
            for record in &consumer.poll(Duration::from_secs(1))? {
                each(&record)?;
                count += 1;
                if count % BAR_STEP == 0 {
                    bar.set_position(count as u64);
                }
            }
        }
        bar.finish_and_clear();
        Ok(start.elapsed())
    }
}

fn at_the_end(consumer: &Consumer, ends: &Offsets) -> Outcome<bool> {
    for (partition, end) in ends.iter() {
        if consumer.position(partition)? < end {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A record with the headers that the job gave it.
fn seen<'r>(record: &ConsumerRecord<'r>) -> Seen<'r> {
    Seen {
        partition: record.partition(),
        offset: record.offset(),
        timestamp_ms: record.timestamp_ms(),
        key: record.key(),
        value: record.value(),
        carrier: record.header("carrier").flatten(),
        origin: record.header("origin").flatten(),
    }
}

/// Writes the rows of an input that a log does not hold yet.
pub struct Ingest<'j> {
    input: &'j Input,
    topic: &'j Topic,
    producer: Producer,
    /// By partition: the offset that its next record must get.
    next_offsets: Vec<u64>,
}

impl<'j> Ingest<'j> {
    /// Goes on where `ledger` found the log.
    pub fn new(flights: &'j Flights, ledger: &Ledger<'j>, input: &'j Input) -> Outcome<Self> {
        let topic = &flights.topic;
        let next_offsets = (0..topic.partition_count()).map(|p| ledger.next_offset(p)).collect();
        Ok(Self { input, topic, producer: flights.log.producer().build()?, next_offsets })
    }

    /// Places the record of one row. It is acknowledged by the next [`flush`](Self::flush).
    pub fn send(&mut self, row: usize) -> Outcome<()> {
        let row = self.input.row(row);
        let headers =
            [("carrier", Some(row.carrier.as_bytes())), ("origin", Some(row.origin.as_bytes()))];
        let record = self.topic.record(row.text).key(row.tail).timestamp_ms(row.time_ms);
        let placed = self.producer.send(record.headers(&headers))?.placed();
        // A plan that overlooked records would write them again: better to stop.
        let expected = self.next_offsets.get_mut(placed.partition as usize);
        match expected {
            Some(next) if *next == placed.offset => *next += 1,
            _ => {
                let (partition, offset) = (placed.partition, placed.offset);
                return Err(format!("a record was placed at {TOPIC}-{partition}, {offset}").into());
            }
        }
        Ok(())
    }

    /// Places the records of all `rows`, waits until they are durable, and returns how long
    /// both took.
    pub fn send_all(&mut self, rows: &[usize], bar: &ProgressBar) -> Outcome<Duration> {
        let start = Instant::now();
        for (count, row) in rows.iter().enumerate() {
            self.send(*row)?;
            if count % BAR_STEP == 0 {
                bar.set_position(count as u64);
            }
        }
        self.flush()?;
        bar.finish_and_clear();
        Ok(start.elapsed())
    }

    /// Waits until everything sent so far is durable.
    pub fn flush(&self) -> Outcome<()> {
        Ok(self.producer.flush()?)
    }
}

/// A progress bar for `count` records; hidden for few, and where nobody watches.
pub fn bar(count: usize, what: &'static str) -> ProgressBar {
    if count < LONG_INPUT {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:13} {wide_bar} {human_pos}/{human_len} {eta}");
    let bar = ProgressBar::new(count as u64).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
