//! Topics that get more partitions, with producers and consumers at work.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::{CreateTopicsOptions, ErrorKind, NewTopic, OffsetReset, Record};

use crate::support::*;

#[test]
fn e05_partitions_are_added_durably_and_what_is_stored_stays() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let producer = producer(&log);
        put(&producer, topic.record("old").partition(1));
        log.admin().create_partitions("t", 5).unwrap();
        assert_eq!(topic.partition_count(), 5, "a handle from before");
        assert_eq!(log.topic("t").unwrap().id(), topic.id(), "it is the same topic");
        assert_eq!(log.admin().describe_topic("t").unwrap().partition_count, 5);
        assert_eq!(put(&producer, topic.record("new").partition(4)), 0);
        assert_eq!(put(&producer, Record::new("t", "by name").partition(4)), 1);
        assert_eq!(put(&producer, topic.record("older").partition(1)), 1, "it goes on there");
        let log = bed.reopen(log);
        assert_eq!(log.topic("t").unwrap().partition_count(), 5);
        assert_eq!(values(&read_all(&log, &tp("t", 1))), [&b"old"[..], b"older"]);
        assert_eq!(values(&read_all(&log, &tp("t", 4))), [&b"new"[..], b"by name"]);
    });
}

#[test]
fn e05_the_number_only_grows() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 3);
        let admin = log.admin();
        for total in [0, 1, 3, 100_001] {
            let error = refused(ErrorKind::InvalidPartitions, admin.create_partitions("t", total));
            names(&error, &[&total.to_string(), "3", "100000"]);
            assert_eq!((error.topic(), error.kafka_code()), (Some("t"), Some(37)));
        }
        let unknown = ErrorKind::UnknownTopicOrPartition;
        refused(unknown, admin.create_partitions("nowhere", 2));
        assert_eq!(topic.partition_count(), 3);
        let more = log.ensure_topic(NewTopic::new("t").partitions(4));
        names(&refused(ErrorKind::TopicAlreadyExists, more), &["3", "4"]);
        let log = bed.reopen(log);
        assert_eq!(log.topic("t").unwrap().partition_count(), 3);
    });
}

#[test]
fn b03_a_key_keeps_its_partition_until_the_count_changes() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 3);
        let producer = producer(&log);
        let place = |record: Record<'_>| producer.send(record).unwrap().placed().partition;
        // murmur2: "abc" is 0 of 3 and 3 of 12.
        for _ in 0..3 {
            assert_eq!(place(topic.record("v").key("abc")), 0);
            assert_eq!(place(Record::new("t", "v").key("abc")), 0);
        }
        log.admin().create_partitions("t", 12).unwrap();
        assert_eq!(place(topic.record("v").key("abc")), 3, "by the handle");
        assert_eq!(place(Record::new("t", "v").key("abc")), 3, "by name");
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 6, "old data stays");
    });
}

#[test]
fn b04_records_without_a_key_come_to_the_new_partitions() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = log.producer().set("batch.size", "1").build().unwrap();
        place(&producer, topic.record("v"));
        log.admin().create_partitions("t", 4).unwrap();
        let reached: BTreeSet<u32> = (0..200)
            .map(|_| producer.send(topic.record("v")).unwrap().placed().partition)
            .collect();
        assert_eq!(reached.len(), 4, "{reached:?}");
    });
}

#[test]
fn e05_a_consumer_goes_on_and_may_read_the_new_partitions() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let mut consumer = reader(&log, [tp("t", 0)]);
        put(&producer, topic.record("a"));
        assert_eq!(values(&take(&mut consumer, 1)), [b"a"]);
        let unknown = ErrorKind::UnknownTopicOrPartition;
        refused(unknown, consumer.assign([tp("t", 1)]));
        log.admin().create_partitions("t", 2).unwrap();
        put(&producer, topic.record("b").partition(0));
        assert_eq!(values(&take(&mut consumer, 1)), [b"b"], "nothing is told of it");
        consumer.assign([tp("t", 0), tp("t", 1)]).unwrap();
        put(&producer, topic.record("c").partition(1));
        assert_eq!(values(&take(&mut consumer, 1)), [b"c"]);
        log.admin().delete_topic("t").unwrap();
        refused(unknown, consumer.poll(LONG));
        refused(unknown, producer.send(topic.record("d").partition(1)));
    });
}

#[test]
fn c25_a_poll_that_waits_for_a_topic_is_called_when_it_has_enough_partitions() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic_of(&log, "t", 2);
        let mut consumer = reader(&log, [tp("t", 1)]);
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        log.admin().delete_topic("t").unwrap();
        refused(ErrorKind::UnknownTopicOrPartition, consumer.poll(LONG));
        let poller = thread::spawn(move || consumer.poll(Duration::MAX).map(|r| r.len()));
        (0..100).for_each(|_| thread::yield_now());
        let topic = topic(&log, "t");
        (0..100).for_each(|_| thread::yield_now());
        log.admin().create_partitions("t", 2).unwrap();
        put(&producer(&log), topic.record("v").partition(1));
        assert_eq!(poller.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn c25_a_poll_that_waits_for_a_topic_ends_with_the_log() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "t");
        let mut consumer = reader(&log, [tp("t", 0)]);
        log.admin().delete_topic("t").unwrap();
        refused(ErrorKind::UnknownTopicOrPartition, consumer.poll(LONG));
        let poller = thread::spawn(move || consumer.poll(Duration::MAX).map(|r| r.len()));
        (0..100).for_each(|_| thread::yield_now());
        log.close().unwrap();
        refused(ErrorKind::Closed, poller.join().unwrap());
    });
}

#[test]
fn e05_growing_under_producers_and_consumers_loses_nothing() {
    const TOTAL: u32 = 12;
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let grown = AtomicBool::new(false);
        let sent: u64 = thread::scope(|scope| {
            let send = |writer: u32| {
                let producer = producer(&log);
                let mut sent = 0_u64;
                while !grown.load(Ordering::Acquire) || sent < 500 {
                    let key = format!("{writer}-{sent}");
                    let before = topic.partition_count();
                    let delivery = producer.send(topic.record("v").key(&key)).unwrap();
                    let partition = delivery.placed().partition;
                    let after = topic.partition_count();
                    assert!(partition < after && before <= after);
                    sent += 1;
                }
                producer.flush().unwrap();
                sent
            };
            let writers: Vec<_> = (0..3).map(|n| scope.spawn(move || send(n))).collect();
            for total in 2..=TOTAL {
                log.admin().create_partitions("t", total).unwrap();
                assert_eq!(log.topic("t").unwrap().partition_count(), total);
            }
            grown.store(true, Ordering::Release);
            writers.into_iter().map(|writer| writer.join().unwrap()).sum()
        });
        let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
        consumer.assign((0..TOTAL).map(|n| tp("t", n))).unwrap();
        let read = take(&mut consumer, sent as usize);
        let keys: BTreeSet<_> = read.iter().map(|record| record.key().unwrap().to_vec()).collect();
        assert_eq!(keys.len() as u64, sent);
    });
}

#[test]
fn e05_growing_at_once_from_many_threads_ends_at_the_most() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        thread::scope(|scope| {
            for total in [3, 9, 5, 7] {
                let log = &log;
                scope.spawn(move || match log.admin().create_partitions("t", total) {
                    Ok(()) => assert!(log.topic("t").unwrap().partition_count() >= total),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidPartitions),
                });
            }
        });
        assert_eq!(topic.partition_count(), 9);
        let producer = producer(&log);
        for partition in 0..9 {
            assert_eq!(put(&producer, topic.record("v").partition(partition)), 0);
        }
        let log = bed.reopen(log);
        assert_eq!(log.topic("t").unwrap().partition_count(), 9);
    });
}

#[test]
fn e02_each_topic_of_a_batch_succeeds_or_fails_alone() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "there");
        let wanted = || {
            [
                NewTopic::new("a").partitions(2),
                NewTopic::new("there"),
                NewTopic::new("no/name"),
                NewTopic::new("none").partitions(0),
                NewTopic::new("bad").config("segment.bytes", "7"),
                NewTopic::new("b.c"),
                NewTopic::new("b_c"),
                NewTopic::new("a"),
            ]
        };
        let expected = [
            None,
            Some(ErrorKind::TopicAlreadyExists),
            Some(ErrorKind::InvalidTopic),
            Some(ErrorKind::InvalidPartitions),
            Some(ErrorKind::InvalidConfig),
            None,
            Some(ErrorKind::InvalidTopic),
            Some(ErrorKind::TopicAlreadyExists),
        ];
        let admin = log.admin();
        for validate_only in [true, false] {
            assert_eq!(admin.list_topics().unwrap(), ["there"]);
            let options = CreateTopicsOptions::default().validate_only(validate_only);
            let answers = admin.create_topics(wanted(), options);
            let kinds: Vec<_> =
                answers.iter().map(|a| a.as_ref().err().map(alluvium::Error::kind)).collect();
            assert_eq!(kinds, expected, "validate_only: {validate_only}");
            let made = answers[0].as_ref().unwrap();
            assert_eq!((made.name.as_str(), made.partition_count), ("a", 2));
            if !validate_only {
                assert_eq!(made, &admin.describe_topic("a").unwrap());
            }
        }
        assert_eq!(admin.list_topics().unwrap(), ["a", "b.c", "there"]);
        let log = bed.reopen(log);
        assert_eq!(log.admin().list_topics().unwrap(), ["a", "b.c", "there"]);
    });
}

#[test]
fn e06_many_topics_are_deleted_at_once_each_for_itself() {
    on_each_kind(|bed| {
        let log = bed.open();
        for name in ["a", "b", "c"] {
            topic(&log, name);
        }
        let answers = log.admin().delete_topics(&["a", "nowhere", "c", "a", "__own"]);
        let kinds: Vec<_> =
            answers.iter().map(|a| a.as_ref().err().map(alluvium::Error::kind)).collect();
        let unknown = Some(ErrorKind::UnknownTopicOrPartition);
        assert_eq!(kinds, [None, unknown, None, unknown, Some(ErrorKind::InvalidTopic)]);
        let log = bed.reopen(log);
        assert_eq!(log.admin().list_topics().unwrap(), ["b"]);
    });
}
