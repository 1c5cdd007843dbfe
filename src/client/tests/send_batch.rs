use std::sync::atomic::Ordering;

use crate::base::{Error, ErrorKind};
use crate::client::Record;
use crate::client::fake::Fake;

#[test]
fn records_of_one_partition_take_consecutive_offsets_in_one_append() {
    let log = Fake::new();
    let topic = log.create("t", 3);
    let producer = log.producer().build().unwrap();
    let batch = producer.send_batch((0..100).map(|_| topic.record("v").partition(1)));
    batch.wait().unwrap();
    let [part] = batch.parts() else { panic!("{batch:?}") };
    assert_eq!((part.topic(), part.partition()), ("t", Some(1)));
    assert_eq!(part.result().unwrap(), 0..100);
    assert_eq!(part.record_indexes(), (0..100).collect::<Vec<_>>());
    assert_eq!(log.partition("t", 1).state.lock().appends, 1);
}

#[test]
fn parts_stand_in_the_order_of_first_appearance() {
    let log = Fake::new();
    let topic = log.create("t", 3);
    log.create("u", 1);
    let producer = log.producer().build().unwrap();
    let batch = producer.send_batch([
        topic.record("a").partition(2),
        Record::new("u", "b").partition(0),
        topic.record("c").partition(0),
        topic.record("d").partition(2),
        Record::new("t", "e").partition(2),
    ]);
    let parts: Vec<_> = batch
        .parts()
        .iter()
        .map(|part| (part.topic(), part.partition().unwrap(), part.record_indexes()))
        .collect();
    let expected: [(&str, u32, &[usize]); 3] =
        [("t", 2, &[0, 3, 4]), ("u", 0, &[1]), ("t", 0, &[2])];
    assert_eq!(parts, expected);
    assert_eq!(batch.parts()[0].result().unwrap(), 0..3);
}

#[test]
fn a_bad_record_fails_its_part_only_and_is_named_by_the_callers_index() {
    let log = Fake::new();
    let topic = log.create("t", 2);
    let producer = log.producer().set("max.request.size", "100").build().unwrap();
    let large = [0; 200];
    let batch = producer.send_batch([
        topic.record("a").partition(0),
        topic.record("b").partition(1),
        topic.record(&large).partition(1),
        topic.record("d").partition(0),
        topic.record(&large).partition(1),
    ]);
    let [good, bad] = batch.parts() else { panic!("{batch:?}") };
    assert_eq!(good.result().unwrap(), 0..2);
    let error = bad.result().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
    assert_eq!(error.record_indexes(), [2, 4]);
    assert_eq!(error.partition(), Some(1));
    assert_eq!(bad.record_indexes(), [1, 2, 4]);
    assert_eq!(log.partition("t", 1).state.lock().end, 0, "all of the part or nothing");
    assert_eq!(batch.wait().unwrap_err().kind(), ErrorKind::MessageTooLarge);
}

#[test]
fn indexes_that_the_backend_names_become_the_callers() {
    let log = Fake::new();
    let topic = log.create("t", 2);
    let refused = Error::new(ErrorKind::InvalidRecord, "bad").with_records(vec![1]);
    log.partition("t", 1).state.lock().fail_append = Some(refused);
    let producer = log.producer().build().unwrap();
    let batch = producer.send_batch([
        topic.record("a").partition(0),
        topic.record("b").partition(1),
        topic.record("c").partition(0),
        topic.record("d").partition(1),
    ]);
    assert_eq!(batch.parts()[1].result().unwrap_err().record_indexes(), [3]);
    assert!(batch.parts()[0].result().is_ok());
}

#[test]
fn unknown_places_are_parts_of_their_own() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    let batch = producer.send_batch([
        Record::new("nowhere", "a"),
        topic.record("b").partition(7),
        topic.record("c"),
        Record::new("nowhere", "d"),
    ]);
    let places: Vec<_> = batch
        .parts()
        .iter()
        .map(|part| (part.topic(), part.partition(), part.result().map_err(|e| e.kind()).ok()))
        .collect();
    let expected = [("nowhere", None, None), ("t", Some(7), None), ("t", Some(0), Some(0..1))];
    assert_eq!(places, expected);
    assert_eq!(batch.parts()[0].result().unwrap_err().record_indexes(), [0, 3]);
    assert_eq!(batch.parts()[1].result().unwrap_err().record_indexes(), [1]);
}

#[test]
fn records_without_a_key_go_to_one_partition_per_call() {
    let log = Fake::new();
    let topic = log.create("t", 5);
    let producer = log.producer().set("batch.size", "100").build().unwrap();
    let homes: Vec<_> = (0..20)
        .map(|_| {
            let batch = producer.send_batch((0..50).map(|_| topic.record("value")));
            assert_eq!(batch.parts().len(), 1);
            batch.parts()[0].partition().unwrap()
        })
        .collect();
    assert!(homes.windows(2).all(|pair| pair[0] != pair[1]), "{homes:?}");
}

#[test]
fn many_partitions_are_grouped_all_the_same() {
    let log = Fake::new();
    let topic = log.create("t", 100);
    let producer = log.producer().build().unwrap();
    let homes: Vec<u32> = (0..1_000).map(|n| n * 7 % 100).collect();
    let batch = producer.send_batch(homes.iter().map(|home| topic.record("v").partition(*home)));
    assert_eq!(batch.parts().len(), 100);
    for (part, home) in batch.parts().iter().zip(&homes) {
        assert_eq!(part.partition(), Some(*home));
        assert_eq!(part.result().unwrap(), 0..10);
    }
}

#[test]
fn parts_that_wait_share_one_round() {
    let log = Fake::new();
    let topic = log.create("t", 4);
    for partition in 0..4 {
        log.partition("t", partition).state.lock().lazy = true;
    }
    let producer = log.producer().build().unwrap();
    let batch = producer.send_batch((0..4).map(|n| topic.record("v").partition(n)));
    batch.wait().unwrap();
    assert_eq!(log.flushed.load(Ordering::Relaxed), 1);
    let single = producer.send_batch([topic.record("v").partition(0)]);
    single.wait().unwrap();
    assert_eq!(log.flushed.load(Ordering::Relaxed), 1, "one part waits for itself");
}

#[test]
fn an_empty_batch_and_a_closed_producer_are_answered() {
    let log = Fake::new();
    let topic = log.create("t", 1);
    let producer = log.producer().build().unwrap();
    assert!(producer.send_batch([]).wait().is_ok());
    let clone = producer.clone();
    producer.close().unwrap();
    let batch = clone.send_batch([topic.record("v")]);
    assert_eq!(batch.wait().unwrap_err().kind(), ErrorKind::Closed);
}
