//! When a segment rolls, and that nobody can tell by reading.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use alluvium::{
    ErrorKind, EventLog, EventLogBuilder, ManualClock, NewTopic, Producer, Record, Topic,
};

use crate::support::*;

/// A record of this value is a batch of 128 bytes: 64 of header, 16 of record, 48 of value.
const VALUE: [u8; 48] = [b'v'; 48];

/// A stage so small that other records drive a partition's into its segments.
fn small(builder: EventLogBuilder, clock: &ManualClock) -> EventLogBuilder {
    builder.clock(clock.clone()).stage_bytes(64 << 10).background(false)
}

/// Returns when no record of an earlier send stands in the stage alone.
fn drive_out(log: &EventLog) {
    let filler = log.ensure_topic(NewTopic::new("filler")).unwrap();
    let producer = producer(log);
    let value = [0; 1_000];
    for _ in 0..100 {
        place(&producer, filler.record(&value));
        log.tick();
    }
}

/// A log whose batches end where the test says so.
struct Cutting<'b> {
    bed: &'b Bed,
    clock: ManualClock,
    log: EventLog,
    topic: Topic,
    producer: Producer,
}

impl<'b> Cutting<'b> {
    fn new(bed: &'b Bed, configs: &[(&str, &str)]) -> Self {
        let clock = ManualClock::starting_at(1_000_000);
        let log = small(bed.builder(), &clock).open().unwrap();
        let topic = configs.iter().fold(NewTopic::new("t"), |topic, (k, v)| topic.config(k, v));
        let topic = log.create_topic(topic).unwrap();
        let producer = producer(&log);
        Self { bed, clock, log, topic, producer }
    }

    /// One batch of its own.
    fn batch(&self, record: Record<'_>) {
        place(&self.producer, record);
        self.end_batch();
    }

    fn end_batch(&self) {
        self.producer.flush().unwrap();
        // The pass that is due takes every partition, whatever its level.
        self.clock.advance(Duration::from_secs(1));
        self.log.tick();
    }

    /// The base offsets of the segments once the log is closed.
    fn bases(self) -> Vec<u64> {
        let Self { bed, log, topic, .. } = self;
        drive_out(&log);
        log.close().unwrap();
        bases(bed.segment_files(&topic))
    }
}

/// Where in a segment file the offset of its first record stands.
const BASE_OFFSET: usize = 32;

fn bases(files: Vec<PathBuf>) -> Vec<u64> {
    let base = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        u64::from_le_bytes(bytes[BASE_OFFSET..BASE_OFFSET + 8].try_into().unwrap())
    };
    files.iter().map(base).collect()
}

#[test]
fn a15_a17_a_segment_rolls_before_it_would_exceed_segment_bytes() {
    on_disk(|bed| {
        let cutting = Cutting::new(bed, &[("internal.segment.bytes", "512")]);
        for _ in 0..10 {
            cutting.batch(cutting.topic.record(&VALUE));
        }
        assert_eq!(cutting.bases(), [0, 4, 8], "four batches of 128 bytes fit exactly");
    });
}

#[test]
fn a15_a_batch_that_does_not_fit_rolls_however_small_the_rest_is() {
    on_disk(|bed| {
        let cutting = Cutting::new(bed, &[("internal.segment.bytes", "512")]);
        cutting.batch(cutting.topic.record(b"small"));
        let large = [b'l'; 400];
        cutting.batch(cutting.topic.record(&large));
        cutting.batch(cutting.topic.record(b"small"));
        assert_eq!(cutting.bases(), [0, 1, 2]);
    });
}

#[test]
fn a15_a_full_index_rolls() {
    on_disk(|bed| {
        let configs = [("segment.index.bytes", "64"), ("index.interval.bytes", "0")];
        let cutting = Cutting::new(bed, &configs);
        for _ in 0..12 {
            cutting.batch(cutting.topic.record(&VALUE));
        }
        // Four entries of 16 bytes, and the first batch needs none.
        assert_eq!(cutting.bases(), [0, 5, 10]);
    });
}

#[test]
fn a16_record_time_rolls_and_the_limit_itself_does_not() {
    on_disk(|bed| {
        let cutting = Cutting::new(bed, &[("segment.ms", "1000")]);
        for time in [5_000, 6_000, 6_001, 7_001, 7_002, 7_001] {
            cutting.batch(cutting.topic.record(&VALUE).timestamp_ms(time));
        }
        assert_eq!(cutting.bases(), [0, 2, 4]);
    });
}

#[test]
fn a16_a_batch_stamped_8_days_later_rolls_at_once() {
    on_disk(|bed| {
        let any_time = [("message.timestamp.after.max.ms", "9223372036854775807")];
        let cutting = Cutting::new(bed, &any_time);
        let day = 86_400_000;
        cutting.batch(cutting.topic.record(&VALUE).timestamp_ms(1));
        cutting.batch(cutting.topic.record(&VALUE).timestamp_ms(7 * day));
        cutting.batch(cutting.topic.record(&VALUE).timestamp_ms(8 * day));
        assert_eq!(cutting.bases(), [0, 2]);
    });
}

#[test]
fn a16_wall_time_rolls_nothing() {
    on_disk(|bed| {
        let cutting = Cutting::new(bed, &[("segment.ms", "1000")]);
        for _ in 0..3 {
            cutting.batch(cutting.topic.record(&VALUE).timestamp_ms(5_000));
            cutting.clock.advance(Duration::from_secs(30 * 86_400));
            cutting.log.tick();
        }
        assert_eq!(cutting.bases(), [0]);
    });
}

#[test]
fn a16_times_before_the_first_one_roll_nothing() {
    on_disk(|bed| {
        let cutting = Cutting::new(bed, &[("segment.ms", "1000")]);
        for time in [50_000, 0, 49_000, 51_000] {
            cutting.batch(cutting.topic.record(&VALUE).timestamp_ms(time));
        }
        assert_eq!(cutting.bases(), [0]);
    });
}

#[test]
fn a17_an_empty_segment_never_rolls_and_an_idle_log_owns_none() {
    on_disk(|bed| {
        let cutting = Cutting::new(bed, &[("segment.ms", "1")]);
        for _ in 0..3 {
            cutting.end_batch();
        }
        assert_eq!(cutting.bases(), [0; 0]);
    });
}

#[test]
fn a18_defaults_are_kafkas_but_for_the_size() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic(&log, "t");
        let config = log.admin().describe_topic("t").unwrap().config;
        assert_eq!(config.segment_bytes, 64 << 20);
        assert_eq!(config.segment_ms, 7 * 86_400_000);
        assert_eq!(config.segment_jitter_ms, 0);
        assert_eq!(config.segment_index_bytes, 10 << 20);
        assert_eq!(config.index_interval_bytes, 4_096);
        assert_eq!(config.max_message_bytes, 1_048_588);
    });
}

#[test]
fn a18_jitter_rolls_earlier_and_never_later() {
    on_disk(|bed| {
        let configs = [("segment.ms", "1000"), ("segment.jitter.ms", "999")];
        let cutting = Cutting::new(bed, &configs);
        // At the same moment never; behind the whole time always.
        for time in [0, 0, 1_001, 1_001, 2_002] {
            cutting.batch(cutting.topic.record(&VALUE).timestamp_ms(time));
        }
        assert_eq!(cutting.bases(), [0, 2, 4]);
    });
}

#[test]
fn a15_a_batch_longer_than_a_segment_is_refused_by_name() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = NewTopic::new("t").config("internal.segment.bytes", "256");
        let topic = log.create_topic(topic).unwrap();
        let producer = producer(&log);
        let long = [0; 300];
        let error = refused(ErrorKind::RecordListTooLarge, producer.send(topic.record(&long)));
        names(&error, &["segment.bytes", "256"]);
        assert_eq!(put(&producer, topic.record("short")), 0);
    });
}

#[test]
fn a15_many_small_sends_make_small_segments_too() {
    on_disk(|bed| {
        let log = small(bed.builder(), &ManualClock::starting_at(0)).open().unwrap();
        let topic = NewTopic::new("t").config("internal.segment.bytes", "512");
        let topic = log.create_topic(topic).unwrap();
        let producer = producer(&log);
        for _ in 0..100 {
            place(&producer, topic.record(&VALUE));
        }
        producer.flush().unwrap();
        drop(producer);
        drive_out(&log);
        log.close().unwrap();
        // Records that share a batch share its header: at most 7 of 64 bytes beside 64 of header.
        let bases = bases(bed.segment_files(&topic));
        assert!(bases.len() >= 15, "{bases:?}");
    });
}

#[test]
fn a15_reading_goes_over_the_edges_of_segments() {
    on_disk(|bed| {
        let cutting = Cutting::new(bed, &[("internal.segment.bytes", "300")]);
        let texts: Vec<_> = (0..60).map(|n| format!("{n:048}")).collect();
        for text in &texts[..40] {
            cutting.batch(cutting.topic.record(text));
        }
        let Cutting { log, clock, .. } = cutting;
        let log = bed.reopen_with(log, |builder| small(builder, &clock));
        let (producer, topic) = (producer(&log), log.topic("t").unwrap());
        // Some in segments, sealed and not, some in the stage.
        for text in &texts[40..] {
            put(&producer, topic.record(text));
        }
        let mut consumer = reader(&log, [tp("t", 0)]);
        for from in 0..60 {
            consumer.seek(&tp("t", 0), from).unwrap();
            let read = take(&mut consumer, 60 - from as usize);
            let expected: Vec<_> = texts[from as usize..].iter().map(String::as_bytes).collect();
            assert_eq!(values(&read), expected, "from {from}");
        }
    });
}

#[test]
fn a23_answers_do_not_depend_on_the_density_of_the_index() {
    on_disk(|bed| {
        let mut answers = Vec::new();
        for interval in ["0", "4096", "1073741824"] {
            let bed = Bed::new(bed.kind);
            let configs = [("index.interval.bytes", interval), ("internal.segment.bytes", "20000")];
            let cutting = Cutting::new(&bed, &configs);
            let value = [b'x'; 300];
            // Times go up and down within a range that goes up.
            let time = |n: i64| 1_000 + n * 10 + (n * 37 % 11) * 25;
            for batch in 0..40 {
                let records =
                    (0..5).map(|n| cutting.topic.record(&value).timestamp_ms(time(batch * 5 + n)));
                cutting.producer.send_batch(records).wait().unwrap();
                cutting.end_batch();
            }
            let before = ask(&cutting.log);
            let Cutting { log, clock, .. } = cutting;
            let log = bed.reopen_with(log, |builder| small(builder, &clock));
            assert_eq!(ask(&log), before, "interval {interval}");
            answers.push(before);
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    });
}

/// For many times: the offset and time found, or -1; for many offsets: offset and time read.
fn ask(log: &EventLog) -> Vec<(i64, i64)> {
    let place = tp("t", 0);
    let all: Vec<_> = read_all(log, &place)
        .iter()
        .map(|r| (r.offset() as i64, r.timestamp_ms().unwrap()))
        .collect();
    assert_eq!(all.len(), 200);
    let mut consumer = reader(log, [place.clone()]);
    let mut answers = Vec::new();
    for time in (900..3_500).step_by(13) {
        let found = consumer.offsets_for_times([(place.clone(), time)]).unwrap()[&place];
        let found = found.map_or((-1, -1), |hit| (hit.offset as i64, hit.timestamp_ms));
        let walked = all.iter().find(|(_, at)| *at >= time).copied().unwrap_or((-1, -1));
        assert_eq!(found, walked, "time {time}");
        answers.push(found);
    }
    for offset in (0..200).step_by(7) {
        consumer.seek(&place, offset).unwrap();
        let records = consumer.poll(LONG).unwrap();
        let first = records.iter().next().unwrap();
        let read = (first.offset() as i64, first.timestamp_ms().unwrap());
        assert_eq!(read, all[offset as usize]);
        answers.push(read);
    }
    answers
}
