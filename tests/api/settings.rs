//! Every key of a topic: its default, Kafka's, its bounds, and what it does when it is given.

use std::collections::BTreeMap;

use alluvium::{
    AlterConfigOp, ConfigEntry, ConfigResource, ConfigSource, ErrorKind, EventLog, NewTopic,
};

use crate::support::*;

const MOST: &str = "9223372036854775807";

/// Kafka 4's defaults of a topic (E10).
const EFFECTIVE: [(&str, &str); 24] = [
    ("cleanup.policy", "delete"),
    ("compression.gzip.level", "-1"),
    ("compression.lz4.level", "9"),
    ("compression.type", "producer"),
    ("compression.zstd.level", "3"),
    ("delete.retention.ms", "86400000"),
    ("file.delete.delay.ms", "60000"),
    ("flush.messages", MOST),
    ("flush.ms", MOST),
    ("index.interval.bytes", "4096"),
    ("max.compaction.lag.ms", MOST),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", MOST),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.compaction.lag.ms", "0"),
    ("preallocate", "false"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "1073741824"),
    ("segment.index.bytes", "10485760"),
    ("segment.jitter.ms", "0"),
    ("segment.ms", "604800000"),
];

/// Kafka 4's defaults of what can do nothing here (E11).
const INERT: [(&str, &str); 9] = [
    ("follower.replication.throttled.replicas", ""),
    ("leader.replication.throttled.replicas", ""),
    ("local.retention.bytes", "-2"),
    ("local.retention.ms", "-2"),
    ("min.insync.replicas", "1"),
    ("remote.log.copy.disable", "false"),
    ("remote.log.delete.on.disable", "false"),
    ("remote.storage.enable", "false"),
    ("unclean.leader.election.enable", "false"),
];

/// Ours alone, without a default that a log in memory could have.
const OURS: [&str; 4] =
    ["durability", "internal.segment.bytes", "key.index", "key.index.memory.bytes"];

fn all(log: &EventLog) -> BTreeMap<String, ConfigEntry> {
    let told = log.admin().describe_configs(&ConfigResource::topic("t")).unwrap();
    told.into_iter().map(|entry| (entry.name.clone(), entry)).collect()
}

fn create(log: &EventLog, pairs: &[(&str, &str)]) -> alluvium::Result<()> {
    let topic = pairs.iter().fold(NewTopic::new("t"), |topic, (k, v)| topic.config(k, v));
    log.create_topic(topic).map(drop)
}

#[test]
fn e10_a_topic_has_kafkas_keys_and_kafka_defaults_are_kafkas() {
    let log = EventLog::builder().kafka_defaults().open().unwrap();
    create(&log, &[]).unwrap();
    let told = all(&log);
    let known: Vec<_> = EFFECTIVE.iter().chain(&INERT).map(|(key, _)| *key).chain(OURS).collect();
    assert_eq!(told.len(), known.len());
    for (key, default) in EFFECTIVE.iter().chain(&INERT) {
        let entry = &told[*key];
        // The bound on what a power cut takes is no cluster's.
        let is = if *key == "flush.ms" { "100" } else { default };
        assert_eq!((entry.value.as_deref(), entry.is_default()), (Some(is), true), "{key}");
    }

    let log = EventLog::in_memory();
    create(&log, &[]).unwrap();
    let (ours, theirs) = (all(&log), told);
    let differs = |key: &&str| ours[*key].value != theirs[*key].value;
    let differing: Vec<_> = known.into_iter().filter(differs).collect();
    assert_eq!(differing, ["retention.ms", "segment.bytes"]);
    assert_eq!(ours["retention.ms"].value.as_deref(), Some("-1"), "nothing goes by default");
    assert_eq!(ours["segment.bytes"].value.as_deref(), Some("67108864"));
}

#[test]
fn e11_what_has_no_effect_is_taken_told_and_said_so() {
    let given = [
        ("follower.replication.throttled.replicas", "0:1,1:1"),
        ("leader.replication.throttled.replicas", "*"),
        ("local.retention.bytes", "5"),
        ("local.retention.ms", "5"),
        ("min.insync.replicas", "2"),
        ("remote.log.copy.disable", "true"),
        ("remote.log.delete.on.disable", "true"),
        ("remote.storage.enable", "true"),
        ("unclean.leader.election.enable", "true"),
    ];
    on_each_kind(|bed| {
        let log = bed.open();
        create(&log, &given).unwrap();
        let check = |log: &EventLog| {
            let told = all(log);
            for (key, value) in given {
                let entry = &told[key];
                assert_eq!(entry.value.as_deref(), Some(value), "{key}");
                assert!(!entry.has_effect && entry.documentation.contains("Without effect"));
            }
            // And what is not yet done says so too.
            for (key, entry) in told.iter().filter(|(_, entry)| !entry.has_effect) {
                let says = &entry.documentation;
                assert!(
                    says.contains("Without effect") || says.contains("In this version"),
                    "{key}: {says}"
                );
            }
        };
        check(&log);
        // One record is enough of a replica, whatever min.insync.replicas asks for.
        put(&producer(&log), log.topic("t").unwrap().record("v"));
        check(&bed.reopen(log));
    });
}

#[test]
fn e11_keys_that_kafka_has_given_up_are_refused_by_name() {
    let log = EventLog::in_memory();
    for key in [
        "message.downconversion.enable",
        "message.format.version",
        "message.timestamp.difference.max.ms",
    ] {
        let error = refused(ErrorKind::InvalidConfig, create(&log, &[(key, "1")]));
        names(&error, &[key, "Kafka 4"]);
    }
    let error = refused(ErrorKind::InvalidConfig, create(&log, &[("retention.msec", "1")]));
    names(&error, &["retention.msec=1", "no such key"]);
    assert!(log.admin().list_topics().unwrap().is_empty());
}

#[test]
fn e12_values_out_of_bounds_are_refused_with_key_value_and_bounds_and_nothing_is_changed() {
    let log = EventLog::in_memory();
    topic(&log, "t");
    let before = all(&log);
    for (key, value, bound) in [
        ("retention.ms", "-2", "-1"),
        ("retention.ms", "", "-1"),
        ("retention.ms", "7d", "-1"),
        ("retention.bytes", "9223372036854775808", MOST),
        ("segment.bytes", "1048575", "1048576"),
        ("segment.bytes", "1073741825", "1073741824"),
        ("internal.segment.bytes", "255", "256"),
        ("segment.ms", "0", "1"),
        ("segment.jitter.ms", "-1", "0"),
        ("segment.index.bytes", "-1", "64"),
        ("index.interval.bytes", "-1", "0"),
        ("min.cleanable.dirty.ratio", "1.1", "1"),
        ("min.cleanable.dirty.ratio", "-0.1", "0"),
        ("max.compaction.lag.ms", "0", "1"),
        ("message.timestamp.before.max.ms", "-1", "0"),
        ("message.timestamp.after.max.ms", "-1", "0"),
        ("message.timestamp.type", "NoTimestampType", "LogAppendTime"),
        ("max.message.bytes", "-1", "0"),
        ("max.message.bytes", "67108865", "67108864"),
        ("cleanup.policy", "compact,archive", "archive"),
        ("compression.type", "none", "uncompressed"),
        ("compression.gzip.level", "0", "-1"),
        ("compression.zstd.level", "23", "22"),
        ("delete.retention.ms", "-1", "0"),
        ("file.delete.delay.ms", "-1", "0"),
        ("flush.ms", "0", "1"),
        ("flush.messages", "0", "1"),
        ("flush.messages", "7", MOST),
        ("min.insync.replicas", "0", "1"),
        ("preallocate", "perhaps", "true"),
        ("durability", "paper", "power-loss"),
    ] {
        let ops = [AlterConfigOp::set(key, value)];
        let resource = ConfigResource::topic("t");
        let altered = log.admin().incremental_alter_configs(&resource, &ops);
        let given = format!("{key}={value}");
        let error = refused(ErrorKind::InvalidConfig, altered);
        names(&error, &[&given, bound]);
        let created = log.create_topic(NewTopic::new("new").config(key, value));
        names(&refused(ErrorKind::InvalidConfig, created), &[&given, bound]);
    }
    assert_eq!(all(&log), before);
    assert_eq!(log.admin().list_topics().unwrap(), ["t"]);
}

#[test]
fn e12_the_lags_of_compaction_are_checked_together_whoever_sets_them() {
    let builder = EventLog::builder().set("log.cleaner.max.compaction.lag.ms", "1000");
    let log = builder.open().unwrap();
    let least = |ms| [("min.compaction.lag.ms", ms)];
    let error = refused(ErrorKind::InvalidConfig, create(&log, &least("1001")));
    names(&error, &["min.compaction.lag.ms=1001", "max.compaction.lag.ms", "1000"]);
    create(&log, &least("1000")).unwrap();
    let ops = [AlterConfigOp::set("max.compaction.lag.ms", "999")];
    let altered = log.admin().incremental_alter_configs(&ConfigResource::topic("t"), &ops);
    names(&refused(ErrorKind::InvalidConfig, altered), &["1000", "999"]);
    let both = [
        AlterConfigOp::set("max.compaction.lag.ms", "999"),
        AlterConfigOp::set("min.compaction.lag.ms", "999"),
    ];
    log.admin().incremental_alter_configs(&ConfigResource::topic("t"), &both).unwrap();
}

#[test]
fn e08_the_next_life_brings_the_logs_settings_and_the_topic_keeps_its_own() {
    on_disk(|bed| {
        let set = |bytes| bed.builder().set("log.segment.bytes", bytes).set("log.roll.ms", "5");
        let log = set("2097152").open().unwrap();
        create(&log, &[("segment.ms", "7")]).unwrap();
        let told = |log: &EventLog, key| {
            let entry = all(log).remove(key).unwrap();
            (entry.value.unwrap(), entry.source)
        };
        let own = ("7".to_owned(), ConfigSource::DynamicTopicConfig);
        let of_log = |value: &str| (value.to_owned(), ConfigSource::StaticBrokerConfig);
        assert_eq!(told(&log, "segment.bytes"), of_log("2097152"));
        assert_eq!(told(&log, "segment.ms"), own);
        log.close().unwrap();

        let log = set("4194304").open().unwrap();
        assert_eq!(told(&log, "segment.bytes"), of_log("4194304"));
        assert_eq!(told(&log, "segment.ms"), own);
        let log = bed.reopen(log);
        let default = ("67108864".to_owned(), ConfigSource::DefaultConfig);
        assert_eq!(told(&log, "segment.bytes"), default);
        log.close().unwrap();

        // Settings that a topic's own contradict are refused by its name, and harm nothing.
        let log = bed.open();
        let ops = [AlterConfigOp::set("max.compaction.lag.ms", "10")];
        log.admin().incremental_alter_configs(&ConfigResource::topic("t"), &ops).unwrap();
        log.close().unwrap();
        let builder = bed.builder().set("log.cleaner.min.compaction.lag.ms", "11");
        let error = refused(ErrorKind::InvalidConfig, builder.open());
        names(&error, &["min.compaction.lag.ms=11", "10"]);
        assert_eq!(error.topic(), Some("t"));
        assert_eq!(told(&bed.open(), "segment.ms"), own);
    });
}

#[test]
fn a10_max_message_bytes_bounds_what_one_call_has_for_one_partition() {
    on_each_kind(|bed| {
        let log = bed.open();
        // 16 bytes of a record's own, and padding to 8.
        let new = NewTopic::new("t").partitions(2).config("max.message.bytes", "320");
        let topic = log.create_topic(new).unwrap();
        let producer = producer(&log);
        let records = |count: usize, partition: u32| vec![partition; count];
        let send = |partitions: Vec<u32>| {
            let records = partitions.into_iter().map(|p| topic.record(&[0; 16]).partition(p));
            let batch = producer.send_batch(records);
            batch.parts().iter().map(|part| part.result()).collect::<Vec<_>>()
        };
        assert_eq!(send(records(10, 0))[0].as_ref().unwrap(), &(0..10), "320 bytes");
        let error = refused(ErrorKind::MessageTooLarge, send(records(11, 0)).remove(0));
        names(&error, &["11 records", "352", "max.message.bytes is 320"]);
        assert_eq!(error.kafka_code(), Some(10));
        // Nothing of it was appended, and the other partition's part is a part of its own.
        let two = send([records(11, 0), records(10, 1)].concat());
        assert!(two[0].is_err() && two[1].as_ref().unwrap() == &(0..10));
        assert_eq!(send(records(1, 0))[0].as_ref().unwrap(), &(10..11));
        // Calls after each other share a batch, and none of them is too large.
        for _ in 0..50 {
            place(&producer, topic.record(&[0; 200]).partition(0));
        }
    });
}

#[test]
fn a11_no_call_is_longer_than_a_segment() {
    on_each_kind(|bed| {
        let log = bed.open();
        let new = NewTopic::new("t").config("internal.segment.bytes", "320");
        let topic = log.create_topic(new).unwrap();
        let producer = producer(&log);
        let send = |count: usize| {
            let batch = producer.send_batch((0..count).map(|_| topic.record(&[0; 16])));
            batch.parts()[0].result()
        };
        assert_eq!(send(10).unwrap(), 0..10);
        let error = refused(ErrorKind::RecordListTooLarge, send(11));
        names(&error, &["11 records", "352", "segment.bytes is 320"]);
        assert_eq!((error.kafka_code(), error.topic()), (Some(18), Some("t")));
        assert_eq!(send(1).unwrap(), 10..11);
        assert_eq!(offsets(&read_all(&bed.reopen(log), &tp("t", 0))), (0..11).collect::<Vec<_>>());
    });
}

#[test]
fn a19_segments_have_a_least_size_but_for_the_internal_key_which_wins() {
    on_disk(|bed| {
        let log = bed.open();
        refused(ErrorKind::InvalidConfig, create(&log, &[("segment.bytes", "1048575")]));
        refused(ErrorKind::InvalidConfig, create(&log, &[("internal.segment.bytes", "255")]));
        create(&log, &[("segment.bytes", "1048576"), ("internal.segment.bytes", "300000")])
            .unwrap();
        let config = log.admin().describe_topic("t").unwrap().config;
        assert_eq!(config.segment_bytes, 300_000);
        let (topic, producer) = (log.topic("t").unwrap(), producer(&log));
        let value = [7; 140_000]; // Written through, a batch each: two fit.
        (0..5).for_each(|_| {
            put(&producer, topic.record(&value));
        });
        assert_eq!(bed.segment_files(&topic).len(), 3);
    });
}

#[test]
fn e10_a_compacted_topic_is_told_as_one_and_needs_keys() {
    let log = EventLog::in_memory();
    let topic = log.create_topic(NewTopic::new("t").compacted()).unwrap();
    assert_eq!(all(&log)["cleanup.policy"].value.as_deref(), Some("compact"));
    let policy = log.admin().describe_topic("t").unwrap().config.cleanup_policy;
    assert!(policy.compact && !policy.delete);
    refused(ErrorKind::InvalidRecord, producer(&log).send(topic.record("v")));
    put(&producer(&log), topic.tombstone("k"));
}

#[test]
fn e10_an_empty_policy_keeps_everything_and_null_and_empty_values_differ() {
    let log = EventLog::in_memory();
    create(&log, &[("cleanup.policy", "")]).unwrap();
    let told = all(&log);
    assert_eq!(told["cleanup.policy"].value.as_deref(), Some(""));
    assert_eq!(told["cleanup.policy"].source, ConfigSource::DynamicTopicConfig);
    assert_eq!(told["internal.segment.bytes"].value, None);
    let policy = log.admin().describe_topic("t").unwrap().config.cleanup_policy;
    assert!(!policy.compact && !policy.delete);
}

#[test]
fn c62_the_retention_of_offsets_is_at_least_a_minute_or_for_ever() {
    let open = |minutes| EventLog::builder().set("offsets.retention.minutes", minutes).open();
    for (minutes, kept) in [("-1", None), ("1", Some(1)), ("10080", Some(10_080))] {
        let log = open(minutes).unwrap();
        assert_eq!(log.admin().log_config().offsets_retention_minutes, kept);
    }
    for minutes in ["0", "-2", "a week"] {
        let error = refused(ErrorKind::InvalidConfig, open(minutes));
        names(&error, &[&format!("offsets.retention.minutes={minutes}")]);
    }
}
