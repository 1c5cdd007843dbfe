//! Offsets: from 0, consecutive, never given twice.

use alluvium::{ErrorKind, EventLog, NewTopic};

use crate::support::*;

#[test]
fn a02_offsets_begin_at_0_and_are_consecutive_over_every_reopen() {
    on_each_kind(|bed| {
        let mut log = bed.open();
        log.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        let mut next = [0_u64; 2];
        for life in 0..4 {
            let producer = producer(&log);
            let topic = log.topic("t").unwrap();
            for n in 0..50 {
                for partition in 0..2 {
                    let value = format!("{life} {n} {partition}");
                    let record = topic.record(&value).partition(partition);
                    let offset =
                        if n % 25 == 0 { put(&producer, record) } else { place(&producer, record) };
                    assert_eq!(offset, next[partition as usize]);
                    next[partition as usize] += 1;
                }
            }
            drop(producer);
            log = bed.reopen(log);
        }
        for partition in 0..2 {
            let read = read_all(&log, &tp("t", partition));
            assert_eq!(offsets(&read), (0..200).collect::<Vec<_>>());
            for (at, record) in read.iter().enumerate() {
                let expected = format!("{} {} {partition}", at / 50, at % 50);
                assert_eq!(record.value_str().unwrap(), expected);
            }
        }
    });
}

#[test]
fn a02_a_send_that_is_refused_takes_no_offset() {
    on_each_kind(|bed| {
        let log = bed.open();
        let small = NewTopic::new("t").config("max.message.bytes", "100");
        let topic = log.create_topic(small).unwrap();
        let producer = producer(&log);
        assert_eq!(put(&producer, topic.record("a")), 0);
        let long = [b'x'; 200];
        refused(ErrorKind::MessageTooLarge, producer.send(topic.record(&long)));
        assert_eq!(put(&producer, topic.record("b")), 1);
        let log = bed.reopen(log);
        assert_eq!(values(&read_all(&log, &tp("t", 0))), [b"a", b"b"]);
    });
}

#[test]
fn a02_partitions_count_for_themselves() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 3);
        let producer = producer(&log);
        for (partition, count) in [(0, 3), (1, 1), (2, 2)] {
            for expected in 0..count {
                let offset = place(&producer, topic.record("v").partition(partition));
                assert_eq!(offset, expected);
            }
        }
        producer.flush().unwrap();
        let consumer = reader(&log, [tp("t", 0)]);
        let all = [tp("t", 0), tp("t", 1), tp("t", 2)];
        let ends = consumer.end_offsets(&all).unwrap();
        let ends: Vec<_> = all.iter().map(|tp| ends.get(tp).unwrap()).collect();
        assert_eq!(ends, [3, 1, 2]);
    });
}

#[test]
fn a02_a_log_dropped_without_close_goes_on_where_it_was() {
    on_disk(|bed| {
        let mut expected = 0;
        for _ in 0..3 {
            let log: EventLog = bed.open();
            let topic = log.ensure_topic(NewTopic::new("t")).unwrap();
            let producer = producer(&log);
            for _ in 0..10 {
                assert_eq!(place(&producer, topic.record("v")), expected);
                expected += 1;
            }
        }
        let log = bed.open();
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 30);
    });
}
