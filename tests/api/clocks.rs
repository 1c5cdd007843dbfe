//! Time comes from the log's clock, and from nowhere else.

use std::thread;
use std::time::Duration;

use alluvium::testing::{Operation, SimDisk};
use alluvium::{Clock, ErrorKind, EventLog, ManualClock, SystemClock};

use crate::support::*;

#[test]
fn timestamps_come_from_the_clock() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(1_000);
        let log = bed.builder().clock(clock.clone()).open().unwrap();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let mut expected = Vec::new();
        for step in [0, 1, 999, 86_400_000] {
            clock.advance(Duration::from_millis(step));
            let placed = producer.send(topic.record("v")).unwrap().wait().unwrap();
            assert_eq!(placed.timestamp_ms, clock.unix_ms());
            expected.push(placed.timestamp_ms);
        }
        // Wall time may go back; nothing else does.
        clock.jump_wall(500);
        let placed = producer.send(topic.record("v")).unwrap().wait().unwrap();
        assert_eq!((placed.timestamp_ms, placed.offset), (500, 4));
        expected.push(500);
        // A record with a time of its own keeps it beside one without.
        let batch = producer.send_batch([topic.record("v"), topic.record("v").timestamp_ms(7)]);
        batch.wait().unwrap();
        expected.extend([500, 7]);
        assert_eq!(expected[..4], [1_000, 1_001, 2_000, 86_402_000]);
        let read = read_all(&log, &tp("t", 0));
        let times: Vec<_> = read.iter().map(|record| record.timestamp_ms().unwrap()).collect();
        assert_eq!(times, expected);
    });
}

#[test]
fn the_systems_clock_is_the_default() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let before = SystemClock.unix_ms();
        let placed = producer(&log).send(topic.record("v")).unwrap().wait().unwrap();
        assert!((before..=SystemClock.unix_ms()).contains(&placed.timestamp_ms));
    });
}

#[test]
fn a_poll_ends_when_injected_time_has_passed() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(0);
        let log = bed.builder().clock(clock.clone()).background(false).open().unwrap();
        topic(&log, "t");
        let mut consumer = reader(&log, [tp("t", 0)]);
        let day = Duration::from_secs(86_400);
        let poller = thread::spawn(move || consumer.poll(day).unwrap().len());
        while !poller.is_finished() {
            clock.advance(Duration::from_secs(3_600));
            thread::yield_now();
        }
        assert_eq!(poller.join().unwrap(), 0);
    });
}

fn quiet(disk: &SimDisk, clock: &ManualClock) -> EventLog {
    let builder = EventLog::builder().disk(disk.clone()).path("/log").clock(clock.clone());
    builder.flush_interval(Duration::from_millis(100)).background(false).open().unwrap()
}

#[test]
fn tick_syncs_what_is_due_and_says_when_there_is_more() {
    let (disk, clock) = (SimDisk::new(), ManualClock::starting_at(0));
    let log = quiet(&disk, &clock);
    let topic = topic(&log, "t");
    clock.advance(Duration::from_secs(1));
    log.tick();
    assert_eq!(log.tick().next_due, None, "an idle log plans nothing");
    let (producer, consumer) = (producer(&log), log.consumer().build().unwrap());
    let end = || consumer.end_offsets(&[tp("t", 0)]).unwrap().get(&tp("t", 0)).unwrap();

    let before = disk.operations();
    place(&producer, topic.record("v"));
    assert_eq!(log.tick().next_due, Some(Duration::from_millis(100)));
    clock.advance(Duration::from_millis(99));
    assert_eq!(log.tick().next_due, Some(Duration::from_millis(1)));
    assert_eq!((end(), disk.operations()), (0, before), "nothing was due");
    clock.advance(Duration::from_millis(1));
    assert_eq!(log.tick().next_due, None);
    assert_eq!(end(), 1);
    disk.start_trace();
    log.tick();
    assert!(disk.trace().is_empty(), "and then there is nothing to do");
}

#[test]
fn one_sync_covers_everything_that_is_due() {
    let (disk, clock) = (SimDisk::new(), ManualClock::starting_at(0));
    let log = quiet(&disk, &clock);
    let topic = topic_of(&log, "t", 20);
    let producer = producer(&log);
    for n in 0..200 {
        place(&producer, topic.record("v").partition(n % 20));
    }
    disk.start_trace();
    clock.advance(Duration::from_millis(100));
    log.tick();
    let trace = disk.trace();
    let syncs = trace.iter().filter(|call| call.operation == Operation::Sync).count();
    assert_eq!(syncs, 1, "{trace:?}");
}

#[test]
fn a_log_in_memory_plans_nothing() {
    let clock = ManualClock::starting_at(0);
    let log = EventLog::builder().clock(clock.clone()).open().unwrap();
    place(&producer(&log), topic(&log, "t").record("v"));
    assert_eq!(log.tick().next_due, None);
    clock.advance(Duration::from_secs(1 << 30));
    assert_eq!(log.tick().next_due, None);
}

#[test]
fn a_poll_ends_when_real_time_has_passed_although_nobody_moves_the_clock() {
    on_each_kind(|bed| {
        for background in [false, true] {
            let bed = Bed::new(bed.kind);
            let clock = ManualClock::starting_at(0);
            let builder = bed.builder().clock(clock.clone()).background(background);
            let log = builder.open().unwrap();
            topic(&log, "t");
            let mut consumer = reader(&log, [tp("t", 0)]);
            assert!(consumer.poll(Duration::from_millis(5)).unwrap().is_empty());
            // A topic that is gone is waited for in the same way.
            log.admin().delete_topic("t").unwrap();
            refused(ErrorKind::UnknownTopicOrPartition, consumer.poll(LONG));
            assert!(consumer.poll(Duration::from_millis(5)).unwrap().is_empty());
            assert_eq!(clock.monotonic(), Duration::ZERO);
        }
    });
}

#[test]
fn a_poll_without_end_outlives_any_injected_time_and_ends_with_a_record() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(0);
        let log = bed.builder().clock(clock.clone()).background(false).open().unwrap();
        let topic = topic(&log, "t");
        let mut consumer = reader(&log, [tp("t", 0)]);
        thread::scope(|scope| {
            let poller = scope.spawn(|| consumer.poll(Duration::MAX).unwrap().len());
            for _ in 0..100 {
                clock.advance(Duration::from_secs(1 << 31));
                thread::yield_now();
            }
            assert!(!poller.is_finished());
            put(&producer(&log), topic.record("v"));
            assert_eq!(poller.join().unwrap(), 1);
        });
        // Nor does time that is all used up make a poll without time wait.
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    });
}
