//! Settings altered while records come, topics grow and disks fail.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use alluvium::testing::{Fault, PowerCut, SimDisk};
use alluvium::{
    AlterConfigOp, ConfigResource, Durability, Error, ErrorKind, EventLog, ManualClock, NewTopic,
    Record, TimestampType,
};

use crate::support::*;

const NOW: i64 = 1_700_000_000_000;

fn alter(log: &EventLog, pairs: &[(&str, &str)]) -> Result<(), Error> {
    let ops: Vec<_> = pairs.iter().map(|(key, value)| AlterConfigOp::set(key, value)).collect();
    log.admin().incremental_alter_configs(&ConfigResource::topic("t"), &ops)
}

fn level(log: &EventLog) -> Durability {
    log.admin().describe_topic("t").unwrap().config.durability
}

/// Sends by threads until `alterations` is over.
fn while_sending(send: impl Fn(u64) + Sync, alterations: impl FnOnce() + Send) {
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    send(sent.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        // On a busy machine all could be over before the others have begun.
        while sent.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        let alter = thread::Builder::new().spawn_scoped(scope, alterations).unwrap();
        let outcome = alter.join();
        over.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    assert!(sent.into_inner() > 0);
}

#[test]
fn e09_a_call_goes_by_the_settings_of_before_or_of_after_and_never_by_some_of_each() {
    let log = EventLog::in_memory();
    let producer = producer(&log);
    let large = vec![0; 1_000];
    // Refused before, for it has no key; refused after, for it is too large.
    let send = |n: u64| {
        let record = Record::new("t", &large);
        let refused = match n % 2 {
            0 => producer.send(record).map(drop),
            _ => producer.send_batch([record, record]).parts()[0].result().map(drop),
        };
        let kind = refused.expect_err("neither set of settings lets it in").kind();
        assert!(matches!(kind, ErrorKind::InvalidRecord | ErrorKind::MessageTooLarge));
    };
    let before = [("cleanup.policy", "compact"), ("max.message.bytes", "100000")];
    let after = [("cleanup.policy", "delete"), ("max.message.bytes", "100")];
    log.create_topic(NewTopic::new("t").config("max.message.bytes", "100")).unwrap();
    while_sending(send, || {
        for n in 0..400 {
            alter(&log, if n % 2 == 0 { &before } else { &after }).unwrap();
        }
    });
    assert_eq!(read_all(&log, &tp("t", 0)).len(), 0);
}

#[test]
fn e09_no_time_passes_that_both_types_of_timestamp_would_refuse() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(NOW);
        let log = bed.builder().clock(clock.clone()).open().unwrap();
        topic(&log, "t");
        let producer = producer(&log);
        let far = NOW + 7_200_000;
        let send = |n: u64| {
            // The clock goes on: the log's time goes on with it.
            clock.advance(Duration::from_millis(1));
            let record = Record::new("t", "v").timestamp_ms(far);
            let accepted = match n % 3 {
                0 => producer.send_batch([record, record]).parts()[0].result().map(drop),
                _ => producer.send(record).map(|delivery| {
                    assert!(delivery.placed().timestamp_ms < far, "the log's time is returned");
                }),
            };
            if let Err(error) = accepted {
                assert_eq!(error.kind(), ErrorKind::InvalidTimestamp, "{error}");
            }
        };
        while_sending(send, || {
            for n in 0..40 {
                let to = ["LogAppendTime", "CreateTime"][n % 2];
                alter(&log, &[("message.timestamp.type", to)]).unwrap();
                // In force at once, for this thread as for every other.
                let sent = producer.send(Record::new("t", "mine").timestamp_ms(far));
                assert_eq!(sent.is_ok(), to == "LogAppendTime");
            }
        });
        producer.flush().unwrap();
        let read = read_all(&log, &tp("t", 0));
        assert!(read.len() >= 20);
        assert!(read.iter().all(|r| r.timestamp_type() == TimestampType::LogAppendTime));
        // A08: the time of the append is in the order of appends, whoever sent.
        assert!(read.is_sorted_by_key(|record| record.timestamp_ms()));
    });
}

#[test]
fn e09_a_shorter_time_of_segments_is_in_force_for_the_next_batch() {
    on_disk(|bed| {
        let clock = ManualClock::starting_at(NOW);
        let log = bed.builder().clock(clock).open().unwrap();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let value = vec![1; 140_000]; // Written through, a batch each.
        let batch = |n: i64| {
            put(&producer, topic.record(&value).timestamp_ms(NOW - 10_000 + n * 1_000));
        };
        (0..3).for_each(batch);
        assert_eq!(bed.segment_files(&topic).len(), 1);
        alter(&log, &[("segment.ms", "1500")]).unwrap();
        (3..7).for_each(batch);
        // 0, 1, 2 | 3, 4 | 5, 6
        assert_eq!(bed.segment_files(&topic).len(), 3);
    });
}

#[test]
fn e09_what_is_staged_settles_whatever_the_new_size_of_segments() {
    on_disk(|bed| {
        let clock = ManualClock::starting_at(NOW);
        let builder = bed.builder().clock(clock.clone()).background(false);
        let log = builder.stage_bytes(64 << 10).open().unwrap();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let value = [7; 3_000];
        (0..5).for_each(|_| {
            place(&producer, topic.record(&value));
        });
        alter(&log, &[("internal.segment.bytes", "256")]).unwrap();
        let late = refused(ErrorKind::RecordListTooLarge, producer.send(topic.record(&value)));
        names(&late, &["segment.bytes is 256"]);
        (0..3).for_each(|_| {
            place(&producer, topic.record(&[1; 100]));
        });
        // More than the stage holds drives everything into segments.
        let filler = log.create_topic(NewTopic::new("filler")).unwrap();
        (0..100).for_each(|_| {
            place(&producer, filler.record(&[0; 1_000]));
            log.tick();
        });
        assert!(bed.segment_files(&topic).len() >= 2, "the batch of before is one by itself");
        drop(producer);
        let read = read_all(&bed.reopen(log), &tp("t", 0));
        assert_eq!(offsets(&read), (0..8).collect::<Vec<_>>());
        assert!(read[..5].iter().all(|record| record.value() == Some(&value[..])));
    });
}

#[test]
fn e09_a_shorter_flush_ms_is_in_force_for_the_next_record() {
    let clock = ManualClock::starting_at(NOW);
    let bed = Bed::new(Kind::ProcessCrash);
    let log = bed.builder().clock(clock).background(false).open().unwrap();
    let topic = topic(&log, "t");
    let producer = producer(&log);
    let due = || {
        place(&producer, topic.record("v"));
        let due = log.tick().next_due;
        producer.flush().unwrap();
        due
    };
    assert_eq!(due(), Some(Duration::from_millis(100)));
    alter(&log, &[("flush.ms", "7")]).unwrap();
    assert_eq!(due(), Some(Duration::from_millis(7)));
    let ops = [AlterConfigOp::delete("flush.ms")];
    log.admin().incremental_alter_configs(&ConfigResource::topic("t"), &ops).unwrap();
    assert_eq!(due(), Some(Duration::from_millis(100)));
}

#[test]
fn e09_partitions_that_come_later_go_by_what_was_altered() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        alter(&log, &[("max.message.bytes", "100")]).unwrap();
        log.admin().create_partitions("t", 3).unwrap();
        let producer = producer(&log);
        for partition in 0..3 {
            let large = producer.send(topic.record(&[0; 100]).partition(partition));
            refused(ErrorKind::MessageTooLarge, large);
        }
    });
}

#[test]
fn e09_topics_that_come_grow_and_go_meanwhile_have_whole_settings() {
    on_each_kind(|bed| {
        let log = bed.open();
        let admin = log.admin();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..10 {
                    log.ensure_topic(NewTopic::new("t").config("segment.ms", "1")).ok();
                    admin.create_partitions("t", 3).ok();
                    admin.delete_topic("t").unwrap();
                }
            });
            for seed in 0..2 {
                let log = &log;
                scope.spawn(move || {
                    for n in (seed..40).step_by(2) {
                        let n = (n + 2).to_string();
                        let pairs = [("segment.ms", &*n), ("retention.ms", &*n)];
                        if let Err(error) = alter(log, &pairs) {
                            let kind = error.kind();
                            assert_eq!(kind, ErrorKind::UnknownTopicOrPartition, "{error}");
                        }
                        if let Ok(topic) = log.admin().describe_topic("t") {
                            let (segment, kept) =
                                (topic.config.segment_ms, topic.config.retention_ms);
                            assert!(segment == kept || (segment, kept) == (1, -1));
                        }
                    }
                });
            }
        });
        drop(admin);
        bed.reopen(log);
    });
}

#[test]
fn e09_levels_go_up_and_down_under_senders_and_readers() {
    on_disk(|bed| {
        let log = bed.open();
        topic(&log, "t");
        let producer = producer(&log);
        let newest = AtomicU64::new(0);
        let send = |n: u64| {
            let value = n.to_le_bytes();
            let delivery = producer.send(Record::new("t", &value)).unwrap();
            if n.is_multiple_of(3) {
                delivery.wait().unwrap();
            }
            // The visible end never goes back.
            let consumer = log.consumer().build().unwrap();
            let before = newest.load(Ordering::SeqCst);
            let end = consumer.end_offsets(&[tp("t", 0)]).unwrap().get(&tp("t", 0)).unwrap();
            assert!(end >= before, "{end} after {before}");
            newest.fetch_max(end, Ordering::SeqCst);
        };
        while_sending(send, || {
            for n in 0..20 {
                let to = ["process-crash", "power-loss"][n % 2];
                alter(&log, &[("durability", to)]).unwrap();
            }
        });
        assert_eq!(level(&log), Durability::PowerLoss);
        producer.flush().unwrap();
        drop(producer);
        let sent = newest.into_inner();
        let log = bed.reopen(log);
        let read = read_all(&log, &tp("t", 0));
        assert!(read.len() as u64 >= sent);
        assert_eq!(offsets(&read), (0..read.len() as u64).collect::<Vec<_>>());
        let distinct: BTreeSet<_> = read.iter().map(|record| record.value().unwrap()).collect();
        assert_eq!(distinct.len(), read.len(), "nothing is lost and nothing is doubled");
    });
}

/// Whoever is told while the level is `PowerLoss` keeps the record through a power cut, and no
/// offset that anybody has seen comes back with another record.
#[test]
fn e09_what_was_promised_while_the_level_moved_survives_a_power_cut() {
    for seed in 0..12 {
        let (disk, clock) = (SimDisk::new(), ManualClock::starting_at(NOW));
        let log = open(&disk, &clock);
        topic(&log, "t");
        let producer = log.producer().set("delivery.timeout.ms", "5000").build().unwrap();
        // Even while nothing is promised but ProcessCrash.
        let phase = AtomicU64::new(0);
        let (safe, seen) = (Mutex::new(BTreeSet::new()), AtomicU64::new(0));
        let send = |n: u64| {
            let value = n.to_le_bytes();
            let before = phase.load(Ordering::SeqCst);
            let sent = producer.send(Record::new("t", &value)).and_then(|delivery| delivery.wait());
            let Ok(placed) = sent else { return assert!(disk.is_off(), "{sent:?}") };
            let mut safe = safe.lock().unwrap();
            if disk.is_off() {
                return;
            }
            if before % 2 == 1 && phase.load(Ordering::SeqCst) == before {
                safe.insert((placed.offset, n));
            }
            seen.fetch_max(placed.offset + 1, Ordering::SeqCst);
        };
        let cut = Mutex::new(None);
        while_sending(send, || {
            for round in 1..4 {
                alter(&log, &[("durability", "power-loss")]).unwrap();
                phase.fetch_add(1, Ordering::SeqCst);
                (0..3).for_each(|n| send((round << 40) + n));
                phase.fetch_add(1, Ordering::SeqCst);
                alter(&log, &[("durability", "process-crash")]).unwrap();
                (0..seed).for_each(|_| thread::yield_now());
            }
            let safe = safe.lock().unwrap();
            *cut.lock().unwrap() = Some(disk.power_cut_with(PowerCut::Seed(seed)));
            drop(safe);
            // Whoever waits for a disk that is off has waited long enough.
            clock.advance(Duration::from_secs(3_600));
        });
        let (safe, seen) = (safe.into_inner().unwrap(), seen.into_inner());
        let after = open(&cut.into_inner().unwrap().unwrap(), &clock);
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let read = read_all(&after, &tp("t", 0));
        let found: BTreeSet<_> =
            read.iter().map(|r| (r.offset(), number(r.value().unwrap()))).collect();
        let lost: Vec<_> = safe.difference(&found).collect();
        assert!(safe.len() >= 9 && lost.is_empty(), "seed {seed}: {lost:?} of {}", safe.len());
        let next = put(&after.producer().build().unwrap(), Record::new("t", "next"));
        assert!(next >= seen, "seed {seed}: {next} was given before {seen}");
    }
}

fn open(disk: &SimDisk, clock: &ManualClock) -> EventLog {
    let builder = EventLog::builder().disk(disk.clone()).path("/data").clock(clock.clone());
    builder.durability(Durability::ProcessCrash).background(false).open().unwrap()
}

/// Alters while the disk fails from operation `at` on, `count` times. Returns whether that was
/// within the alteration, and whether it failed.
fn alter_on_a_failing_disk(at: u64, count: u64) -> (bool, bool) {
    let (disk, clock) = (SimDisk::new(), ManualClock::starting_at(NOW));
    let log = open(&disk, &clock);
    topic(&log, "t");
    let producer = producer(&log);
    place(&producer, Record::new("t", "one"));
    let told = |log: &EventLog| {
        let config = log.admin().describe_topic("t").unwrap().config;
        (config.segment_ms, config.max_message_bytes, config.durability)
    };
    let (before, after) = (told(&log), (5, 1_000, Durability::PowerLoss));
    let first = disk.operations();
    (at..at + count).for_each(|n| disk.fail_at(first + n, Fault::Eio));
    let pairs = [("segment.ms", "5"), ("max.message.bytes", "1000"), ("durability", "power-loss")];
    let altered = thread::scope(|scope| {
        let altering = scope.spawn(|| alter(&log, &pairs));
        while !altering.is_finished() {
            // Time stands still until the disk fails.
            if disk.operations() > first + at {
                clock.advance(Duration::from_millis(500));
            }
            thread::yield_now();
        }
        altering.join().unwrap()
    });
    let within = disk.operations() - first > at;
    disk.clear_faults();
    let is = told(&log);
    match &altered {
        Ok(()) => assert_eq!(is, after),
        Err(error) => assert!(is == before || is == after, "{at}: {is:?} after {error:?}"),
    }
    // The log goes on, and one more attempt is all that it takes.
    place(&producer, Record::new("t", "two"));
    alter(&log, &pairs).unwrap();
    put(&producer, Record::new("t", "three"));
    drop(producer);
    log.close().unwrap();
    let log = open(&disk, &clock);
    assert_eq!(told(&log), after);
    assert_eq!(values(&read_all(&log, &tp("t", 0))), [&b"one"[..], b"two", b"three"]);
    (within, altered.is_err())
}

#[test]
fn e09_a_failure_at_any_step_leaves_the_old_settings_or_the_new_ones() {
    for at in 0.. {
        let (within, _) = alter_on_a_failing_disk(at, 1);
        let (_, fails) = alter_on_a_failing_disk(at, 50_000);
        assert_eq!(within, fails, "at {at}: a disk that never works again");
        if !within {
            return assert!(at > 0);
        }
    }
}

#[test]
fn e09_offsets_that_are_committed_survive_as_much_as_the_records_of_their_topic() {
    let committed = |disk: &SimDisk, clock: &ManualClock| {
        let log = open(&disk.power_cut_with(PowerCut::Nothing), clock);
        let group = log.admin().group_offsets("g").unwrap();
        group.get(&tp("t", 0)).map(|committed| committed.offset)
    };
    for commit_again in [false, true] {
        let (disk, clock) = (SimDisk::new(), ManualClock::starting_at(NOW));
        let log = open(&disk, &clock);
        topic(&log, "t");
        put(&producer(&log), Record::new("t", "v"));
        let mut consumer = log.consumer().group("g").build().unwrap();
        consumer.assign([tp("t", 0)]).unwrap();
        consumer.commit_offsets(&[(tp("t", 0), 1)].into_iter().collect()).unwrap();
        alter(&log, &[("durability", "power-loss")]).unwrap();
        if commit_again {
            consumer.commit_offsets(&[(tp("t", 0), 7)].into_iter().collect()).unwrap();
        }
        let is = if commit_again { 7 } else { 1 };
        assert_eq!(committed(&disk, &clock), Some(is));
    }
}

#[test]
fn e09_a_close_ends_an_alteration_that_waits_for_a_failing_disk() {
    let (disk, clock) = (SimDisk::new(), ManualClock::starting_at(NOW));
    let log = open(&disk, &clock);
    topic(&log, "t");
    place(&producer(&log), Record::new("t", "v"));
    for n in 0..50_000 {
        disk.fail_at(disk.operations() + n, Fault::Eio);
    }
    thread::scope(|scope| {
        let before = disk.operations();
        let altering = scope.spawn(|| alter(&log, &[("durability", "power-loss")]));
        // It has begun to wait when it has met the disk.
        while disk.operations() == before {
            thread::yield_now();
        }
        let closing = scope.spawn(|| log.clone().close());
        refused(ErrorKind::Closed, altering.join().unwrap());
        disk.clear_faults();
        while !closing.is_finished() {
            clock.advance(Duration::from_millis(100));
            thread::yield_now();
        }
        closing.join().unwrap().unwrap();
    });
    let log = open(&disk, &clock);
    assert_eq!(level(&log), Durability::ProcessCrash);
    assert_eq!(read_all(&log, &tp("t", 0)).len(), 1);
}

#[test]
fn e09_a_closed_log_alters_and_tells_nothing() {
    let log = EventLog::in_memory();
    topic(&log, "t");
    let admin = log.admin();
    log.close().unwrap();
    let resource = ConfigResource::topic("t");
    let ops = [AlterConfigOp::set("segment.ms", "1")];
    refused(ErrorKind::Closed, admin.incremental_alter_configs(&resource, &ops));
    refused(ErrorKind::Closed, admin.validate_alter_configs(&resource, &ops));
    refused(ErrorKind::Closed, admin.describe_configs(&resource));
}
