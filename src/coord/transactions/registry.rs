//! What outlives every handle: transactional ids, their transactions, named producers, and which
//! producer ids were given. The replay of `__transaction_state`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::TopicId;

use super::record::{Entry, Joined, Named, Record, Stage};

/// A partition: its topic's identity and its number.
pub type Part = (TopicId, u32);

/// From this epoch on the next transaction gets a new producer id (B45).
pub const LAST_EPOCH: i16 = i16::MAX - 1;

/// Everything that was decided.
#[derive(Debug, Default)]
pub struct Registry {
    /// Producer ids from here on were never given.
    free: i64,
    entries: HashMap<Arc<str>, Entry>,
    /// Partitions by producer id, in the order in which they joined; of transactions that are
    /// over too, until their numbers are used again.
    joined: HashMap<i64, Vec<Joined>>,
    named: HashMap<Arc<str>, Named>,
}

impl Registry {
    /// Takes a record into the state: at boot, and after each decision.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Ids(below) => self.free = self.free.max(below),
            Record::Transaction(id, Some(entry)) => match self.entries.get_mut(&id) {
                Some(known) => *known = entry,
                None => drop(self.entries.insert(id, entry)),
            },
            Record::Transaction(id, None) => drop(self.entries.remove(&id)),
            Record::Partitions(producer, number, Some(joined)) => {
                let all = self.joined.entry(producer).or_default();
                let at = number as usize;
                if all.len() <= at {
                    // A number that was never told of is of no transaction.
                    let nobody = || Joined { epoch: -1, ..Joined::default() };
                    all.resize_with(at + 1, nobody);
                }
                if let Some(place) = all.get_mut(at) {
                    *place = joined;
                }
            }
            Record::Partitions(producer, _, None) => drop(self.joined.remove(&producer)),
            Record::Name(name, Some(named)) => drop(self.named.insert(name, named)),
            Record::Name(name, None) => drop(self.named.remove(&name)),
        }
    }

    /// Producer ids from here on were never given.
    pub fn free(&self) -> i64 {
        self.free
    }

    /// What is known of a transactional id.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// What is known of a transactional id, with the id as it is shared.
    pub fn shared_entry(&self, id: &str) -> Option<(&Arc<str>, &Entry)> {
        self.entries.get_key_value(id)
    }

    /// All transactional ids.
    pub fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.entries.iter()
    }

    /// What is known of a named producer.
    pub fn named(&self, name: &str) -> Option<Named> {
        self.named.get(name).copied()
    }

    /// The partitions of the present transaction, and those of the one that was just decided, in
    /// groups as they joined.
    pub fn joined(&self, entry: &Entry) -> impl Iterator<Item = &Joined> {
        let all = self.joined.get(&entry.producer).map_or(&[][..], Vec::as_slice);
        let epoch = entry.epoch;
        all.iter().take_while(move |joined| joined.epoch == epoch)
    }

    /// The partitions themselves.
    pub fn parts(&self, entry: &Entry) -> impl Iterator<Item = Part> {
        self.joined(entry).flat_map(|joined| joined.parts.iter().copied())
    }

    /// Whether a transaction is open: some partition is part of it, and nothing is decided.
    pub fn is_open(&self, entry: &Entry) -> bool {
        !matches!(entry.stage, Stage::Prepared { .. }) && self.joined(entry).next().is_some()
    }

    /// The record with which `parts` join.
    pub fn join(&self, entry: &Entry, parts: Vec<Part>, at_ms: i64) -> Record {
        let number = self.joined(entry).count() as u32;
        let joined = Joined { epoch: entry.epoch, at_ms, parts };
        Record::Partitions(entry.producer, number, Some(joined))
    }

    /// The records that take an id away.
    pub fn tombstones(&self, id: &Arc<str>) -> Vec<Record> {
        let Some(entry) = self.entries.get(id) else { return Vec::new() };
        let numbers = self.joined.get(&entry.producer).map_or(0, Vec::len) as u32;
        let parts = (0..numbers).map(|number| Record::Partitions(entry.producer, number, None));
        parts.chain([Record::Transaction(Arc::clone(id), None)]).collect()
    }
}

impl Entry {
    /// What it is after the end of its transaction. An epoch that has come to its end is
    /// followed by a new producer id, which `fresh` gives.
    pub fn completed(self, commit: bool, now_ms: i64, fresh: impl FnOnce() -> Option<i64>) -> Self {
        let stage = Stage::Complete { commit };
        let next = Self { stage, epoch: self.epoch.saturating_add(1), changed_ms: now_ms, ..self };
        if next.epoch < LAST_EPOCH {
            return next;
        }
        match fresh() {
            Some(producer) => Self { producer, epoch: 0, ..next },
            // The next begin tries again.
            None => Self { epoch: LAST_EPOCH, ..next },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(epoch: i16, stage: Stage) -> Entry {
        Entry { producer: 7, epoch, stage, timeout: Duration::from_secs(60), changed_ms: 0 }
    }

    fn joins(registry: &Registry, entry: &Entry, partition: u32) -> Record {
        registry.join(entry, vec![(TopicId(1), partition)], 5)
    }

    #[test]
    fn partitions_count_for_the_epoch_that_they_joined_in_whatever_the_order_of_records() {
        let first = entry(0, Stage::Empty);
        let mut registry = Registry::default();
        let mut log = vec![Record::Transaction("a".into(), Some(first))];
        registry.apply(log[0].clone());
        for partition in [3, 4] {
            let record = joins(&registry, &first, partition);
            registry.apply(record.clone());
            log.push(record);
        }
        assert!(registry.is_open(&first));
        assert_eq!(registry.parts(&first).map(|part| part.1).collect::<Vec<_>>(), [3, 4]);
        let second = first.completed(true, 9, || None);
        assert_eq!((second.epoch, registry.is_open(&second)), (1, false));
        log.push(Record::Transaction("a".into(), Some(second)));
        registry.apply(log[3].clone());
        let record = joins(&registry, &second, 5);
        assert!(matches!(&record, Record::Partitions(7, 0, Some(_))), "numbers are used again");
        log.push(record);
        // As compaction may leave it, and the other way round.
        for order in [[2, 3, 4], [4, 3, 2]] {
            let mut replayed = Registry::default();
            order.iter().for_each(|&at| replayed.apply(log[at].clone()));
            let known = *replayed.entry("a").unwrap();
            assert_eq!(replayed.parts(&known).map(|part| part.1).collect::<Vec<_>>(), [5]);
            assert!(replayed.is_open(&known));
        }
    }

    #[test]
    fn b45_an_epoch_that_has_come_to_its_end_is_followed_by_a_new_producer_id() {
        let last = entry(LAST_EPOCH - 1, Stage::Prepared { commit: true });
        let next = last.completed(true, 1, || Some(8));
        assert_eq!((next.producer, next.epoch), (8, 0));
        let before = entry(LAST_EPOCH - 2, Stage::Prepared { commit: true });
        let next = before.completed(true, 1, || unreachable!("there is an epoch left"));
        assert_eq!((next.producer, next.epoch), (7, LAST_EPOCH - 1));
        let stuck = last.completed(false, 1, || None);
        assert_eq!((stuck.producer, stuck.epoch), (7, LAST_EPOCH));
    }

    #[test]
    fn b50_what_takes_an_id_away_takes_all_of_it() {
        let known = entry(0, Stage::Empty);
        let id: Arc<str> = "a".into();
        let mut registry = Registry::default();
        registry.apply(Record::Transaction(Arc::clone(&id), Some(known)));
        let record = joins(&registry, &known, 1);
        registry.apply(record);
        for record in registry.tombstones(&id) {
            registry.apply(record);
        }
        assert!(registry.entry("a").is_none());
        assert!(registry.joined.is_empty());
    }
}
