//! Readers at work while what they read goes away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::{Consumer, ErrorKind, EventLog, NewTopic, Records, Topic};

use crate::support::*;

const LIVES: u32 = 12;
const EACH: u32 = 400;

/// Segments so small that every life has sealed ones and a staged end.
fn create(log: &EventLog) -> Topic {
    log.create_topic(NewTopic::new("t").config("internal.segment.bytes", "20000")).unwrap()
}

/// A record tells its life and its offset, and is as long as that.
fn value(life: u32, offset: u32) -> Vec<u8> {
    let mut value = [life.to_le_bytes(), offset.to_le_bytes()].concat();
    value.resize(8 + (offset as usize * 37) % 300, life as u8);
    value
}

fn fill(log: &EventLog, life: u32) {
    let (topic, producer) = (create(log), producer(log));
    for offset in 0..EACH {
        let _ = producer.send(topic.record(&value(life, offset))).unwrap();
    }
    producer.flush().unwrap();
}

/// Life and offset of a record whose every byte is as it was written.
fn checked(record: &alluvium::ConsumerRecord<'_>) -> (u32, u64) {
    let bytes = record.value().unwrap();
    let life = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let offset = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
    assert_eq!(bytes, value(life, offset));
    assert_eq!(record.offset(), u64::from(offset));
    (life, record.offset())
}

/// What one reader has seen so far.
#[derive(Default)]
struct Seen {
    life: u32,
    next: u64,
    lives: usize,
}

impl Seen {
    fn add(&mut self, records: &Records) {
        for record in records {
            let (life, offset) = checked(&record);
            if life != self.life {
                assert!(life > self.life, "the life {} came back", self.life);
                assert_eq!(offset, 0, "life {life} begins at its beginning");
                (self.life, self.next) = (life, 0);
                self.lives += 1;
            }
            assert_eq!(offset, self.next, "in life {life}");
            self.next += 1;
        }
    }
}

/// Reads with polls of `most` records until the end of the last life. What a poll returned is
/// looked at only after the next one: the topic may be gone by then.
fn follow(log: &EventLog, seed: u64, over: &AtomicBool) -> Seen {
    let most = (1 + seed * 97 % 200).to_string();
    let builder = log.consumer().offset_reset(alluvium::OffsetReset::Earliest);
    let mut consumer = builder.set("max.poll.records", &most).build().unwrap();
    while let Err(error) = consumer.assign([tp("t", 0)]) {
        // Between two lives.
        assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition, "{error:?}");
    }
    let (mut seen, mut kept) = (Seen::default(), Records::default());
    let mut told = 0;
    loop {
        let last = over.load(Ordering::Acquire);
        match consumer.poll(Duration::from_millis(seed % 3)) {
            Ok(records) => {
                let is_end = records.is_empty();
                seen.add(&kept);
                kept = records;
                if last && is_end && kept.is_empty() && seen.life == LIVES {
                    assert!(told <= LIVES, "each deletion is told once: {told}");
                    return seen;
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition, "{error:?}");
                told += 1;
            }
        }
        (0..seed % 7).for_each(|_| thread::yield_now());
    }
}

#[test]
fn a35_c25_readers_follow_a_topic_through_many_lives_and_mix_none_of_them() {
    on_each_kind(|bed| {
        let log = bed.open();
        fill(&log, 1);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..6)
                .map(|seed| {
                    (
                        seed,
                        scope.spawn({
                            let (log, over) = (&log, &over);
                            move || follow(log, seed, over)
                        }),
                    )
                })
                .collect();
            for life in 2..=LIVES {
                // In every stage of the reading.
                (0..life * 40).for_each(|_| thread::yield_now());
                log.admin().delete_topic("t").unwrap();
                (0..life % 3 * 20).for_each(|_| thread::yield_now());
                fill(&log, life);
            }
            over.store(true, Ordering::Release);
            for (seed, reader) in readers {
                let seen = reader.join().unwrap();
                assert_eq!((seen.life, seen.next), (LIVES, u64::from(EACH)), "reader {seed}");
            }
        });
    });
}

fn earliest_of(log: &EventLog) -> Consumer {
    reader(log, [tp("t", 0)])
}

#[test]
fn a35_what_was_fetched_outlives_its_topic() {
    on_each_kind(|bed| {
        let log = bed.open();
        fill(&log, 1);
        // Once from the stage and segments in use, once from sealed segments, perhaps mapped.
        let log = bed.reopen(log);
        let mut polls = Vec::new();
        let mut consumer = earliest_of(&log);
        while consumer.lag(&tp("t", 0)).unwrap() > 0 {
            polls.push(consumer.poll(LONG).unwrap());
        }
        log.admin().delete_topic("t").unwrap();
        fill(&log, 2);
        let all = polls.iter().flat_map(|records| records.iter().map(|record| checked(&record)));
        let whole: Vec<_> = (0..u64::from(EACH)).map(|offset| (1, offset)).collect();
        assert_eq!(all.collect::<Vec<_>>(), whole);
        // What was fetched and not returned is forgotten with its topic.
        let error = refused(ErrorKind::UnknownTopicOrPartition, {
            let mut late = log.consumer().set("max.poll.records", "1").build().unwrap();
            late.assign([tp("t", 0)]).unwrap();
            late.seek_to_beginning(&[]).unwrap();
            assert_eq!(checked(&late.poll(LONG).unwrap().iter().next().unwrap()), (2, 0));
            log.admin().delete_topic("t").unwrap();
            late.poll(LONG)
        });
        assert_eq!(error.topic(), Some("t"));
    });
}

#[test]
fn c25_a_paused_partition_of_a_deleted_topic_is_told_when_it_goes_on() {
    on_each_kind(|bed| {
        let log = bed.open();
        fill(&log, 1);
        let mut consumer = earliest_of(&log);
        consumer.pause(&[tp("t", 0)]).unwrap();
        log.admin().delete_topic("t").unwrap();
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        consumer.resume(&[tp("t", 0)]).unwrap();
        refused(ErrorKind::UnknownTopicOrPartition, consumer.poll(LONG));
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty(), "once");
        fill(&log, 2);
        assert_eq!(checked(&consumer.poll(LONG).unwrap().iter().next().unwrap()), (2, 0));
    });
}
