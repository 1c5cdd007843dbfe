//! Copies of logs in memory.

use std::thread;
use std::time::Duration;

use alluvium::{EventLog, ManualClock, NewTopic, Offsets};

use crate::snapshots::{content, same};
use crate::support::{place, producer, put, read_all, topic, tp, values};

fn filled() -> EventLog {
    let log = EventLog::builder().stage_bytes(1 << 20).open().unwrap();
    let orders =
        log.create_topic(NewTopic::new("orders").config("internal.segment.bytes", "3000")).unwrap();
    let producer = producer(&log);
    for number in 0..200_u8 {
        put(&producer, orders.record(&[number; 90]).key(&[number]));
    }
    log.tick();
    put(&producer, orders.record("staged"));
    let committed = Offsets::from_iter([(tp("orders", 0), 17)]);
    log.admin().alter_group_offsets("readers", &committed).unwrap();
    log
}

#[test]
fn a_fork_begins_with_everything_and_goes_its_own_way() {
    let log = filled();
    let before = content(&log);
    let fork = log.fork().unwrap();
    same(&content(&fork), &before);
    put(&producer(&fork), fork.topic("orders").unwrap().record("there"));
    put(&producer(&log), log.topic("orders").unwrap().record("here"));
    let last = |log| values(&read_all(log, &tp("orders", 0)))[201].to_vec();
    assert_eq!((last(&log), last(&fork)), (b"here".to_vec(), b"there".to_vec()));
    let committed = Offsets::from_iter([(tp("orders", 0), 99)]);
    fork.admin().alter_group_offsets("readers", &committed).unwrap();
    assert_eq!(log.admin().group_offsets("readers").unwrap()[&tp("orders", 0)].offset, 17);
    log.admin().delete_topic("orders").unwrap();
    topic(&log, "new");
    drop(log);
    assert_eq!(read_all(&fork, &tp("orders", 0)).len(), 202);
    assert_eq!(fork.admin().list_topics().unwrap(), ["orders"]);
}

#[test]
fn forks_of_forks_do_not_grow_dearer() {
    let mut log = filled();
    let mut expected = read_all(&log, &tp("orders", 0)).len();
    for _ in 0..60 {
        let fork = log.fork().unwrap();
        drop(std::mem::replace(&mut log, fork));
        put(&producer(&log), log.topic("orders").unwrap().record("one more"));
        expected += 1;
    }
    assert_eq!(read_all(&log, &tp("orders", 0)).len(), expected);
    // Nothing of the logs that are gone is kept but what this one has.
    assert!(log.admin().describe_log_dir().unwrap().total_bytes < 200_000);
}

#[test]
fn a_fork_has_the_same_time() {
    let clock = ManualClock::starting_at(1_000);
    let log = EventLog::builder().clock(clock.clone()).open().unwrap();
    topic(&log, "orders");
    let fork = log.fork().unwrap();
    clock.advance(Duration::from_millis(500));
    put(&producer(&fork), fork.topic("orders").unwrap().record("x"));
    assert_eq!(read_all(&fork, &tp("orders", 0))[0].timestamp_ms(), Some(1_500));
}

#[test]
fn a_budget_counts_for_each_fork() {
    let log = EventLog::builder().stage_bytes(64 << 10).max_disk_bytes(2 << 20).open().unwrap();
    let orders = topic(&log, "orders");
    let producer = producer(&log);
    for _ in 0..200 {
        put(&producer, orders.record(&[7; 20_000]));
    }
    let forks: Vec<_> = (0..5).map(|_| log.fork().unwrap()).collect();
    for log in forks.iter().chain([&log]) {
        let (topic, producer) = (log.topic("orders").unwrap(), crate::support::producer(log));
        for _ in 0..100 {
            put(&producer, topic.record(&[8; 20_000]));
        }
        assert!(log.admin().describe_log_dir().unwrap().total_bytes <= 2 << 20);
    }
}

#[test]
fn forks_are_taken_while_others_write() {
    let log = EventLog::in_memory();
    let pairs = log.create_topic(NewTopic::new("pairs").partitions(2)).unwrap();
    let send = |count: u64| {
        let producer = producer(&log);
        for number in 0..count {
            for partition in [0, 1] {
                let value = number.to_le_bytes();
                place(&producer, pairs.record(&value).partition(partition));
            }
        }
    };
    thread::scope(|scope| {
        let writer = scope.spawn(|| send(20_000));
        while !writer.is_finished() {
            let fork = log.fork().unwrap();
            let count = |partition| read_all(&fork, &tp("pairs", partition)).len();
            let (first, second) = (count(0), count(1));
            assert!(second == first || second + 1 == first, "{first} {second}");
        }
    });
}
