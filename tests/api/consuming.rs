//! Polls, positions and seeks.

use std::time::Duration;

use alluvium::{ErrorKind, EventLog, Offsets, Records};

use crate::support::*;

/// A log with `counts[n]` records in partition `n` of "t"; values tell partition and offset.
fn filled(bed: &Bed, counts: &[u64]) -> EventLog {
    let log = bed.open();
    let topic = topic_of(&log, "t", counts.len() as u32);
    let producer = producer(&log);
    for (partition, count) in counts.iter().enumerate() {
        for n in 0..*count {
            let value = format!("{partition}/{n}");
            place(&producer, topic.record(&value).partition(partition as u32));
        }
    }
    producer.flush().unwrap();
    log
}

#[test]
fn c05_a_poll_returns_at_most_max_poll_records_and_keeps_the_rest() {
    on_each_kind(|bed| {
        let log = filled(bed, &[1_203]);
        let mut consumer = reader(&log, [tp("t", 0)]);
        let mut lens = Vec::new();
        let mut next = 0;
        while next < 1_203 {
            let records = consumer.poll(LONG).unwrap();
            lens.push(records.len());
            for record in &records {
                assert_eq!(record.offset(), next);
                assert_eq!(record.value_str().unwrap(), format!("0/{next}"));
                next += 1;
            }
        }
        assert_eq!(lens, [500, 500, 203], "500 is the default");
        let consumer = log.consumer().set("max.poll.records", "7");
        let mut consumer = consumer.set("auto.offset.reset", "earliest").build().unwrap();
        consumer.assign([tp("t", 0)]).unwrap();
        for n in 0..10 {
            let records = consumer.poll(LONG).unwrap();
            assert_eq!(records.len(), 7);
            assert_eq!(records.iter().next().unwrap().offset(), n * 7);
        }
    });
}

#[test]
fn c05_a_poll_that_finds_nothing_is_empty() {
    on_each_kind(|bed| {
        let log = filled(bed, &[1, 0]);
        let mut consumer = reader(&log, [tp("t", 1)]);
        let records = consumer.poll(Duration::ZERO).unwrap();
        assert!(records.is_empty() && records.iter().next().is_none());
        assert_eq!(records.iter().len(), 0);
        assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
    });
}

#[test]
fn c05_partitions_take_turns_and_each_keeps_its_order() {
    on_each_kind(|bed| {
        let log = filled(bed, &[3_000, 40, 3_000]);
        let mut consumer = reader(&log, [tp("t", 0), tp("t", 1), tp("t", 2)]);
        let mut next = [0_u64; 3];
        let mut first_of_small = None;
        for poll in 0.. {
            if next == [3_000, 40, 3_000] {
                break;
            }
            let records = consumer.poll(LONG).unwrap();
            assert!(!records.is_empty());
            for record in &records {
                let partition = record.partition() as usize;
                assert_eq!(record.offset(), next[partition]);
                next[partition] += 1;
            }
            if next[1] > 0 {
                first_of_small.get_or_insert(poll);
            }
        }
        assert!(first_of_small.unwrap() < 3, "the large ones starved it: {first_of_small:?}");
    });
}

#[test]
fn c05_poll_into_uses_its_room_again_and_forgets_what_was_there() {
    on_each_kind(|bed| {
        let log = filled(bed, &[600, 1]);
        let mut consumer = reader(&log, [tp("t", 0)]);
        let mut records = Records::default();
        assert_eq!(consumer.poll_into(&mut records, LONG).unwrap(), 500);
        assert_eq!(consumer.poll_into(&mut records, LONG).unwrap(), 100);
        assert_eq!(
            records.iter().map(|r| r.offset()).collect::<Vec<_>>(),
            (500..600).collect::<Vec<_>>()
        );
        assert_eq!(consumer.poll_into(&mut records, Duration::ZERO).unwrap(), 0);
        assert!(records.is_empty());
        consumer.assign([]).unwrap();
        refused(ErrorKind::IllegalState, consumer.poll_into(&mut records, LONG));
        assert!(records.is_empty());
    });
}

#[test]
fn c06_position_is_the_next_record_and_what_is_to_be_committed() {
    on_each_kind(|bed| {
        let log = filled(bed, &[10, 3]);
        let consumer = log.consumer().set("max.poll.records", "4");
        let mut consumer = consumer.set("auto.offset.reset", "earliest").build().unwrap();
        consumer.assign([tp("t", 0)]).unwrap();
        assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 0);
        for (read, len) in [(4, 4), (8, 4), (10, 2)] {
            let records = consumer.poll(LONG).unwrap();
            assert_eq!(records.len(), len);
            assert_eq!(consumer.position(&tp("t", 0)).unwrap(), read);
            assert_eq!(records.next_offsets(), Offsets::from_iter([(tp("t", 0), read)]));
            assert_eq!(consumer.lag(&tp("t", 0)).unwrap(), 10 - read);
        }
        refused(ErrorKind::IllegalState, consumer.position(&tp("t", 1)));
    });
}

#[test]
fn c10_a_seek_takes_effect_at_the_next_poll_and_drops_what_was_buffered() {
    on_each_kind(|bed| {
        let log = filled(bed, &[100, 100]);
        let consumer = log.consumer().set("max.poll.records", "5");
        let mut consumer = consumer.set("auto.offset.reset", "earliest").build().unwrap();
        let (a, b) = (tp("t", 0), tp("t", 1));
        consumer.assign([a.clone()]).unwrap();
        assert_eq!(consumer.poll(LONG).unwrap().len(), 5);
        consumer.seek(&a, 50).unwrap();
        assert_eq!(consumer.position(&a).unwrap(), 50);
        assert_eq!(offsets(&take(&mut consumer, 5)), [50, 51, 52, 53, 54]);
        consumer.seek(&a, 0).unwrap();
        assert_eq!(offsets(&take(&mut consumer, 5)), [0, 1, 2, 3, 4]);
        consumer.seek(&a, 99).unwrap();
        assert_eq!(offsets(&take(&mut consumer, 1)), [99]);
        // Twice before a poll: the last one counts.
        consumer.seek(&a, 7).unwrap();
        consumer.seek(&a, 70).unwrap();
        assert_eq!(take(&mut consumer, 5)[0].offset(), 70);
        let error = refused(ErrorKind::IllegalState, consumer.seek(&b, 0));
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(1)));
    });
}

#[test]
fn c10_seeks_to_beginning_and_end_are_lazy() {
    on_each_kind(|bed| {
        let log = filled(bed, &[10, 10]);
        let (a, b) = (tp("t", 0), tp("t", 1));
        let mut consumer = reader(&log, [a.clone(), b.clone()]);
        consumer.seek_to_end(&[]).unwrap();
        // What comes before the next poll is before the end.
        let (topic, producer) = (log.topic("t").unwrap(), producer(&log));
        put(&producer, topic.record("late").partition(0));
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        assert_eq!(consumer.position(&a).unwrap(), 11);
        assert_eq!(consumer.position(&b).unwrap(), 10);
        consumer.seek_to_beginning(std::slice::from_ref(&b)).unwrap();
        let read = take(&mut consumer, 10);
        assert!(read.iter().all(|record| record.partition() == 1));
        consumer.seek_to_beginning(&[]).unwrap();
        assert_eq!(take(&mut consumer, 21).len(), 21);

        let some = [a.clone(), tp("t", 2)];
        refused(ErrorKind::IllegalState, consumer.seek_to_beginning(&some));
        assert_eq!(consumer.position(&a).unwrap(), 11, "one unknown place and nothing changes");
    });
}

#[test]
fn c10_a_seek_beyond_the_end_is_taken_and_only_the_fetch_tells() {
    on_each_kind(|bed| {
        let log = filled(bed, &[10]);
        let mut consumer = reader(&log, [tp("t", 0)]);
        consumer.seek(&tp("t", 0), 11).unwrap();
        assert_eq!(consumer.position(&tp("t", 0)).unwrap(), 11);
        // Earliest is the policy.
        assert_eq!(offsets(&take(&mut consumer, 10)), (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn c19_bounds_and_lag_of_any_partition() {
    on_each_kind(|bed| {
        let log = filled(bed, &[10, 0, 5]);
        let all = [tp("t", 0), tp("t", 1), tp("t", 2)];
        // Without an assignment.
        let consumer = log.consumer().build().unwrap();
        let starts = consumer.beginning_offsets(&all).unwrap();
        assert!(starts.iter().all(|(_, start)| start == 0) && starts.len() == 3);
        let ends = consumer.end_offsets(&all).unwrap();
        let ends: Vec<_> = ends.iter().map(|(_, end)| end).collect();
        assert_eq!(ends, [10, 0, 5]);
        let unknown = ErrorKind::UnknownTopicOrPartition;
        for place in [tp("t", 3), tp("nowhere", 0)] {
            let places = [all[0].clone(), place.clone()];
            let error = refused(unknown, consumer.end_offsets(&places));
            assert_eq!(error.topic(), Some(place.topic()));
            refused(unknown, consumer.beginning_offsets(&places));
        }
        let mut consumer = reader(&log, all.clone());
        assert_eq!(consumer.lag(&all[0]).unwrap(), 10);
        consumer.seek(&all[0], 4).unwrap();
        assert_eq!(consumer.lag(&all[0]).unwrap(), 6);
        consumer.seek(&all[0], 400).unwrap();
        assert_eq!(consumer.lag(&all[0]).unwrap(), 0, "no lag below nothing");
    });
}

#[test]
fn c21_a_waiting_poll_returns_with_the_first_record() {
    on_each_kind(|bed| {
        let log = filled(bed, &[0, 0]);
        let topic = log.topic("t").unwrap();
        let (there, arrived) = std::sync::mpsc::channel();
        let mut consumer = reader(&log, [tp("t", 0), tp("t", 1)]);
        let poller = std::thread::spawn(move || {
            for _ in 0..20 {
                let records = consumer.poll(Duration::MAX).unwrap();
                let got: Vec<_> = records.iter().map(|r| r.value().unwrap().to_vec()).collect();
                there.send(got).unwrap();
            }
        });
        let producer = producer(&log);
        for n in 0..20_u32 {
            // Nobody waits for the delivery: the reader does.
            place(&producer, topic.record(&n.to_string()).partition(n % 2));
            assert_eq!(arrived.recv().unwrap(), [n.to_string().into_bytes()]);
        }
        poller.join().unwrap();
    });
}

#[test]
fn c21_only_a_minimum_of_one_byte_is_understood() {
    let log = EventLog::in_memory();
    log.consumer().set("fetch.min.bytes", "1").build().unwrap();
    let error =
        refused(ErrorKind::InvalidConfig, log.consumer().set("fetch.min.bytes", "2").build());
    names(&error, &["fetch.min.bytes", "2"]);
}

#[test]
fn assignment_keeps_the_position_of_partitions_that_stay() {
    on_each_kind(|bed| {
        let log = filled(bed, &[10, 10]);
        let (a, b) = (tp("t", 0), tp("t", 1));
        let mut consumer = reader(&log, [a.clone()]);
        consumer.seek(&a, 6).unwrap();
        consumer.assign([b.clone(), a.clone(), b.clone()]).unwrap();
        assert_eq!(consumer.assignment().cloned().collect::<Vec<_>>(), [a.clone(), b.clone()]);
        assert_eq!(consumer.position(&a).unwrap(), 6);
        assert_eq!(consumer.position(&b).unwrap(), 0);
        let unknown = ErrorKind::UnknownTopicOrPartition;
        refused(unknown, consumer.assign([b.clone(), tp("t", 9)]));
        assert_eq!(consumer.assignment().len(), 2, "nothing has changed");
        consumer.assign([b.clone()]).unwrap();
        consumer.assign([a.clone()]).unwrap();
        assert_eq!(consumer.position(&a).unwrap(), 0, "what was left begins anew");
        consumer.assign([]).unwrap();
        refused(ErrorKind::IllegalState, consumer.poll(Duration::ZERO));
    });
}

#[test]
fn records_are_sorted_by_partition_on_demand() {
    on_each_kind(|bed| {
        let log = filled(bed, &[3, 0, 2]);
        let all = [tp("t", 0), tp("t", 1), tp("t", 2)];
        let mut consumer = reader(&log, all.clone());
        let records = consumer.poll(LONG).unwrap();
        assert_eq!(records.len(), 5);
        let places: Vec<_> = records.partitions().cloned().collect();
        assert_eq!(places, [all[0].clone(), all[2].clone()]);
        let of = |place| records.of(place).map(|r| r.offset()).collect::<Vec<_>>();
        assert_eq!(of(&all[0]), [0, 1, 2]);
        assert_eq!(of(&all[1]), [0; 0]);
        assert_eq!(of(&all[2]), [0, 1]);
        assert_eq!(records.of(&all[2]).len(), 2);
        assert!(records.gaps().is_empty());
    });
}

#[test]
fn seeking_inside_the_loop_is_fine() {
    on_each_kind(|bed| {
        let log = filled(bed, &[10]);
        let place = tp("t", 0);
        let mut consumer = reader(&log, [place.clone()]);
        for record in &consumer.poll(LONG).unwrap() {
            if record.offset() == 4 {
                consumer.seek(&place, 2).unwrap();
                break;
            }
        }
        assert_eq!(take(&mut consumer, 8)[0].offset(), 2);
    });
}

#[test]
fn settings_are_checked_by_name_value_and_bounds() {
    let log = EventLog::in_memory();
    let bad = [
        ("max.poll.records", "0", "1"),
        ("max.partition.fetch.bytes", "2147483648", "2147483647"),
        ("fetch.max.bytes", "x", "1"),
        ("auto.offset.reset", "newest", "earliest"),
        ("no.such.key", "1", "auto.offset.reset"),
    ];
    for (key, value, bounds) in bad {
        let error = refused(ErrorKind::InvalidConfig, log.consumer().set(key, value).build());
        names(&error, &[key, value, bounds]);
    }
}
