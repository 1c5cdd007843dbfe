//! Stored bytes that have changed: refused by default, stepped over by choice and never silently.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use alluvium::{
    Consumer, ConsumerEvent, ErrorKind, EventLog, NewTopic, OffsetReset, Topic, TopicPartition,
};

use crate::support::*;

/// Bytes of a segment file's header, and of a batch's.
const HEADER: usize = 64;

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// A batch in a file: where it begins there, and the offsets that it holds.
#[derive(Clone, Debug)]
struct Batch {
    file: PathBuf,
    at: usize,
    offsets: Range<u64>,
}

impl Batch {
    /// Turns one bit of it, or turns it back.
    fn flip(&self, byte: usize) {
        self.flip_bit(byte, 0);
    }

    fn flip_bit(&self, byte: usize, number: u32) {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.file).unwrap();
        let (mut bit, at) = ([0], SeekFrom::Start((self.at + byte) as u64));
        file.seek(at).unwrap();
        file.read_exact(&mut bit).unwrap();
        file.seek(at).unwrap();
        file.write_all(&[bit[0] ^ (1 << number)]).unwrap();
    }
}

fn batches(bed: &Bed, topic: &Topic) -> Vec<Batch> {
    let mut found = Vec::new();
    for file in bed.segment_files(topic) {
        let bytes = fs::read(&file).unwrap();
        let (mut at, mut next) = (HEADER, None);
        while let Some(base) = bytes.get(at + 16..at + 24) {
            let base = u64::from_le_bytes(base.try_into().unwrap());
            // Behind the batches stands a footer, or nothing.
            let is_batch = bytes[at..at + 3] == bytes[HEADER..HEADER + 3];
            if !is_batch || next.is_some_and(|next| next != base) || number(&bytes, at + 8) == 0 {
                break;
            }
            let behind = base + number(&bytes, at + 32) as u64 + 1;
            found.push(Batch { file: file.clone(), at, offsets: base..behind });
            (next, at) = (Some(behind), at + HEADER + number(&bytes, at + 8));
        }
    }
    found.sort_by_key(|batch| batch.offsets.start);
    found
}

/// A log of 100 records in ten batches, which stand in segments of so many bytes.
fn hundred(bed: &Bed, segment: &str) -> (EventLog, Topic) {
    let log = bed.open();
    let topic = NewTopic::new("t").config("internal.segment.bytes", segment);
    let topic = log.create_topic(topic).unwrap();
    let producer = producer(&log);
    // So large a call is written through to the segment, as one batch.
    let value = [7; 14_000];
    for _ in 0..10 {
        let records: Vec<_> = (0..10).map(|_| topic.record(&value)).collect();
        producer.send_batch(records).wait().unwrap();
    }
    (log, topic)
}

fn skipping(log: &EventLog) -> Consumer {
    let builder = log.consumer().offset_reset(OffsetReset::Earliest).skip_corrupt(true);
    let mut consumer = builder.build().unwrap();
    consumer.assign([tp("t", 0)]).unwrap();
    consumer
}

/// What a consumer reads that steps over damage: offsets, and gaps. The events agree.
fn read_around(log: &EventLog) -> (Vec<u64>, Vec<(u64, u64)>) {
    let mut consumer = skipping(log);
    let (mut seen, mut gaps) = (Vec::new(), Vec::new());
    while consumer.lag(&tp("t", 0)).unwrap() > 0 {
        let records = consumer.poll(LONG).unwrap();
        assert!(!records.is_empty() || !records.gaps().is_empty());
        seen.extend(records.iter().map(|record| record.offset()));
        gaps.extend(records.gaps().iter().map(|gap| (gap.from, gap.to)));
    }
    let events = consumer.take_events();
    let skipped = events.iter().filter_map(|event| match event {
        ConsumerEvent::SkippedDamage { partition, from, to, cause } => {
            assert_eq!((partition, cause.kind()), (&tp("t", 0), ErrorKind::CorruptMessage));
            assert_eq!((cause.offset(), cause.path().is_some()), (Some(*from), true));
            Some((*from, *to))
        }
        _ => None,
    });
    assert_eq!(skipped.collect::<Vec<_>>(), gaps, "the events tell the same");
    (seen, gaps)
}

#[test]
fn c22_damage_is_stepped_over_by_choice_and_told_as_a_gap() {
    // In a payload: its header says where the batch ends. In a header: the index knows the next.
    for (byte, segment) in
        [HEADER + 40, 16].into_iter().flat_map(|b| [(b, "490000"), (b, "9999999")])
    {
        on_disk(|bed| {
            let (log, topic) = hundred(bed, segment);
            let batches = batches(bed, &topic);
            assert_eq!(batches.len(), 10);
            for lost in &batches {
                lost.flip(byte);
                let offsets = lost.offsets.clone();
                // By default it is refused, as often as one asks.
                let mut strict = reader(&log, [tp("t", 0)]);
                strict.seek(&tp("t", 0), offsets.start).unwrap();
                for _ in 0..2 {
                    let error = refused(ErrorKind::CorruptMessage, strict.poll(Duration::ZERO));
                    assert_eq!(error.offset(), Some(offsets.start));
                    assert_eq!(strict.position(&tp("t", 0)).unwrap(), offsets.start);
                }
                assert!(strict.take_events().is_empty());
                let (seen, gaps) = read_around(&log);
                assert_eq!(gaps, [(offsets.start, offsets.end)], "byte {byte} of {lost:?}");
                let left: Vec<_> = (0..100).filter(|offset| !offsets.contains(offset)).collect();
                assert_eq!(seen, left);
                lost.flip(byte);
            }
            assert_eq!(read_around(&log).0.len(), 100);
        });
    }
}

#[test]
fn c22_damage_in_several_batches_is_several_gaps() {
    on_disk(|bed| {
        let (log, topic) = hundred(bed, "490000");
        let batches = batches(bed, &topic);
        let lost = [1, 2, 4, 9].map(|n| batches[n].clone());
        lost.iter().for_each(|batch| batch.flip(HEADER));
        let log = bed.reopen(log);
        let (seen, gaps) = read_around(&log);
        let expected: Vec<_> = lost.iter().map(|b| (b.offsets.start, b.offsets.end)).collect();
        assert_eq!(gaps, expected);
        let is_lost = |offset: &u64| lost.iter().any(|batch| batch.offsets.contains(offset));
        assert_eq!(seen, (0..100).filter(|offset| !is_lost(offset)).collect::<Vec<_>>());
    });
}

/// A consumer that does not compute checksums.
fn trusting(log: &EventLog, partition: TopicPartition) -> Consumer {
    let builder = log.consumer().offset_reset(OffsetReset::Earliest).set("check.crcs", "false");
    let mut consumer = builder.build().unwrap();
    consumer.assign([partition]).unwrap();
    consumer
}

#[test]
fn a05_a_changed_value_is_found_unless_check_crcs_is_false() {
    for segment in ["490000", "9999999"] {
        on_disk(|bed| {
            let (log, topic) = hundred(bed, segment);
            let changed = &batches(bed, &topic)[2];
            // The value of its first record.
            changed.flip(HEADER + 16 + 5);
            let from = changed.offsets.start;
            let builder = || log.consumer().offset_reset(OffsetReset::Earliest);
            for strict in [
                builder(),
                builder().set("check.crcs", "true"),
                builder().set("check.crcs", "false").check_crcs(true),
            ] {
                let mut strict = strict.build().unwrap();
                strict.assign([tp("t", 0)]).unwrap();
                strict.seek(&tp("t", 0), from).unwrap();
                refused(ErrorKind::CorruptMessage, strict.poll(Duration::ZERO));
            }
            let mut consumer = trusting(&log, tp("t", 0));
            consumer.seek(&tp("t", 0), from).unwrap();
            let records = consumer.poll(Duration::ZERO).unwrap();
            let first = records.iter().next().unwrap();
            assert_eq!((first.offset(), first.value().map(|value| value[5])), (from, Some(7 ^ 1)));
            assert_eq!(take(&mut trusting(&log, tp("t", 0)), 100).len(), 100);
            // What places and numbers the batch has a checksum that is always looked at.
            changed.flip(16);
            consumer.seek(&tp("t", 0), from).unwrap();
            refused(ErrorKind::CorruptMessage, consumer.poll(Duration::ZERO));
        });
    }
}

#[test]
fn a05_without_check_crcs_changed_records_are_refused_or_keep_their_bounds_and_order() {
    const RECORD: usize = 16 + 14_000;
    on_disk(|bed| {
        let (log, topic) = hundred(bed, "490000");
        let (mut refusals, mut polls) = (0, 0);
        let changed = &batches(bed, &topic)[1];
        for record in [0, 1, 5, 9] {
            for (byte, bit) in (0..16).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
                changed.flip_bit(HEADER + record * RECORD + byte, bit);
                let mut consumer = trusting(&log, tp("t", 0));
                let mut next = 0;
                while next < 100 {
                    match consumer.poll(Duration::ZERO) {
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::CorruptMessage, "{error}");
                            assert!(changed.offsets.contains(&error.offset().unwrap()));
                            refusals += 1;
                            break;
                        }
                        Ok(records) => {
                            assert!(!records.is_empty(), "at {next} of {byte}.{bit}");
                            for record in &records {
                                assert!((next..100).contains(&record.offset()));
                                let parts = [record.key(), record.value()].into_iter().flatten();
                                assert!(parts.map(<[u8]>::len).sum::<usize>() < 10 * RECORD);
                                next = record.offset() + 1;
                            }
                        }
                    }
                }
                polls += 1;
                changed.flip_bit(HEADER + record * RECORD + byte, bit);
            }
        }
        // Lengths, flags and offsets are looked at; times may be any.
        assert!(refusals > polls / 2 && refusals < polls, "{refusals} of {polls}");
        assert_eq!(take(&mut trusting(&log, tp("t", 0)), 100).len(), 100);
    });
}
