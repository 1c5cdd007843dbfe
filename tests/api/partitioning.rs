//! Which partition a record goes to.

use std::collections::BTreeSet;

use alluvium::{ErrorKind, EventLog, Record, Topic};

use crate::support::*;

fn partition(log: &EventLog, record: Record<'_>) -> u32 {
    producer(log).send(record).unwrap().wait().unwrap().partition
}

#[test]
fn b01_the_partition_that_is_named_wins_over_the_key() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 12);
        for named in [0, 5, 11] {
            assert_eq!(partition(&log, topic.record("v").key("foobar").partition(named)), named);
            assert_eq!(partition(&log, topic.record("v").partition(named)), named);
        }
        assert_eq!(read_all(&log, &tp("t", 6)).len(), 0, "the key's own partition got none");
    });
}

#[test]
fn b01_a_partition_that_does_not_exist_is_an_error_at_once() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 3);
        let producer = producer(&log);
        for beyond in [3, 4, u32::MAX] {
            for record in [topic.record("v"), Record::new("t", "v")] {
                let kind = ErrorKind::UnknownTopicOrPartition;
                let error = refused(kind, producer.send(record.partition(beyond)));
                assert_eq!((error.topic(), error.partition()), (Some("t"), Some(beyond)));
                names(&error, &["3"]);
            }
        }
    });
}

#[test]
fn b02_b03_a_key_goes_where_kafka_sends_it() {
    on_each_kind(|bed| {
        let log = bed.open();
        let twelve = topic_of(&log, "twelve", 12);
        for (key, expected) in [("foobar", 6), ("abc", 3), ("21", 0), ("", 9)] {
            assert_eq!(partition(&log, twelve.record("v").key(key)), expected, "{key:?}");
            assert_eq!(partition(&log, twelve.tombstone(key)), expected, "{key:?}");
            assert_eq!(partition(&log, Record::new("twelve", "v").key(key)), expected, "{key:?}");
        }
        let three = topic_of(&log, "three", 3);
        assert_eq!(partition(&log, three.record("v").key("key")), 1);
        assert_eq!(partition(&log, three.record("v").key("abc")), 0);
    });
}

/// Kafka's vectors of the hash itself, seen through a topic of so many partitions that the hash
/// is told by its remainder.
#[test]
fn b02_the_vectors_hold_modulo_a_large_prime() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 9_973);
    let vectors: [(&str, i32); 5] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("abc", 479_470_107),
        ("a-little-bit-long-string", -985_981_536),
        ("", 275_646_681),
    ];
    for (key, hash) in vectors {
        let expected = (hash as u32 & 0x7fff_ffff) % 9_973;
        assert_eq!(partition(&log, topic.record("v").key(key)), expected, "{key:?}");
    }
}

#[test]
fn b03_batch_and_send_agree() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 7);
    let keys: Vec<_> = (0..200).map(|n| format!("key {n}")).collect();
    let producer = producer(&log);
    let batch = producer.send_batch(keys.iter().map(|key| topic.record("v").key(key)));
    for part in batch.parts() {
        for at in part.record_indexes() {
            let alone = partition(&log, topic.record("v").key(&keys[*at]));
            assert_eq!(Some(alone), part.partition());
        }
    }
}

/// The partitions of records without a key, in the order of sending.
fn sticky(log: &EventLog, topic: &Topic, seed: u64, size: usize, count: usize) -> Vec<u32> {
    let producer = log.producer().seed(seed).set("batch.size", "1000").build().unwrap();
    let value = vec![0; size];
    (0..count).map(|_| producer.send(topic.record(&value)).unwrap().placed().partition).collect()
}

#[test]
fn b04_records_without_a_key_stay_until_batch_size_and_then_move() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 5);
        // Records of 116 bytes: the ninth makes 1,044 of them.
        let chosen = sticky(&log, &topic, 7, 100, 90);
        let runs: Vec<_> = chosen.chunks(9).collect();
        for run in &runs {
            assert!(run.iter().all(|partition| *partition == run[0]), "{run:?}");
        }
        assert!(runs.windows(2).all(|two| two[0][0] != two[1][0]), "another one: {chosen:?}");
        assert!(chosen.iter().collect::<BTreeSet<_>>().len() > 2);
    });
}

#[test]
fn b04_every_partition_is_reached_and_a_seed_repeats() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 5);
    let chosen = sticky(&log, &topic, 3, 1_000, 100);
    assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 5);
    assert_eq!(sticky(&log, &topic, 3, 1_000, 100), chosen);
    assert_ne!(sticky(&log, &topic, 4, 1_000, 100), chosen);
}

#[test]
fn b04_keyed_and_placed_records_do_not_move_the_sticky_partition() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 5);
    let producer = log.producer().set("batch.size", "1000").build().unwrap();
    let large = [0; 900];
    let first = producer.send(topic.record("v")).unwrap().placed().partition;
    for n in 0..20 {
        place(&producer, topic.record(&large).key(&n.to_string()));
        place(&producer, topic.record(&large).partition(n % 5));
    }
    assert_eq!(producer.send(topic.record("v")).unwrap().placed().partition, first);
}

#[test]
fn b04_one_batch_without_keys_goes_to_one_partition() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 5);
    let producer = log.producer().set("batch.size", "1000").build().unwrap();
    let value = [0; 500];
    let mut last = None;
    for _ in 0..10 {
        let batch = producer.send_batch((0..20).map(|_| topic.record(&value)));
        assert_eq!(batch.parts().len(), 1);
        let partition = batch.parts()[0].partition();
        assert_ne!(partition, last, "a full batch moves it on");
        last = partition;
        let _ = batch;
    }
}
