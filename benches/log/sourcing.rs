//! Rows of conditional appends, the key index and snapshots.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alluvium::{
    Durability, EventLog, Expect, NewTopic, OffsetReset, Producer, Records, Topic, TopicPartition,
};
use tempfile::TempDir;

use crate::bed::{LOG, Plan, TOPIC};
use crate::data::{Data, SMALL, encoded_len, scratch};
use crate::row::{Row, Sample};

const WINDOW: usize = 1_000;
/// Keys of the index that is looked into, each with this many events.
const KEYS: usize = 1_000_000;
const EVENTS: usize = 20;
const HISTORIES: usize = 10_000;
const LOOKS: usize = 200;

const PLAIN: &str = "append, no condition, no index";
const POINT: &str = "read of one record by offset, 1 M keys";
const LITTLE: &str = "snapshot of a log with 1 MiB sealed";

/// Everything that event sourcing is to reach.
pub fn rows() -> Vec<Row> {
    vec![
        row(PLAIN, || append(false, |_, _| None)),
        row("append if the offset is the next", || {
            append(false, |next, _| Some(Expect::NextOffset(next)))
        })
        .limited_by(PLAIN, 1.0)
        .aim(1.5),
        row("append to an indexed topic", || append(true, |_, _| None))
            .limited_by(PLAIN, 1.0)
            .aim(2.0),
        row("append if the key's latest is there", || {
            append(true, |_, latest| latest.map(Expect::KeyAt).or(Some(Expect::KeyAbsent)))
        })
        .limited_by(PLAIN, 1.0)
        .aim(3.0),
        row(POINT, || look(Look::Offset)),
        row("latest of a key, 1 M keys", || look(Look::Latest)).limited_by(POINT, 1.0).aim(5.0),
        row("history of a key, 20 events", || look(Look::History)).limited_by(POINT, 20.0).aim(1.0),
        row(LITTLE, || snapshot(1 << 20)),
        row("snapshot of a log with 512 MiB sealed", || snapshot(512 << 20))
            .limited_by(LITTLE, 1.0)
            .aim(1.5),
    ]
}

fn row<W: FnMut() -> Sample + 'static>(
    name: &'static str,
    plan: impl FnOnce() -> W + 'static,
) -> Row {
    Row::new("sourcing", name, plan)
}

struct Shop {
    log: EventLog,
    topic: Topic,
    producer: Producer,
    _home: TempDir,
}

fn shop(indexed: bool) -> Shop {
    let home = scratch();
    let builder = EventLog::builder().path(home.path().join(LOG)).background(false);
    let log = builder.durability(Durability::ProcessCrash).open().unwrap();
    let topic = log.create_topic(NewTopic::new(TOPIC).key_index(indexed)).unwrap();
    let producer = log.producer().build().unwrap();
    Shop { log, topic, producer, _home: home }
}

/// Records of 1,024 keys in turn, each with the condition that `expect` makes of the next offset
/// and of the offset of its key's latest record.
fn append(indexed: bool, expect: fn(u64, Option<u64>) -> Option<Expect>) -> impl FnMut() -> Sample {
    let Shop { log, topic, producer, _home } = shop(indexed);
    let data = Data::new(SMALL);
    let mut latest = vec![None; data.keys.len()];
    let (mut next, mut at) = (0, 0);
    move || {
        let _kept = &_home;
        let start = Instant::now();
        for _ in 0..WINDOW {
            let record = topic.record(&data.value).key(&data.keys[at]);
            let placed = match expect(next, latest[at]) {
                Some(expect) => producer.send_if(record, expect).unwrap().placed(),
                None => producer.send(record).unwrap().placed(),
            };
            latest[at] = Some(placed.offset);
            next = placed.offset + 1;
            at = (at + 1) % data.keys.len();
        }
        let elapsed = start.elapsed();
        producer.flush().unwrap();
        log.tick();
        Sample::new(elapsed, WINDOW)
    }
}

#[derive(Clone, Copy)]
enum Look {
    Offset,
    Latest,
    History,
}

fn look(what: Look) -> impl FnMut() -> Sample {
    let Shop { log, topic, producer, _home } = shop(true);
    let data = Data::new(SMALL);
    let (keys, events) = match what {
        Look::History => (HISTORIES, EVENTS),
        Look::Offset | Look::Latest => (KEYS, 1),
    };
    let key = |number: usize| (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    for number in (0..events).flat_map(|_| 0..keys) {
        let _ = producer.send(topic.record(&data.value).key(&key(number))).unwrap();
    }
    producer.flush().unwrap();
    log.admin().roll(TOPIC).unwrap();
    let consumer = log.consumer().offset_reset(OffsetReset::Earliest);
    let mut consumer = consumer.set("max.poll.records", "1").build().unwrap();
    let place = TopicPartition::new(TOPIC, 0);
    consumer.assign([place.clone()]).unwrap();
    let (mut records, mut state) = (Records::default(), 1_u64);
    move || {
        let _kept = (&_home, &log, &producer);
        let start = Instant::now();
        for _ in 0..LOOKS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (state >> 33) as usize % keys;
            match what {
                Look::Offset => {
                    consumer.seek(&place, number as u64).unwrap();
                    assert_eq!(consumer.poll_into(&mut records, Duration::ZERO).unwrap(), 1);
                }
                Look::Latest => {
                    let found = topic.latest(key(number)).unwrap().unwrap();
                    assert_eq!(found.offset(), number as u64);
                }
                Look::History => {
                    let found = topic.history(key(number)).unwrap();
                    assert_eq!(found.map(Result::unwrap).count(), EVENTS);
                }
            }
        }
        Sample::new(start.elapsed(), LOOKS)
    }
}

/// A copy of a log that has so many bytes in sealed segments of 16 MiB, and little beside them.
fn snapshot(sealed: usize) -> impl FnMut() -> Sample {
    let plan = Plan::new(Durability::ProcessCrash).segment_bytes("16777216");
    let bed = crate::read::filled_with(plan, SMALL, sealed / encoded_len(SMALL));
    bed.log.admin().roll(TOPIC).unwrap();
    let target = scratch();
    let mut copies = 0;
    move || {
        // All of it: the files go with it.
        let _kept = &bed;
        copies += 1;
        let to: PathBuf = target.path().join(copies.to_string());
        let start = Instant::now();
        let report = bed.log.snapshot(&to).unwrap();
        let elapsed = start.elapsed();
        assert!(report.copied_segments == 0 && report.linked_segments > 0);
        std::fs::remove_dir_all(&to).unwrap();
        Sample::new(elapsed, 1)
    }
}
