//! What a table shows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use alluvium::{ErrorKind, EventLog, NewTopic, Record, Table, TableView, TimestampType};

use crate::support::*;

fn compacted(log: &EventLog, partitions: u32) -> alluvium::Topic {
    log.create_topic(NewTopic::new("t").compacted().partitions(partitions)).unwrap()
}

fn value(table: &Table, key: &str) -> Option<String> {
    table.get(key).unwrap().map(|record| record.value_str().unwrap().to_owned())
}

fn content(view: &TableView) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    view.iter().map(|(key, value)| (text(key), text(value))).collect()
}

#[test]
fn g01_the_last_value_of_each_key_and_a_null_removes_it() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = compacted(&log, 1);
        let producer = producer(&log);
        let early = log.table("t").build().unwrap();
        assert!(early.is_empty().unwrap());
        put(&producer, topic.record("1").key("K"));
        assert_eq!(value(&early, "K").as_deref(), Some("1"));
        put(&producer, topic.record("2").key("K"));
        assert_eq!(value(&early, "K").as_deref(), Some("2"));
        put(&producer, topic.tombstone("K"));
        let late = log.table("t").build().unwrap();
        for table in [&early, &late] {
            assert_eq!(value(table, "K"), None);
            assert!(table.is_empty().unwrap() && table.view().unwrap().iter().next().is_none());
            assert_eq!((table.stats().applied, table.stats().tombstones), (3, 1));
        }
        // A tombstone of what is not there is none of an error, and the key may come again.
        put(&producer, topic.tombstone("other"));
        put(&producer, topic.record("3").key("K"));
        assert_eq!((value(&early, "K").as_deref(), early.len().unwrap()), (Some("3"), 1));
    });
}

#[test]
fn g01_records_without_a_key_are_ignored_and_counted() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        put(&producer, topic.record("no key"));
        put(&producer, topic.record("empty key").key(""));
        put(&producer, topic.null());
        put(&producer, topic.record("").key("empty value"));
        let table = log.table("t").build().unwrap();
        assert_eq!(value(&table, "").as_deref(), Some("empty key"), "which is not a null one");
        assert_eq!(value(&table, "empty value").as_deref(), Some(""));
        assert_eq!((table.len().unwrap(), table.stats().null_keys), (2, 2));
    });
}

#[test]
fn g01_a_record_comes_with_all_that_it_was_sent_with() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = compacted(&log, 2);
        let producer = producer(&log);
        let headers = [("a", Some(&b"1"[..])), ("b", None), ("a", Some(b"2"))];
        put(&producer, topic.record("first").key("K").partition(1));
        let record = topic.record("second").key("K").partition(1).timestamp_ms(5);
        put(&producer, record.headers(&headers));
        let table = log.table("t").build().unwrap();
        let kept = table.get("K").unwrap().unwrap();
        assert_eq!((kept.topic(), kept.partition(), kept.offset()), ("t", 1, 1));
        assert_eq!((kept.key(), kept.value_str().unwrap()), (Some(&b"K"[..]), "second"));
        assert_eq!(kept.timestamp_ms(), Some(5));
        assert_eq!(kept.timestamp_type(), TimestampType::CreateTime);
        assert_eq!(kept.headers().collect::<Vec<_>>(), headers);
        let view = table.view().unwrap();
        let lent = view.record("K").unwrap();
        assert_eq!((lent.topic(), lent.partition(), lent.offset()), ("t", 1, 1));
        assert_eq!(
            (lent.key(), lent.value(), lent.timestamp_ms()),
            (&b"K"[..], &b"second"[..], Some(5))
        );
        assert_eq!(lent.header("a"), Some(Some(&b"2"[..])));
        assert_eq!(lent.to_owned().headers().collect::<Vec<_>>(), headers);
        // What was taken out stays what it was.
        put(&producer, topic.record("third!").key("K").partition(1));
        assert_eq!(value(&table, "K").as_deref(), Some("third!"));
        assert_eq!((kept.value_str().unwrap(), lent.value_str().unwrap()), ("second", "second"));
    });
}

#[test]
fn the_time_of_the_append_is_told_as_such() {
    let log = EventLog::in_memory();
    let by_log = NewTopic::new("t").config("message.timestamp.type", "LogAppendTime");
    let topic = log.create_topic(by_log).unwrap();
    put(&producer(&log), topic.record("v").key("K").timestamp_ms(5));
    let record = log.table("t").build().unwrap().get("K").unwrap().unwrap();
    assert_eq!(record.timestamp_type(), TimestampType::LogAppendTime);
    assert!(record.timestamp_ms().unwrap() > 5);
}

#[test]
fn g02_all_partitions_or_those_that_were_chosen() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = compacted(&log, 4);
        let producer = producer(&log);
        for partition in 0..4 {
            let key = format!("of {partition}");
            put(&producer, topic.record("v").key(&key).partition(partition));
        }
        assert_eq!(log.table("t").build().unwrap().len().unwrap(), 4);
        let some = log.table("t").partitions([3, 1, 3]).build().unwrap();
        let keys: Vec<_> = content(&some.view().unwrap()).into_keys().collect();
        assert_eq!(keys, ["of 1", "of 3"]);
        assert_eq!(some.view().unwrap().position(1), Some(1));
        assert_eq!(some.view().unwrap().position(0), None);
        let error =
            refused(ErrorKind::UnknownTopicOrPartition, log.table("t").partitions([0, 4]).build());
        names(&error, &["partition 4", "has 4"]);
        refused(ErrorKind::InvalidRequest, log.table("t").partitions([]).build());
        refused(ErrorKind::UnknownTopicOrPartition, log.table("nothing").build());
    });
}

#[test]
fn g02_of_a_key_in_several_partitions_the_newest_by_time_counts() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = compacted(&log, 3);
        let producer = producer(&log);
        let live = log.table("t").build().unwrap();
        let send = |partition, value: &str, time| {
            let record = topic.record(value).key("K").partition(partition).timestamp_ms(time);
            put(&producer, record);
            let built = log.table("t").build().unwrap();
            assert_eq!(live.len().unwrap(), 1);
            assert_eq!(value_of(&live), value_of(&built), "however it was read");
            value_of(&live)
        };
        fn value_of(table: &Table) -> String {
            value(table, "K").unwrap()
        }
        assert_eq!(send(1, "a", 100), "a");
        assert_eq!(send(0, "b", 50), "a");
        assert_eq!(send(2, "c", 100), "c", "of equal times the highest partition's");
        assert_eq!(send(2, "d", 10), "a");
        put(&producer, topic.tombstone("K").partition(1));
        assert_eq!(value_of(&live), "b", "it is still there in partition 0");
        put(&producer, topic.tombstone("K").partition(0));
        put(&producer, topic.tombstone("K").partition(2));
        assert!(live.is_empty().unwrap());
    });
}

#[test]
fn a_view_stands_still_and_holds_nobody_up() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = compacted(&log, 2);
        let producer = producer(&log);
        let all = |n: u32| {
            let records: Vec<(String, String)> =
                (0..5_000).map(|key| (key.to_string(), format!("{key} at {n}"))).collect();
            let sent = records.iter().map(|(key, value)| topic.record(value).key(key));
            producer.send_batch(sent).wait().unwrap();
            records.into_iter().collect::<BTreeMap<_, _>>()
        };
        let first = all(1);
        let table = log.table("t").build().unwrap();
        let view = table.view().unwrap();
        let second = all(2);
        put(&producer, topic.tombstone("17"));
        // The same thread goes on while it holds the view.
        assert_eq!(value(&table, "18").as_deref(), Some("18 at 2"));
        assert_eq!(value(&table, "17"), None);
        assert!(content(&view) == first && view.len() == 5_000);
        assert_eq!(view.get("17"), Some(&b"17 at 1"[..]));
        let later = table.view().unwrap();
        assert_eq!((content(&later).len(), later.len()), (4_999, 4_999));
        assert!(content(&later).iter().all(|(key, value)| second[key] == *value));
        // A view outlives table and log.
        drop(table);
        log.close().unwrap();
        assert_eq!(view.get("18"), Some(&b"18 at 1"[..]));
    });
}

#[test]
fn a_get_after_a_durable_send_sees_it_with_many_threads_at_once() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = compacted(&log, 3);
        let table = log.table("t").build().unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..2_u32)
                .map(|me| {
                    let (topic, table, producer) = (&topic, table.clone(), producer(&log));
                    scope.spawn(move || {
                        for n in 0..100_u32 {
                            let key = format!("{me}-{}", n % 20);
                            let value = n.to_string();
                            put(&producer, topic.record(&value).key(&key));
                            let seen = table.get(&key).unwrap().unwrap();
                            assert_eq!(seen.value_str().unwrap(), value);
                            if n % 7 == 0 {
                                put(&producer, topic.tombstone(&key));
                                assert!(table.get(&key).unwrap().is_none());
                                assert!(!table.view().unwrap().contains(&key));
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..2 {
                scope.spawn(|| {
                    // Offsets of a key never go back.
                    let mut last = BTreeMap::new();
                    while !done.load(Ordering::Acquire) {
                        for record in table.view().unwrap().records() {
                            let seen = last.entry(record.key().to_vec()).or_insert(0);
                            assert!(*seen <= record.offset());
                            *seen = record.offset();
                        }
                        thread::yield_now();
                    }
                });
            }
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Release);
        });
        assert_eq!(
            content(&table.view().unwrap()),
            content(&log.table("t").build().unwrap().view().unwrap())
        );
    });
}

#[test]
fn what_is_not_durable_yet_is_not_shown() {
    let bed = Bed::new(Kind::PowerLoss);
    let log = bed.builder().background(false).open().unwrap();
    let topic = compacted(&log, 1);
    let producer = producer(&log);
    let table = log.table("t").build().unwrap();
    let delivery = producer.send(topic.record("v").key("K")).unwrap();
    assert_eq!(value(&table, "K"), None);
    delivery.wait().unwrap();
    assert_eq!(value(&table, "K").as_deref(), Some("v"));
}

#[test]
fn a_closed_log_and_a_deleted_topic_are_told() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = compacted(&log, 1);
        let producer = producer(&log);
        put(&producer, topic.record("v").key("K"));
        let table = log.table("t").build().unwrap();
        log.admin().delete_topic("t").unwrap();
        let error = refused(ErrorKind::UnknownTopicOrPartition, table.get("K"));
        names(&error, &["deleted", "\"t\""]);
        // A new topic of the name is another one.
        let again = compacted(&log, 1);
        put(&producer, Record::new("t", "new").key("K"));
        refused(ErrorKind::UnknownTopicOrPartition, table.view());
        let other = log.table("t").build().unwrap();
        assert_eq!(value(&other, "K").as_deref(), Some("new"));
        drop(again);
        log.close().unwrap();
        refused(ErrorKind::Closed, other.get("K"));
        refused(ErrorKind::Closed, other.view());
    });
}

#[test]
fn large_and_small_keys_and_values() {
    let log = EventLog::in_memory();
    let topic = compacted(&log, 1);
    let producer = producer(&log);
    let table = log.table("t").build().unwrap();
    for (key, value) in [(0, 0), (1, 1_000_000), (70_000, 3), (33, 17), (1, 1)] {
        let (key, value) = (vec![b'k'; key], vec![b'v'; value]);
        put(&producer, topic.record(&value).key(&key));
        assert_eq!(table.get(&key).unwrap().unwrap().value(), Some(&value[..]));
    }
    assert_eq!(table.len().unwrap(), 4);
}
