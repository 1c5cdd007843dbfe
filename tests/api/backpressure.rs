//! A full stage: who waits, for how long, and that nothing is lost.

use std::thread;
use std::time::Duration;

use alluvium::testing::SimDisk;
use alluvium::{Durability, ErrorKind, EventLog, EventLogBuilder, ManualClock, Producer, Topic};

use crate::gate::{Gate, GatedDisk};
use crate::support::*;

const STAGE: usize = 64 << 10;

fn small(disk: &SimDisk) -> EventLogBuilder {
    let builder = EventLog::builder().disk(disk.clone()).path("/log").stage_bytes(STAGE);
    builder.background(false).close_timeout(Duration::ZERO)
}

/// Sends until the log refuses; how many were placed, and why it ended.
fn fill(producer: &Producer, topic: &Topic) -> (u64, alluvium::Error) {
    let value = [b'x'; 1_000];
    for n in 0..10_000 {
        match producer.send(topic.record(&value)) {
            Ok(delivery) => assert_eq!(delivery.placed().offset, n),
            Err(error) => return (n, error),
        }
    }
    panic!("the disk never was full");
}

#[test]
fn b08_a_small_stage_takes_any_amount_while_the_disk_does() {
    on_each_kind(|bed| {
        let log = bed.builder().stage_bytes(STAGE).background(false).open().unwrap();
        let topic = topic_of(&log, "t", 3);
        let producer = producer(&log);
        let value = [b'x'; 500];
        for n in 0..3_000_u32 {
            let record = topic.record(&value).partition(n % 3);
            assert_eq!(place(&producer, record), u64::from(n / 3));
        }
        producer.flush().unwrap();
        for partition in 0..3 {
            let read = read_all(&log, &tp("t", partition));
            assert_eq!(offsets(&read), (0..1_000).collect::<Vec<_>>());
        }
    });
}

#[test]
fn b08_a_call_that_fits_the_smallest_stage_only_just_gets_through() {
    on_each_kind(|bed| {
        let log = bed.builder().stage_bytes(STAGE).background(false).open().unwrap();
        let topic = topic(&log, "t");
        let producer = log.producer().set("max.block.ms", "5000").build().unwrap();
        let sizes = [1_000, 20_000, 30_000, 33_000, 40_000, 50_000, 60_000, 65_000, 65_536, 70_000];
        for (n, size) in sizes.iter().enumerate() {
            let value = vec![n as u8; *size];
            let sent = producer.send(topic.record(&value));
            let placed = sent.unwrap_or_else(|e| panic!("{size} bytes: {e:?}")).wait().unwrap();
            assert_eq!(placed.offset, n as u64);
        }
        let read = read_all(&log, &tp("t", 0));
        for ((n, size), record) in sizes.iter().enumerate().zip(&read) {
            assert_eq!(record.value().unwrap(), vec![n as u8; *size]);
        }
    });
}

#[test]
fn b08_a_full_disk_refuses_with_its_own_kind_and_goes_on_by_itself() {
    for level in [Durability::ProcessCrash, Durability::PowerLoss] {
        let disk = SimDisk::new();
        let log = small(&disk).durability(level).open().unwrap();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        disk.set_space(disk.used_space());
        let (placed, error) = fill(&producer, &topic);
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error:?}");
        assert!(error.is_retriable());
        assert!(placed > 0, "the stage itself needs no more space");

        disk.set_space(u64::MAX);
        let value = [b'y'; 1_000];
        assert_eq!(put(&producer, topic.record(&value)), placed, "no offset was lost");
        let read = read_all(&log, &tp("t", 0));
        assert_eq!(offsets(&read), (0..=placed).collect::<Vec<_>>());
        log.close().unwrap();
        let log = small(&disk).durability(level).open().unwrap();
        assert_eq!(read_all(&log, &tp("t", 0)).len() as u64, placed + 1);
    }
}

#[test]
fn b08_what_stood_in_the_stage_of_a_full_disk_can_be_read_and_closed_and_found_again() {
    let disk = SimDisk::new();
    let log = small(&disk).durability(Durability::ProcessCrash).open().unwrap();
    let topic = topic(&log, "t");
    let producer = producer(&log);
    disk.set_space(disk.used_space());
    let (placed, _) = fill(&producer, &topic);
    assert_eq!(read_all(&log, &tp("t", 0)).len() as u64, placed);
    drop(producer);
    // The close says so, and loses nothing.
    let log_closed = log.close();
    if let Err(error) = &log_closed {
        assert!(!matches!(error.kind(), ErrorKind::Unknown), "{error:?}");
    }
    let log = small(&disk).durability(Durability::ProcessCrash).open().unwrap();
    assert_eq!(read_all(&log, &tp("t", 0)).len() as u64, placed);
}

/// A log whose stage is full, and a thread that is held up while it makes room.
struct HeldUp {
    log: EventLog,
    gate: Gate,
    clock: ManualClock,
    /// Ends when the gate is opened, with the offset of its last record.
    filler: thread::JoinHandle<u64>,
}

impl HeldUp {
    fn new(level: Durability) -> Self {
        let (gate, clock) = (Gate::default(), ManualClock::starting_at(0));
        let disk = GatedDisk { disk: SimDisk::new(), gate: gate.clone(), syncs: Gate::default() };
        let log = EventLog::builder().disk(disk).path("/log").durability(level);
        let log = log.clock(clock.clone()).stage_bytes(STAGE).background(false).open().unwrap();
        let (topic, producer) = (topic_of(&log, "t", 3), producer(&log));
        gate.shut();
        let filler = thread::spawn(move || {
            let value = [b'x'; 1_000];
            let send = |_| place(&producer, topic.record(&value).partition(0));
            (0..100).map(send).fold(0, |_, offset| offset)
        });
        gate.wait_until_held();
        Self { log, gate, clock, filler }
    }
}

#[test]
fn b08_without_room_a_send_waits_for_max_block_ms_and_then_fails() {
    for level in [Durability::ProcessCrash, Durability::PowerLoss] {
        let HeldUp { log, gate, clock, filler } = HeldUp::new(level);
        let topic = log.topic("t").unwrap();
        // One partition is the one that is held up, the other has nothing to do with it.
        let senders: Vec<_> = [0, 1]
            .map(|partition| {
                let (log, topic) = (log.clone(), topic.clone());
                thread::spawn(move || {
                    let producer = log.producer().set("max.block.ms", "60000").build().unwrap();
                    let value = [b'y'; 1_000];
                    producer.send(topic.record(&value).partition(partition)).map(|d| d.placed())
                })
            })
            .into();
        clock.advance(Duration::from_millis(30_000));
        assert!(!filler.is_finished());
        while senders.iter().any(|sender| !sender.is_finished()) {
            clock.advance(Duration::from_millis(10_000));
            thread::yield_now();
        }
        for (partition, sender) in senders.into_iter().enumerate() {
            let error = refused(ErrorKind::Timeout, sender.join().unwrap());
            assert!(error.is_retriable());
            assert_eq!((error.topic(), error.partition()), (Some("t"), Some(partition as u32)));
            names(&error, &["max.block.ms"]);
        }
        gate.open();
        let last = filler.join().unwrap();
        // Who gave up took no offset, and may try again.
        let producer = producer(&log);
        assert_eq!(last, 99);
        assert_eq!(put(&producer, topic.record("y").partition(0)), 100);
        assert_eq!(put(&producer, topic.record("y").partition(1)), 0);
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 101);
    }
}

#[test]
fn b08_max_block_ms_0_does_not_wait_at_all() {
    let HeldUp { log, gate, filler, .. } = HeldUp::new(Durability::ProcessCrash);
    let topic = log.topic("t").unwrap();
    let producer = log.producer().set("max.block.ms", "0").build().unwrap();
    let value = [b'y'; 1_000];
    refused(ErrorKind::Timeout, producer.send(topic.record(&value).partition(1)));
    gate.open();
    filler.join().unwrap();
}

#[test]
fn b08_a_send_that_waits_goes_on_when_there_is_room() {
    for level in [Durability::ProcessCrash, Durability::PowerLoss] {
        let HeldUp { log, gate, filler, .. } = HeldUp::new(level);
        let topic = log.topic("t").unwrap();
        let waiting = {
            let log = log.clone();
            thread::spawn(move || {
                let value = [b'y'; 1_000];
                put(&producer(&log), topic.record(&value).partition(1))
            })
        };
        (0..100).for_each(|_| thread::yield_now());
        gate.open();
        assert_eq!(waiting.join().unwrap(), 0);
        assert_eq!(filler.join().unwrap(), 99);
        producer(&log).flush().unwrap();
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 100);
    }
}

#[test]
fn b08_who_makes_room_holds_no_lock_that_a_reader_or_an_admin_needs() {
    let HeldUp { log, gate, filler, .. } = HeldUp::new(Durability::ProcessCrash);
    let read = read_all(&log, &tp("t", 0));
    assert!(!read.is_empty() && read.len() < 100);
    let consumer = reader(&log, [tp("t", 0), tp("t", 1)]);
    assert_eq!(consumer.lag(&tp("t", 0)).unwrap(), read.len() as u64);
    let found = consumer.offsets_for_times([(tp("t", 0), 0)]).unwrap();
    assert_eq!(found[&tp("t", 0)].map(|hit| hit.offset), Some(0));
    assert_eq!(log.admin().describe_topic("t").unwrap().partition_count, 3);
    assert!(!filler.is_finished(), "all that went by a thread that is held up");
    gate.open();
    filler.join().unwrap();
}

#[test]
fn b08_waiting_for_room_blocks_no_reader_and_no_other_log() {
    let disk = SimDisk::new();
    let log = small(&disk).durability(Durability::ProcessCrash).open().unwrap();
    let first = topic(&log, "t");
    let producer_of_log = producer(&log);
    disk.set_space(disk.used_space());
    let (placed, _) = fill(&producer_of_log, &first);
    let mut consumer = reader(&log, [tp("t", 0)]);
    assert_eq!(take(&mut consumer, placed as usize).len() as u64, placed);
    // A second topic's append fails for the same reason, and takes no offset.
    let value = vec![0; 8_000];
    let refused_now = producer_of_log.send(first.record(&value));
    refused(ErrorKind::StorageFull, refused_now);
    disk.set_space(u64::MAX);
    assert_eq!(put(&producer_of_log, first.record(&value)), placed);
}

#[test]
fn b08_a_failing_wait_ends_at_the_delivery_timeout_and_says_why() {
    let disk = SimDisk::new();
    let clock = ManualClock::starting_at(0);
    let log = small(&disk).clock(clock.clone()).open().unwrap();
    let topic = topic(&log, "t");
    let producer = log.producer().set("delivery.timeout.ms", "1000").build().unwrap();
    put(&producer, topic.record("safe"));
    let delivery = producer.send(topic.record("late")).unwrap().into_owned();
    // From now on nothing can be synced: the stage is tried, then the segments.
    for at in 0..50_000 {
        disk.fail_at(disk.operations() + at, alluvium::testing::Fault::Eio);
    }
    let before = disk.operations();
    let waiter = thread::spawn(move || delivery.wait());
    while !waiter.is_finished() {
        // Time stands still until the disk has failed once: there is a cause to tell.
        if disk.operations() > before {
            clock.advance(Duration::from_millis(50));
        }
        thread::yield_now();
    }
    let error = refused(ErrorKind::DeliveryTimeout, waiter.join().unwrap());
    assert_eq!(error.offset(), Some(1));
    assert!(std::error::Error::source(&error).is_some(), "{error:?}");
    disk.clear_faults();
    producer.flush().unwrap();
    assert_eq!(values(&read_all(&log, &tp("t", 0))), [&b"safe"[..], b"late"]);
}

/// Opens its gates however the test ends: a log that is dropped waits for its threads.
struct Opens([Gate; 2]);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.iter().for_each(Gate::open);
    }
}

/// A disk that takes long to sync must not leave all the rest to whoever appends.
#[test]
fn the_background_settles_while_it_syncs() {
    for level in [Durability::ProcessCrash, Durability::PowerLoss] {
        let (gate, syncs) = (Gate::default(), Gate::default());
        let disk = GatedDisk { disk: SimDisk::new(), gate: gate.clone(), syncs: syncs.clone() };
        let clock = ManualClock::starting_at(0);
        let log = EventLog::builder().disk(disk).path("/log").durability(level);
        let log = log.clock(clock.clone()).open().unwrap();
        let _opens = Opens([gate.clone(), syncs.clone()]);
        let (topic, producer) = (topic_of(&log, "t", 1), producer(&log));
        let value = [b'x'; 1_000];
        let send = |count: u64| {
            (0..count).for_each(|_| _ = place(&producer, topic.record(&value)));
        };
        // Far from filling the stage: nobody but the background has a reason to write or sync.
        gate.shut();
        send(300);
        gate.wait_until_held();
        gate.open();
        syncs.shut();
        clock.advance(Duration::from_secs(1));
        syncs.wait_until_held();
        gate.shut();
        send(300);
        gate.wait_until_held();
        gate.open();
        syncs.open();
        producer.flush().unwrap();
        assert_eq!(read_all(&log, &tp("t", 0)).len() as u64, 600);
        drop(producer);
        log.close().unwrap();
    }
}
