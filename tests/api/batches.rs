//! `send_batch`: all or nothing per partition, and who is to blame.

use alluvium::{ErrorKind, NewTopic, Record};

use crate::support::*;

#[test]
fn a06_a_bad_record_fails_its_partition_and_no_other() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 3);
        let producer = producer(&log);
        let good = |value, partition| topic.record(value).partition(partition);
        let bad = |value, partition| good(value, partition).timestamp_ms(-7);
        let batch = producer.send_batch([
            good("a0", 0),
            good("b0", 1),
            bad("b1", 1),
            good("a1", 0),
            good("b2", 1),
            bad("b3", 1),
            good("c0", 2),
        ]);
        refused(ErrorKind::InvalidTimestamp, batch.wait());
        let parts = batch.parts();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[0].record_indexes(), [0, 3]);
        assert_eq!(parts[0].result().unwrap(), 0..2);
        assert_eq!(parts[1].record_indexes(), [1, 2, 4, 5]);
        let error = refused(ErrorKind::InvalidTimestamp, parts[1].result());
        assert_eq!(error.record_indexes(), [2, 5]);
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(1)));
        assert_eq!(parts[2].result().unwrap(), 0..1);

        let log = bed.reopen(log);
        assert_eq!(values(&read_all(&log, &tp("t", 0))), [b"a0", b"a1"]);
        assert!(read_all(&log, &tp("t", 1)).is_empty());
        assert_eq!(values(&read_all(&log, &tp("t", 2))), [b"c0"]);
    });
}

#[test]
fn a06_refusals_found_by_the_partition_are_named_by_the_callers_positions() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let producer = producer(&log);
        // Only the encoder knows the limit of a header's name.
        let name = "n".repeat(1 << 16);
        let headers = [(&*name, None)];
        let batch = producer.send_batch([
            topic.record("x").partition(1),
            topic.record("y").partition(0),
            topic.record("z").partition(0).headers(&headers),
            topic.record("w").partition(1),
            topic.record("v").partition(0).headers(&headers),
        ]);
        let error = refused(ErrorKind::InvalidRecord, batch.parts()[1].result());
        assert_eq!(error.record_indexes(), [2, 4]);
        names(&error, &["65536", "65535"]);
        assert_eq!(batch.parts()[0].result().unwrap(), 0..2);
        drop(batch);
        // The refused part took no offset.
        assert_eq!(put(&producer, topic.record("first").partition(0)), 0);
    });
}

#[test]
fn a06_a_batch_over_the_limit_of_its_topic_is_refused_as_a_whole() {
    on_each_kind(|bed| {
        let log = bed.open();
        let small = NewTopic::new("t").partitions(2).config("max.message.bytes", "1000");
        let topic = log.create_topic(small).unwrap();
        let producer = producer(&log);
        let value = [7_u8; 100];
        let many = (0..20).map(|_| topic.record(&value).partition(0));
        let batch = producer.send_batch(many.chain([topic.record("one").partition(1)]));
        let error = refused(ErrorKind::MessageTooLarge, batch.parts()[0].result());
        names(&error, &["max.message.bytes", "1000"]);
        assert_eq!(batch.parts()[1].result().unwrap(), 0..1);
        drop(batch);
        assert_eq!(put(&producer, topic.record("first").partition(0)), 0);
    });
}

#[test]
fn a06_records_for_nowhere_share_a_part_of_their_own() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let producer = producer(&log);
        let batch = producer.send_batch([
            topic.record("a").partition(0),
            Record::new("nowhere", "b"),
            topic.record("c").partition(2),
            Record::new("nowhere", "d"),
        ]);
        let parts = batch.parts();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[0].result().unwrap(), 0..1);
        let unknown = ErrorKind::UnknownTopicOrPartition;
        let error = refused(unknown, parts[1].result());
        assert_eq!((parts[1].topic(), parts[1].partition()), ("nowhere", None));
        assert_eq!(error.record_indexes(), [1, 3]);
        let error = refused(unknown, parts[2].result());
        assert_eq!((parts[2].topic(), parts[2].partition()), ("t", Some(2)));
        assert_eq!(error.record_indexes(), [2]);
        refused(unknown, batch.wait());
    });
}

#[test]
fn a06_a_part_keeps_the_callers_order_with_dense_offsets() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 40);
        let producer = producer(&log);
        // More partitions than are searched one by one.
        let sent: Vec<_> = (0..1_000_u32).map(|n| (n, n * 7 % 40)).collect();
        let texts: Vec<_> = sent.iter().map(|(n, _)| n.to_string()).collect();
        let records = sent.iter().zip(&texts).map(|((_, p), v)| topic.record(v).partition(*p));
        let batch = producer.send_batch(records);
        batch.wait().unwrap();
        assert_eq!(batch.parts().len(), 40);
        for part in batch.parts() {
            assert_eq!(part.result().unwrap(), 0..25);
            let place = tp("t", part.partition().unwrap());
            let read = read_all(&log, &place);
            let expected: Vec<_> =
                part.record_indexes().iter().map(|at| texts[*at].as_bytes()).collect();
            assert_eq!(values(&read), expected);
        }
    });
}
