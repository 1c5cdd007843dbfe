//! Partitions chosen in turn, by the program, or without regard to keys; and the default's choice
//! held against a table that was computed elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use alluvium::{ErrorKind, EventLog, Producer, ProducerBuilder, Record};

use crate::support::*;

const TABLE: &str = include_str!("../fixtures/murmur2.csv");
const COUNTS: [u32; 5] = [1, 3, 12, 50, 97];

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
    digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
}

#[test]
fn b02_b03_a_thousand_keys_go_where_a_table_from_elsewhere_says() {
    let log = EventLog::in_memory();
    let topics = COUNTS.map(|count| topic_of(&log, &format!("of-{count}"), count));
    let producer = producer(&log);
    let mut keys = BTreeSet::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split(',').collect();
        let key = bytes(fields[0]);
        for (topic, expected) in topics.iter().zip(&fields[2..]) {
            let placed = producer.send(topic.record("v").key(&key)).unwrap().placed();
            assert_eq!(placed.partition.to_string(), *expected, "{line} of {}", topic.name());
        }
        keys.insert(key);
    }
    assert_eq!(keys.len(), 1_000);
}

#[test]
fn b03_a_key_stays_in_its_partition_over_producers_and_lives() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 7);
        let home = |log: &EventLog| put_where(&producer(log), Record::new("t", "v").key("k"));
        let first = home(&log);
        assert_eq!(put_where(&producer(&log), topic.record("v").key("k")), first);
        assert_eq!(home(&bed.reopen(log)), first);
    });
}

fn put_where(producer: &Producer, record: Record<'_>) -> u32 {
    producer.send(record).unwrap().wait().unwrap().partition
}

#[test]
fn b04_a_sticky_partition_takes_less_than_twice_batch_size_at_a_time() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 8);
    for seed in 0..20 {
        let producer = log.producer().seed(seed).set("batch.size", "2000").build().unwrap();
        let (mut runs, mut seen) = (Vec::<(u32, usize)>::new(), BTreeSet::new());
        for n in 0..600_usize {
            // Whole records of at most batch.size bytes.
            let value = vec![0; (n * 37 + seed as usize * 11) % 1_950];
            let partition = producer.send(topic.record(&value)).unwrap().placed().partition;
            seen.insert(partition);
            match runs.last_mut().filter(|(of, _)| *of == partition) {
                Some((_, bytes)) => *bytes += value.len() + 16,
                None => runs.push((partition, value.len() + 16)),
            }
        }
        runs.pop(); // It may go on.
        assert!(runs.iter().all(|(_, bytes)| (2_000..4_000).contains(bytes)), "{runs:?}");
        assert_eq!(seen.len(), 8, "seed {seed}: every partition is reached");
    }
}

#[test]
fn b06_round_robin_takes_turns_in_each_topic_whatever_the_key() {
    on_each_kind(|bed| {
        let log = bed.open();
        let (three, two) = (topic_of(&log, "three", 3), topic_of(&log, "two", 2));
        let typed = log.producer().round_robin();
        let said = log.producer().set("partitioner.class", "round-robin");
        for builder in [typed, said] {
            let producer = builder.build().unwrap();
            for turn in 0..9 {
                assert_eq!(put_where(&producer, three.record("v").key("one key")), turn % 3);
                assert_eq!(put_where(&producer, two.record("v")), turn % 2);
                // One that names its partition takes no turn.
                assert_eq!(put_where(&producer, three.record("v").partition(1)), 1);
            }
        }
        let spread = log.producer().round_robin().build().unwrap();
        let batch = spread.send_batch((0..9).map(|_| three.record("v")));
        let parts: BTreeMap<_, _> =
            batch.parts().iter().map(|p| (p.partition(), p.record_indexes().to_vec())).collect();
        assert_eq!(parts[&Some(1)], [1, 4, 7]);
        assert_eq!(parts.len(), 3);
    });
}

#[test]
fn b06_threads_share_the_turns_evenly() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 5);
    let producer = log.producer().round_robin().build().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..500).for_each(|_| {
                    place(&producer, topic.record("v"));
                })
            });
        }
    });
    for partition in 0..5 {
        assert_eq!(read_all(&log, &tp("t", partition)).len(), 400);
    }
}

#[test]
fn b06_a_partitioner_sees_topic_key_value_and_count() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "orders", 4);
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let own = move |topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, count: u32| {
            counter.fetch_add(1, Ordering::Relaxed);
            assert_eq!((topic, count), ("orders", 4));
            match (key, value) {
                (Some(b""), _) => 3,
                (Some(_), None) => 2,
                (None, Some(value)) => value.len() as u32 % count,
                _ => 1,
            }
        };
        // The typed one wins over the strings.
        let builder = log.producer().set("partitioner.class", "round-robin").partitioner(own);
        let producer = builder.build().unwrap();
        assert_eq!(put_where(&producer, topic.record("v").key("")), 3);
        assert_eq!(put_where(&producer, topic.tombstone("gone")), 2);
        assert_eq!(put_where(&producer, topic.record("four")), 0);
        assert_eq!(put_where(&producer, Record::new("orders", "v").key("k")), 1);
        let batch = producer.send_batch(["a", "bb", "ccc"].iter().map(|v| topic.record(v)));
        let parts: Vec<_> = batch.parts().iter().map(|part| part.partition()).collect();
        assert_eq!(parts, [Some(1), Some(2), Some(3)]);
        assert_eq!(seen.load(Ordering::Relaxed), 7);
        assert_eq!(put_where(&producer, topic.record("v").partition(0)), 0);
        assert_eq!(seen.load(Ordering::Relaxed), 7, "a named partition is not asked for");
    });
}

#[test]
fn b06_a_choice_out_of_range_is_an_error_that_names_it() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 3);
        let beyond = |_: &str, _: Option<&[u8]>, value: Option<&[u8]>, count: u32| {
            if value == Some(b"good") { 0 } else { count + 4 }
        };
        let producer = log.producer().partitioner(beyond).build().unwrap();
        let error = refused(ErrorKind::InvalidRequest, producer.send(topic.record("bad")));
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(7)));
        names(&error, &["partitioner", "7", "3"]);
        assert!(!error.is_retriable());

        let batch = producer.send_batch(["good", "bad", "good"].iter().map(|v| topic.record(v)));
        let [good, bad] = batch.parts() else { panic!("{batch:?}") };
        assert_eq!(good.result().unwrap(), 0..2);
        let error = refused(ErrorKind::InvalidRequest, bad.result());
        assert_eq!((bad.partition(), error.record_indexes()), (Some(7), &[1][..]));
        assert_eq!(put(&producer, topic.record("good")), 2, "the refused took no offset");
    });
}

#[test]
fn b06_a_panic_of_the_partitioner_passes_and_leaves_everything_as_it_was() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let own = |_: &str, _: Option<&[u8]>, value: Option<&[u8]>, _: u32| match value {
            Some(b"boom") => panic!("a bug of the program"),
            _ => 1,
        };
        let producer = log.producer().partitioner(own).build().unwrap();
        for round in 0..3 {
            let sent = catch_unwind(AssertUnwindSafe(|| {
                producer.send(topic.record("boom")).map(|delivery| delivery.placed())
            }));
            assert!(sent.is_err());
            let values = ["good", "boom"];
            let batch = catch_unwind(AssertUnwindSafe(|| {
                producer.send_batch(values.iter().map(|v| topic.record(v))).wait()
            }));
            assert!(batch.is_err());
            assert_eq!(put(&producer, topic.record("good")), round, "nothing else was appended");
        }
        producer.flush().unwrap();
        assert_eq!(read_all(&log, &tp("t", 1)).len(), 3);
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 0);
    });
}

/// It would end in a deadlock if any lock were held.
#[test]
fn b06_a_partitioner_may_use_the_log() {
    on_each_kind(|bed| {
        let log = bed.open();
        let (topic, side) = (topic_of(&log, "t", 2), topic(&log, "side"));
        let inner: Arc<OnceLock<Producer>> = Arc::new(OnceLock::new());
        let of_callback = Arc::clone(&inner);
        let own = move |_: &str, _: Option<&[u8]>, _: Option<&[u8]>, _: u32| {
            let producer = of_callback.get().unwrap();
            producer.send(side.record("asked").partition(0)).unwrap().wait().unwrap();
            producer.flush().unwrap();
            1
        };
        let sender = log.producer().partitioner(own).build().unwrap();
        inner.set(producer(&log)).unwrap();
        assert_eq!(put_where(&sender, topic.record("v")), 1);
        assert_eq!(read_all(&log, &tp("side", 0)).len(), 1);
    });
}

#[test]
fn b06_ignored_keys_leave_the_sticky_partition_to_choose() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 5);
    let sizes = |builder: ProducerBuilder| builder.seed(5).set("batch.size", "1000");
    let run = |producer: &Producer, keyed: bool| -> Vec<u32> {
        let value = [0; 100];
        (0..90)
            .map(|_| if keyed { topic.record(&value).key("") } else { topic.record(&value) })
            .map(|record| producer.send(record).unwrap().placed().partition)
            .collect()
    };
    let keyless = run(&sizes(log.producer()).build().unwrap(), false);
    let said = sizes(log.producer()).set("partitioner.ignore.keys", "true");
    for builder in [said, sizes(log.producer()).ignore_keys()] {
        assert_eq!(run(&builder.build().unwrap(), true), keyless);
    }
    assert!(keyless.iter().collect::<BTreeSet<_>>().len() > 2);
}
