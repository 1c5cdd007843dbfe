use std::collections::BTreeMap;

use super::key::Effect;
use super::log_keys::{LOG_KEYS, log_key};
use super::topic_keys::{GONE_KEYS, TOPIC_KEYS, topic_key};
use super::*;
use crate::base::record::TimestampType;
use crate::base::{ErrorKind, Result};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn log(pairs: &[(&str, &str)]) -> Result<LogConfig> {
    LogConfig::resolve(map(pairs), false, false)
}

fn topic(pairs: &[(&str, &str)], log: &LogConfig) -> Result<TopicConfig> {
    TopicConfig::resolve(&map(pairs), log)
}

fn on_level(level: &str, pairs: &[(&str, &str)]) -> Result<TopicConfig> {
    topic(pairs, &log(&[("durability", level)]).unwrap())
}

#[test]
fn a72_flush_messages_1_is_power_loss() {
    let config = on_level("process-crash", &[("flush.messages", "1")]).unwrap();
    assert_eq!(config.durability, Durability::PowerLoss);
    assert!(on_level("process-crash", &[("flush.messages", "7")]).is_err());
    let both = [("flush.messages", "1"), ("durability", "process-crash")];
    assert!(on_level("power-loss", &both).is_err());
    assert!(log(&[("log.flush.interval.messages", "1"), ("durability", "process-crash")]).is_err());
    assert!(log(&[("log.flush.interval.messages", "2")]).is_err());
}

#[test]
fn a_bad_value_is_named_with_its_bounds() {
    let error = on_level("power-loss", &[("segment.bytes", "12")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let text = error.to_string();
    assert!(text.contains("segment.bytes=12") && text.contains("1048576"), "{text}");
    assert!(on_level("power-loss", &[("no.such.key", "1")]).is_err());
    assert!(on_level("power-loss", &[("segment.ms", "soon")]).is_err());
}

#[test]
fn a19_the_internal_key_has_no_floor_of_a_mebibyte() {
    let both = [("internal.segment.bytes", "256"), ("segment.bytes", "2097152")];
    assert_eq!(on_level("power-loss", &both).unwrap().segment_bytes, 256);
}

#[test]
fn a_memory_log_has_one_level_and_takes_every_name() {
    let memory = LogConfig::resolve(BTreeMap::new(), false, true).unwrap();
    for name in ["memory", "process-crash", "power-loss"] {
        let config = topic(&[("durability", name)], &memory).unwrap();
        assert_eq!(config.durability, Durability::Memory);
    }
    assert!(on_level("power-loss", &[("durability", "memory")]).is_err());
    assert!(log(&[("durability", "memory")]).is_err());
}

#[test]
fn e10_the_table_is_sorted_and_every_default_is_valid_and_is_the_typed_default() {
    assert!(TOPIC_KEYS.is_sorted_by(|a, b| a.name < b.name));
    assert!(LOG_KEYS.is_sorted_by(|a, b| a.name < b.name));
    for key in TOPIC_KEYS.iter().chain(LOG_KEYS) {
        for default in [key.default, key.cluster].into_iter().flatten() {
            key.check(key.name, default).unwrap();
        }
        for (name, factor) in key.log_names {
            let (found, times) = log_key(name).unwrap();
            assert_eq!((found.name, times), (key.name, *factor), "{name} is set twice");
        }
    }
    let resolved = topic(&[], &log(&[]).unwrap()).unwrap();
    assert_eq!(resolved, TopicConfig::defaults(Durability::PowerLoss));
}

#[test]
fn e10_a_value_of_every_key_that_has_an_effect_reaches_its_typed_form() {
    let others = [
        ("cleanup.policy", "compact"),
        ("compression.type", "uncompressed"),
        ("durability", "process-crash"),
        ("flush.messages", "1"),
        ("key.index", "true"),
        ("message.timestamp.type", "LogAppendTime"),
        ("min.cleanable.dirty.ratio", "0.25"),
        ("preallocate", "true"),
    ];
    let default = topic(&[], &log(&[]).unwrap()).unwrap();
    for key in TOPIC_KEYS.iter().filter(|key| !matches!(key.effect, Effect::None(_))) {
        let named = others.iter().find(|(name, _)| *name == key.name);
        let value = named.map_or("2000000", |(_, value)| value);
        let base = if key.name == "flush.messages" { "process-crash" } else { "power-loss" };
        assert_ne!(on_level(base, &[(key.name, value)]).unwrap(), default_at(base), "{}", key.name);
    }
    assert_eq!(default.message_timestamp_type, TimestampType::CreateTime);
}

fn default_at(level: &str) -> TopicConfig {
    on_level(level, &[]).unwrap()
}

#[test]
fn e11_keys_without_effect_are_taken_and_say_so_and_those_that_are_gone_are_refused() {
    let inert = [
        ("min.insync.replicas", "2"),
        ("unclean.leader.election.enable", "true"),
        ("leader.replication.throttled.replicas", "0:1,1:1"),
        ("follower.replication.throttled.replicas", "*"),
        ("remote.storage.enable", "true"),
        ("remote.log.copy.disable", "true"),
        ("remote.log.delete.on.disable", "true"),
        ("local.retention.ms", "1000"),
        ("local.retention.bytes", "1000"),
    ];
    assert_eq!(on_level("power-loss", &inert).unwrap(), default_at("power-loss"));
    for (name, _) in inert {
        let told = topic_key(name).unwrap().documentation();
        assert!(told.contains("Without effect: "), "{name}: {told}");
    }
    for name in GONE_KEYS {
        let error = on_level("power-loss", &[(name, "true")]).unwrap_err();
        assert!(error.to_string().contains("Kafka 4"), "{error}");
    }
}

#[test]
fn e12_bounds() {
    let good = [
        ("retention.ms", "-1"),
        ("retention.bytes", "-9223372036854775808"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0"),
        ("min.cleanable.dirty.ratio", "1.0"),
        ("max.compaction.lag.ms", "1"),
        ("message.timestamp.before.max.ms", "0"),
        ("message.timestamp.after.max.ms", "0"),
        ("cleanup.policy", "compact, delete"),
        ("cleanup.policy", ""),
        ("preallocate", "TRUE"),
    ];
    let bad = [
        ("retention.ms", "-2"),
        ("segment.bytes", "1048575"),
        ("segment.bytes", "1073741825"),
        ("min.cleanable.dirty.ratio", "1.01"),
        ("min.cleanable.dirty.ratio", "-0.1"),
        ("min.cleanable.dirty.ratio", "NaN"),
        ("max.compaction.lag.ms", "0"),
        ("message.timestamp.before.max.ms", "-1"),
        ("message.timestamp.after.max.ms", "-1"),
        ("message.timestamp.type", "createtime"),
        ("cleanup.policy", "compact,archive"),
        ("cleanup.policy", "compact,compact"),
        ("preallocate", "yes"),
        ("segment.ms", "9223372036854775808"),
    ];
    for pair in good {
        on_level("power-loss", &[pair]).unwrap();
    }
    for pair in bad {
        let error = on_level("power-loss", &[pair]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().starts_with(&format!("{}={}", pair.0, pair.1)), "{error}");
    }
    let lags = [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "9")];
    assert!(on_level("power-loss", &lags).is_err());
}

#[test]
fn a12_codecs_are_refused_with_a_reason_and_none_is_a_producers_word() {
    for (value, reason) in [("gzip", "no codec"), ("zstd", "no codec"), ("none", "uncompressed")] {
        let error = on_level("power-loss", &[("compression.type", value)]).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert!(on_level("power-loss", &[("compression.gzip.level", "0")]).is_err());
    assert!(on_level("power-loss", &[("compression.gzip.level", "10")]).is_err());
}

#[test]
fn a20_a_compacted_topic_rolls_in_time_for_compaction() {
    let lag = ("max.compaction.lag.ms", "1000");
    assert_eq!(on_level("power-loss", &[lag]).unwrap().roll_ms(), 604_800_000);
    let compacted = [lag, ("cleanup.policy", "compact,delete")];
    assert_eq!(on_level("power-loss", &compacted).unwrap().roll_ms(), 1_000);
}

#[test]
fn e08_the_topics_value_wins_over_the_logs_and_that_over_the_default() {
    let log = log(&[
        ("log.segment.bytes", "2097152"),
        ("log.retention.hours", "2"),
        ("log.retention.minutes", "3"),
    ])
    .unwrap();
    let config = topic(&[], &log).unwrap();
    assert_eq!((config.segment_bytes, config.retention_ms), (2 << 20, 180_000));
    let config = topic(&[("segment.bytes", "1048576"), ("retention.ms", "5")], &log).unwrap();
    assert_eq!((config.segment_bytes, config.retention_ms), (1 << 20, 5));
}

#[test]
fn a_logs_value_is_told_in_its_own_unit_and_checked_in_the_topics() {
    assert_eq!(log(&[("log.retention.hours", "-1")]).unwrap().topics.retention_ms, -1);
    assert_eq!(log(&[("log.roll.hours", "1")]).unwrap().topics.segment_ms, 3_600_000);
    for pair in [
        ("log.roll.hours", "0"),
        ("log.retention.hours", "9223372036854775807"),
        ("log.segment.bytes", "1"),
        ("segment.bytes", "1048576"),
        ("num.partitions", "0"),
        ("auto.create.topics.enable", "perhaps"),
        ("offsets.retention.minutes", "-2"),
    ] {
        let error = log(&[pair]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{}={}", pair.0, pair.1)), "{error}");
    }
}

#[test]
fn kafka_defaults_are_the_clusters_and_leave_the_level_alone() {
    let ours = log(&[]).unwrap();
    let level = map(&[("durability", "process-crash")]);
    let theirs = LogConfig::resolve(level, true, false).unwrap();
    assert_eq!((ours.num_partitions, ours.auto_create_topics), (1, false));
    assert_eq!((theirs.num_partitions, theirs.auto_create_topics), (1, true));
    assert_eq!(ours.offsets_retention_minutes, None);
    assert_eq!(theirs.offsets_retention_minutes, Some(10_080));
    assert_eq!((ours.topics.segment_bytes, theirs.topics.segment_bytes), (64 << 20, 1 << 30));
    assert_eq!((ours.topics.retention_ms, theirs.topics.retention_ms), (-1, 604_800_000));
    assert_eq!(theirs.durability, Durability::ProcessCrash);
    let set = map(&[("log.retention.ms", "7"), ("auto.create.topics.enable", "FALSE")]);
    let set = LogConfig::resolve(set, true, false).unwrap();
    assert_eq!((set.topics.retention_ms, set.auto_create_topics), (7, false));
}

/// The unit of a key's values.
fn unit(name: &str) -> &'static str {
    match name {
        "flush.messages" => "records",
        "group.max.size" => "members",
        "min.insync.replicas" => "replicas",
        "num.partitions" => "partitions",
        _ if name.ends_with(".ms") => "ms",
        _ if name.ends_with(".minutes") => "minutes",
        _ if name.ends_with(".bytes") || name.ends_with("buffer.size") => "bytes",
        _ if name.ends_with(".bytes.per.second") => "bytes/s",
        _ => "",
    }
}

/// The default of a cluster's topic or broker.
fn of_kafka(key: &super::key::Key) -> Option<&'static str> {
    match key.name {
        "flush.messages" | "flush.ms" => Some("9223372036854775807"),
        _ => key.default_of(true),
    }
}

/// The cells of a row of `docs/configuration.md`, but for the example.
fn row(key: &super::key::Key) -> Vec<String> {
    use super::value::Kind;
    let most = |n: i64| if n == i64::MAX { "2^63 - 1".to_owned() } else { n.to_string() };
    let least = |n: i64| if n == i64::MIN { "-2^63".to_owned() } else { n.to_string() };
    let bounds = match key.kind {
        Kind::Bool => "`true`, `false`".to_owned(),
        Kind::Int(a, b) | Kind::Long(a, b) => format!("{} to {}", least(a), most(b)),
        Kind::Double(a, f64::MAX) => format!("{a} at least"),
        Kind::Double(a, b) => format!("{a} to {b}"),
        Kind::Word([]) | Kind::List([]) => "any words".to_owned(),
        Kind::Word(words) | Kind::List(words) => format!("`{}`", words.join("`, `")),
    };
    let told = |value: &str| match value {
        "" => "empty".to_owned(),
        "9223372036854775807" => "2^63 - 1".to_owned(),
        value => format!("`{value}`"),
    };
    let default = |value: Option<&str>| value.map_or_else(|| "-".to_owned(), told);
    let names: Vec<_> = key.log_names.iter().map(|(name, _)| format!("`{name}`")).collect();
    let names = if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    let doc = key.documentation().replace("9223372036854775807", "2^63 - 1");
    let key_type = format!("{:?}", key.kind.config_type()).to_lowercase();
    let (name, unit) = (format!("`{}`", key.name), unit(key.name).to_owned());
    vec![name, key_type, unit, default(key.default), default(of_kafka(key)), bounds, names, doc]
}

/// The cells of a row, and the example among them.
fn cells(line: &str) -> (Vec<String>, String) {
    let inner = line.trim_start_matches("| ").trim_end_matches(" |");
    let mut cells: Vec<_> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
    let example = if cells.len() == 9 { cells.remove(7) } else { String::new() };
    (cells, example.split('`').nth(1).unwrap_or_default().to_owned())
}

#[test]
fn e08_the_documentation_says_exactly_what_the_tables_say() {
    let text = include_str!("../../../docs/configuration.md");
    for (title, keys) in [("## Topics", TOPIC_KEYS), ("## The log", LOG_KEYS)] {
        let (_, section) = text.split_once(&format!("{title}\n")).unwrap_or(("", ""));
        let section = section.split("\n## ").next().unwrap_or_default();
        let lines = section.lines().filter(|line| line.starts_with("| `"));
        let (rows, examples): (Vec<_>, Vec<_>) = lines.map(cells).unzip();
        let wanted: Vec<_> = keys.iter().map(row).collect();
        let lines = |rows: &[Vec<String>]| {
            rows.iter().map(|row| row.join(" | ")).collect::<Vec<_>>().join("\n")
        };
        assert!(rows == wanted, "{title} should be\n{}", lines(&wanted));
        for (key, example) in keys.iter().zip(examples) {
            assert_ne!(
                Some(&*example),
                key.default,
                "{}: an example that changes nothing",
                key.name
            );
            let given = [(key.name, &*example)];
            let taken = match title {
                "## Topics" => on_level("process-crash", &given).map(drop),
                _ => log(&given).map(drop),
            };
            taken.unwrap_or_else(|e| panic!("the example of {}: {e}", key.name));
        }
    }
}
