//! What is too large, and timestamps too far apart for one batch.

use alluvium::{ErrorKind, EventLog, NewTopic};

use crate::support::*;

const YEARS_60: i64 = 60 * 365 * 86_400_000;

#[test]
fn an_oversized_record_is_refused_naming_size_and_limit() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let sender = log.producer().set("max.request.size", "2000000").build().unwrap();
        let value = vec![0; 1_048_588 - 16 - 4];
        assert_eq!(put(&sender, topic.record(&value)), 0, "the limit itself is fine");
        let value = vec![0; 1_048_588 - 16 + 1];
        let error = refused(ErrorKind::MessageTooLarge, sender.send(topic.record(&value)));
        names(&error, &["max.message.bytes", "1048588", "1048592"]);
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
        assert_eq!(error.kafka_code(), Some(10));
        let error = refused(ErrorKind::MessageTooLarge, producer(&log).send(topic.record(&value)));
        names(&error, &["max.request.size", "1048576"]);
        assert_eq!(put(&sender, topic.record("next")), 1);
    });
}

#[test]
fn a_topic_has_a_limit_of_its_own_that_outlives_the_log() {
    on_each_kind(|bed| {
        let log = bed.open();
        let new = NewTopic::new("t").config("max.message.bytes", "200");
        let topic = log.create_topic(new).unwrap();
        let value = [0; 200];
        let check = |log: &EventLog| {
            let error =
                refused(ErrorKind::MessageTooLarge, producer(log).send(topic.record(&value)));
            names(&error, &["200"]);
            put(&producer(log), topic.record(&value[..184]));
        };
        check(&log);
        check(&bed.reopen(log));
    });
}

#[test]
fn an_oversized_key_is_refused_naming_size_and_limit() {
    on_each_kind(|bed| {
        let log = bed.open();
        let new = NewTopic::new("t").config("max.message.bytes", "67108864");
        let topic = log.create_topic(new).unwrap();
        let producer = log.producer().set("max.request.size", "67108864").build().unwrap();
        let key = vec![b'k'; 1 << 24];
        let error = refused(ErrorKind::InvalidRecord, producer.send(topic.record("v").key(&key)));
        names(&error, &["key", "16777216", "16777215"]);
        let longest = &key[1..];
        assert_eq!(put(&producer, topic.record("v").key(longest)), 0);
        let read = read_all(&log, &tp("t", 0));
        assert!(read[0].key() == Some(longest) && read[0].value() == Some(b"v"));
    });
}

#[test]
fn oversized_headers_are_refused_naming_size_and_limit() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let name = "n".repeat(65_536);
        let headers = [(&*name, None)];
        let record = topic.record("v").headers(&headers);
        let error = refused(ErrorKind::InvalidRecord, producer.send(record));
        names(&error, &["header", "65536", "65535"]);
        assert_eq!(error.record_indexes(), [0]);
        let many = vec![("", None); 65_536];
        let error =
            refused(ErrorKind::InvalidRecord, producer.send(topic.record("v").headers(&many)));
        names(&error, &["65536", "65535"]);

        let headers = [(&name[1..], Some(&b"x"[..]))];
        assert_eq!(put(&producer, topic.record("v").headers(&headers)), 0);
        assert_eq!(put(&producer, topic.record("v").headers(&many[1..])), 1);
        let log = bed.reopen(log);
        let read = read_all(&log, &tp("t", 0));
        assert_eq!(read[0].header(&name[1..]), Some(Some(&b"x"[..])));
        assert_eq!(read[1].headers().count(), 65_535);
    });
}

/// Sends in one call records whose times are far apart; checks order, times and searches.
fn far_apart(bed: &Bed, times: &[i64], size: usize) {
    let log = bed.open();
    let topic = topic_of_any_time(&log, "t");
    let producer = producer(&log);
    let texts: Vec<_> = (0..times.len()).map(|n| format!("{n:0size$}")).collect();
    put(&producer, topic.record("before").timestamp_ms(7));
    let records = texts.iter().zip(times);
    let batch = producer.send_batch(records.map(|(v, t)| topic.record(v).timestamp_ms(*t)));
    batch.wait().unwrap();
    assert_eq!(batch.parts()[0].result().unwrap(), 1..times.len() as u64 + 1);
    drop(batch);
    put(&producer, topic.record("behind").timestamp_ms(7));
    drop(producer);
    let check = |log: &EventLog| {
        let read = read_all(log, &tp("t", 0));
        assert_eq!(offsets(&read), (0..times.len() as u64 + 2).collect::<Vec<_>>());
        for ((record, text), time) in read[1..].iter().zip(&texts).zip(times) {
            assert_eq!(record.value().unwrap(), text.as_bytes());
            assert_eq!(record.timestamp_ms(), Some(*time), "offset {}", record.offset());
        }
        let mut consumer = reader(log, [tp("t", 0)]);
        consumer.seek(&tp("t", 0), 3).unwrap();
        assert_eq!(consumer.poll(LONG).unwrap().iter().next().unwrap().offset(), 3);
        let last = consumer.offsets_for_times([(tp("t", 0), YEARS_60)]).unwrap();
        let first = times.iter().position(|time| *time >= YEARS_60).unwrap() as u64 + 1;
        assert_eq!(last[&tp("t", 0)].map(|hit| hit.offset), Some(first));
    };
    check(&log);
    check(&bed.reopen(log));
}

#[test]
fn timestamps_60_years_apart_in_one_small_call() {
    on_each_kind(|bed| far_apart(bed, &[0, YEARS_60, 1, YEARS_60 + 1, 0, YEARS_60 / 2], 10));
}

#[test]
fn timestamps_60_years_apart_in_one_large_call() {
    on_each_kind(|bed| {
        let times: Vec<_> = (0..90).map(|n| if n % 3 == 1 { YEARS_60 + n } else { n }).collect();
        far_apart(bed, &times, 1_000);
    });
}

#[test]
fn a_call_that_needs_a_batch_for_every_record_gets_through() {
    // 60 KiB of records: less than is written through, but their batch headers need far more.
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of_any_time(&log, "t");
        let producer = log.producer().set("max.block.ms", "5000").build().unwrap();
        let time = |n: i64| if n % 2 == 0 { 0 } else { YEARS_60 };
        let batch = producer.send_batch((0..3_800).map(|n| topic.record("").timestamp_ms(time(n))));
        batch.wait().unwrap();
        drop(batch);
        let log = bed.reopen(log);
        let read = read_all(&log, &tp("t", 0));
        assert_eq!(read.len(), 3_800);
        for (record, n) in read.iter().zip(0..) {
            assert_eq!((record.offset(), record.timestamp_ms()), (n as u64, Some(time(n))));
        }
    });
}

#[test]
fn timestamps_at_the_edge_of_what_one_batch_can_say() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let span = 1_i64 << 31;
        let base = 1_700_000_000_000;
        let times =
            [base, base + span - 1, base + span, base - span + 1, base - span, base + span + 1];
        for time in times {
            put(&producer, topic.record("v").timestamp_ms(time));
        }
        producer
            .send_batch(times.iter().map(|t| topic.record("v").timestamp_ms(*t)))
            .wait()
            .unwrap();
        let log = bed.reopen(log);
        let read = read_all(&log, &tp("t", 0));
        let read: Vec<_> = read.iter().map(|record| record.timestamp_ms().unwrap()).collect();
        assert_eq!(read, [times, times].concat());
    });
}
