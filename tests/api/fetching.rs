//! What a read from some offset gives.

use std::time::Duration;

use alluvium::{ErrorKind, EventLog, NewTopic, OffsetReset};

use crate::support::*;

fn strict(log: &EventLog) -> alluvium::Consumer {
    let mut consumer = log.consumer().offset_reset(OffsetReset::None).build().unwrap();
    consumer.assign([tp("t", 0)]).unwrap();
    consumer
}

#[test]
fn a30_what_is_acknowledged_is_visible_and_nothing_else_is() {
    on_each_kind(|bed| {
        let log = bed.builder().background(false).open().unwrap();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let consumer = strict(&log);
        let place = tp("t", 0);
        let bounds = || {
            let start = consumer.beginning_offsets(std::slice::from_ref(&place)).unwrap();
            let end = consumer.end_offsets(std::slice::from_ref(&place)).unwrap();
            (start.get(&place).unwrap(), end.get(&place).unwrap())
        };
        assert_eq!(bounds(), (0, 0));
        for n in 1..=20 {
            let delivery = producer.send(topic.record("v")).unwrap();
            let (start, before) = bounds();
            assert!(start == 0 && before <= n, "{before} of {n}");
            if bed.kind == Kind::PowerLoss {
                assert_eq!(before, n - 1, "not durable, so not to be seen");
            } else {
                assert_eq!(before, n, "placed is acknowledged");
            }
            delivery.wait().unwrap();
            assert_eq!(bounds(), (0, n));
        }
    });
}

#[test]
fn a31_fetch_below_start_or_beyond_end_is_out_of_range() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        for _ in 0..3 {
            put(&producer, topic.record("v"));
        }
        let log = bed.reopen(log);
        let mut consumer = strict(&log);
        for beyond in [4, 5, 1 << 40, u64::MAX] {
            consumer.seek(&tp("t", 0), beyond).unwrap();
            let error = refused(ErrorKind::OffsetOutOfRange, consumer.poll(Duration::ZERO));
            assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
            assert_eq!(error.offset(), Some(beyond));
            assert_eq!(error.kafka_code(), Some(1));
        }
        // At the end itself there is nothing, which is no error.
        consumer.seek(&tp("t", 0), 3).unwrap();
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        consumer.seek(&tp("t", 0), 2).unwrap();
        assert_eq!(offsets(&take(&mut consumer, 1)), [2]);
    });
}

#[test]
fn a32_a_read_from_within_a_batch_begins_with_that_record() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let texts: Vec<_> = (0..50).map(|n| n.to_string()).collect();
        producer(&log).send_batch(texts.iter().map(|v| topic.record(v))).wait().unwrap();
        let check = |log: &EventLog| {
            for from in 0..50 {
                let mut consumer = strict(log);
                consumer.seek(&tp("t", 0), from).unwrap();
                let read = take(&mut consumer, 50 - from as usize);
                assert_eq!(offsets(&read), (from..50).collect::<Vec<_>>());
                assert_eq!(read[0].value_str().unwrap(), texts[from as usize]);
            }
        };
        check(&log);
        check(&bed.reopen(log));
    });
}

#[test]
fn a33_limits_in_bytes_never_starve_a_reader() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let sizes = [10, 5_000, 1, 100_000, 300_000, 10];
        for size in sizes {
            put(&producer, topic.record(&vec![b'x'; size]));
        }
        let check = |log: &EventLog| {
            for (key, value) in [
                ("max.partition.fetch.bytes", "1"),
                ("fetch.max.bytes", "1"),
                ("max.partition.fetch.bytes", "20000"),
            ] {
                let consumer = log.consumer().offset_reset(OffsetReset::Earliest);
                let mut consumer = consumer.set(key, value).build().unwrap();
                consumer.assign([tp("t", 0)]).unwrap();
                let read = take(&mut consumer, sizes.len());
                let read: Vec<_> = read.iter().map(|r| r.value().unwrap().len()).collect();
                assert_eq!(read, sizes, "{key}={value}");
            }
        };
        check(&log);
        check(&bed.reopen(log));
    });
}

#[test]
fn a33_a_poll_stays_within_its_bytes_where_it_can() {
    on_disk(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        // Each too large for the stage, hence a batch of its own.
        let value = vec![b'x'; 140_000];
        for _ in 0..10 {
            put(&producer, topic.record(&value));
        }
        let consumer = log.consumer().offset_reset(OffsetReset::Earliest);
        let mut consumer = consumer.set("max.partition.fetch.bytes", "350000").build().unwrap();
        consumer.assign([tp("t", 0)]).unwrap();
        let mut polls = Vec::new();
        while polls.iter().sum::<usize>() < 10 {
            polls.push(consumer.poll(LONG).unwrap().len());
        }
        assert_eq!(polls, [2; 5]);
    });
}

#[test]
fn a34_position_equals_end_when_all_is_read() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = log.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        let producer = producer(&log);
        for n in 0..1_234_u32 {
            place(&producer, topic.record(&n.to_string()).partition(n % 2));
        }
        producer.flush().unwrap();
        let log = bed.reopen(log);
        let places = [tp("t", 0), tp("t", 1)];
        let mut consumer = reader(&log, places.clone());
        let ends = consumer.end_offsets(&places).unwrap();
        let mut count = 0;
        while ends.iter().any(|(place, end)| consumer.position(place).unwrap() != end) {
            let records = consumer.poll(LONG).unwrap();
            assert!(!records.is_empty());
            for (place, next) in records.next_offsets().iter() {
                assert_eq!(consumer.position(place).unwrap(), next);
            }
            count += records.len();
        }
        assert_eq!(count, 1_234);
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    });
}
