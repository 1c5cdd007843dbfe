//! Rows of retention.

use std::time::Instant;

use alluvium::{EventLog, NewTopic};

use crate::row::{Row, Sample};

const PARTITIONS: u32 = 10_000;
const CLOCK: &str = "a look at the clock";

/// What a pass costs that finds nothing to do. The aim is a microsecond for a partition.
pub fn rows() -> Vec<Row> {
    vec![
        Row::new("retention", CLOCK, || look),
        Row::new("retention", "pass, nothing due, each of 10,000 partitions", nothing_due)
            .limited_by(CLOCK, 1.0),
    ]
}

/// The least that a pass must do for anything.
fn look() -> Sample {
    const LOOKS: usize = 100_000;
    let start = Instant::now();
    for _ in 0..LOOKS {
        std::hint::black_box(Instant::now());
    }
    Sample::new(start.elapsed(), LOOKS)
}

fn nothing_due() -> impl FnMut() -> Sample {
    let log = EventLog::in_memory();
    let topic = NewTopic::new("t").partitions(PARTITIONS).config("retention.ms", "86400000");
    let topic = log.create_topic(topic.config("retention.bytes", "1000000000")).unwrap();
    let producer = log.producer().build().unwrap();
    for partition in 0..PARTITIONS {
        producer.send(topic.record("v").partition(partition)).unwrap().wait().unwrap();
    }
    move || {
        let _kept = &producer;
        let start = Instant::now();
        let report = log.admin().run_retention().unwrap();
        let elapsed = start.elapsed();
        assert_eq!((report.checked, report.deleted.len()), (PARTITIONS as usize, 0));
        Sample::new(elapsed, PARTITIONS as usize)
    }
}
