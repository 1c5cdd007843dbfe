//! What outlives every handle: groups, static members, committed offsets. The replay of
//! `__consumer_offsets`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::backend::CommittedOffset;

use super::part_map::PartMap;
use super::record::{GroupEntry, Record, StaticEntry};
use super::topics::Part;

/// Everything that is committed.
#[derive(Debug, Default)]
pub struct Ledger {
    groups: HashMap<Arc<str>, Account>,
}

/// What is remembered of one group.
#[derive(Debug, Default)]
pub struct Account {
    entry: Option<GroupEntry>,
    statics: BTreeMap<Arc<str>, StaticEntry>,
    offsets: PartMap<CommittedOffset>,
}

impl Ledger {
    /// Takes a record into the state: at boot, and after each decision.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Group(group, Some(entry)) => {
                self.groups.entry(group).or_default().entry = Some(entry);
            }
            Record::Group(group, None) => {
                self.change(&group, |account| account.entry = None);
            }
            Record::Static(group, instance, Some(entry)) => {
                self.groups.entry(group).or_default().statics.insert(instance, entry);
            }
            Record::Static(group, instance, None) => {
                self.change(&group, |account| drop(account.statics.remove(&instance)));
            }
            Record::Offset(group, part, Some(offset)) => {
                let account = match self.groups.get_mut(&group) {
                    Some(account) => account,
                    None => self.groups.entry(group).or_default(),
                };
                account.offsets.insert(part, offset);
            }
            Record::Offset(group, part, None) => {
                self.change(&group, |account| drop(account.offsets.remove(&part)));
            }
        }
    }

    fn change(&mut self, group: &str, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.groups.get_mut(group) else { return };
        change(account);
        if account.is_nothing() {
            self.groups.remove(group);
        }
    }

    /// What is remembered of a group, with its name as it is shared.
    pub fn group(&self, group: &str) -> Option<(&Arc<str>, &Account)> {
        self.groups.get_key_value(group)
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &Account)> {
        self.groups.iter()
    }
}

impl Account {
    /// The group itself; none when only offsets were ever told of it.
    pub fn entry(&self) -> Option<GroupEntry> {
        self.entry
    }

    /// Its static members, by instance id.
    pub fn statics(&self) -> &BTreeMap<Arc<str>, StaticEntry> {
        &self.statics
    }

    /// Its offsets.
    pub(super) fn offsets(&self) -> &PartMap<CommittedOffset> {
        &self.offsets
    }

    fn is_nothing(&self) -> bool {
        self.entry.is_none() && self.statics.is_empty() && self.offsets.is_empty()
    }

    /// The records that make it up.
    pub fn records(&self, group: &Arc<str>) -> Vec<Record> {
        let entry = self.entry.map(|entry| Record::Group(Arc::clone(group), Some(entry)));
        let member = |(instance, entry): (&Arc<str>, &StaticEntry)| {
            Record::Static(Arc::clone(group), Arc::clone(instance), Some(entry.clone()))
        };
        let offset = |(part, offset): (&Part, &CommittedOffset)| {
            Record::Offset(Arc::clone(group), *part, Some(offset.clone()))
        };
        let statics = self.statics.iter().map(member);
        entry.into_iter().chain(statics).chain(self.offsets.iter().map(offset)).collect()
    }

    /// The records that take it away.
    pub fn tombstones(&self, group: &Arc<str>) -> Vec<Record> {
        let gone = |record| match record {
            Record::Group(group, _) => Record::Group(group, None),
            Record::Static(group, instance, _) => Record::Static(group, instance, None),
            Record::Offset(group, part, _) => Record::Offset(group, part, None),
        };
        self.records(group).into_iter().map(gone).collect()
    }
}
