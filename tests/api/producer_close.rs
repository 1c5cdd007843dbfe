//! The end of a producer: what it completes, whom it ends, what it tells.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::testing::{Fault, Operation, SimDisk};
use alluvium::{Durability, Error, ErrorKind, EventLog, EventLogBuilder, ManualClock};

use crate::gate::{Gate, GatedDisk};
use crate::support::*;

const STAGE: usize = 64 << 10;

fn on(disk: &SimDisk, level: Durability) -> EventLogBuilder {
    let builder = EventLog::builder().disk(disk.clone()).path("/log").stage_bytes(STAGE);
    builder.durability(level).background(false).close_timeout(Duration::ZERO)
}

/// From now on nothing can be written or synced.
fn break_disk(disk: &SimDisk) {
    (0..50_000).for_each(|at| disk.fail_at(disk.operations() + at, Fault::Eio));
}

/// Moves time on while `call` runs.
fn while_time_flies<T: Send>(clock: &ManualClock, call: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let running = scope.spawn(call);
        while !running.is_finished() {
            clock.advance(Duration::from_millis(50));
            thread::yield_now();
        }
        running.join().unwrap()
    })
}

#[test]
fn b14_a_close_at_its_deadline_says_what_is_pending_and_ends_who_waits() {
    let (disk, clock) = (SimDisk::new(), ManualClock::starting_at(0));
    let log = on(&disk, Durability::PowerLoss).clock(clock.clone()).open().unwrap();
    let topic = topic_of(&log, "t", 3);
    let producer = log.producer().set("delivery.timeout.ms", "999999999").build().unwrap();
    put(&producer, topic.record("safe").partition(0));
    let owned = producer.send(topic.record("late").partition(0)).unwrap().into_owned();
    for _ in 0..2 {
        place(&producer, topic.record("late").partition(2));
    }
    break_disk(&disk);
    let (waiter, flusher) = (owned.clone(), producer.clone());
    let waiter = thread::spawn(move || waiter.wait());
    let flusher = thread::spawn(move || flusher.flush());
    let (clone, closing) = (producer.clone(), producer);
    let closed = while_time_flies(&clock, || closing.close_timeout(Duration::from_secs(2)));

    let error = refused(ErrorKind::DeliveryTimeout, closed);
    names(&error, &["3 records in 2 partitions", "t-0 offsets 1..2", "t-2 offsets 0..2"]);
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some("t"), Some(0), Some(1)));
    assert!(std::error::Error::source(&error).is_some(), "{error:?}");
    names(&refused(ErrorKind::Closed, waiter.join().unwrap()), &["may still reach"]);
    refused(ErrorKind::Closed, flusher.join().unwrap());
    refused(ErrorKind::Closed, owned.wait());
    refused(ErrorKind::Closed, clone.send(topic.record("x")));
    refused(ErrorKind::Closed, clone.flush());
    clone.close().unwrap();

    // Nothing was taken back, and the log goes on.
    disk.clear_faults();
    log.producer().build().unwrap().flush().unwrap();
    assert_eq!(owned.wait().unwrap().offset, 1);
    assert_eq!(read_all(&log, &tp("t", 0)).len(), 2);
    assert_eq!(read_all(&log, &tp("t", 2)).len(), 2);
}

#[test]
fn b14_a_close_without_time_tries_once() {
    let disk = SimDisk::new();
    let log = on(&disk, Durability::PowerLoss).open().unwrap();
    let topic = topic(&log, "t");
    let producer = producer(&log);
    place(&producer, topic.record("v"));
    assert!(reader(&log, [tp("t", 0)]).poll(Duration::ZERO).is_ok());
    producer.close_timeout(Duration::ZERO).unwrap();
    assert_eq!(read_all(&log, &tp("t", 0)).len(), 1);
}

#[test]
fn b14_a_wait_that_runs_while_a_close_succeeds_succeeds_too() {
    on_disk(|bed| {
        for _ in 0..20 {
            let bed = Bed::new(bed.kind);
            let log = bed.builder().background(false).open().unwrap();
            let topic = topic(&log, "t");
            let producer = producer(&log);
            let delivery = producer.send(topic.record("v")).unwrap().into_owned();
            let waiter = thread::spawn(move || delivery.wait());
            producer.close().unwrap();
            assert_eq!(waiter.join().unwrap().unwrap().offset, 0);
        }
    });
}

/// Senders that find the stage full while the thread that makes room is held up.
#[test]
fn b14_close_ends_senders_that_wait_for_room() {
    for level in [Durability::ProcessCrash, Durability::PowerLoss] {
        let gate = Gate::default();
        let disk = GatedDisk { disk: SimDisk::new(), gate: gate.clone(), syncs: Gate::default() };
        let log = EventLog::builder().disk(disk).path("/log").durability(level);
        let clock = ManualClock::starting_at(0);
        let log = log.clock(clock).stage_bytes(STAGE).background(false).open().unwrap();
        let topic = topic_of(&log, "t", 3);
        let (filler, held) = (producer(&log), producer(&log));
        gate.shut();
        let value = [b'x'; 1_000];
        thread::scope(|scope| {
            let filler = scope.spawn(|| {
                (0..100).for_each(|_| {
                    place(&filler, topic.record(&value).partition(0));
                })
            });
            gate.wait_until_held();
            let senders: Vec<_> = [0, 1, 2]
                .map(|partition| {
                    let (held, topic, value) = (held.clone(), &topic, &value);
                    scope.spawn(move || {
                        held.send(topic.record(value).partition(partition)).map(|d| d.placed())
                    })
                })
                .into();
            (0..200).for_each(|_| thread::yield_now());
            // At `PowerLoss` the close itself needs the disk that is held up.
            let closing = scope.spawn(|| held.clone().close());
            for sender in senders {
                names(&refused(ErrorKind::Closed, sender.join().unwrap()), &["closed"]);
            }
            assert!(!filler.is_finished(), "all that ended before there was room");
            gate.open();
            closing.join().unwrap().unwrap();
            filler.join().unwrap();
        });
        producer(&log).flush().unwrap();
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 100);
        assert_eq!(read_all(&log, &tp("t", 1)).len(), 0, "who was ended appended nothing");
    }
}

/// Many threads on a stage that is always full, and one that closes at a moment that the seed
/// says: each thread ends with `Closed`, and what was placed is there, once.
#[test]
fn b14_close_against_blocked_senders_loses_and_doubles_nothing() {
    for seed in 0..24_u64 {
        let level = [Durability::ProcessCrash, Durability::PowerLoss][seed as usize % 2];
        let disk = SimDisk::new();
        let log = on(&disk, level).open().unwrap();
        let topic = topic_of(&log, "t", 4);
        let producer = producer(&log);
        let start = Barrier::new(5);
        let send = |thread: u32| {
            let value = vec![b'x'; 700 + thread as usize];
            start.wait();
            let (mut placed, mut count) = (Vec::new(), 0_u32);
            let ended: Error = loop {
                count += 1;
                let record = topic.record(&value).partition(count % 4);
                match producer.send(record) {
                    Ok(delivery) => placed.push(delivery.placed()),
                    Err(error) => break error,
                }
            };
            assert_eq!(ended.kind(), ErrorKind::Closed, "{ended:?}");
            (thread, placed)
        };
        let (send, start) = (&send, &start);
        let all: Vec<_> = thread::scope(|scope| {
            let senders: Vec<_> = (0..4).map(|n| scope.spawn(move || send(n))).collect();
            start.wait();
            (0..seed * seed).for_each(|_| thread::yield_now());
            producer.clone().close().unwrap();
            senders.into_iter().map(|sender| sender.join().unwrap()).collect()
        });
        log.producer().build().unwrap().flush().unwrap();
        let read: Vec<_> = (0..4).map(|partition| read_all(&log, &tp("t", partition))).collect();
        let mut told = 0;
        for (thread, placed) in all {
            told += placed.len();
            for at in placed {
                let record = &read[at.partition as usize][at.offset as usize];
                assert_eq!(record.value().unwrap().len(), 700 + thread as usize);
            }
        }
        assert_eq!(told, read.iter().map(Vec::len).sum::<usize>(), "seed {seed}");
    }
}

#[test]
fn b14_a_drop_while_others_wait_loses_nothing() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let delivery = producer.send(topic.record("v")).unwrap().into_owned();
        drop(producer);
        assert_eq!(delivery.wait().unwrap().offset, 0);
    });
}

/// Bytes of a segment that nobody has synced go bad, and the sync that should save them fails.
fn lose_records(disk: &SimDisk, log: &EventLog) -> u64 {
    let topic = topic(log, "t");
    let sender = producer(log);
    let value = [b'x'; 1_000];
    let is_ours = |bytes: &Vec<u8>| bytes.windows(1_000).any(|window| window == value);
    let mut sent = 0;
    let (segment, mut bytes) = loop {
        for _ in 0..50 {
            let _ = sender.send(topic.record(&value)).unwrap(); // Nobody waits for it.
            sent += 1;
        }
        let segments =
            disk.list_files().into_iter().filter(|f| f.extension() == Some("seg".as_ref()));
        let mut read = segments.map(|file| (file.clone(), disk.read_file(&file).unwrap()));
        if let Some(found) = read.find(|(_, bytes)| is_ours(bytes)) {
            break found;
        }
    };
    let spoiled = bytes.windows(1_000).position(|window| window == value).unwrap();
    bytes[spoiled + 500] ^= 1;
    disk.write_file(&segment, &bytes).unwrap();
    disk.fail_next(Operation::Sync, "seg", Fault::SyncFails);
    sent
}

#[test]
fn a_loss_behind_dropped_deliveries_is_told_once_by_the_next_flush_or_close() {
    let disk = SimDisk::new();
    let clock = ManualClock::starting_at(0);
    let log = on(&disk, Durability::ProcessCrash).clock(clock.clone()).open().unwrap();
    let (flushes, closes) = (producer(&log), producer(&log));
    flushes.flush().unwrap();
    let sent = lose_records(&disk, &log);
    let failed = AtomicBool::new(false);
    for _ in 0..20 {
        clock.advance(Duration::from_secs(1));
        log.tick();
        if let Err(error) = flushes.flush() {
            assert!(!failed.swap(true, Ordering::Relaxed), "told twice: {error:?}");
            assert_eq!(error.kind(), ErrorKind::StorageError, "{error:?}");
            assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
            assert!(error.offset().is_some_and(|offset| offset < sent));
            names(&error, &["t-0 offsets", ".."]);
        }
    }
    assert!(failed.load(Ordering::Relaxed), "the loss was kept quiet");
    flushes.close().unwrap();
    let error = refused(ErrorKind::StorageError, closes.close());
    names(&error, &["t-0 offsets"]);
    // Who comes later has lost nothing.
    producer(&log).close().unwrap();
    assert!((read_all(&log, &tp("t", 0)).len() as u64) < sent);
}
