//! Settings altered, and a crash at every operation: all of an alteration holds, or nothing of it.

use alluvium::testing::SimDisk;
use alluvium::{AlterConfigOp, ConfigResource, ConfigSource, EventLog, NewTopic};

use super::bed::{Account, Bed, End, much};

/// What an alteration gives its number to; the level goes up and down with it.
const KEYS: [&str; 4] =
    ["segment.ms", "max.message.bytes", "retention.ms", "message.timestamp.after.max.ms"];

fn level(number: u64) -> &'static str {
    if number.is_multiple_of(2) { "process-crash" } else { "power-loss" }
}

fn alteration(number: u64) -> Vec<AlterConfigOp> {
    let (value, level) = (number.to_string(), level(number));
    let sets = KEYS.iter().map(|key| AlterConfigOp::set(key, &value));
    sets.chain([AlterConfigOp::set("durability", level)]).collect()
}

/// The number of the alteration that holds, by every key.
fn holds(log: &EventLog, what: &str) -> u64 {
    let told = log.admin().describe_configs(&ConfigResource::topic("t"));
    let told = told.unwrap_or_else(|e| panic!("{what}: {e:?}"));
    let value = |key: &str| {
        let entry = told.iter().find(|entry| entry.name == key).unwrap();
        assert_eq!(entry.source, ConfigSource::DynamicTopicConfig, "{what}: {key}");
        entry.value.clone().unwrap()
    };
    let number: u64 = value(KEYS[0]).parse().unwrap();
    for key in KEYS {
        assert_eq!(value(key), number.to_string(), "{what}: {key}");
    }
    assert_eq!(value("durability"), level(number), "{what}");
    number
}

/// Alters until the machine stops. Returns the last alteration that was acknowledged, and the
/// last that was tried; `None` when not even the topic was.
fn run(bed: &mut Bed) -> Option<(u64, u64)> {
    bed.open().ok()?;
    let first = numbered_topic();
    bed.log().create_topic(first).ok().filter(|_| !bed.disk.is_off())?;
    let mut acknowledged = 1_000;
    for number in 1_001..1_005 {
        let resource = ConfigResource::topic("t");
        let admin = bed.log().admin();
        let altered = admin.incremental_alter_configs(&resource, &alteration(number));
        if altered.is_err() || bed.disk.is_off() {
            return Some((acknowledged, number));
        }
        acknowledged = number;
        if number == 1_003 {
            bed.close().ok()?;
            if bed.disk.is_off() || bed.open().is_err() {
                return Some((acknowledged, number));
            }
        }
    }
    Some((acknowledged, acknowledged))
}

fn numbered_topic() -> NewTopic {
    let topic = KEYS.iter().fold(NewTopic::new("t"), |topic, key| topic.config(key, "1000"));
    topic.config("durability", level(1_000)).partitions(2)
}

#[test]
fn e09_an_alteration_is_there_wholly_or_not_at_all_after_a_crash_at_every_operation() {
    let length = {
        let mut bed = Bed::on(SimDisk::new(), Account::default());
        assert_eq!(run(&mut bed), Some((1_004, 1_004)));
        bed.disk.operations()
    };
    let mut between = 0;
    for at in 0..length {
        let disk = SimDisk::new();
        disk.crash_at(at);
        let mut bed = Bed::on(disk, Account::default());
        let Some((acknowledged, tried)) = run(&mut bed) else { continue };
        between += u64::from(acknowledged < tried);
        let ends = [End::Kill, End::NOTHING, End::EVERYTHING];
        for end in ends.into_iter().chain((0..much(3, 24)).map(End::seed)) {
            let what = format!("crash at {at}, {end:?}");
            let mut after = Bed::on(end.of(&bed.disk), Account::default());
            after.open().unwrap_or_else(|e| panic!("{what}: does not open: {e:?}"));
            let found = holds(after.log(), &what);
            assert!((acknowledged..=tried).contains(&found), "{what}: {found} holds");
            let resource = ConfigResource::topic("t");
            let admin = after.log().admin();
            admin.incremental_alter_configs(&resource, &alteration(found + 7)).unwrap();
            assert_eq!(holds(after.log(), &what), found + 7);
        }
    }
    assert!(between > 3, "{between} crashes were within an alteration");
}
