//! Large records, which are written through, among small ones, which are staged.

use alluvium::{EventLog, NewTopic};

use crate::support::*;

/// Content that no other record has, told by its number and length. No two of its pieces are
/// equal, so that a piece in the wrong place shows.
fn value(n: usize, len: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(len + 512);
    let filling: Vec<_> = (0..500).map(|at| (n * 31 + at) as u8).collect();
    while value.len() < len {
        value.extend_from_slice(&(value.len() as u64).to_le_bytes());
        value.extend_from_slice(&filling);
    }
    value.truncate(len);
    value
}

const SIZES: [usize; 24] = [
    0, 1_024, 65_536, 7, 65_500, 131_040, 131_055, 131_057, 100_000, 10, 1_000_000, 1_048_560, 3,
    3, 16_384, 16_368, 30_000, 262_144, 5, 500_000, 40_000, 40_000, 40_000, 1,
];

fn check(log: &EventLog, count: usize) {
    let read = read_all(log, &tp("t", 0));
    assert_eq!(read.len(), count);
    for (n, record) in read.iter().enumerate() {
        assert_eq!(record.offset(), n as u64);
        let expected = value(n, SIZES[n % SIZES.len()]);
        assert!(record.value() == Some(&expected[..]), "offset {n}");
        assert_eq!(record.key(), Some(n.to_string().as_bytes()));
    }
}

fn send(log: &EventLog, from: usize, to: usize, wait: bool) {
    let producer = log.producer().set("max.request.size", "1048588").build().unwrap();
    let topic = log.topic("t").unwrap();
    for n in from..to {
        let (key, value) = (n.to_string(), value(n, SIZES[n % SIZES.len()]));
        let delivery = producer.send(topic.record(&value).key(&key)).unwrap();
        assert_eq!(delivery.placed().offset, n as u64);
        if wait {
            delivery.wait().unwrap();
        }
    }
    producer.flush().unwrap();
}

#[test]
fn large_and_small_come_back_exactly_and_in_order_in_every_life() {
    for wait in [false, true] {
        on_each_kind(|bed| {
            let mut log = bed.open();
            log.create_topic(NewTopic::new("t")).unwrap();
            for life in 0..2 {
                send(&log, life * 24, (life + 1) * 24, wait);
                check(&log, (life + 1) * 24);
                log = bed.reopen(log);
                check(&log, (life + 1) * 24);
            }
        });
    }
}

#[test]
fn large_and_small_go_through_small_segments_and_a_small_stage() {
    on_each_kind(|bed| {
        let log = bed.builder().stage_bytes(64 << 10).open().unwrap();
        let new = NewTopic::new("t").config("segment.bytes", "1100000");
        log.create_topic(new.config("max.message.bytes", "2000000")).unwrap();
        let producer = log.producer().set("max.request.size", "1048588").build().unwrap();
        let topic = log.topic("t").unwrap();
        for n in 0..48 {
            let (key, value) = (n.to_string(), value(n, SIZES[n % SIZES.len()]));
            let sent = producer.send(topic.record(&value).key(&key));
            assert_eq!(sent.unwrap_or_else(|e| panic!("{n}: {e:?}")).placed().offset, n as u64);
        }
        producer.flush().unwrap();
        check(&log, 48);
        check(&bed.reopen(log), 48);
    });
}

#[test]
fn a_large_call_and_a_crash_of_the_handle_lose_nothing() {
    on_disk(|bed| {
        let log = bed.open();
        log.create_topic(NewTopic::new("t")).unwrap();
        send(&log, 0, 24, false);
        drop(log);
        check(&bed.open(), 24);
    });
}

#[test]
fn a_reader_that_waits_gets_large_records_too() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let mut consumer = reader(&log, [tp("t", 0)]);
        let poller = std::thread::spawn(move || {
            take(&mut consumer, 20).iter().map(|r| r.value().unwrap().len()).collect::<Vec<_>>()
        });
        let producer = producer(&log);
        let sizes: Vec<_> = (0..20).map(|n| if n % 3 == 0 { 200_000 + n } else { n }).collect();
        for size in &sizes {
            place(&producer, topic.record(&vec![0; *size]));
        }
        assert_eq!(poller.join().unwrap(), sizes);
    });
}
