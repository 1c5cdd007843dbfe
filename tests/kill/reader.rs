//! Reads a whole log and holds every record against what was appended.

use std::collections::HashMap;
use std::time::Duration;

use alluvium::{Consumer, ConsumerRecord, EventLog, OffsetReset, TopicPartition};

use crate::workload::{
    Counts, Expected, PARTITIONS, STREAMS, Stream, TOPICS, WRITERS, call, writer_of,
};

/// What a log holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// By partition, the next offset.
    ends: HashMap<TopicPartition, u64>,
    /// By stream, the first offset of each call.
    calls: [Vec<u64>; STREAMS],
    /// By stream, the records of its last call that are still to come.
    rest: [Vec<Expected>; STREAMS],
}

/// Reads what is visible at once, then everything. Panics at the first record that is not
/// exactly the one that must stand there.
pub fn read_all(log: &EventLog) -> Contents {
    let mut contents = Contents::default();
    let mut consumer = consumer(log);
    contents.take(&mut consumer, |records| records == 0);
    log.producer().build().unwrap().flush().unwrap();
    let partitions = partitions();
    let ends = consumer.end_offsets(&partitions).unwrap();
    contents.take(&mut consumer, |_| false);
    for tp in &partitions {
        let end = contents.ends.get(tp).copied().unwrap_or(0);
        assert_eq!(Some(end), ends.get(tp), "{tp}: read to its end");
    }
    let open: Vec<usize> = (0..STREAMS).filter(|&s| !contents.rest[s].is_empty()).collect();
    assert!(open.is_empty(), "a call is there in part, streams {open:?}");
    contents
}

pub fn partitions() -> Vec<TopicPartition> {
    let all = |topic| (0..PARTITIONS).map(move |p| TopicPartition::new(topic, p as u32));
    TOPICS.iter().flat_map(|&topic| all(topic)).collect()
}

pub fn consumer(log: &EventLog) -> Consumer {
    let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign(partitions()).unwrap();
    consumer
}

impl Contents {
    /// The next call of each stream.
    pub fn counts(&self) -> Counts {
        std::array::from_fn(|stream| self.calls[stream].len() as u64)
    }

    /// The first offset of a call, if it is there.
    pub fn offset(&self, stream: usize, number: u64) -> Option<u64> {
        self.calls[stream].get(number as usize).copied()
    }

    /// Polls until nothing comes and every partition is read to its visible end.
    fn take(&mut self, consumer: &mut Consumer, enough: impl Fn(usize) -> bool) {
        loop {
            let records = consumer.poll(Duration::ZERO).unwrap();
            assert!(records.gaps().is_empty(), "a kill leaves no gap: {:?}", records.gaps());
            records.iter().for_each(|record| self.check(record));
            let lag = |tp: &TopicPartition| consumer.lag(tp).unwrap();
            if enough(records.len()) || partitions().iter().all(|tp| lag(tp) == 0) {
                return;
            }
        }
    }

    fn check(&mut self, record: ConsumerRecord<'_>) {
        let tp = record.topic_partition();
        let end = self.ends.entry(tp.clone()).or_insert(0);
        assert_eq!(record.offset(), *end, "{tp}: offsets are dense");
        *end += 1;
        let writer = record.key().and_then(writer_of).expect("a key of ours");
        let topic = TOPICS.iter().position(|&name| name == tp.topic()).unwrap();
        let stream = Stream { topic, partition: tp.partition() as usize, writer }.index();
        debug_assert!(stream < STREAMS && writer < WRITERS);
        if self.rest[stream].is_empty() {
            let number = self.calls[stream].len() as u64;
            self.calls[stream].push(record.offset());
            self.rest[stream] = call(stream, number);
            self.rest[stream].reverse();
        } else {
            // The records of one call stand side by side.
            let (first, number) = (self.calls[stream].last(), self.calls[stream].len() - 1);
            let count = call(stream, number as u64).len() - self.rest[stream].len();
            assert_eq!(record.offset(), first.unwrap() + count as u64, "{tp}: a call torn apart");
        }
        let expected = self.rest[stream].pop().unwrap();
        same(record, &expected);
    }
}

fn same(record: ConsumerRecord<'_>, expected: &Expected) {
    let (tp, offset) = (record.topic_partition(), record.offset());
    let value = record.value().map(<[u8]>::len);
    assert_eq!(value, expected.value.as_ref().map(Vec::len), "{tp} {offset}: another value");
    assert!(record.value() == expected.value.as_deref(), "{tp} {offset}: a torn or foreign value");
    let number = expected.has_header.then_some(Some(&expected.number[..]));
    assert_eq!(record.header("number"), number, "{tp} {offset}: another header");
    match expected.timestamp_ms {
        Some(time) => assert_eq!(record.timestamp_ms(), Some(time), "{tp} {offset}"),
        None => assert!(record.timestamp_ms().is_some_and(|t| t > 1_700_000_000_000)),
    }
}
