//! Old segments go by time and by size, and nothing else does.

use std::time::Duration;

use alluvium::{
    AlterConfigOp, ConfigResource, ErrorKind, EventLog, HousekeepingEvent, ManualClock, NewTopic,
    OffsetReset, OffsetSpec, Topic,
};

use crate::support::*;

const NOON: i64 = 1_700_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);

/// A log without threads under a clock that the test moves.
fn open(bed: &Bed, clock: &ManualClock) -> EventLog {
    bed.builder().background(false).clock(clock.clone()).open().unwrap()
}

/// On each kind of log, at noon.
fn on_each(test: impl Fn(&Bed, &EventLog, &ManualClock)) {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(NOON);
        test(bed, &open(bed, &clock), &clock);
    });
}

/// Sends a record and ends its segment; the segment's bytes.
fn segment(log: &EventLog, topic: &Topic, value: &str) -> u64 {
    put(&producer(log), topic.record(value));
    let rolled = log.admin().roll(topic.name()).unwrap();
    rolled[0].segment.as_ref().unwrap().bytes
}

fn start(log: &EventLog, topic: &str) -> u64 {
    let answers = log.admin().list_offsets([(tp(topic, 0), OffsetSpec::Earliest)]);
    answers[0].as_ref().unwrap().unwrap().offset
}

fn alter(log: &EventLog, topic: &str, key: &str, value: &str) {
    let ops = [AlterConfigOp::set(key, value)];
    log.admin().incremental_alter_configs(&ConfigResource::topic(topic), &ops).unwrap();
}

#[test]
fn a36_nothing_goes_by_default_and_nothing_with_an_empty_policy() {
    on_each(|_, log, clock| {
        let kept = log.create_topic(NewTopic::new("default")).unwrap();
        let ever = NewTopic::new("ever").config("cleanup.policy", "").config("retention.ms", "1");
        let ever = log.create_topic(ever.config("retention.bytes", "0")).unwrap();
        for topic in [&kept, &ever] {
            for _ in 0..3 {
                segment(log, topic, "v");
            }
        }
        clock.advance(MINUTE * 60 * 24 * 365);
        let report = log.admin().run_retention().unwrap();
        assert_eq!((report.checked, report.deleted.len()), (0, 0));
        assert_eq!((start(log, "default"), start(log, "ever")), (0, 0));
        // What is kept for ever can still be deleted by hand.
        let all = alluvium::RecordsToDelete::BeforeOffset(2);
        assert_eq!(log.admin().delete_records(&tp("ever", 0), all).unwrap(), 2);
    });
}

#[test]
fn a38_a_segment_goes_when_its_youngest_record_is_strictly_older() {
    on_each(|_, log, clock| {
        let topic = log.create_topic(NewTopic::new("t").config("retention.ms", "60000")).unwrap();
        for _ in 0..3 {
            segment(log, &topic, "v");
            clock.advance(Duration::from_secs(10));
        }
        let start_after = |ms| {
            clock.advance(Duration::from_millis(ms));
            log.admin().run_retention().unwrap();
            start(log, "t")
        };
        // The records are 30, 20 and 10 s old now.
        assert_eq!([30_000, 1, 9_999, 1].map(start_after), [0, 1, 1, 2]);
        assert_eq!(values(&read_all(log, &tp("t", 0))), [b"v"]);
    });
}

#[test]
fn a37_a39_a_segment_from_the_future_keeps_later_ones_and_is_told_once() {
    on_each(|_, log, clock| {
        let topic = NewTopic::new("t").config("retention.ms", "60000");
        let any = i64::MAX.to_string();
        let topic = log.create_topic(topic.config("message.timestamp.after.max.ms", &any)).unwrap();
        segment(log, &topic, "old");
        let far = NOON + 86_400_000;
        put(&producer(log), topic.record("from tomorrow").timestamp_ms(far));
        log.admin().roll("t").unwrap();
        segment(log, &topic, "old too");
        clock.advance(MINUTE * 2);
        let report = log.admin().run_retention().unwrap();
        assert_eq!((report.deleted[0].by_time, start(log, "t")), (1, 1));
        assert_eq!(report.pinned, [(tp("t", 0), 1, far)]);
        assert_eq!(log.admin().run_retention().unwrap().pinned.len(), 1);
        let pinned = HousekeepingEvent::RetentionPinned {
            partition: tp("t", 0),
            base_offset: 1,
            timestamp_ms: far,
        };
        let told = log.admin().take_events();
        assert_eq!(told.iter().filter(|event| **event == pinned).count(), 1, "{told:?}");
        clock.advance(MINUTE * 60 * 24);
        let report = log.admin().run_retention().unwrap();
        assert_eq!((start(log, "t"), report.pinned.len()), (3, 0));
    });
}

#[test]
fn a40_the_segment_that_is_written_goes_when_all_of_it_is_old() {
    on_each_kind(|bed| {
        let clock = ManualClock::starting_at(NOON);
        let log = open(bed, &clock);
        let topic = log.create_topic(NewTopic::new("t").config("retention.ms", "60000")).unwrap();
        let producer = producer(&log);
        put(&producer, topic.record("0"));
        put(&producer, topic.record("1"));
        clock.advance(Duration::from_millis(60_001));
        put(&producer, topic.record("young"));
        log.admin().run_retention().unwrap();
        assert_eq!(start(&log, "t"), 0, "a42: old records stay with a young one");
        clock.advance(Duration::from_millis(60_001));
        log.admin().run_retention().unwrap();
        assert_eq!(start(&log, "t"), 3, "the log start is the log end");
        assert_eq!(put(&producer, topic.record("next")), 3);
        drop(producer);
        let log = bed.reopen(log);
        assert_eq!(start(&log, "t"), 3);
        assert_eq!(offsets(&read_all(&log, &tp("t", 0))), [3]);
    });
}

#[test]
fn a40_an_empty_partition_is_left_alone() {
    on_each(|_, log, clock| {
        log.create_topic(NewTopic::new("t").config("retention.ms", "0")).unwrap();
        clock.advance(MINUTE);
        let report = log.admin().run_retention().unwrap();
        assert_eq!((report.checked, report.deleted.len(), report.failed.len()), (1, 0, 0));
    });
}

#[test]
fn a41_retention_bytes_keeps_at_least_so_much() {
    on_each(|_, log, _| {
        let topic = log.create_topic(NewTopic::new("t")).unwrap();
        let sizes: Vec<u64> = (0..5).map(|_| segment(log, &topic, "five alike")).collect();
        let one = sizes[0];
        assert!(sizes.iter().all(|size| *size == one), "{sizes:?}");
        let left_at = |limit: u64| {
            alter(log, "t", "retention.bytes", &limit.to_string());
            let report = log.admin().run_retention().unwrap();
            let gone: usize = report.deleted.iter().map(|deleted| deleted.by_size).sum();
            let bytes: u64 = report.deleted.iter().map(|deleted| deleted.bytes).sum();
            assert_eq!(bytes, gone as u64 * one);
            5 - start(log, "t")
        };
        // Kafka's example: five of 100 bytes under a limit of 250 leave 300.
        let limits = [5 * one, 4 * one + 1, one * 5 / 2, 2 * one + 1, 2 * one, 1, 0];
        assert_eq!(limits.map(left_at), [5, 5, 3, 3, 2, 1, 0]);
    });
}

#[test]
fn a41_staged_records_count() {
    on_each(|_, log, _| {
        let topic = log.create_topic(NewTopic::new("t").config("retention.bytes", "3000")).unwrap();
        segment(log, &topic, &"x".repeat(2_000));
        log.admin().run_retention().unwrap();
        assert_eq!(start(log, "t"), 0);
        put(&producer(log), topic.record(&"y".repeat(4_000)));
        log.admin().run_retention().unwrap();
        assert_eq!(start(log, "t"), 1);
    });
}

#[test]
fn a43_readers_below_the_start_follow_their_reset_policy() {
    on_each(|_, log, clock| {
        let topic = log.create_topic(NewTopic::new("t").config("retention.ms", "1000")).unwrap();
        segment(log, &topic, "0");
        clock.advance(MINUTE);
        segment(log, &topic, "1");
        let reads = |reset| {
            let mut consumer = log.consumer().offset_reset(reset).build().unwrap();
            consumer.assign([tp("t", 0)]).unwrap();
            consumer.seek(&tp("t", 0), 0).unwrap();
            consumer
        };
        let (mut careful, mut patient) = (reads(OffsetReset::None), reads(OffsetReset::Earliest));
        log.admin().run_retention().unwrap();
        let error = refused(ErrorKind::OffsetOutOfRange, careful.poll(Duration::ZERO));
        assert_eq!(error.offset(), Some(0));
        assert_eq!(offsets(&take(&mut patient, 1)), [1]);
        // a25: a question for a time that has gone is answered by what is left.
        let asked = [(tp("t", 0), OffsetSpec::ForTimestamp(NOON))];
        let answers = log.admin().list_offsets(asked);
        assert_eq!(answers[0].as_ref().unwrap().unwrap().offset, 1);
    });
}

#[test]
fn a44_a_compacted_topic_ignores_retention_and_one_of_both_policies_does_not() {
    on_each(|_, log, clock| {
        for (name, policy, left) in [("c", "compact", 1), ("both", "compact,delete", 0)] {
            let topic = NewTopic::new(name).config("cleanup.policy", policy);
            let topic = topic.config("retention.ms", "1").config("retention.bytes", "0");
            let topic = log.create_topic(topic).unwrap();
            put(&producer(log), topic.record("v").key("k"));
            clock.advance(MINUTE);
            log.admin().run_retention().unwrap();
            assert_eq!(1 - start(log, name), left, "{policy}");
        }
    });
}

#[test]
fn a45_nothing_goes_that_consumers_cannot_see() {
    let bed = Bed::new(Kind::PowerLoss);
    let clock = ManualClock::starting_at(NOON);
    let log = open(&bed, &clock);
    let topic = NewTopic::new("t").config("retention.ms", "0").config("retention.bytes", "0");
    let topic = log.create_topic(topic).unwrap();
    let producer = producer(&log);
    place(&producer, topic.record("not durable yet"));
    clock.advance(Duration::from_secs(1));
    assert!(log.admin().run_retention().unwrap().deleted.is_empty());
    producer.flush().unwrap();
    assert_eq!(log.admin().run_retention().unwrap().deleted[0].log_start_offset, 1);
}

#[test]
fn a63_what_is_altered_holds_for_the_next_pass() {
    on_each(|_, log, clock| {
        let topic =
            log.create_topic(NewTopic::new("t").config("cleanup.policy", "compact")).unwrap();
        put(&producer(log), topic.record("v").key("k"));
        alter(log, "t", "retention.ms", "1");
        clock.advance(MINUTE);
        assert!(log.admin().run_retention().unwrap().deleted.is_empty());
        alter(log, "t", "cleanup.policy", "delete");
        assert_eq!(log.admin().run_retention().unwrap().deleted.len(), 1);
    });
}

#[test]
fn a_jump_of_the_wall_clock_deletes_nothing_in_the_pass_that_sees_it() {
    on_each(|_, log, clock| {
        let topic = NewTopic::new("t").config("retention.ms", "60000");
        let topic = log.create_topic(topic.config("retention.bytes", "1000000")).unwrap();
        segment(log, &topic, "v");
        for jump in [86_400_000, -86_400_000] {
            clock.jump_wall(NOON + jump);
            let report = log.admin().run_retention().unwrap();
            assert_eq!((report.deleted.len(), start(log, "t")), (0, 0));
            assert_eq!(report.clock_jump_ms.map(i64::signum), Some(jump.signum()));
            clock.jump_wall(NOON);
            log.admin().run_retention().unwrap();
        }
        let told = log.admin().take_events();
        let is_jump = |e: &&HousekeepingEvent| matches!(e, HousekeepingEvent::ClockJumped { .. });
        assert_eq!(told.iter().filter(is_jump).count(), 4, "there and back, twice: {told:?}");
        // It was no mistake: the next pass believes it.
        clock.jump_wall(NOON + 86_400_000);
        assert!(log.admin().run_retention().unwrap().deleted.is_empty());
        assert_eq!(log.admin().run_retention().unwrap().deleted.len(), 1);
    });
}

#[test]
fn ticks_run_retention_at_its_interval_and_plan_nothing_without_it() {
    let clock = ManualClock::starting_at(NOON);
    let log = EventLog::builder().clock(clock.clone()).open().unwrap();
    let topic = log.create_topic(NewTopic::new("t")).unwrap();
    segment(&log, &topic, "v");
    clock.advance(MINUTE);
    log.tick();
    assert_eq!(log.tick().next_due, None, "nothing has a retention");
    alter(&log, "t", "retention.ms", "600000");
    log.tick();
    assert_eq!(log.tick().next_due, Some(MINUTE * 5));
    clock.advance(MINUTE * 5);
    log.tick();
    assert_eq!(start(&log, "t"), 0);
    clock.advance(MINUTE * 5 - Duration::from_millis(1));
    assert_eq!(log.tick().next_due, Some(Duration::from_millis(1)));
    assert_eq!(start(&log, "t"), 0, "it is old enough, and nobody has looked");
    clock.advance(Duration::from_millis(1));
    log.tick();
    assert_eq!(start(&log, "t"), 1);
    let told = log.admin().take_events();
    let [HousekeepingEvent::Deleted(deleted)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((deleted.by_time, deleted.by_size, deleted.log_start_offset), (1, 0, 1));
}

#[test]
fn the_interval_is_a_setting_of_the_log_and_its_first_pass_comes_soon() {
    let clock = ManualClock::starting_at(NOON);
    let open = |interval: &str| {
        let builder = EventLog::builder().clock(clock.clone()).set("log.retention.ms", "1");
        let log = builder.set("log.retention.check.interval.ms", interval).open().unwrap();
        log.create_topic(NewTopic::new("t")).unwrap();
        log.tick();
        log.tick().next_due
    };
    assert_eq!(open("2000"), Some(Duration::from_secs(2)));
    assert_eq!(open("3600000"), Some(Duration::from_secs(30)));
}

#[test]
fn the_background_thread_runs_retention() {
    on_disk(|bed| {
        let clock = ManualClock::starting_at(NOON);
        let log = bed.builder().clock(clock.clone()).open().unwrap();
        let topic = log.create_topic(NewTopic::new("t").config("retention.ms", "1000")).unwrap();
        segment(&log, &topic, "v");
        let mut reader = reader(&log, [tp("t", 0)]);
        assert_eq!(take(&mut reader, 1).len(), 1);
        // The thread is called by the clock; a consumer that waits for the next record sees it
        // only after the thread had its turn.
        clock.advance(MINUTE);
        let gone = (0..100_000).any(|_| {
            std::thread::yield_now();
            start(&log, "t") == 1
        });
        assert!(gone, "nobody came");
    });
}

#[test]
fn a17_roll_ends_segments_that_hold_records_and_leaves_empty_ones() {
    on_each(|bed, log, _| {
        let topic = topic_of(log, "t", 2);
        let producer = producer(log);
        for _ in 0..3 {
            put(&producer, topic.record("v").partition(1));
        }
        let rolled = log.admin().roll("t").unwrap();
        assert_eq!(rolled.len(), 2);
        assert!(rolled[0].segment.is_none());
        let segment = rolled[1].segment.as_ref().unwrap();
        assert_eq!((segment.base_offset, segment.next_offset), (0, 3));
        assert!(log.admin().roll("t").unwrap()[1].segment.is_none(), "nothing came since");
        put(&producer, topic.record("v").partition(1));
        assert_eq!(log.admin().roll("t").unwrap()[1].segment.as_ref().unwrap().base_offset, 3);
        if !bed.is_memory() {
            assert_eq!(bed.segment_files(&topic).len(), 2);
        }
        assert_eq!(offsets(&read_all(log, &tp("t", 1))), [0, 1, 2, 3]);
        refused(ErrorKind::UnknownTopicOrPartition, log.admin().roll("nobody's"));
    });
}
