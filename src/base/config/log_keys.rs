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
        "Whether a producer or a consumer that names an unknown topic creates it.",
    )
    .default("false")
    .cluster("true"),
    Key::new("group.max.size", Kind::Int(1, i32::MAX as i64), "How many members a group may have. One more is refused.")
        .default("2147483647"),
    Key::new(
        "log.cleaner.backoff.ms",
        Kind::Long(0, i64::MAX),
        "How long compaction rests when time alone can give it something to do, in ms.",
    )
    .default("15000"),
    Key::new(
        "log.cleaner.dedupe.buffer.size",
        Kind::Long(64, 1 << 40),
        "The most bytes of memory that compaction takes for its map of keys, 16 for a key and a \
         quarter left free. What has more keys is compacted in several rounds.",
    )
    .default("134217728"),
    Key::new(
        "log.cleaner.enable",
        Kind::Bool,
        "Whether the log compacts by itself. Admin::run_compaction does in any case.",
    )
    .default("true"),
    Key::new(
        "log.cleaner.io.max.bytes.per.second",
        Kind::Double(1.0, f64::MAX),
        "How many bytes a second compaction reads and writes at most, together. \
         Admin::run_compaction does not heed it.",
    )
    .default("1.7976931348623157E308"),
    Key::new(
        "log.retention.check.interval.ms",
        Kind::Long(1, i64::MAX),
        "How often it is looked for segments that are too old or too many (retention.ms, \
         retention.bytes), in ms; the first time after an open not later than after 30 s.",
    )
    .default("300000"),
    Key::new(
        "num.partitions",
        Kind::Int(*PARTITIONS.start() as i64, *PARTITIONS.end() as i64),
        "How many partitions a topic gets that is created without a number.",
    )
    .default("1"),
    Key::new(
        "offset.metadata.max.bytes",
        Kind::Int(0, i32::MAX as i64),
        "The most bytes of the metadata of a committed offset. A longer one fails the commit of its \
         partition.",
    )
    .default("4096"),
    Key::new(
        "offsets.retention.check.interval.ms",
        Kind::Int(1, i32::MAX as i64),
        "How often it is looked for offsets that have expired, in ms.",
    )
    .default("600000"),
    Key::new(
        "offsets.retention.minutes",
        Kind::Int(-1, i32::MAX as i64),
        "How long committed offsets are kept, in minutes, once their group is empty, or nobody in it \
         subscribes to their topic any more; -1: for ever. Each expiry is told by \
         Admin::take_group_events, and none follows a jump of wall time at once.",
    )
    .default("-1")
    .cluster("10080")
    .refuses(&[("0", "the least is 1, or -1 for ever")]),
    Key::new(
        "producer.id.expiration.ms",
        Kind::Int(1, i32::MAX as i64),
        "How long a partition remembers an idempotent producer that appends nothing, in ms. A \
         producer with a name, and one with an open transaction, is never forgotten.",
    )
    .default("86400000"),
    Key::new(
        "transaction.max.timeout.ms",
        Kind::Int(1, i32::MAX as i64),
        "The longest transaction.timeout.ms of a transactional producer, in ms. A longer one fails \
         its build with INVALID_TRANSACTION_TIMEOUT.",
    )
    .default("900000"),
    Key::new(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        Kind::Int(1, i32::MAX as i64),
        "How often it is looked for transactional ids that have expired, in ms.",
    )
    .default("3600000"),
    Key::new(
        "transactional.id.expiration.ms",
        Kind::Int(1, i32::MAX as i64),
        "How long a transactional id is remembered that nobody uses, in ms. A producer that still \
         holds it must be built anew then. Names of producers never expire.",
    )
    .default("604800000"),
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
