//! The settings that a log has beside those that it sets for its topics.

use super::key::Key;
use super::new_topic::PARTITIONS;
use super::topic_keys::TOPIC_KEYS;
use super::value::Kind;

/// The keys that only a log has, in alphabetical order.
pub const LOG_KEYS: &[Key] = &[
    Key::new(
        "auto.create.topics.enable",
        Kind::Bool,
        "Whether a producer that names an unknown topic creates it.",
    )
    .default("false")
    .cluster("true"),
    Key::new("group.max.size", Kind::Int(1, i32::MAX as i64), "How many members a group may have.")
        .default("2147483647"),
    Key::new(
        "num.partitions",
        Kind::Int(*PARTITIONS.start() as i64, *PARTITIONS.end() as i64),
        "How many partitions a topic gets that is created without a number.",
    )
    .default("1"),
    Key::new(
        "offset.metadata.max.bytes",
        Kind::Int(0, i32::MAX as i64),
        "The most bytes of the metadata of a committed offset.",
    )
    .default("4096"),
    Key::new(
        "offsets.retention.check.interval.ms",
        Kind::Int(1, i32::MAX as i64),
        "How often it is looked for offsets that have expired.",
    )
    .default("600000"),
    Key::new(
        "offsets.retention.minutes",
        Kind::Int(-1, i32::MAX as i64),
        "How long the offsets of an empty group are kept, in minutes; -1: for ever.",
    )
    .default("-1")
    .cluster("10080"),
];

/// What a log's key sets: a key of its own, or a topic's key in a unit of `factor`.
pub fn log_key(name: &str) -> Option<(&'static Key, i64)> {
    let own = LOG_KEYS.iter().find(|key| key.name == name).map(|key| (key, 1));
    let for_topics = TOPIC_KEYS.iter().find_map(|key| {
        let (_, factor) = key.log_names.iter().find(|(log_name, _)| *log_name == name)?;
        Some((key, *factor))
    });
    own.or(for_topics)
}
