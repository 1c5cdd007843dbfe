//! A log against the model. What compaction and retention may have done is looked at, and noted.

use std::collections::BTreeMap;

use alluvium::{ConfigResource, EventLog, Isolation, OffsetSpec, Table, TopicPartition};

use crate::chance::Chance;
use crate::groups;
use crate::model::{Model, Topic};
use crate::reading::{Seen, read, told};
use crate::sums;

pub type Checked = Result<(), String>;

/// Fails with what is said unless it holds.
pub fn hold(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

pub struct Check<'c> {
    pub log: &'c EventLog,
    pub model: &'c mut Model,
    pub chance: &'c mut Chance,
    pub now: i64,
    /// Tables that live on, by topic.
    pub tables: &'c BTreeMap<String, Table>,
}

impl Check<'_> {
    pub fn all(&mut self) -> Checked {
        // What is due is done now, and not between two looks.
        for round in 0..100 {
            if self.log.tick().next_due != Some(std::time::Duration::ZERO) && round > 7 {
                break;
            }
        }
        let admin = self.log.admin();
        let mut names: Vec<String> = self.model.topics.keys().cloned().collect();
        names.extend(sums::TOPICS.map(str::to_owned));
        names.sort();
        let mut found = admin.list_topics().map_err(told)?;
        found.sort();
        hold(found == names, || format!("topics {found:?} instead of {names:?}"))?;
        for name in self.model.topics.keys().cloned().collect::<Vec<_>>() {
            self.topic(&name)?;
        }
        groups::check(self.log, self.model, self.now)?;
        self.numbers()?;
        sums::check(self.log, self.model)
    }

    pub fn topic(&mut self, name: &str) -> Checked {
        let topic = self.model.topics[name].clone();
        self.settings(name, &topic)?;
        let count = self.log.admin().describe_topic(name).map_err(told)?.partition_count;
        hold(count as usize == topic.parts.len(), || format!("{name} has {count} partitions"))?;
        let mut committed = Vec::new();
        for partition in 0..count {
            committed.extend(self.partition(name, partition)?);
        }
        if topic.indexed {
            self.index(name, &committed)?;
        }
        self.table(name)
    }

    fn settings(&self, name: &str, topic: &Topic) -> Checked {
        let resource = ConfigResource::topic(name);
        let entries = self.log.admin().describe_configs(&resource).map_err(told)?;
        let value = |key: &str| entries.iter().find(|entry| entry.name == key)?.value.clone();
        let found = (value("cleanup.policy"), value("retention.ms"));
        let wanted = (Some(topic.policy.clone()), Some(topic.retention.to_string()));
        hold(found == wanted, || format!("{name}: {found:?} instead of {wanted:?}"))
    }

    /// What is committed in it.
    fn partition(&mut self, name: &str, partition: u32) -> Result<Vec<Seen>, String> {
        let tp = TopicPartition::new(name, partition);
        self.start(name, partition)?;
        let mut committed = Vec::new();
        for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
            let at_once = 1 + self.chance.below(30);
            let seen = read(self.log, isolation, &tp, None, at_once)?;
            self.compare(name, partition, isolation, &seen)?;
            if let Some(from) = seen.get(self.chance.below(8) as usize).map(|seen| seen.at) {
                let part = self.model.part(name, partition);
                let from = (from + self.chance.below(2)).max(part.start);
                let again = read(self.log, isolation, &tp, Some(from), at_once)?;
                let rest: Vec<_> = seen.iter().filter(|seen| seen.at >= from).cloned().collect();
                let what = || format!("{tp} {isolation:?} from {from}: {again:?}, not {rest:?}");
                hold(again == rest, what)?;
            }
            if isolation == Isolation::ReadUncommitted {
                self.places(&tp, isolation, &seen)?;
                let stable = self.model.part(name, partition).clone().stable(self.model);
                // Of an aborted transaction too, as in Kafka.
                let below: Vec<_> = seen.iter().filter(|s| s.at < stable).cloned().collect();
                self.places(&tp, Isolation::ReadCommitted, &below)?;
            }
            committed = seen;
        }
        Ok(committed)
    }

    /// The log start, and whether what is gone from the front was to go.
    fn start(&mut self, name: &str, partition: u32) -> Checked {
        let start = self.place_of(&TopicPartition::new(name, partition), OffsetSpec::Earliest)?;
        let topic = &self.model.topics[name];
        let (part, now) = (&topic.parts[partition as usize], self.now);
        let place = format!("{name}-{partition}: it begins at {start}, not {}", part.start);
        hold(start >= part.start, || place.clone())?;
        let young = |rec: &crate::model::Rec| {
            !topic.deletes()
                || topic.retention < 0
                || rec.time.saturating_add(topic.retention) > now
        };
        // A segment of which compaction has left nothing goes with those in front of it.
        let before = now - topic.delete_retention;
        let may = |at| topic.was_compacted && part.may_be_gone(self.model, at, before);
        let lost = part
            .recs
            .range(part.start..start)
            .find(|(at, rec)| !part.gone.contains(at) && young(rec) && !may(**at));
        hold(lost.is_none(), || format!("{place}, without {lost:?} at {now}"))?;
        self.model.part(name, partition).start = start;
        Ok(())
    }

    fn place_of(&self, tp: &TopicPartition, spec: OffsetSpec) -> Result<u64, String> {
        let found = self.log.admin().list_offsets([(tp.clone(), spec)]);
        let found = found.into_iter().next().ok_or("no answer")?.map_err(told)?;
        Ok(found.ok_or("no offset")?.offset)
    }

    fn compare(
        &mut self,
        name: &str,
        partition: u32,
        isolation: Isolation,
        seen: &[Seen],
    ) -> Checked {
        let topic = &self.model.topics[name];
        let part = &topic.parts[partition as usize];
        let mut wanted: BTreeMap<u64, _> = part.seen(self.model, isolation, 0).collect();
        let what = format!("{name}-{partition} {isolation:?}");
        for seen in seen {
            let Some(rec) = wanted.remove(&seen.at) else {
                let known = (part.recs.get(&seen.at), part.gone.contains(&seen.at));
                return Err(format!("{what}: {seen:?} should not be there: {known:?}"));
            };
            let same = (seen.id, &seen.key, &seen.value, seen.time)
                == (rec.id, &rec.key, &rec.value, rec.time);
            hold(same, || format!("{what}: {seen:?} is not {rec:?}"))?;
        }
        let before = self.now - topic.delete_retention;
        let may = |at| topic.was_compacted && part.may_be_gone(self.model, at, before);
        if let Some((at, rec)) = wanted.iter().find(|(at, _)| !may(**at)) {
            let (start, stable) = (part.start, part.stable(self.model));
            return Err(format!("{what}: {at} is missing, {rec:?}; {start}, {stable}; {seen:?}"));
        }
        let gone: Vec<u64> = wanted.into_keys().collect();
        self.model.part(name, partition).gone.extend(gone);
        Ok(())
    }

    /// Offsets that are asked for.
    fn places(&mut self, tp: &TopicPartition, isolation: Isolation, seen: &[Seen]) -> Checked {
        let time = match seen {
            [] => self.now,
            all => self.chance.of(all).time + self.chance.below(2) as i64,
        };
        let specs = [OffsetSpec::Latest, OffsetSpec::ForTimestamp(time), OffsetSpec::MaxTimestamp];
        let wanted = specs.map(|spec| (tp.clone(), spec));
        let found = self.log.admin().list_offsets_at(isolation, wanted);
        let found: Result<Vec<_>, _> = found.into_iter().collect();
        let found: Vec<_> = found
            .map_err(told)?
            .into_iter()
            .map(|found| found.map(|found| (found.offset, found.timestamp_ms)))
            .collect();
        let part = &self.model.topics[tp.topic()].parts[tp.partition() as usize];
        let stable = part.stable(self.model);
        let end = found[0].ok_or("no end")?.0;
        let is_end = match isolation {
            Isolation::ReadCommitted if stable != u64::MAX => end == stable.max(part.start),
            _ => end >= part.next,
        };
        let what = || format!("{tp} {isolation:?}: the end is {end}, not {} {stable}", part.next);
        hold(is_end, what)?;
        let first =
            seen.iter().find(|seen| seen.time >= time).map(|seen| (seen.at, Some(seen.time)));
        let max = seen.iter().map(|seen| seen.time).max();
        let greatest = seen.iter().find(|seen| Some(seen.time) == max);
        let greatest = greatest.map(|seen| (seen.at, Some(seen.time)));
        let what = || {
            format!(
                "{tp} {isolation:?} at {time}: {found:?} not {first:?} {greatest:?} of {seen:?}"
            )
        };
        hold(found[1..] == [first, greatest], what)
    }

    fn index(&mut self, name: &str, committed: &[Seen]) -> Checked {
        let topic = self.log.topic(name).map_err(told)?;
        for key in crate::sends::KEYS {
            let key = key.as_bytes();
            let wanted: Vec<_> =
                committed.iter().filter(|s| s.key.as_deref() == Some(key)).collect();
            let mut found = Vec::new();
            for record in topic.history(key).map_err(told)? {
                let record = record.map_err(told)?;
                found.push((record.offset(), record.value().map(<[u8]>::to_vec)));
            }
            let same = found.iter().map(|(at, value)| (*at, value)).collect::<Vec<_>>()
                == wanted.iter().map(|seen| (seen.at, &seen.value)).collect::<Vec<_>>();
            hold(same, || format!("{name} {key:?}: {found:?} instead of {wanted:?}"))?;
            let latest = topic.latest(key).map_err(told)?.map(|record| record.offset());
            let last = wanted.last().map(|seen| seen.at);
            hold(latest == last, || format!("{name} {key:?}: {latest:?}, not {last:?}"))?;
        }
        Ok(())
    }

    /// A table that lives on, and one that is made anew.
    fn table(&mut self, name: &str) -> Checked {
        let anew = self.log.table(name).build().map_err(told)?;
        for (which, table) in [("old", self.tables.get(name)), ("new", Some(&anew))] {
            let Some(table) = table else { continue };
            let view = table.view().map_err(told)?;
            let rows = view.records().map(|row| {
                (row.key().to_vec(), (row.partition(), row.offset(), row.value().to_vec()))
            });
            let (rows, wanted): (BTreeMap<_, _>, _) = (rows.collect(), self.rows(name));
            let restored = table.restored();
            let what = || format!("{which} table of {name}, {restored:?}: {rows:?} not {wanted:?}");
            hold(rows == wanted, what)?;
        }
        Ok(())
    }

    fn rows(&self, name: &str) -> BTreeMap<Vec<u8>, (u32, u64, Vec<u8>)> {
        let mut best = BTreeMap::new();
        for (partition, part) in (0_u32..).zip(&self.model.topics[name].parts) {
            for (key, (at, rec)) in part.latest(self.model) {
                let Some(value) = rec.value.clone() else { continue };
                let mine = ((rec.time, partition), at, value);
                let known = best.entry(key).or_insert_with(|| mine.clone());
                if mine.0 > known.0 {
                    *known = mine;
                }
            }
        }
        best.into_iter().map(|(key, ((_, p), at, value))| (key, (p, at, value))).collect()
    }

    /// The last numbers of producers with a name.
    fn numbers(&mut self) -> Checked {
        for name in crate::sends::NAMES {
            let producer = self.log.producer().name(name).build().map_err(told)?;
            for (topic, parts) in &self.model.topics {
                for partition in 0..parts.parts.len() as u32 {
                    let tp = TopicPartition::new(topic.as_str(), partition);
                    let found = producer.last_sequence(&tp).map_err(told)?;
                    let place = (name.to_owned(), topic.clone(), partition);
                    let wanted = self.model.numbers.get(&place).copied();
                    hold(found == wanted, || format!("{name} {tp}: {found:?} not {wanted:?}"))?;
                }
            }
        }
        Ok(())
    }
}
