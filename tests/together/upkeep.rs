//! What operators do.

use std::collections::BTreeSet;
use std::time::Duration;

use alluvium::{
    AlterConfigOp, CompactionOptions, CompactionOutcome, ConfigResource, Isolation, NewTopic,
    RecordsToDelete, TopicPartition,
};

use crate::groups::retention;
use crate::model::{Committed, State, TIMEOUT, Topic};
use crate::partition::Part;
use crate::reading::read;
use crate::world::World;

const HOUR: i64 = 3_600_000;
/// Topics that come and go, with their partitions.
const TOPICS: [(&str, usize); 5] =
    [("plain", 2), ("compact", 2), ("both", 1), ("index", 2), ("index-compact", 2)];
const INTERNAL: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

impl World {
    pub fn create_topics(&mut self) {
        (0..TOPICS.len()).for_each(|_| self.create_one());
    }

    /// One of those that are not there.
    pub fn create_one(&mut self) {
        let mut all = TOPICS.iter();
        if let Some((name, parts)) = all.find(|(name, _)| !self.model.topics.contains_key(*name)) {
            self.create_topic(name, *parts);
        }
    }

    fn create_topic(&mut self, name: &str, parts: usize) {
        let policy = match name {
            "plain" | "index" => "delete",
            "both" => "compact,delete",
            _ => "compact",
        };
        let indexed = name.starts_with("index");
        let retention = if self.chance.one_in(2) { -1 } else { 6 * HOUR };
        let delete_retention = *self.chance.of(&[0, 60_000, HOUR]);
        let segment = *self.chance.of(&[1_000, 1_500, 4_000]);
        self.note(format!("create {name} {retention} {delete_retention} {segment}"));
        let new = NewTopic::new(name).partitions(parts as u32).key_index(indexed);
        let new =
            new.config("cleanup.policy", policy).config("retention.ms", &retention.to_string());
        let new = new.config("delete.retention.ms", &delete_retention.to_string());
        let new = new.config("internal.segment.bytes", &segment.to_string());
        self.judge(self.log().create_topic(new));
        let (parts, policy) = (vec![Part::default(); parts], policy.to_owned());
        let was_compacted = policy.contains("compact");
        let topic = Topic { parts, policy, retention, delete_retention, indexed, was_compacted };
        self.model.topics.insert(name.to_owned(), topic);
    }

    pub fn delete_topic(&mut self) {
        let Some(topic) = self.some_topic() else { return };
        self.note(format!("delete {topic}"));
        self.tables.remove(&topic);
        self.judge(self.log().admin().delete_topic(&topic));
        self.model.delete_topic(&topic);
    }

    pub fn grow(&mut self) {
        let Some(topic) = self.some_topic() else { return };
        let parts = &mut self.model.topics.get_mut(&topic).unwrap().parts;
        if topic.starts_with("index") || parts.len() > 3 {
            return;
        }
        parts.push(Part::default());
        let total = parts.len() as u32;
        self.note(format!("grow {topic} to {total}"));
        self.judge(self.log().admin().create_partitions(&topic, total));
    }

    /// Another policy, or another retention.
    pub fn alter(&mut self) {
        let Some(name) = self.some_topic() else { return };
        self.check_now();
        if self.is_off() {
            return;
        }
        let policy = *self.chance.of(&["compact", "delete", "compact,delete"]);
        let retention = *self.chance.of(&[-1, HOUR, 6 * HOUR]);
        let segment = *self.chance.of(&["1000", "1500", "4000"]);
        self.note(format!("alter {name} {policy} {retention} {segment}"));
        let ops = [
            AlterConfigOp::set("cleanup.policy", policy),
            AlterConfigOp::set("retention.ms", &retention.to_string()),
            AlterConfigOp::set("internal.segment.bytes", segment),
        ];
        let resource = ConfigResource::topic(&name);
        self.judge(self.log().admin().incremental_alter_configs(&resource, &ops));
        let topic = self.model.topics.get_mut(&name).unwrap();
        (topic.policy, topic.retention) = (policy.to_owned(), retention);
        topic.was_compacted |= topic.compacts();
    }

    pub fn delete_records(&mut self) {
        let Some((topic, partition)) = self.some_partition() else { return };
        if !self.model.topics[&topic].deletes() {
            return;
        }
        self.check_now();
        let part = self.model.part(&topic, partition);
        // What is visible at most: nothing of it is in doubt now.
        let before = part.start + self.chance.below(part.next - part.start.min(part.next) + 1);
        self.note(format!("delete {topic}-{partition} before {before}"));
        let tp = TopicPartition::new(topic.as_str(), partition);
        let part = self.model.part(&topic, partition);
        if before > part.next || before < part.start {
            return;
        }
        part.start = before;
        let to = RecordsToDelete::BeforeOffset(before);
        if let Some(start) = self.judge(self.log().admin().delete_records(&tp, to)) {
            assert_eq!(start, before);
        }
    }

    pub fn roll(&mut self) {
        let Some(topic) = self.some_topic() else { return };
        self.roll_topic(&topic);
    }

    fn roll_topic(&mut self, topic: &str) {
        self.note(format!("roll {topic}"));
        let Some(rolled) = self.judge(self.log().admin().roll(topic)) else { return };
        for roll in rolled {
            if let Some(segment) = roll.segment {
                let part = self.model.part(topic, roll.partition.partition());
                part.ends.insert(segment.next_offset);
            }
        }
    }

    /// Everything that can be compacted is, and of each key one record is left.
    pub fn squeeze(&mut self) {
        let Some(topic) = self.some_topic() else { return };
        if !self.model.topics[&topic].compacts() {
            return;
        }
        self.check_now();
        self.roll_topic(&topic);
        self.compact_topic(&topic);
        if self.is_off() {
            return;
        }
        self.check_now();
        if self.is_off() {
            return;
        }
        for (partition, part) in (0_u32..).zip(&self.model.topics[&topic].parts) {
            if part.stable(&self.model) != u64::MAX {
                // The segment in which a transaction is open stays as it is.
                continue;
            }
            let tp = TopicPartition::new(topic.as_str(), partition);
            let seen = read(self.log(), Isolation::ReadUncommitted, &tp, None, 500).unwrap();
            let mut keys = BTreeSet::new();
            for seen in &seen {
                assert!(seen.key.is_some(), "{tp}: {seen:?} has no key");
                assert!(keys.insert(&seen.key), "{tp}: {seen:?} is there twice");
                let state = self.model.state(&part.recs[&seen.at]);
                assert_eq!(state, State::Committed, "{tp}: {seen:?}");
            }
        }
    }

    fn compact_topic(&mut self, topic: &str) {
        self.note(format!("compact {topic}"));
        let options = CompactionOptions::default().topic(topic).force(true);
        let Some(report) = self.judge(self.log().admin().run_compaction(options)) else { return };
        for partition in report.partitions {
            let failed = matches!(partition.outcome, CompactionOutcome::Failed(_));
            assert!(!failed, "{partition:?}");
        }
    }

    /// The log's own topics.
    pub fn squeeze_internal(&mut self) {
        let topic = *self.chance.of(&INTERNAL);
        let there = self.log().admin().describe_topic(topic).is_ok();
        if there && !self.is_off() {
            self.note(format!("roll {topic}"));
            self.judge(self.log().admin().roll(topic));
            if !self.is_off() {
                self.compact_topic(topic);
            }
        }
    }

    pub fn run_retention(&mut self) {
        self.check_now();
        self.note("retention".to_owned());
        if self.judge(self.log().admin().run_retention()).is_none() {
            return;
        }
        self.check_now();
        // What is too old, and ends with a segment, has gone.
        let now = self.now();
        for (name, topic) in &self.model.topics {
            if !topic.deletes() || topic.retention < 0 || topic.was_compacted {
                continue;
            }
            // A marker has a time of its own.
            let plain = |part: &&Part| part.recs.values().all(|rec| rec.txn.is_none());
            for part in topic.parts.iter().filter(plain) {
                let is_old = |at: u64| {
                    let mut all = part.recs.range(..at);
                    all.all(|(_, rec)| rec.sent + topic.retention < now)
                };
                let stable = part.stable(&self.model);
                let stays = part.ends.iter().rfind(|end| **end <= stable && is_old(**end));
                let stays = stays.filter(|end| **end > part.start);
                assert!(stays.is_none(), "{name}: {stays:?} at {}", part.start);
            }
        }
    }

    pub fn tick(&mut self) {
        self.log().tick();
    }

    /// Time goes on: a little, or by hours or days, at times to the moment when something expires.
    pub fn advance(&mut self) {
        let long = self.chance.one_in(2);
        let by = if long { self.long() } else { self.chance.below(5_000) as i64 };
        self.note(format!("advance {by}"));
        self.machine.clock.advance(Duration::from_millis(by as u64));
        let now = self.now();
        self.model.abort(|txn| txn.begun + TIMEOUT <= now);
        if by >= 6 * 24 * HOUR {
            // Their ids may be forgotten.
            self.actors.iter_mut().for_each(|actor| *actor = None);
            self.idempotent = self.judge(self.log().producer().idempotent(true).build());
        }
        self.tick();
        if by < HOUR {
            return;
        }
        for _ in 0..2 {
            self.machine.clock.advance(Duration::from_secs(11 * 60));
            self.tick();
        }
        let now = self.now();
        self.model.abort(|txn| txn.begun + TIMEOUT <= now);
        if !self.is_off() {
            self.model.surely_expired = now - 11 * 60_000 - retention();
        }
    }

    /// So long that no transaction is open any more.
    fn long(&mut self) -> i64 {
        let now = self.now();
        let groups = self.model.groups.values();
        let ends = groups.flat_map(|group| {
            let since = |to: &Committed| to.when.max(group.empty_since);
            group.offsets.values().map(move |to| since(to) + retention())
        });
        let ends: Vec<i64> = ends.filter(|end| *end > now + HOUR).collect();
        if !ends.is_empty() && self.chance.one_in(2) {
            // The last moment at which it is still there.
            return self.chance.of(&ends) - 1 - now;
        }
        *self.chance.of(&[HOUR, 2 * HOUR, 7 * HOUR, 25 * HOUR, 8 * 24 * HOUR])
    }

    pub fn save_table(&mut self) {
        let names: Vec<String> = self.tables.keys().cloned().collect();
        if !names.is_empty() {
            let name = self.chance.of(&names).clone();
            self.note(format!("save {name}"));
            self.judge(self.tables[&name].save());
        }
    }
}
