//! Topics that are created because somebody names them, and those that never are.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use alluvium::{ErrorKind, EventLog, NewTopic, Record};

use crate::support::*;

const ENABLE: &str = "auto.create.topics.enable";

fn open(bed: &Bed) -> EventLog {
    bed.builder().set(ENABLE, "true").set("num.partitions", "3").open().unwrap()
}

#[test]
fn b15_an_unknown_topic_is_an_error_by_default() {
    on_each_kind(|bed| {
        let log = bed.open();
        let unknown = ErrorKind::UnknownTopicOrPartition;
        let error = refused(unknown, producer(&log).send(Record::new("t", "v")));
        assert_eq!(error.topic(), Some("t"));
        let mut consumer = log.consumer().build().unwrap();
        refused(unknown, consumer.assign([tp("t", 0)]));
        assert!(log.admin().list_topics().unwrap().is_empty());
    });
}

#[test]
fn b15_the_first_send_creates_the_topic_where_that_is_on() {
    on_each_kind(|bed| {
        let log = open(bed);
        let producer = producer(&log);
        assert_eq!(put(&producer, Record::new("t", "v").key("key")), 0);
        let info = log.admin().describe_topic("t").unwrap();
        assert_eq!(info.partition_count, 3);
        // It is a topic like any other: found again, and not made twice.
        assert_eq!(put(&producer, log.topic("t").unwrap().record("w").key("key")), 1);
        let batch = producer.send_batch(["a", "b"].map(|name| Record::new(name, "v")));
        batch.wait().unwrap();
        assert_eq!(log.admin().list_topics().unwrap(), ["a", "b", "t"]);

        if !bed.is_memory() {
            drop(producer);
            let log = bed.reopen(log);
            assert_eq!(log.topic("t").unwrap().id(), info.id);
            assert_eq!(read_all(&log, &tp("t", 1)).len(), 2);
        }
    });
}

#[test]
fn b15_a_clusters_defaults_create_topics_of_one_partition() {
    let log = EventLog::builder().kafka_defaults().open().unwrap();
    put(&producer(&log), Record::new("t", "v"));
    assert_eq!(log.topic("t").unwrap().partition_count(), 1);
    let log = EventLog::builder().kafka_defaults().set(ENABLE, "false").open().unwrap();
    refused(ErrorKind::UnknownTopicOrPartition, producer(&log).send(Record::new("t", "v")));
}

#[test]
fn b15_internal_and_invalid_names_are_never_created() {
    on_each_kind(|bed| {
        let log = open(bed);
        let producer = producer(&log);
        let mut consumer = log.consumer().build().unwrap();
        let long = "x".repeat(250);
        for name in ["", ".", "..", "a b", "\u{e9}", "__topics", "__consumer_offsets", &long] {
            refused(ErrorKind::InvalidTopic, producer.send(Record::new(name, "v")));
            refused(ErrorKind::InvalidTopic, consumer.assign([tp(name, 0)]));
        }
        assert!(log.admin().list_topics().unwrap().is_empty());
    });
}

#[test]
fn b15_a_handle_of_a_deleted_topic_creates_nothing_and_its_name_does() {
    on_each_kind(|bed| {
        let log = open(bed);
        let old = topic(&log, "t");
        let producer = producer(&log);
        put(&producer, old.record("v"));
        log.admin().delete_topic("t").unwrap();
        refused(ErrorKind::UnknownTopicOrPartition, producer.send(old.record("v")));
        assert!(log.admin().list_topics().unwrap().is_empty());
        assert_eq!(put(&producer, Record::new("t", "v")), 0);
        assert_ne!(log.topic("t").unwrap().id(), old.id());
    });
}

#[test]
fn b15_a_refused_record_may_have_made_its_topic_but_no_partition_beyond() {
    let log = open(&Bed::new(Kind::Memory));
    let kind = ErrorKind::UnknownTopicOrPartition;
    let error = refused(kind, producer(&log).send(Record::new("t", "v").partition(3)));
    names(&error, &["3"]);
    assert_eq!(log.topic("t").unwrap().partition_count(), 3);
}

#[test]
fn b15_an_assigned_topic_is_created_unless_the_consumer_says_no() {
    on_each_kind(|bed| {
        let log = open(bed);
        let key = "allow.auto.create.topics";
        let mut shy = log.consumer().set(key, "false").build().unwrap();
        refused(ErrorKind::UnknownTopicOrPartition, shy.assign([tp("t", 0)]));
        assert!(log.admin().list_topics().unwrap().is_empty());
        refused(ErrorKind::InvalidConfig, log.consumer().set(key, "maybe").build());

        let mut consumer = reader(&log, [tp("t", 0), tp("t", 2), tp("u", 1)]);
        assert_eq!(log.admin().list_topics().unwrap(), ["t", "u"]);
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        put(&producer(&log), Record::new("u", "v").partition(1));
        assert_eq!(take(&mut consumer, 1)[0].topic(), "u");
        refused(ErrorKind::UnknownTopicOrPartition, consumer.assign([tp("new", 3)]));
    });
}

#[test]
fn b15_threads_that_send_at_once_create_one_topic() {
    on_each_kind(|bed| {
        for round in 0..10 {
            let bed = Bed::new(bed.kind);
            let log = open(&bed);
            let start = Barrier::new(4);
            let send = |thread: u32| {
                let producer = producer(&log);
                start.wait();
                if thread == 3 && round % 2 == 0 {
                    // One that makes it on purpose, in a shape of its own.
                    match log.create_topic(NewTopic::new("t").partitions(5)) {
                        Ok(topic) => assert_eq!(topic.partition_count(), 5),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::TopicAlreadyExists),
                    }
                }
                put(&producer, Record::new("t", "v").partition(0));
            };
            let send = &send;
            thread::scope(|scope| {
                for thread in 0..4 {
                    scope.spawn(move || send(thread));
                }
            });
            assert_eq!(log.admin().list_topics().unwrap(), ["t"]);
            assert_eq!(offsets(&read_all(&log, &tp("t", 0))), [0, 1, 2, 3], "in one topic");
        }
    });
}

#[test]
fn b15_a_closed_log_creates_no_topic() {
    use alluvium::testing::SimDisk;
    let disk = SimDisk::new();
    let on = || EventLog::builder().disk(disk.clone()).path("/log").background(false);
    let log = on().set(ENABLE, "true").close_timeout(Duration::ZERO).open().unwrap();
    let producer = producer(&log);
    log.clone().close().unwrap();
    refused(ErrorKind::Closed, producer.send(Record::new("t", "v")));
    drop((log, producer));
    assert!(on().open().unwrap().admin().list_topics().unwrap().is_empty());
}
