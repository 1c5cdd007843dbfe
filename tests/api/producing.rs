//! Sends, deliveries, flush and close.

use std::thread;
use std::time::Duration;

use alluvium::{ErrorKind, EventLog, ManualClock, OutgoingRecord, Placed, Producer, Record};

use crate::support::*;

#[test]
fn b11_send_order_is_offset_order() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let (one, other) = (producer(&log), producer(&log));
        let mut sent = Vec::new();
        for n in 0..300_u32 {
            let text = n.to_string();
            // Two producers, two ways to send, one order.
            match n % 3 {
                0 => assert_eq!(place(&one, topic.record(&text)), u64::from(n)),
                1 => assert_eq!(place(&other, topic.record(&text)), u64::from(n)),
                _ => {
                    let batch = one.send_batch([topic.record(&text)]);
                    let range = u64::from(n)..u64::from(n) + 1;
                    assert_eq!(batch.parts()[0].result().unwrap(), range);
                    let _ = batch;
                }
            }
            sent.push(text);
        }
        one.flush().unwrap();
        let expected: Vec<_> = sent.iter().map(String::as_bytes).collect();
        assert_eq!(values(&read_all(&log, &tp("t", 0))), expected);
    });
}

#[test]
fn b12_a_delivery_tells_place_time_and_sizes() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 3);
        let producer = producer(&log);
        let record = topic.record("value").key("key").timestamp_ms(77);
        let delivery = producer.send(record).unwrap();
        let placed = delivery.wait().unwrap();
        assert_eq!(placed, delivery.placed());
        assert_eq!(delivery.topic(), "t");
        assert_eq!((placed.partition, placed.offset, placed.timestamp_ms), (1, 0, 77));
        assert_eq!((placed.key_size, placed.value_size), (Some(3), Some(5)));

        let placed = producer.send(topic.record("").partition(2)).unwrap().wait().unwrap();
        assert_eq!((placed.key_size, placed.value_size), (None, Some(0)));
        let placed = producer.send(topic.tombstone("")).unwrap().wait().unwrap();
        assert_eq!((placed.key_size, placed.value_size), (Some(0), None));
    });
}

#[test]
fn b12_an_owned_delivery_goes_elsewhere_and_can_be_waited_for_by_many() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let delivery = producer(&log).send(topic.record("v")).unwrap().into_owned();
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let delivery = delivery.clone();
                thread::spawn(move || delivery.wait().unwrap().offset)
            })
            .collect();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), 0);
        }
        assert_eq!(delivery.topic(), "t");
        drop(log);
        // The delivery keeps the log alive; it is done.
        assert_eq!(delivery.wait_timeout(Duration::ZERO).unwrap().offset, 0);
    });
}

#[test]
fn b13_flush_returns_when_everything_before_is_visible() {
    on_each_kind(|bed| {
        let log = bed.builder().background(false).open().unwrap();
        let topic = topic_of(&log, "t", 4);
        let (one, other) = (producer(&log), producer(&log));
        let consumer = log.consumer().build().unwrap();
        let places: Vec<_> = (0..4).map(|partition| tp("t", partition)).collect();
        for round in 1..=5_u64 {
            for partition in 0..4 {
                place(&one, topic.record("v").partition(partition));
                place(&other, topic.record("v").partition(partition));
            }
            one.flush().unwrap();
            let ends = consumer.end_offsets(&places).unwrap();
            assert!(ends.iter().all(|(_, end)| end == round * 2), "{ends:?}");
        }
        one.flush().unwrap();
    });
}

#[test]
fn b14_close_completes_what_was_sent_and_later_sends_are_refused() {
    on_each_kind(|bed| {
        let log = bed.builder().background(false).open().unwrap();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let clone = producer.clone();
        let kept = producer.send(topic.record("a")).unwrap().into_owned();
        for _ in 0..9 {
            place(&producer, topic.record("b"));
        }
        producer.close().unwrap();
        let consumer = log.consumer().build().unwrap();
        assert_eq!(consumer.end_offsets(&[tp("t", 0)]).unwrap().get(&tp("t", 0)), Some(10));
        assert_eq!(kept.wait().unwrap().offset, 0);

        refused(ErrorKind::Closed, clone.send(topic.record("c")));
        refused(ErrorKind::Closed, clone.flush());
        refused(ErrorKind::Closed, clone.send_batch([topic.record("c")]).wait());
        clone.close().unwrap();
        // The log goes on without it.
        let another = log.producer().build().unwrap();
        assert_eq!(put(&another, topic.record("d")), 10);
    });
}

#[test]
fn b14_a_dropped_producer_loses_nothing() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        {
            let producer = producer(&log);
            for _ in 0..10 {
                place(&producer, topic.record("v"));
            }
        }
        let log = bed.reopen(log);
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 10);
    });
}

#[test]
fn an_unknown_topic_is_refused_by_name() {
    on_each_kind(|bed| {
        let log = bed.open();
        let producer = producer(&log);
        let unknown = ErrorKind::UnknownTopicOrPartition;
        let error = refused(unknown, producer.send(Record::new("nowhere", "v")));
        assert_eq!(error.topic(), Some("nowhere"));
        assert_eq!(error.kafka_code(), Some(3));
        // Once it is there, the same producer finds it.
        topic(&log, "nowhere");
        assert_eq!(put(&producer, Record::new("nowhere", "v")), 0);
    });
}

#[test]
fn a_handle_of_another_log_is_refused() {
    let (log, other) = (EventLog::in_memory(), EventLog::in_memory());
    topic(&log, "t");
    let foreign = topic(&other, "t");
    let error = refused(ErrorKind::InvalidRequest, producer(&log).send(foreign.record("v")));
    assert_eq!(error.topic(), Some("t"));
    assert!(read_all(&log, &tp("t", 0)).is_empty() && read_all(&other, &tp("t", 0)).is_empty());
}

#[test]
fn settings_are_checked_by_name_value_and_bounds() {
    let log = EventLog::in_memory();
    let bad = [
        ("max.block.ms", "-1", "0"),
        ("batch.size", "much", "2147483647"),
        ("delivery.timeout.ms", "", "0"),
        ("max.request.size", "67108865", "67108864"),
        ("linger.ms", "5", "0"),
        ("acks", "1", "all"),
        ("compression.type", "zstd", "none"),
        ("no.such.key", "1", "max.block.ms"),
    ];
    for (key, value, bounds) in bad {
        let error = refused(ErrorKind::InvalidConfig, log.producer().set(key, value).build());
        names(&error, &[key, value, bounds]);
    }
    let producer = log.producer().set("acks", "all").set("linger.ms", "0");
    let producer = producer.set("max.request.size", "100").build().unwrap();
    let topic = topic(&log, "t");
    let long = [0; 100];
    let error = refused(ErrorKind::MessageTooLarge, producer.send(topic.record(&long)));
    names(&error, &["max.request.size", "100", "116"]);
    put(&producer, topic.record(&long[..84]));
}

/// What a send came to, as far as two logs can agree on it.
fn outcome(producer: &Producer, record: Record<'_>) -> Result<Placed, (ErrorKind, String)> {
    match producer.send(record) {
        Ok(delivery) => Ok(delivery.placed()),
        Err(error) => Err((error.kind(), error.to_string())),
    }
}

/// Most records take a short way, and one that sees to its record or to the producer itself (here
/// because of an interceptor) another: nobody can tell which.
#[test]
fn b11_every_record_has_the_same_answer_whichever_way_it_takes() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(1_700_000_000_000);
        let mut answers = Vec::new();
        let mut found = Vec::new();
        for name in ["short", "long"] {
            let log = match name {
                "short" => bed.builder().clock(clock.clone()).open().unwrap(),
                _ => EventLog::builder().clock(clock.clone()).open().unwrap(),
            };
            let builder = log.producer().set("max.request.size", "5000");
            let producer = match name {
                "short" => builder.build().unwrap(),
                _ => builder.interceptor(|_: &mut OutgoingRecord<'_>| ()).build().unwrap(),
            };
            answers.push(all_kinds_of_records(&log, &producer));
            producer.flush().unwrap();
            let partitions = [tp("one", 0), tp("many", 0), tp("many", 1), tp("many", 2)];
            let read = partitions.iter().flat_map(|tp| read_all(&log, tp));
            found.push(read.map(|record| record.value().map(<[u8]>::to_vec)).collect::<Vec<_>>());
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(found[0], found[1]);
        let refused = answers[0].iter().filter(|answer| answer.is_err()).count();
        assert_eq!((refused, answers[0].len() - refused), (8, 10));
    });
}

fn all_kinds_of_records(
    log: &EventLog,
    producer: &Producer,
) -> Vec<Result<Placed, (ErrorKind, String)>> {
    let (one, many) = (topic(log, "one"), topic_of(log, "many", 3));
    let (long, fits) = (vec![7; 5_000], vec![7; 4_980]);
    let headers: &[(&str, Option<&[u8]>)] = &[("a", None), ("b", Some(b"c"))];
    let mut answers: Vec<_> = [
        one.record("plain"),
        one.record("keyed").key("k").timestamp_ms(5),
        one.record("headers").headers(headers),
        one.tombstone("k"),
        one.null(),
        many.record("by key").key("k"),
        many.record("named").partition(2).key("k"),
        Record::new("many", "by name").key("foobar"),
        one.record(&fits),
        // Refused, each for another reason.
        one.record(&long),
        one.record("before the epoch").timestamp_ms(-1),
        one.record("tomorrow").timestamp_ms(1_700_000_000_000 + 86_400_000),
        many.record("nowhere").partition(3).key("k"),
        Record::new("unknown", "nowhere"),
        one.record("numbered").sequence(0),
    ]
    .map(|record| outcome(producer, record))
    .into();
    log.admin().delete_topic("many").unwrap();
    answers.push(outcome(producer, many.record("gone").key("k")));
    let again = topic_of(log, "many", 3);
    answers.push(outcome(producer, many.record("gone all the same").key("k")));
    answers.push(outcome(producer, again.record("there").key("k")));
    answers
}
