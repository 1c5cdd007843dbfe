//! Settings: told with their source, altered while the topic is in use.

use alluvium::{
    AlterConfigOp, ConfigEntry, ConfigResource, ConfigSource, ConfigType, Durability, ErrorKind,
    EventLog, NewTopic,
};

use crate::support::*;

fn told(log: &EventLog, resource: &ConfigResource, key: &str) -> ConfigEntry {
    let all = log.admin().describe_configs(resource).unwrap();
    all.into_iter().find(|entry| entry.name == key).unwrap_or_else(|| panic!("{key} is not told"))
}

fn of_topic(log: &EventLog, key: &str) -> ConfigEntry {
    told(log, &ConfigResource::topic("t"), key)
}

fn value(log: &EventLog, key: &str) -> String {
    of_topic(log, key).value.unwrap()
}

fn alter(log: &EventLog, ops: &[AlterConfigOp]) -> Result<(), alluvium::Error> {
    log.admin().incremental_alter_configs(&ConfigResource::topic("t"), ops)
}

#[test]
fn e08_every_key_is_told_with_value_source_type_and_documentation() {
    on_each_kind(|bed| {
        let log = bed.builder().set("log.roll.hours", "2").open().unwrap();
        log.create_topic(NewTopic::new("t").config("segment.bytes", "2097152")).unwrap();
        let all = log.admin().describe_configs(&ConfigResource::topic("t")).unwrap();
        assert!(all.len() > 30 && all.is_sorted_by(|a, b| a.name < b.name));
        assert!(all.iter().all(|entry| !entry.documentation.is_empty() && !entry.sensitive));
        assert!(all.iter().all(|entry| !entry.read_only));

        let own = of_topic(&log, "segment.bytes");
        assert_eq!(own.source, ConfigSource::DynamicTopicConfig);
        assert_eq!((own.value.as_deref(), own.is_default()), (Some("2097152"), false));
        assert_eq!(own.config_type, ConfigType::Int);
        let behind: Vec<_> = own.synonyms.iter().map(|s| (&*s.name, s.source)).collect();
        let default = ("log.segment.bytes", ConfigSource::DefaultConfig);
        assert_eq!(behind, [("segment.bytes", ConfigSource::DynamicTopicConfig), default]);

        let of_log = of_topic(&log, "segment.ms");
        assert_eq!(of_log.source, ConfigSource::StaticBrokerConfig);
        assert_eq!(of_log.value.as_deref(), Some("7200000"));
        assert_eq!(of_log.synonyms[0].name, "log.roll.hours");
        assert_eq!(of_log.synonyms[0].value.as_deref(), Some("2"), "in its own unit");

        let nobodys = of_topic(&log, "retention.ms");
        assert_eq!((nobodys.value.as_deref(), nobodys.is_default()), (Some("-1"), true));
        assert!(nobodys.has_effect);
        let inert = of_topic(&log, "min.insync.replicas");
        assert!(!inert.has_effect && inert.documentation.contains("Without effect"));
        assert_eq!(of_topic(&log, "internal.segment.bytes").value, None);
    });
}

#[test]
fn e08_the_logs_own_settings_are_told_and_cannot_be_altered() {
    let log = EventLog::builder().set("num.partitions", "3").kafka_defaults().open().unwrap();
    let set = told(&log, &ConfigResource::Log, "num.partitions");
    assert_eq!((set.value.as_deref(), set.source), (Some("3"), ConfigSource::StaticBrokerConfig));
    let auto = told(&log, &ConfigResource::Log, "auto.create.topics.enable");
    assert_eq!((auto.value.as_deref(), auto.is_default()), (Some("true"), true));
    let kept = told(&log, &ConfigResource::Log, "log.retention.ms");
    assert_eq!(kept.value.as_deref(), Some("604800000"));
    assert!(set.read_only && auto.read_only && kept.read_only);
    let ops = [AlterConfigOp::set("num.partitions", "4")];
    let altered = log.admin().incremental_alter_configs(&ConfigResource::Log, &ops);
    names(&refused(ErrorKind::InvalidConfig, altered), &["open"]);
    assert_eq!(log.create_topic(NewTopic::new("t")).unwrap().partition_count(), 3);
}

#[test]
fn e08_flush_messages_tells_the_level_that_holds() {
    on_disk(|bed| {
        let log = bed.open();
        topic(&log, "t");
        let most = i64::MAX.to_string();
        let is = if bed.kind == Kind::PowerLoss { "1" } else { &most };
        assert_eq!(value(&log, "flush.messages"), is);
    });
}

#[test]
fn e09_a_change_is_in_force_at_once_and_in_the_next_life() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let large = vec![7; 300_000];
        put(&producer, topic.record(&large));
        alter(&log, &[AlterConfigOp::set("max.message.bytes", "1000")]).unwrap();
        let error = refused(ErrorKind::MessageTooLarge, producer.send(topic.record(&large)));
        names(&error, &["max.message.bytes", "1000"]);
        put(&producer, topic.record("small"));
        drop(producer);

        let log = bed.reopen(log);
        assert_eq!(value(&log, "max.message.bytes"), "1000");
        // A10: what is stored is not affected.
        assert_eq!(read_all(&log, &tp("t", 0))[0].value().unwrap(), large);
        let producer = log.producer().build().unwrap();
        let topic = log.topic("t").unwrap();
        refused(ErrorKind::MessageTooLarge, producer.send(topic.record(&large)));
        alter(&log, &[AlterConfigOp::delete("max.message.bytes")]).unwrap();
        put(&producer, topic.record(&large));
        assert!(of_topic(&log, "max.message.bytes").is_default());
    });
}

#[test]
fn e09_all_operations_or_none() {
    let log = EventLog::in_memory();
    log.create_topic(NewTopic::new("t").config("segment.ms", "5")).unwrap();
    let good = AlterConfigOp::set("segment.ms", "6");
    let config = ErrorKind::InvalidConfig;
    for (kind, bad) in [
        (config, AlterConfigOp::set("no.such.key", "1")),
        (config, AlterConfigOp::set("message.format.version", "3.0")),
        (config, AlterConfigOp::set("segment.bytes", "1")),
        (config, AlterConfigOp::delete("no.such.key")),
        (config, AlterConfigOp::append("retention.ms", "1")),
        (config, AlterConfigOp::subtract("retention.ms", "1")),
        (config, AlterConfigOp::append("cleanup.policy", "archive")),
        (config, AlterConfigOp::set("max.compaction.lag.ms", "0")),
        (ErrorKind::InvalidRequest, AlterConfigOp::delete("segment.ms")),
    ] {
        let ops = [good.clone(), bad];
        let error = refused(kind, alter(&log, &ops));
        assert_eq!(value(&log, "segment.ms"), "5", "{error}");
        let resource = ConfigResource::topic("t");
        refused(kind, log.admin().validate_alter_configs(&resource, &ops));
    }
    let resource = ConfigResource::topic("t");
    log.admin().validate_alter_configs(&resource, std::slice::from_ref(&good)).unwrap();
    assert_eq!(value(&log, "segment.ms"), "5", "only checked");
    alter(&log, &[good]).unwrap();
    assert_eq!(value(&log, "segment.ms"), "6");
    let nowhere = ConfigResource::topic("nowhere");
    let unknown = ErrorKind::UnknownTopicOrPartition;
    refused(unknown, log.admin().incremental_alter_configs(&nowhere, &[]));
    refused(unknown, log.admin().describe_configs(&nowhere));
}

#[test]
fn e09_lists_are_appended_to_and_subtracted_from() {
    let log = EventLog::in_memory();
    topic(&log, "t");
    alter(&log, &[AlterConfigOp::append("cleanup.policy", "compact,delete")]).unwrap();
    assert_eq!(value(&log, "cleanup.policy"), "delete,compact", "behind the default, once");
    alter(&log, &[AlterConfigOp::subtract("cleanup.policy", "delete, compress")]).unwrap();
    assert_eq!(value(&log, "cleanup.policy"), "compact");
    let config = log.admin().describe_topic("t").unwrap().config;
    assert!(config.cleanup_policy.compact && !config.cleanup_policy.delete);
}

#[test]
fn e09_a_smaller_segment_size_is_in_force_for_the_next_batch() {
    on_disk(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let value = vec![1; 140_000]; // Written through, one batch each.
        for _ in 0..3 {
            put(&producer, topic.record(&value));
        }
        assert_eq!(bed.segment_files(&topic).len(), 1);
        alter(&log, &[AlterConfigOp::set("internal.segment.bytes", "160000")]).unwrap();
        for _ in 0..3 {
            put(&producer, topic.record(&value));
        }
        assert_eq!(bed.segment_files(&topic).len(), 4);
        // A11: one call that no segment may hold.
        let batch = producer.send_batch([topic.record(&value), topic.record(&value)]);
        refused(ErrorKind::RecordListTooLarge, batch.parts()[0].result());
        drop(batch);
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 6);
    });
}

#[test]
fn e09_the_level_is_raised_and_lowered_and_the_visible_end_never_goes_back() {
    on_disk(|bed| {
        let log = bed.builder().background(false).open().unwrap();
        let topic = topic(&log, "t");
        let producer = producer(&log);
        let end = |log: &EventLog| {
            let consumer = log.consumer().build().unwrap();
            let ends = consumer.end_offsets(&[tp("t", 0)]).unwrap();
            ends.into_iter().next().unwrap().1
        };
        let level = |log: &EventLog| log.admin().describe_topic("t").unwrap().config.durability;
        alter(&log, &[AlterConfigOp::set("durability", "process-crash")]).unwrap();
        place(&producer, topic.record("one"));
        assert_eq!(end(&log), 1, "visible when it is appended");
        alter(&log, &[AlterConfigOp::set("flush.messages", "1")]).unwrap();
        assert_eq!((level(&log), end(&log)), (Durability::PowerLoss, 1));
        place(&producer, topic.record("two"));
        assert_eq!(end(&log), 1, "visible when it is durable");
        put(&producer, topic.record("three"));
        assert_eq!(end(&log), 3);
        place(&producer, topic.record("four"));
        alter(&log, &[AlterConfigOp::set("durability", "process-crash")]).unwrap();
        assert_eq!((level(&log), end(&log)), (Durability::ProcessCrash, 4));
        drop(producer);
        let log = bed.reopen(log);
        assert_eq!(level(&log), Durability::ProcessCrash);
        assert_eq!(read_all(&log, &tp("t", 0)).len(), 4);
    });
}
