//! Waiting for a record to be applied.

use std::thread;
use std::time::Duration;

use alluvium::{ErrorKind, EventLog, ManualClock, NewTopic, Record};

use crate::support::*;

#[test]
fn wait_for_returns_when_the_record_is_applied_and_makes_it_visible_itself() {
    on_each_kind(|bed| {
        // Without a thread in the background nobody else would.
        let log = bed.builder().background(false).open().unwrap();
        let topic = topic_of(&log, "t", 2);
        let table = log.table("t").build().unwrap();
        let producer = producer(&log);
        for n in 0..20_u32 {
            let key = n.to_string();
            let placed = producer.send(topic.record("v").key(&key)).unwrap().placed();
            table.wait_for(placed, LONG).unwrap();
            assert!(table.view().unwrap().contains(&key));
            table.wait_for(placed, Duration::ZERO).unwrap();
        }
    });
}

#[test]
fn wait_for_waits_for_a_record_that_another_thread_sends() {
    let log = EventLog::in_memory();
    let topic = topic(&log, "t");
    let (first, second) = (producer(&log), producer(&log));
    // Another log with one record more tells where that one will stand.
    let twin = EventLog::in_memory();
    let twin_topic = crate::support::topic(&twin, "t");
    let twin_producer = producer(&twin);
    put(&first, topic.record("0").key("a"));
    put(&twin_producer, twin_topic.record("0").key("a"));
    let next = twin_producer.send(twin_topic.record("1").key("b")).unwrap().placed();
    let table = log.table("t").build().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| table.wait_for(next, LONG));
        put(&second, topic.record("1").key("b"));
        waiter.join().unwrap().unwrap();
    });
    assert_eq!(table.get("b").unwrap().unwrap().offset(), 1);
}

#[test]
fn wait_for_ends_at_its_deadline_and_says_how_far_the_table_has_come() {
    let clock = ManualClock::starting_at(1_000);
    let log = EventLog::builder().clock(clock.clone()).open().unwrap();
    let topic = topic(&log, "t");
    let twin = EventLog::in_memory();
    let twin_topic = crate::support::topic(&twin, "t");
    let twin_producer = producer(&twin);
    for _ in 0..7 {
        put(&twin_producer, twin_topic.record("v").key("k"));
    }
    let never = twin_producer.send(twin_topic.record("v").key("k")).unwrap().placed();
    put(&producer(&log), topic.record("v").key("k"));
    let table = log.table("t").build().unwrap();
    let error = refused(ErrorKind::Timeout, table.wait_for(never, Duration::ZERO));
    names(&error, &["offset 7", "come to 1", "t-0"]);
    assert_eq!((error.partition(), error.offset()), (Some(0), Some(7)));
    // It ends when time is injected.
    thread::scope(|scope| {
        let waiter = scope.spawn(|| table.wait_for(never, Duration::from_secs(3_600)));
        while !waiter.is_finished() {
            clock.advance(Duration::from_secs(3_600));
            thread::yield_now();
        }
        refused(ErrorKind::Timeout, waiter.join().unwrap());
    });
}

#[test]
fn wait_for_names_a_partition_that_is_not_read() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 3);
    let producer = producer(&log);
    let at = |partition| {
        producer.send(topic.record("v").key("k").partition(partition)).unwrap().placed()
    };
    let table = log.table("t").partitions([0, 2]).build().unwrap();
    table.wait_for(at(2), LONG).unwrap();
    let error = refused(ErrorKind::InvalidRequest, table.wait_for(at(1), LONG));
    names(&error, &["[0, 2]", "not 1"]);
    let other = topic_of(&log, "other", 9);
    let elsewhere = producer.send(other.record("v").partition(8)).unwrap().placed();
    let error = refused(ErrorKind::UnknownTopicOrPartition, table.wait_for(elsewhere, LONG));
    names(&error, &["partition 8", "has 3"]);
}

#[test]
fn wait_for_ends_with_the_topic_and_with_the_log() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let twin = EventLog::in_memory();
        let twin_topic = crate::support::topic(&twin, "t");
        let next = {
            let producer = crate::support::producer(&twin);
            producer.send(twin_topic.record("v").key("k")).unwrap().placed()
        };
        let table = log.table("t").build().unwrap();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| table.wait_for(next, LONG));
            log.admin().delete_topic("t").unwrap();
            refused(ErrorKind::UnknownTopicOrPartition, waiter.join().unwrap());
        });
        drop(topic);
        let topic = crate::support::topic(&log, "t");
        let table = log.table("t").build().unwrap();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| table.wait_for(next, LONG));
            log.clone().close().unwrap();
            refused(ErrorKind::Closed, waiter.join().unwrap());
        });
        refused(ErrorKind::Closed, producer.send(Record::new(topic.name(), "v")));
    });
}

#[test]
fn a_table_can_be_used_by_many_threads() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<alluvium::Table>();
    check::<alluvium::TableView>();
    let log = EventLog::in_memory();
    log.create_topic(NewTopic::new("t")).unwrap();
    let table = log.table("t").build().unwrap();
    assert!(format!("{table:?} {:?}", table.view().unwrap()).contains("\"t\""));
}
