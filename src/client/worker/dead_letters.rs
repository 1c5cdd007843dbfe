//! Records that could not be processed, put aside with their origin.

use crate::base::{Header, Result};
use crate::client::consumer_record::ConsumerRecord;
use crate::client::producer::Producer;
use crate::client::record::{Record, Target};

/// What went wrong with a record.
pub(in crate::client) struct Failure<'f> {
    pub(in crate::client) message: &'f str,
    pub(in crate::client) attempts: u32,
    pub(in crate::client) group: &'f str,
}

/// Sends `record` to `topic` and waits until it is as durable as that.
pub(super) fn bury(
    producer: &Producer,
    topic: &str,
    record: &ConsumerRecord<'_>,
    failure: &Failure<'_>,
) -> Result<()> {
    letter(topic, record, failure, |letter| producer.send(letter)?.wait().map(drop))
}

/// Gives the dead letter of `record` to `send`.
pub(in crate::client) fn letter<T>(
    topic: &str,
    record: &ConsumerRecord<'_>,
    failure: &Failure<'_>,
    send: impl FnOnce(Record<'_>) -> Result<T>,
) -> Result<T> {
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
    send(letter.headers(&headers))
}
