//! Records that could not be processed, put aside with their origin.

use crate::base::{Header, Result};
use crate::client::consumer_record::ConsumerRecord;
use crate::client::producer::Producer;
use crate::client::record::{Record, Target};

/// What went wrong with a record.
pub(super) struct Failure<'f> {
    pub(super) message: &'f str,
    pub(super) attempts: u32,
    pub(super) group: &'f str,
}

/// Sends `record` to `topic` and waits until it is as durable as that.
pub(super) fn bury(
    producer: &Producer,
    topic: &str,
    record: &ConsumerRecord<'_>,
    failure: &Failure<'_>,
) -> Result<()> {
    let partition = record.partition().to_string();
    let offset = record.offset().to_string();
    let attempts = failure.attempts.to_string();
    let origin: [(&str, &str); 6] = [
        ("__connect.errors.topic", record.topic()),
        ("__connect.errors.partition", &partition),
        ("__connect.errors.offset", &offset),
        ("__connect.errors.exception.message", failure.message),
        ("alluvium.errors.attempts", &attempts),
        ("alluvium.errors.group", failure.group),
    ];
    let mut headers: Vec<Header<'_>> = record.headers().collect();
    headers.extend(origin.iter().map(|&(name, value)| (name, Some(value.as_bytes()))));
    let mut letter = Record::of(Target::Name(topic), record.key(), record.value());
    if let Some(time) = record.timestamp_ms() {
        letter = letter.timestamp_ms(time);
    }
    producer.send(letter.headers(&headers))?.wait().map(drop)
}
