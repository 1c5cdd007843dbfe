//! What the child appends: streams of calls, each a function of its stream and number, so that
//! whoever reads the log knows every byte that must stand there.

use alluvium::{EventLog, Header, NewTopic, OwnedDelivery, Producer, Record, Topic};

/// A topic of each level.
pub const TOPICS: [&str; 2] = ["process-crash", "power-loss"];
pub const PARTITIONS: usize = 3;
/// Threads; the key says which one appended.
pub const WRITERS: usize = 3;
/// One for each topic, partition and writer.
pub const STREAMS: usize = TOPICS.len() * PARTITIONS * WRITERS;

/// How often each call of the log so far was seen: the next number of each stream.
pub type Counts = [u64; STREAMS];

/// A small generator of numbers (`SplitMix64`): one seed, one run.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        b ^ (b >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Where a stream's records stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub topic: usize,
    pub partition: usize,
    pub writer: usize,
}

impl Stream {
    pub fn new(index: usize) -> Self {
        let place = index / WRITERS;
        let (topic, partition) = (place / PARTITIONS, place % PARTITIONS);
        Self { topic, partition, writer: index % WRITERS }
    }

    pub fn index(self) -> usize {
        (self.topic * PARTITIONS + self.partition) * WRITERS + self.writer
    }
}

/// One record as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub value: Option<Vec<u8>>,
    pub number: Vec<u8>,
    pub has_header: bool,
    pub timestamp_ms: Option<i64>,
}

/// The records of call `number` of a stream: one, or a few that belong together.
pub fn call(stream: usize, number: u64) -> Vec<Expected> {
    let mut random = Random(number << 8 | stream as u64);
    random.next();
    let count = if random.one_in(8) { 2 + random.below(5) } else { 1 };
    (0..count).map(|_| record(&mut random, number, count == 1)).collect()
}

fn record(random: &mut Random, number: u64, may_be_large: bool) -> Expected {
    let len = match random.below(100) {
        0..30 => 1 + random.below(16),
        30..70 => 1 + random.below(300),
        70..94 => 1 + random.below(4_000),
        94..98 if may_be_large => 1 + random.below(40_000),
        98..100 if may_be_large => 60_000 + random.below(40_000),
        _ => 0,
    };
    let value = (!random.one_in(20)).then(|| filled(random, len));
    Expected {
        value,
        number: number.to_le_bytes().to_vec(),
        has_header: random.one_in(3),
        timestamp_ms: (!random.one_in(4)).then_some(1_600_000_000_000 + number as i64),
    }
}

fn filled(random: &mut Random, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub fn key(writer: usize) -> String {
    format!("writer-{writer}")
}

pub fn writer_of(key: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(key).ok()?;
    text.strip_prefix("writer-")?.parse().ok().filter(|&writer| writer < WRITERS)
}

/// The options of a log: how the child and the parent open it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub stage_bytes: usize,
    pub segment_bytes: usize,
    pub flush_ms: u64,
}

impl Shape {
    pub fn random(random: &mut Random) -> Self {
        Self {
            stage_bytes: [128 << 10, 512 << 10, 4 << 20][random.below(3)],
            segment_bytes: [120_000, 250_000, 2_000_000][random.below(3)],
            flush_ms: [1, 10, 100][random.below(3)],
        }
    }

    pub fn encode(&self) -> String {
        format!("{} {} {}", self.stage_bytes, self.segment_bytes, self.flush_ms)
    }

    pub fn decode(text: &str) -> Self {
        let mut words = text.split(' ').map(|word| word.parse::<usize>().unwrap());
        let mut word = || words.next().unwrap();
        Self { stage_bytes: word(), segment_bytes: word(), flush_ms: word() as u64 }
    }

    pub fn open(&self, dir: &std::path::Path) -> alluvium::Result<EventLog> {
        EventLog::builder()
            .path(dir)
            .stage_bytes(self.stage_bytes)
            .flush_interval(std::time::Duration::from_millis(self.flush_ms))
            .open()
    }

    pub fn topics(&self, log: &EventLog) -> Vec<Topic> {
        let topic = |name: &str| {
            let topic = NewTopic::new(name)
                .partitions(PARTITIONS as u32)
                .config("durability", name)
                .config("internal.segment.bytes", &self.segment_bytes.to_string());
            log.ensure_topic(topic).unwrap()
        };
        TOPICS.iter().map(|name| topic(name)).collect()
    }
}

/// Appends call `number`; returns the offset of its first record, and what can be waited for.
pub fn send(
    producer: &Producer,
    topics: &[Topic],
    stream: usize,
    number: u64,
) -> (u64, Option<OwnedDelivery>) {
    let place = Stream::new(stream);
    let key = key(place.writer);
    let expected = call(stream, number);
    let headers: Vec<[Header<'_>; 1]> =
        expected.iter().map(|e| [("number", Some(&e.number[..]))]).collect();
    let records = expected.iter().zip(&headers).map(|(expected, header)| {
        let topic = &topics[place.topic];
        let record: Record<'_> = match &expected.value {
            Some(value) => topic.record(value).key(&key),
            None => topic.tombstone(&key),
        };
        let record = record.partition(place.partition as u32);
        let record = if expected.has_header { record.headers(header) } else { record };
        match expected.timestamp_ms {
            Some(time) => record.timestamp_ms(time),
            None => record,
        }
    });
    if expected.len() == 1 {
        let delivery = records.map(|record| producer.send(record).unwrap()).next().unwrap();
        return (delivery.placed().offset, Some(delivery.into_owned()));
    }
    let batch = producer.send_batch(records);
    let offsets = batch.parts()[0].result().unwrap();
    assert_eq!(offsets.end - offsets.start, expected.len() as u64);
    (offsets.start, None)
}
