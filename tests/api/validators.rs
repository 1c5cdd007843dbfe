//! Rules of the program's own, asked before an append.

use std::panic::{AssertUnwindSafe, catch_unwind};

use alluvium::{CloudEvent, ErrorKind, EventLog, Violation};

use crate::support::{names, on_each_kind, producer, put, read_all, refused, topic, tp, values};

#[test]
fn what_breaks_a_rule_is_refused_with_the_rule_and_the_records() {
    on_each_kind(|bed| {
        let builder = bed.builder().validator("events", |record| {
            let envelope = CloudEvent::read(record.headers().iter().copied());
            envelope.map(drop).map_err(|e| Violation::new("envelope", e.to_string()))
        });
        let log = builder.validator("events", |record| match record.value() {
            Some(value) if value.len() <= 4 => Ok(()),
            _ => Err(Violation::new("short", "more than 4 bytes, or none")),
        });
        let log = log.open().unwrap();
        let (events, free) = (topic(&log, "events"), topic(&log, "free"));
        let producer = producer(&log);
        let event = CloudEvent::new("1", "/test", "made");
        let headers = event.headers(None);
        put(&producer, events.record("good").headers(&headers));
        let error = refused(ErrorKind::InvalidRecord, producer.send(events.record("bare")));
        names(&error, &["envelope: the header ce_specversion is missing"]);
        assert_eq!((error.topic(), error.record_indexes()), (Some("events"), &[0][..]));
        let good = events.record("ok").headers(&headers);
        let long = events.record("too long").headers(&headers);
        let batch = producer.send_batch([good, long, good, long]);
        let error = refused(ErrorKind::InvalidRecord, batch.parts()[0].result());
        assert_eq!(error.record_indexes(), [1, 3]);
        names(&error, &["short"]);
        put(&producer, free.record("anything goes"));
        assert_eq!(values(&read_all(&log, &tp("events", 0))), [b"good"]);
    });
}

#[test]
fn a_rule_that_panics_changes_nothing() {
    let log = EventLog::builder().validator("events", |record| match record.value() {
        Some(b"panic") => panic!("the rule has a bug"),
        Some(b"no") => Err(Violation::new("no", "it says so")),
        _ => Ok(()),
    });
    let log = log.open().unwrap();
    let events = topic(&log, "events");
    let producer = log.producer().build().unwrap();
    for round in 0..3 {
        put(&producer, events.record("fine"));
        let send = || producer.send(events.record("panic")).map(drop);
        assert!(catch_unwind(AssertUnwindSafe(send)).is_err());
        refused(ErrorKind::InvalidRecord, producer.send(events.record("no")));
        assert_eq!(read_all(&log, &tp("events", 0)).len(), round + 1);
    }
    let fork = log.fork().unwrap();
    let producer = fork.producer().build().unwrap();
    refused(ErrorKind::InvalidRecord, producer.send(events.record("no")));
}
