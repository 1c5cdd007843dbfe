//! Offsets that open transactions have committed: they count when their transaction does.

use std::collections::HashMap;

use crate::base::TopicId;

use super::ledger::Ledger;
use super::record::Record;
use super::topics::Part;

/// What open transactions have written, by their producer id.
#[derive(Debug, Default)]
pub(super) struct Pending(HashMap<i64, Written>);

#[derive(Debug, Default)]
struct Written {
    epoch: i16,
    /// How many records there were; superseded ones count.
    count: i32,
    /// Each with the offset at which it stands.
    records: Vec<(u64, Record)>,
}

impl Pending {
    /// The sequence of the next record of a transaction.
    pub(super) fn next_sequence(&self, producer: i64, epoch: i16) -> i32 {
        let known = self.0.get(&producer).filter(|written| written.epoch == epoch);
        known.map_or(0, |written| written.count)
    }

    /// A transaction has written these, the last of them below `end`.
    pub(super) fn add(&mut self, producer: i64, epoch: i16, end: u64, records: Vec<Record>) {
        let written = self.0.entry(producer).or_default();
        if written.epoch != epoch {
            *written = Written { epoch, ..Written::default() };
        }
        let first = end - records.len() as u64;
        written.count = written.count.saturating_add(records.len() as i32);
        written.records.extend((first..).zip(records));
    }

    /// Of all that stands before `at`, nothing counts for this record's key any more: what is
    /// written later wins, whoever ends first (B40).
    pub(super) fn supersede(&mut self, record: &Record, at: u64) {
        if self.0.is_empty() {
            return;
        }
        for written in self.0.values_mut() {
            written.records.retain(|(offset, old)| *offset > at || !old.is_of_key(record));
        }
    }

    /// A transaction has ended: what it has written.
    pub(super) fn take(&mut self, producer: i64) -> Vec<(u64, Record)> {
        self.0.remove(&producer).map_or_else(Vec::new, |written| written.records)
    }

    /// Whether the outcome of an offset is open.
    pub(super) fn has(&self, group: &str, part: Part) -> bool {
        let is = |record: &Record| matches!(record, Record::Offset(id, of, _) if **id == *group && *of == part);
        self.0.values().any(|written| written.records.iter().any(|(_, record)| is(record)))
    }

    /// Whether anything of a group is open.
    pub(super) fn has_group(&self, group: &str) -> bool {
        let is = |record: &Record| matches!(record, Record::Offset(id, ..) | Record::Group(id, _) if **id == *group);
        self.0.values().any(|written| written.records.iter().any(|(_, record)| is(record)))
    }

    /// A topic was deleted.
    pub(super) fn forget_topic(&mut self, id: TopicId) {
        for written in self.0.values_mut() {
            written.records.retain(
                |(_, record)| !matches!(record, Record::Offset(_, part, _) if part.0 == id),
            );
        }
    }
}

impl Record {
    /// Whether both have the same key.
    fn is_of_key(&self, other: &Record) -> bool {
        match (self, other) {
            (Record::Group(a, _), Record::Group(b, _)) => a == b,
            (Record::Static(a, i, _), Record::Static(b, j, _)) => a == b && i == j,
            (Record::Offset(a, p, _), Record::Offset(b, q, _)) => a == b && p == q,
            _ => false,
        }
    }
}

impl Ledger {
    /// What a transaction has written, now that it counts. A group that is known stays what it
    /// is.
    pub(super) fn apply_committed(&mut self, record: Record) {
        let known = match &record {
            Record::Group(group, _) => {
                self.group(group).is_some_and(|(_, account)| account.entry().is_some())
            }
            _ => false,
        };
        if !known {
            self.apply(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::CommittedOffset;
    use crate::base::TopicId;

    const PART: Part = (TopicId(7), 0);

    fn offset(offset: u64) -> Record {
        let metadata = Arc::from("");
        let kept = CommittedOffset { offset, leader_epoch: None, metadata, commit_ms: 0 };
        Record::Offset("g".into(), PART, Some(kept))
    }

    #[test]
    fn b40_what_is_written_later_wins_and_not_what_ends_later() {
        let mut pending = Pending::default();
        pending.add(1, 0, 5, vec![offset(10)]); // at 4
        pending.add(2, 0, 6, vec![offset(20)]); // at 5
        assert!(pending.has("g", PART) && !pending.has("h", PART));
        let second = pending.take(2);
        assert_eq!(second.len(), 1);
        second.iter().for_each(|(at, record)| pending.supersede(record, *at));
        assert!(pending.take(1).is_empty(), "the second stands behind it");

        pending.add(1, 1, 8, vec![offset(30)]); // at 7
        pending.supersede(&offset(5), 6); // a plain one before it
        assert_eq!(pending.take(1).len(), 1);
    }

    #[test]
    fn sequences_go_on_within_a_transaction_and_begin_anew_in_the_next() {
        let mut pending = Pending::default();
        assert_eq!(pending.next_sequence(1, 0), 0);
        pending.add(1, 0, 5, vec![offset(10), offset(11)]);
        pending.supersede(&offset(12), 9);
        assert_eq!((pending.next_sequence(1, 0), pending.next_sequence(1, 1)), (2, 0));
    }

    #[test]
    fn a_deleted_topic_has_no_offsets_that_could_come_to_count() {
        let mut pending = Pending::default();
        pending.add(1, 0, 5, vec![offset(10)]);
        assert!(pending.has_group("g"));
        pending.forget_topic(PART.0);
        assert!(!pending.has_group("g") && pending.take(1).is_empty());
    }
}
