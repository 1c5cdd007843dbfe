use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::{Error, ErrorKind};
use crate::client::fake::Fake;
use crate::client::{OwnedDelivery, Record};

#[test]
fn b01_an_explicit_partition_wins_over_the_key() {
    let log = Fake::new();
    log.create("t", 12);
    let producer = log.producer().build().unwrap();
    let by_key = producer.send(Record::new("t", "v").key("foobar")).unwrap();
    assert_eq!(by_key.placed().partition, 6);
    let explicit = producer.send(Record::new("t", "v").key("foobar").partition(2)).unwrap();
    assert_eq!(explicit.placed().partition, 2);
}

#[test]
fn b01_a_partition_out_of_range_is_refused_at_once_by_number_and_count() {
    let log = Fake::new();
    let topic = log.create("t", 3);
    let producer = log.producer().build().unwrap();
    let error = producer.send(topic.record("v").partition(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!((error.topic(), error.partition()), (Some("t"), Some(3)));
    assert!(error.to_string().contains("the topic has 3"), "{error}");
}

#[test]
fn b04_records_without_a_key_stay_until_batch_size_then_go_elsewhere() {
    let log = Fake::new();
    let topic = log.create("t", 4);
    let producer = log.producer().set("batch.size", "1000").build().unwrap();
    let value = [0; 84]; // 100 bytes as a record.
    let sent: Vec<u32> =
        (0..200).map(|_| producer.send(topic.record(&value)).unwrap().placed().partition).collect();
    let runs: Vec<&[u32]> = sent.chunk_by(|a, b| a == b).collect();
    assert!(runs.iter().all(|run| run.len() == 10), "{sent:?}");
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), 4, "all partitions have their turn");
    let again = log.producer().set("batch.size", "1000").build().unwrap();
    let first = again.send(Record::new("t", &value)).unwrap().placed().partition;
    assert_eq!(first, sent[0], "the same seed makes the same choices");
}

#[test]
fn b09_a_record_beyond_max_request_size_is_refused_with_both_sizes() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().set("max.request.size", "100").build().unwrap();
    assert!(producer.send(topic.record(&[0; 84])).is_ok());
    let error = producer.send(topic.record(&[0; 85])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
    assert!(error.to_string().contains("101") && error.to_string().contains("100"), "{error}");
    let headers = [("name", Some(&[0; 70][..]))];
    let error = producer.send(topic.record("v").headers(&headers)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
    assert_eq!(log.partition("t", 0).state.lock().end, 1);
}

#[test]
fn a_negative_timestamp_is_refused_by_value() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    let error = producer.send(topic.record("v").timestamp_ms(-1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTimestamp);
    assert!(error.to_string().contains("-1"), "{error}");
}

#[test]
fn b12_the_answer_names_place_time_and_sizes() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    let delivery = producer.send(topic.record("abc").key("")).unwrap();
    assert_eq!(delivery.topic(), "t");
    let placed = delivery.wait().unwrap();
    assert_eq!((placed.partition, placed.offset, placed.timestamp_ms), (0, 0, 1_000));
    assert_eq!((placed.key_size, placed.value_size), (Some(0), Some(3)));
    let placed = producer.send(topic.tombstone("k").timestamp_ms(7)).unwrap().placed();
    assert_eq!((placed.offset, placed.timestamp_ms), (1, 7));
    assert_eq!((placed.key_size, placed.value_size), (Some(1), None));
}

#[test]
fn a_name_is_resolved_once_by_all_clones_and_handles() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    for _ in 0..10 {
        let _ = producer.send(Record::new("t", "v")).unwrap();
        let _ = producer.clone().send(topic.record("v")).unwrap();
    }
    assert_eq!(log.resolved.load(Ordering::Relaxed), 1);
}

#[test]
fn many_topics_are_told_apart() {
    let log = Fake::new();
    let topics: Vec<_> = (0..300).map(|n| log.create(&format!("topic-{n}"), 1)).collect();
    let producer = log.producer().build().unwrap();
    for topic in topics.iter().chain(&topics) {
        let _ = producer.send(Record::new(topic.name(), topic.name())).unwrap();
        assert_eq!(producer.send(topic.record("v")).unwrap().topic(), topic.name());
    }
    assert_eq!(log.resolved.load(Ordering::Relaxed), 300);
    assert!((0..300).all(|n| log.partition(&format!("topic-{n}"), 0).state.lock().end == 4));
}

#[test]
fn c25_a_recreated_topic_is_found_by_name_and_not_by_the_old_handle() {
    let log = Fake::new();
    let old = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    let kept = producer.send(Record::new("t", "v")).unwrap();
    log.delete("t");
    let gone = producer.send(Record::new("t", "v")).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::UnknownTopicOrPartition);
    log.create("t", 1);
    assert_eq!(producer.send(Record::new("t", "v")).unwrap().placed().offset, 0);
    let stale = producer.send(old.record("v")).unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(kept.placed().offset, 0, "a delivery outlives its topic");
}

#[test]
fn a_handle_of_another_log_is_refused() {
    let (one, two) = (Fake::new(), Fake::new());
    two.create("other", 1);
    two.create("t", 1);
    let foreign = one.create("t", 1);
    let producer = two.producer().build().unwrap();
    let error = producer.send(foreign.record("v")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[test]
fn a_topic_recreated_very_often_is_dropped_without_recursion() {
    let log = Fake::new();
    let producer = log.producer().build().unwrap();
    for _ in 0..3_000 {
        log.create("t", 1);
        let _ = producer.send(Record::new("t", "v")).unwrap();
        log.delete("t");
    }
    drop(producer);
}

#[test]
fn b13_flush_brings_all_to_their_level() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    log.partition("t", 0).state.lock().lazy = true;
    let producer = log.producer().build().unwrap();
    let owned: Vec<OwnedDelivery> =
        (0..3).map(|_| producer.send(topic.record("v")).unwrap().into_owned()).collect();
    assert_eq!(log.partition("t", 0).state.lock().visible, 0);
    producer.flush().unwrap();
    assert_eq!(log.partition("t", 0).state.lock().visible, 3);
    assert!(owned.iter().all(|delivery| delivery.wait().is_ok()));
}

#[test]
fn a_wait_ends_at_its_own_timeout_and_the_record_stays() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    log.partition("t", 0).state.lock().lazy = true;
    let producer = log.producer().set("delivery.timeout.ms", "0").build().unwrap();
    let delivery = producer.send(topic.record("v")).unwrap();
    assert_eq!(delivery.wait().unwrap_err().kind(), ErrorKind::DeliveryTimeout);
    assert_eq!(delivery.wait_timeout(Duration::MAX).unwrap().offset, 0);
    assert_eq!(delivery.wait().unwrap().offset, 0, "what is reached needs no time");
}

#[test]
fn b14_close_flushes_and_closes_all_clones() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    let clone = producer.clone();
    let delivery = clone.send(topic.record("v")).unwrap();
    producer.close().unwrap();
    assert_eq!(log.flushed.load(Ordering::Relaxed), 1);
    assert_eq!(clone.send(topic.record("v")).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(clone.flush().unwrap_err().kind(), ErrorKind::Closed);
    assert!(delivery.wait().is_ok());
    assert!(clone.close().is_ok());
}

#[test]
fn a_failed_append_reaches_the_caller_as_it_is() {
    let log = Fake::new();
    let topic = log.create("t", 2);
    let full = Error::new(ErrorKind::StorageFull, "no room");
    log.partition("t", 1).state.lock().fail_append = Some(full);
    let producer = log.producer().build().unwrap();
    let error = producer.send(topic.record("v").partition(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(producer.send(topic.record("v").partition(0)).is_ok());
}

#[test]
fn a_setting_that_cannot_work_is_refused_by_name_and_bounds() {
    let log = Fake::new();
    let set = |key, value| log.producer().set(key, value).build();
    for (key, value) in [
        ("max.block.ms", "0"),
        ("batch.size", "0"),
        ("linger.ms", "0"),
        ("acks", "all"),
        ("acks", "-1"),
        ("compression.type", "none"),
    ] {
        assert!(set(key, value).is_ok(), "{key}={value}");
    }
    for (key, value) in [
        ("linger.ms", "5"),
        ("acks", "1"),
        ("acks", "0"),
        ("compression.type", "zstd"),
        ("batch.size", "-1"),
        ("max.block.ms", "soon"),
        ("max.request.size", "67108865"),
        ("no.such.key", "1"),
    ] {
        let error = set(key, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(&format!("{key}={value}")), "{error}");
    }
}
