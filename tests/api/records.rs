//! What a record is, and that it comes back as it went in.

use alluvium::{ErrorKind, EventLog, Header, NewTopic, OutgoingRecord, Record, TopicPartition};

use crate::support::*;

type Bytes<'a> = Option<&'a [u8]>;

const KINDS_OF_BYTES: [Bytes<'static>; 3] = [None, Some(b""), Some(b"\0bytes\xff")];

/// Key, value and headers, as they were sent.
#[derive(Debug, PartialEq)]
struct Content<'a> {
    key: Bytes<'a>,
    value: Bytes<'a>,
    headers: Vec<Header<'a>>,
}

fn record<'a>(content: &'a Content<'a>) -> Record<'a> {
    let record = match (content.key, content.value) {
        (None, None) => Record::null("t"),
        (Some(key), None) => Record::tombstone("t", key),
        (None, Some(value)) => Record::new("t", value),
        (Some(key), Some(value)) => Record::new("t", value).key(key),
    };
    record.headers(&content.headers)
}

fn variety() -> Vec<Content<'static>> {
    let mut all = Vec::new();
    let lists: [Vec<Header<'static>>; 4] = [
        vec![],
        vec![("", None)],
        vec![("a", Some(b"")), ("a", None), ("a", Some(b"x"))],
        vec![("z", Some(b"1")), ("a", Some(b"2")), ("z", Some(b"3")), ("\u{e4}\u{20ac}", None)],
    ];
    for key in KINDS_OF_BYTES {
        for value in KINDS_OF_BYTES {
            for headers in &lists {
                all.push(Content { key, value, headers: headers.clone() });
            }
        }
    }
    all
}

fn check(log: &EventLog, sent: &[Content<'_>]) {
    let read = read_all(log, &tp("t", 0));
    assert_eq!(read.len(), sent.len());
    for (read, sent) in read.iter().zip(sent) {
        let headers = read.headers().collect();
        assert_eq!(&Content { key: read.key(), value: read.value(), headers }, sent);
    }
}

#[test]
fn a01_null_and_empty_differ_and_headers_keep_order_and_duplicates() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "t");
        let sent = variety();
        assert_eq!(sent.len(), 36);
        let producer = producer(&log);
        for content in &sent {
            place(&producer, record(content));
        }
        producer.flush().unwrap();
        check(&log, &sent);
        check(&bed.reopen(log), &sent);
    });
}

#[test]
fn a01_a_batch_keeps_what_single_sends_keep() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "t");
        let sent = variety();
        let producer = producer(&log);
        producer.send_batch(sent.iter().map(record)).wait().unwrap();
        check(&log, &sent);
        check(&bed.reopen(log), &sent);
    });
}

#[test]
fn a01_a_large_call_and_the_logs_own_time_keep_what_small_calls_keep() {
    let large = vec![0; 140_000];
    for timestamp_type in ["CreateTime", "LogAppendTime"] {
        on_each_kind(|bed| {
            let log = bed.open();
            let new = NewTopic::new("t").config("message.timestamp.type", timestamp_type);
            log.create_topic(new).unwrap();
            let mut sent = variety();
            let headers = vec![("h", None), ("h", Some(&b""[..])), ("h", None)];
            sent.push(Content { key: None, value: Some(&large), headers });
            let producer = producer(&log);
            producer.send_batch(sent.iter().map(record)).wait().unwrap();
            for content in &sent {
                place(&producer, record(content));
            }
            producer.flush().unwrap();
            drop(producer);
            sent.extend(variety());
            let headers = vec![("h", None), ("h", Some(&b""[..])), ("h", None)];
            sent.push(Content { key: None, value: Some(&large), headers });
            check(&log, &sent);
            check(&bed.reopen(log), &sent);
        });
    }
}

#[test]
fn a01_null_and_empty_have_sizes_and_interceptors_of_their_own() {
    let swap = |record: &mut OutgoingRecord<'_>| {
        let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let (key, value) = (own(record.key()), own(record.value()));
        record.set_key(value.as_deref());
        record.set_value(key.as_deref());
    };
    let log = EventLog::in_memory();
    let topic = topic(&log, "t");
    let producer = log.producer().interceptor(swap).build().unwrap();
    let sizes = |record| {
        let placed = producer.send(record).unwrap().wait().unwrap();
        (placed.key_size, placed.value_size)
    };
    assert_eq!(sizes(topic.null()), (None, None));
    assert_eq!(sizes(topic.record("")), (Some(0), None));
    assert_eq!(sizes(topic.tombstone("")), (None, Some(0)));
    assert_eq!(sizes(topic.record("").key("k")), (Some(0), Some(1)));
    let read = read_all(&log, &tp("t", 0));
    let found: Vec<_> = read.iter().map(|r| (r.key(), r.value())).collect();
    let (empty, k) = (Some(&b""[..]), Some(&b"k"[..]));
    assert_eq!(found, [(None, None), (empty, None), (None, empty), (empty, k)]);
}

#[test]
fn a01_the_last_header_of_a_name_is_found() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let headers: [Header<'_>; 3] = [("a", Some(b"1")), ("b", Some(b"2")), ("a", None)];
        put(&producer(&log), topic.record("v").headers(&headers));
        let records = reader(&log, [tp("t", 0)]).poll(LONG).unwrap();
        let lent = records.iter().next().unwrap();
        assert_eq!(lent.header("a"), Some(None), "the last one wins, and it is null");
        assert_eq!(lent.header("b"), Some(Some(&b"2"[..])));
        assert_eq!(lent.header("c"), None);
        let owned = lent.to_owned();
        drop(records);
        assert_eq!(owned.header("a"), Some(None));
        assert_eq!(owned.header("b"), Some(Some(&b"2"[..])));
    });
}

#[test]
fn a01_a_timestamp_is_kept_to_the_millisecond() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of_any_time(&log, "t");
        let producer = producer(&log);
        let times = [0, 1, 1_700_000_000_123, 1_700_000_000_122, 253_402_300_799_999, 5];
        for time in times {
            let placed = producer.send(topic.record("v").timestamp_ms(time)).unwrap().wait();
            assert_eq!(placed.unwrap().timestamp_ms, time);
        }
        let check = |log: &EventLog| {
            let read: Vec<_> =
                read_all(log, &tp("t", 0)).iter().map(|r| r.timestamp_ms().unwrap()).collect();
            assert_eq!(read, times);
        };
        check(&log);
        check(&bed.reopen(log));
    });
}

#[test]
fn a01_the_greatest_timestamp_is_kept() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of_any_time(&log, "t");
        let producer = producer(&log);
        for time in [i64::MAX, 0, i64::MAX - 1] {
            put(&producer, topic.record("v").timestamp_ms(time));
        }
        let check = |log: &EventLog| {
            let read = read_all(log, &tp("t", 0));
            let times: Vec<_> = read.iter().map(|record| record.timestamp_ms().unwrap()).collect();
            assert_eq!(times, [i64::MAX, 0, i64::MAX - 1]);
        };
        check(&log);
        check(&bed.reopen(log));
    });
}

#[test]
fn a_value_that_is_no_text_says_where_it_stands() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        put(&producer, topic.record(b"\xff"));
        put(&producer, topic.tombstone("k"));
        put(&producer, topic.record("text"));
        let read = read_all(&log, &tp("t", 0));
        for offset in [0, 1] {
            let error = refused(ErrorKind::InvalidRecord, read[offset].value_str());
            assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
            assert_eq!(error.offset(), Some(offset as u64));
        }
        assert_eq!(read[2].value_str().unwrap(), "text");
    });
}

#[test]
fn a13_what_the_api_cannot_say_never_comes_out_of_it() {
    // A producer can name no control batch, producer id, sequence or offset: what is left to ask
    // is that nothing is made of nothing, and that a refused call leaves no trace.
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let nothing = producer.send_batch([]);
        assert!(nothing.parts().is_empty());
        nothing.wait().unwrap();
        let early = topic.record("v").timestamp_ms(-1);
        let error = refused(ErrorKind::InvalidTimestamp, producer.send(early));
        names(&error, &["-1"]);
        let error = refused(ErrorKind::InvalidTimestamp, producer.send_batch([early]).wait());
        assert_eq!(error.record_indexes(), [0]);
        assert_eq!(put(&producer, topic.record("only")), 0);
        assert_eq!(values(&read_all(&log, &tp("t", 0))), [b"only"]);
    });
}

#[test]
fn records_go_to_other_threads_and_outlive_log_and_consumer() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        put(&producer(&log), topic.record("kept").key("k"));
        let mut consumer = reader(&log, [tp("t", 0)]);
        let records = consumer.poll(LONG).unwrap();
        drop(consumer);
        log.close().unwrap();
        let place = TopicPartition::new("t", 0);
        let read = std::thread::spawn(move || {
            let record = records.of(&place).next().unwrap();
            (record.value_str().unwrap().to_owned(), record.key().unwrap().to_vec())
        });
        assert_eq!(read.join().unwrap(), ("kept".to_owned(), b"k".to_vec()));
    });
}
