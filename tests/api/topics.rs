//! Creating, describing and deleting topics.

use std::thread;
use std::time::Duration;

use alluvium::{Durability, ErrorKind, EventLog, NewTopic, Record};

use crate::support::*;

fn listed(log: &EventLog) -> Vec<String> {
    log.admin().list_topics().unwrap()
}

#[test]
fn e01_names_follow_kafkas_rules() {
    on_each_kind(|bed| {
        let log = bed.open();
        let longest = "x".repeat(249);
        let good = ["a", "A.b_c-9", "...", "-", &longest];
        for name in good {
            assert_eq!(topic(&log, name).name(), name);
        }
        let too_long = "x".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "\u{e4}", "a\0", "a:b", &too_long] {
            let error = refused(ErrorKind::InvalidTopic, log.create_topic(NewTopic::new(name)));
            assert_eq!(error.kafka_code(), Some(17), "{name:?}");
            refused(ErrorKind::InvalidTopic, log.ensure_topic(NewTopic::new(name)));
        }
        let error = refused(ErrorKind::InvalidTopic, log.create_topic(NewTopic::new(&too_long)));
        names(&error, &["250", "249"]);
        assert_eq!(listed(&log).len(), good.len());
        let log = bed.reopen(log);
        assert_eq!(listed(&log).len(), good.len());
    });
}

#[test]
fn e01_names_that_differ_in_dots_and_underscores_collide() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "a.b");
        for (name, kind) in
            [("a_b", ErrorKind::InvalidTopic), ("a.b", ErrorKind::TopicAlreadyExists)]
        {
            let error = refused(kind, log.create_topic(NewTopic::new(name)));
            names(&error, &["a.b"]);
        }
        topic(&log, "a-b");
        log.admin().delete_topic("a.b").unwrap();
        topic(&log, "a_b");
        let log = bed.reopen(log);
        refused(ErrorKind::InvalidTopic, log.create_topic(NewTopic::new("a.b")));
        assert_eq!(listed(&log), ["a-b", "a_b"]);
    });
}

#[test]
fn e01_the_logs_own_names_are_not_to_be_had() {
    on_each_kind(|bed| {
        let log = bed.open();
        for name in ["__cluster_metadata", "__mine"] {
            refused(ErrorKind::InvalidTopic, log.create_topic(NewTopic::new(name)));
        }
        let unknown = ErrorKind::UnknownTopicOrPartition;
        refused(unknown, log.topic("__cluster_metadata"));
        let admin = log.admin();
        refused(ErrorKind::InvalidTopic, admin.delete_topic("__cluster_metadata"));
        refused(ErrorKind::InvalidTopic, admin.create_partitions("__cluster_metadata", 2));
        refused(unknown, producer(&log).send(Record::new("__cluster_metadata", "v")));
        assert!(listed(&log).is_empty(), "and it is hidden");
    });
}

#[test]
fn e02_counts_have_bounds() {
    on_each_kind(|bed| {
        let log = bed.open();
        for count in [0, 100_001, u32::MAX] {
            let new = NewTopic::new("t").partitions(count);
            let error = refused(ErrorKind::InvalidPartitions, log.create_topic(new));
            names(&error, &[&count.to_string(), "1", "100000"]);
            assert_eq!(error.topic(), Some("t"));
        }
        assert!(listed(&log).is_empty());
        assert_eq!(topic_of(&log, "t", 100).partition_count(), 100);
        assert_eq!(topic(&log, "one").partition_count(), 1, "one is the default");
    });
}

#[test]
fn e02_a_bad_config_names_key_value_and_bounds_and_changes_nothing() {
    on_each_kind(|bed| {
        let log = bed.open();
        let bad = [
            ("segment.bytes", "1048575", "1048576"),
            ("segment.bytes", "1073741825", "1073741824"),
            ("internal.segment.bytes", "255", "256"),
            ("segment.ms", "0", "1"),
            ("segment.ms", "-5", "1"),
            ("segment.ms", "9223372036854775808", "9223372036854775807"),
            ("segment.jitter.ms", "-1", "0"),
            ("segment.index.bytes", "63", "64"),
            ("index.interval.bytes", "-1", "0"),
            ("max.message.bytes", "67108865", "67108864"),
            ("max.message.bytes", "many", "67108864"),
            ("flush.ms", "0", "1"),
            ("flush.messages", "0", "1"),
            ("flush.messages", "2", "1"),
            ("durability", "eternal", "power-loss"),
            ("no.such.key", "1", "no such key"),
            ("", "", "no such key"),
        ];
        for (key, value, bounds) in bad {
            let new = NewTopic::new("t").config("segment.ms", "7").config(key, value);
            let error = refused(ErrorKind::InvalidConfig, log.create_topic(new.clone()));
            names(&error, &[key, value, bounds]);
            assert_eq!(error.kafka_code(), Some(40));
            refused(ErrorKind::InvalidConfig, log.ensure_topic(new));
            refused(ErrorKind::UnknownTopicOrPartition, log.topic("t"));
        }
        assert!(listed(&log).is_empty());
        let log = bed.reopen(log);
        assert!(listed(&log).is_empty());
    });
}

#[test]
fn e02_a_topic_that_exists_is_not_created_again() {
    on_each_kind(|bed| {
        let log = bed.open();
        let first = topic_of(&log, "t", 2);
        let again = |log: &EventLog| {
            let new = NewTopic::new("t").partitions(2);
            let error = refused(ErrorKind::TopicAlreadyExists, log.create_topic(new));
            assert_eq!((error.topic(), error.kafka_code()), (Some("t"), Some(36)));
        };
        again(&log);
        let log = bed.reopen(log);
        again(&log);
        assert_eq!(log.topic("t").unwrap().id(), first.id());
    });
}

#[test]
fn ensure_topic_finds_the_same_shape_and_refuses_another() {
    on_each_kind(|bed| {
        let log = bed.open();
        let wanted = || NewTopic::new("t").partitions(3).config("segment.ms", "5000");
        let made = log.ensure_topic(wanted()).unwrap();
        assert_eq!(log.ensure_topic(wanted()).unwrap().id(), made.id());
        let log = bed.reopen(log);
        assert_eq!(log.ensure_topic(wanted()).unwrap().id(), made.id());
        // Said in other words, it is the same.
        let same = wanted().config("segment.jitter.ms", "0").config("segment.ms", " 5000 ");
        assert_eq!(log.ensure_topic(same).unwrap().id(), made.id());

        let exists = ErrorKind::TopicAlreadyExists;
        let error = refused(exists, log.ensure_topic(wanted().partitions(4)));
        names(&error, &["3", "4"]);
        let error = refused(exists, log.ensure_topic(wanted().config("segment.ms", "5001")));
        names(&error, &["segment.ms", "5000", "5001"]);
        let other = NewTopic::new("t").partitions(3);
        names(&refused(exists, log.ensure_topic(other)), &["segment.ms"]);
        let info = log.admin().describe_topic("t").unwrap();
        assert_eq!((info.id, info.partition_count, info.config.segment_ms), (made.id(), 3, 5_000));
    });
}

#[test]
fn many_threads_that_ensure_one_topic_get_one() {
    on_each_kind(|bed| {
        let log = bed.open();
        let threads: Vec<_> = (0..8)
            .map(|n: u32| {
                let log = log.clone();
                thread::spawn(move || {
                    let topic = log.ensure_topic(NewTopic::new("t").partitions(4)).unwrap();
                    put(&producer(&log), topic.record("v").partition(n % 4));
                    topic.id()
                })
            })
            .collect();
        let ids: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
        assert_eq!(listed(&log), ["t"]);
        for partition in 0..4 {
            assert_eq!(read_all(&log, &tp("t", partition)).len(), 2);
        }
    });
}

#[test]
fn topics_are_listed_and_described_in_every_life() {
    on_each_kind(|bed| {
        let log = bed.open();
        let level = match bed.kind {
            Kind::Memory => Durability::Memory,
            _ => Durability::ProcessCrash,
        };
        let new = NewTopic::new("b").partitions(2).config("segment.ms", "9");
        let made = log.create_topic(new.durability(Durability::ProcessCrash)).unwrap();
        topic(&log, "a");
        topic(&log, "c");
        let log = bed.reopen(log);
        assert_eq!(listed(&log), ["a", "b", "c"]);
        let info = log.admin().describe_topic("b").unwrap();
        assert_eq!((&*info.name, info.id, info.partition_count), ("b", made.id(), 2));
        assert_eq!((info.config.segment_ms, info.config.durability), (9, level));
        let unknown = ErrorKind::UnknownTopicOrPartition;
        assert_eq!(refused(unknown, log.admin().describe_topic("d")).topic(), Some("d"));
        assert_eq!(refused(unknown, log.topic("d")).topic(), Some("d"));
        assert_ne!(log.topic("a").unwrap().id(), log.topic("c").unwrap().id());
    });
}

#[test]
fn a73_a_deleted_topic_is_unknown_to_producers_and_consumers() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let other = topic_of(&log, "other", 1);
        let producer = producer(&log);
        let mut consumer = reader(&log, [tp("t", 0), tp("t", 1), tp("other", 0)]);
        put(&producer, topic.record("a").partition(0));
        assert_eq!(take(&mut consumer, 1).len(), 1);
        log.admin().delete_topic("t").unwrap();

        let unknown = ErrorKind::UnknownTopicOrPartition;
        for record in [topic.record("b"), Record::new("t", "b"), topic.record("b").key("k")] {
            let error = refused(unknown, producer.send(record));
            assert_eq!(error.topic(), Some("t"));
        }
        refused(unknown, producer.send_batch([topic.record("b")]).wait());
        // The consumer is told once for each partition, and goes on with the other topic.
        put(&producer, other.record("c"));
        let mut told = 0;
        let mut read = Vec::new();
        while read.is_empty() || told < 2 {
            match consumer.poll(Duration::ZERO) {
                Ok(records) => read.extend(records.iter().map(|record| record.to_owned())),
                Err(error) => {
                    assert_eq!((error.kind(), error.topic()), (unknown, Some("t")));
                    told += 1;
                }
            }
        }
        assert_eq!((told, values(&read)), (2, vec![&b"c"[..]]));
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        refused(unknown, log.admin().delete_topic("t"));
        refused(unknown, consumer.end_offsets(&[tp("t", 0)]));
        refused(unknown, reader(&log, [tp("other", 0)]).assign([tp("t", 0)]));
        assert_eq!(listed(&log), ["other"]);
        assert_eq!(listed(&bed.reopen(log)), ["other"]);
    });
}

#[test]
fn a73_a_topic_created_again_is_another_one() {
    on_each_kind(|bed| {
        let log = bed.open();
        let old = topic_of(&log, "t", 2);
        let producer = producer(&log);
        let mut consumer = reader(&log, [tp("t", 0)]);
        for n in 0..50 {
            put(&producer, Record::new("t", &format!("old {n}")).partition(0));
        }
        assert_eq!(take(&mut consumer, 50).len(), 50);
        log.admin().delete_topic("t").unwrap();
        let new = topic_of(&log, "t", 1);
        assert_ne!(new.id(), old.id());
        // By name it is found, by the old handle it is not.
        assert_eq!(put(&producer, Record::new("t", "new").partition(0)), 0);
        refused(ErrorKind::UnknownTopicOrPartition, producer.send(old.record("lost")));
        assert_eq!(put(&producer, new.record("newer")), 1);
        assert_eq!(values(&take(&mut consumer, 2)), [&b"new"[..], b"newer"], "from its start");
        let log = bed.reopen(log);
        assert_eq!(log.topic("t").unwrap().id(), new.id());
        assert_eq!(values(&read_all(&log, &tp("t", 0))), [&b"new"[..], b"newer"]);
    });
}

#[test]
fn a73_deleting_frees_the_files_and_many_lives_of_a_name_stay_apart() {
    on_disk(|bed| {
        let log = bed.open();
        let value = vec![b'x'; 140_000];
        for life in 0..5_u8 {
            let topic = topic(&log, "t");
            let producer = producer(&log);
            for n in 0..5 {
                // Large ones stand in segments at once.
                assert_eq!(put(&producer, topic.record(&value).key(&[life])), n);
            }
            assert!(!bed.segment_files(&topic).is_empty());
            log.admin().delete_topic("t").unwrap();
            assert!(bed.segment_files(&topic).is_empty());
        }
        let log = bed.reopen(log);
        assert!(listed(&log).is_empty());
        assert!(log.admin().open_report().strangers.is_empty());
    });
}

#[test]
fn a73_a_poll_that_waits_ends_when_its_topic_is_deleted() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "t");
        let mut consumer = reader(&log, [tp("t", 0)]);
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        let poller = thread::spawn(move || consumer.poll(Duration::MAX).map(|r| r.len()));
        (0..100).for_each(|_| thread::yield_now());
        log.admin().delete_topic("t").unwrap();
        let error = refused(ErrorKind::UnknownTopicOrPartition, poller.join().unwrap());
        assert_eq!(error.topic(), Some("t"));
    });
}

#[test]
fn a73_deleting_while_others_send_ends_them_cleanly() {
    on_each_kind(|bed| {
        let log = bed.open();
        for _ in 0..5 {
            let topic = topic_of(&log, "t", 2);
            let senders: Vec<_> = (0..3)
                .map(|n: u32| {
                    let (log, topic) = (log.clone(), topic.clone());
                    thread::spawn(move || {
                        let producer = producer(&log);
                        loop {
                            let record = topic.record("v").partition(n % 2);
                            match producer.send(record).and_then(|delivery| delivery.wait()) {
                                Ok(_) => {}
                                Err(error) => return error,
                            }
                        }
                    })
                })
                .collect();
            let mut consumer = reader(&log, [tp("t", 0)]);
            assert!(!consumer.poll(LONG).unwrap().is_empty());
            log.admin().delete_topic("t").unwrap();
            for sender in senders {
                let error = sender.join().unwrap();
                assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition, "{error:?}");
            }
        }
    });
}
