//! Every setting of a topic. `docs/configuration.md` tells the same; a test holds the two
//! against each other.

use super::key::Key;
use super::value::Kind;

const MOST: i64 = i64::MAX;
const INT: i64 = i32::MAX as i64;
const GIB: i64 = 1 << 30;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const FOREVER: &str = "9223372036854775807";

const NO_CODEC: &str = "no codec is built in; producer and uncompressed both mean uncompressed";
const NO_REPLICAS: &str = "there is one copy of the log and it has no replicas";
const NO_REMOTE: &str = "there is no remote storage";
const CODEC_LEVEL: &str = "no codec is built in";

/// All keys of a topic, in alphabetical order.
pub const TOPIC_KEYS: &[Key] = &[
    Key::new(
        "cleanup.policy",
        Kind::List(&["delete", "compact"]),
        "How old records go: delete, compact, or both; empty: not at all. With compact every \
         record must have a key, and segments roll after max.compaction.lag.ms too.",
    )
    .default("delete")
    .log(&[("log.cleanup.policy", 1)]),
    Key::new("compression.gzip.level", Kind::Int(-1, 9), "The effort of gzip.")
        .default("-1")
        .log(&[("compression.gzip.level", 1)])
        .refuses(&[("0", "it must be -1 or a number from 1 to 9")])
        .without_effect(CODEC_LEVEL),
    Key::new("compression.lz4.level", Kind::Int(1, 17), "The effort of lz4.")
        .default("9")
        .log(&[("compression.lz4.level", 1)])
        .without_effect(CODEC_LEVEL),
    Key::new(
        "compression.type",
        Kind::Word(&["producer", "uncompressed"]),
        "How batches are compressed: producer (as the producer did) and uncompressed are the \
         same here, for producers do not compress.",
    )
    .default("producer")
    .log(&[("compression.type", 1)])
    .refuses(&[
        ("none", "a topic that is not compressed says uncompressed"),
        ("gzip", NO_CODEC),
        ("snappy", NO_CODEC),
        ("lz4", NO_CODEC),
        ("zstd", NO_CODEC),
    ]),
    Key::new("compression.zstd.level", Kind::Int(-131_072, 22), "The effort of zstd.")
        .default("3")
        .log(&[("compression.zstd.level", 1)])
        .without_effect(CODEC_LEVEL),
    Key::new(
        "delete.retention.ms",
        Kind::Long(0, MOST),
        "How long compaction keeps tombstones, in ms, from the pass on that has seen them first.",
    )
    .default("86400000")
    .log(&[("log.cleaner.delete.retention.ms", 1)]),
    Key::new(
        "durability",
        Kind::Word(&["process-crash", "power-loss"]),
        "What an acknowledged record survives. Not Kafka's. A topic keeps the level that it was \
         created with. A log in memory has the level memory, whatever is set.",
    )
    .log(&[("durability", 1)]),
    Key::new("file.delete.delay.ms", Kind::Long(0, MOST), "How long files outlive their segment.")
        .default("60000")
        .log(&[("log.segment.delete.delay.ms", 1)])
        .without_effect("files go when no read of them is under way"),
    Key::new(
        "flush.messages",
        Kind::Long(1, MOST),
        "1 is durability=power-loss; 9223372036854775807 leaves the level as it is. Nothing \
         between is understood.",
    )
    .log(&[("log.flush.interval.messages", 1)]),
    Key::new(
        "flush.ms",
        Kind::Long(1, MOST),
        "The longest that an appended record stays unsynced when nobody waits for it, in ms. The \
         shortest of all topics holds for the whole log.",
    )
    .default("100")
    .log(&[("log.flush.interval.ms", 1)]),
    Key::new(
        "follower.replication.throttled.replicas",
        Kind::List(&[]),
        "Replicas whose fetching is throttled.",
    )
    .default("")
    .without_effect(NO_REPLICAS),
    Key::new(
        "index.interval.bytes",
        Kind::Int(0, GIB),
        "One entry of the index per this many bytes of batches. In force for the next segment.",
    )
    .default("4096")
    .log(&[("log.index.interval.bytes", 1)]),
    Key::new(
        "internal.segment.bytes",
        Kind::Int(256, GIB),
        "As segment.bytes, which it wins over, with a lower least value: small segments make \
         small tests.",
    ),
    Key::new(
        "key.index",
        Kind::Bool,
        "Whether records are found by their keys, and appends may depend on them. Not Kafka's. \
         Set when the topic is created, and never altered.",
    )
    .default("false"),
    Key::new(
        "key.index.memory.bytes",
        Kind::Int(64 << 10, GIB),
        "The most memory that the index of the keys takes for the unsealed records of one \
         partition. A segment rolls when half of it is in use. Not Kafka's.",
    )
    .default("16777216"),
    Key::new(
        "leader.replication.throttled.replicas",
        Kind::List(&[]),
        "Replicas whose serving is throttled.",
    )
    .default("")
    .without_effect(NO_REPLICAS),
    Key::new("local.retention.bytes", Kind::Long(-2, MOST), "Bytes that stay local.")
        .default("-2")
        .log(&[("log.local.retention.bytes", 1)])
        .without_effect(NO_REMOTE),
    Key::new("local.retention.ms", Kind::Long(-2, MOST), "How long records stay local, in ms.")
        .default("-2")
        .log(&[("log.local.retention.ms", 1)])
        .without_effect(NO_REMOTE),
    Key::new(
        "max.compaction.lag.ms",
        Kind::Long(1, MOST),
        "Compaction considers a record after this time at the latest, in ms. A compacted topic \
         rolls its segments after this time too; at least min.compaction.lag.ms.",
    )
    .default(FOREVER)
    .log(&[("log.cleaner.max.compaction.lag.ms", 1)]),
    Key::new(
        "max.message.bytes",
        Kind::Int(0, 64 << 20),
        "The most bytes that the encoded records of one call may have that go to one partition. \
         Stored records are not affected.",
    )
    .default("1048588")
    .log(&[("message.max.bytes", 1)]),
    Key::new(
        "message.timestamp.after.max.ms",
        Kind::Long(0, MOST),
        "The furthest that a record's own timestamp may be ahead of the log's clock, in ms. Not \
         checked with LogAppendTime.",
    )
    .default("3600000")
    .log(&[("log.message.timestamp.after.max.ms", 1)]),
    Key::new(
        "message.timestamp.before.max.ms",
        Kind::Long(0, MOST),
        "The furthest that a record's own timestamp may be behind the log's clock, in ms. Not \
         checked with LogAppendTime.",
    )
    .default(FOREVER)
    .log(&[("log.message.timestamp.before.max.ms", 1)]),
    Key::new(
        "message.timestamp.type",
        Kind::Word(&["CreateTime", "LogAppendTime"]),
        "Whose time a record carries: its own (or the clock's, if it has none), or always the \
         log's clock at the append.",
    )
    .default("CreateTime")
    .log(&[("log.message.timestamp.type", 1)]),
    Key::new(
        "min.cleanable.dirty.ratio",
        Kind::Double(0.0, 1.0),
        "Compaction waits until more than this share of a partition is not compacted.",
    )
    .default("0.5")
    .log(&[("log.cleaner.min.cleanable.ratio", 1)]),
    Key::new(
        "min.compaction.lag.ms",
        Kind::Long(0, MOST),
        "Compaction leaves segments alone whose youngest record is younger, in ms, and all behind \
         them.",
    )
    .default("0")
    .log(&[("log.cleaner.min.compaction.lag.ms", 1)]),
    Key::new("min.insync.replicas", Kind::Int(1, INT), "Replicas that must have a record.")
        .default("1")
        .log(&[("min.insync.replicas", 1)])
        .without_effect(NO_REPLICAS),
    Key::new("preallocate", Kind::Bool, "Whether a segment reserves its space when it is made.")
        .default("false")
        .log(&[("log.preallocate", 1)])
        .without_effect("segments reserve space in steps as they grow"),
    Key::new("remote.log.copy.disable", Kind::Bool, "Whether nothing is copied away.")
        .default("false")
        .without_effect(NO_REMOTE),
    Key::new("remote.log.delete.on.disable", Kind::Bool, "Whether remote copies go.")
        .default("false")
        .without_effect(NO_REMOTE),
    Key::new("remote.storage.enable", Kind::Bool, "Whether segments are copied away.")
        .default("false")
        .without_effect(NO_REMOTE),
    Key::new(
        "retention.bytes",
        Kind::Long(i64::MIN, MOST),
        "At least so many bytes of a partition stay; segments that are not needed for that go, the \
         oldest first. Negative: no limit. Where cleanup.policy has delete.",
    )
    .default("-1")
    .log(&[("log.retention.bytes", 1)]),
    Key::new(
        "retention.ms",
        Kind::Long(-1, MOST),
        "A segment goes when its youngest record is older than this, in ms, and all segments before \
         it have gone; -1: never. Where cleanup.policy has delete.",
    )
    .default("-1")
    .cluster("604800000")
    .log(&[
        ("log.retention.ms", 1),
        ("log.retention.minutes", MINUTE),
        ("log.retention.hours", HOUR),
    ]),
    Key::new(
        "segment.bytes",
        Kind::Int(1 << 20, GIB),
        "A segment rolls before it would grow beyond this many bytes; no call may have more encoded \
         bytes for one partition.",
    )
    .default("67108864")
    .cluster("1073741824")
    .log(&[("log.segment.bytes", 1)]),
    Key::new(
        "segment.index.bytes",
        Kind::Int(64, GIB),
        "A segment rolls when its index would grow beyond this many bytes.",
    )
    .default("10485760")
    .log(&[("log.index.size.max.bytes", 1)]),
    Key::new(
        "segment.jitter.ms",
        Kind::Long(0, MOST),
        "segment.ms is shortened by a random part of at most this, in ms.",
    )
    .default("0")
    .log(&[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR)]),
    Key::new(
        "segment.ms",
        Kind::Long(1, MOST),
        "A segment rolls when record time has moved this far since its first batch, in ms.",
    )
    .default("604800000")
    .log(&[("log.roll.ms", 1), ("log.roll.hours", HOUR)]),
    Key::new("unclean.leader.election.enable", Kind::Bool, "Whether a replica that lags may lead.")
        .default("false")
        .log(&[("unclean.leader.election.enable", 1)])
        .without_effect(NO_REPLICAS),
];

/// Keys that Kafka 4 has given up.
pub const GONE_KEYS: [&str; 3] = [
    "message.downconversion.enable",
    "message.format.version",
    "message.timestamp.difference.max.ms",
];

/// The topic's key of this name.
pub fn topic_key(name: &str) -> Option<&'static Key> {
    TOPIC_KEYS.binary_search_by(|key| key.name.cmp(name)).ok().and_then(|at| TOPIC_KEYS.get(at))
}
