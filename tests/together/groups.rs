//! Groups: offsets that are committed, by members and by nobody, and that expire.

use std::collections::BTreeMap;
use std::time::Duration;

use alluvium::{
    Consumer, ErrorKind, EventLog, Isolation, OffsetReset, Offsets, Result, TopicPartition,
};

use crate::check::{Checked, hold};
use crate::machine::OFFSETS_MINUTES;
use crate::model::{Committed, Model, Pending};
use crate::reading::told;
use crate::world::World;

pub const GROUPS: [&str; 4] = ["g-1", "g-2", "g-3", "g-4"];

pub fn retention() -> i64 {
    OFFSETS_MINUTES * 60_000
}

/// A consumer that is no member, and may commit while nobody is.
pub fn outsider(log: &EventLog, group: &str) -> Result<Consumer> {
    log.consumer().group(group).auto_commit(None).build()
}

pub fn check(log: &EventLog, model: &mut Model, now: i64) -> Checked {
    for name in GROUPS {
        let found = match log.admin().group_offsets(name) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::GroupIdNotFound => BTreeMap::new(),
            Err(error) => return Err(told(error)),
        };
        let mut found: BTreeMap<(String, u32), u64> = found
            .into_iter()
            .map(|(tp, committed)| ((tp.topic().to_owned(), tp.partition()), committed.offset))
            .collect();
        let (surely, group) =
            (model.surely_expired, model.groups.entry(name.to_owned()).or_default());
        let mut expired = Vec::new();
        for (place, Committed { offset, when, .. }) in &group.offsets {
            let since = (*when).max(group.empty_since);
            match found.remove(place) {
                Some(is) => {
                    hold(is == *offset, || format!("{name} {place:?}: {is}, not {offset}"))?;
                    let what = || format!("{name} {place:?}: {since} has not expired at {now}");
                    hold(since > surely, what)?;
                }
                None => {
                    let what = || format!("{name} {place:?}: {offset} of {since} is gone at {now}");
                    hold(since + retention() <= now, what)?;
                    expired.push(place.clone());
                }
            }
        }
        group.offsets.retain(|place, _| !expired.contains(place));
        hold(found.is_empty(), || format!("{name}: {found:?} was never committed"))?;
    }
    Ok(())
}

impl World {
    fn committed(&mut self, offset: u64) -> Committed {
        self.ids += 1;
        Committed { offset, when: self.now(), order: self.ids }
    }

    fn some_offsets(&mut self) -> Offsets {
        let mut offsets = Offsets::new();
        for _ in 0..=self.chance.below(2) {
            let Some((topic, partition)) = self.some_partition() else { continue };
            let offset = self.chance.below(self.model.part(&topic, partition).next + 1);
            offsets.insert(TopicPartition::new(topic, partition), offset);
        }
        offsets
    }

    /// By somebody who is no member.
    pub fn commit_offsets(&mut self) {
        let group = *self.chance.of(&GROUPS);
        let offsets = self.some_offsets();
        self.note(format!("commit {group} {offsets:?}"));
        let done = outsider(self.log(), group).and_then(|mut who| who.commit_offsets(&offsets));
        self.judge(done);
        for (tp, offset) in offsets.iter() {
            let to = self.committed(offset);
            self.model.commit(group, (tp.topic().to_owned(), tp.partition()), to);
        }
    }

    pub fn txn_offsets(&mut self, actor: usize) {
        let Some(txn) = self.actors[actor].as_ref().and_then(|actor| actor.open) else { return };
        if self.is_late(actor) {
            return self.txn_end(actor);
        }
        let group = *self.chance.of(&GROUPS);
        let offsets = self.some_offsets();
        self.note(format!("txn {txn} offsets {group} {offsets:?}"));
        let Some(who) = self.judge(outsider(self.log(), group)) else { return };
        let ask = crate::actor::Ask::Offsets(offsets.clone(), who.group_metadata());
        if self.ask(actor, ask).is_none() {
            return;
        }
        for (tp, offset) in offsets.iter() {
            let to = self.committed(offset);
            let (group, place) = (group.to_owned(), (tp.topic().to_owned(), tp.partition()));
            let open = self.model.txns.get_mut(&txn).unwrap();
            open.offsets.push(Pending { group, place, to });
            open.is_begun = true;
        }
    }

    /// A member comes, reads everything behind what was committed, commits, and leaves.
    pub fn member(&mut self) {
        let group = *self.chance.of(&GROUPS);
        let Some(topic) = self.some_topic() else { return };
        if self.model.pending_groups().contains(group) {
            return;
        }
        self.check_now();
        self.note(format!("member {group} of {topic}"));
        let Some(positions) = self.run_member(group, &topic) else {
            // It may have been one, or not.
            self.model.groups.entry(group.to_owned()).or_default().empty_since = self.now();
            return;
        };
        let now = self.now();
        for (partition, position) in positions {
            let to = self.committed(position);
            self.model.commit(group, (topic.clone(), partition), to);
        }
        self.model.groups.entry(group.to_owned()).or_default().empty_since = now;
    }

    fn run_member(&mut self, group: &str, topic: &str) -> Option<Vec<(u32, u64)>> {
        let at_once = (1 + self.chance.below(20)).to_string();
        let builder = self.log().consumer().group(group).topics([topic]).auto_commit(None);
        let builder =
            builder.isolation(Isolation::ReadCommitted).offset_reset(OffsetReset::Earliest);
        let built = builder.set("max.poll.records", &at_once).build();
        let mut member = self.judge(built)?;
        let (mut seen, mut empty) = (Vec::new(), 0);
        while empty < 3 {
            let records = self.judge(member.poll(Duration::ZERO))?;
            empty = if records.is_empty() { empty + 1 } else { 0 };
            seen.extend(records.iter().map(|record| (record.partition(), record.offset())));
        }
        seen.sort();
        assert_eq!(seen, self.due(group, topic), "member of {group}");
        self.judge(member.commit())?;
        let parts = self.model.topics[topic].parts.len() as u32;
        let mut positions = Vec::new();
        for partition in 0..parts {
            let position = member.position(&TopicPartition::new(topic, partition));
            positions.push((partition, self.judge(position)?));
        }
        self.judge(member.close())?;
        Some(positions)
    }

    /// What a member of a group is to read.
    fn due(&self, group: &str, topic: &str) -> Vec<(u32, u64)> {
        let known = self.model.groups.get(group);
        let mut due = Vec::new();
        for (partition, part) in (0_u32..).zip(&self.model.topics[topic].parts) {
            let place = (topic.to_owned(), partition);
            let from = known.and_then(|group| group.offsets.get(&place)).map_or(0, |to| to.offset);
            let seen = part.seen(&self.model, Isolation::ReadCommitted, from);
            due.extend(seen.map(|(at, _)| (partition, at)));
        }
        due
    }
}
