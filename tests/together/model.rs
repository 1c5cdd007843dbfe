//! What a log must show, in plain maps.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::partition::Part;

/// How long a transaction may be open, in ms.
pub const TIMEOUT: i64 = 600_000;

/// A record: no two have one id.
#[derive(Clone, PartialEq, Eq)]
pub struct Rec {
    pub id: u64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub time: i64,
    /// When it was sent.
    pub sent: i64,
    pub txn: Option<u64>,
    /// Who has numbered it, and as what.
    pub number: Option<(String, i32)>,
}

impl fmt::Debug for Rec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_deref().map(String::from_utf8_lossy);
        write!(f, "#{} {key:?} {:?} bytes", self.id, self.value.as_ref().map(Vec::len))?;
        write!(f, " at {} (-{})", self.sent % 1_000_000_000_000, self.sent - self.time)?;
        self.txn.iter().try_for_each(|txn| write!(f, " txn {txn}"))?;
        self.number.iter().try_for_each(|number| write!(f, " {number:?}"))
    }
}

/// A record with where it is to go.
#[derive(Clone)]
pub struct Draft {
    pub topic: String,
    pub partition: Option<u32>,
    pub rec: Rec,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:?} {:?}", self.topic, self.partition, self.rec)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Committed,
    Aborted,
}

/// An offset that counts when its transaction does.
#[derive(Clone, Debug)]
pub struct Pending {
    pub group: String,
    pub place: (String, u32),
    pub to: Committed,
}

#[derive(Clone, Copy, Debug)]
pub struct Committed {
    pub offset: u64,
    pub when: i64,
    /// Of two commits the one that was told later counts.
    pub order: u64,
}

#[derive(Clone, Debug)]
pub struct Txn {
    pub state: State,
    pub begun: i64,
    /// Whether anything is in it.
    pub is_begun: bool,
    pub offsets: Vec<Pending>,
}

#[derive(Clone, Debug)]
pub struct Topic {
    pub parts: Vec<Part>,
    pub policy: String,
    /// -1: for ever.
    pub retention: i64,
    pub delete_retention: i64,
    pub indexed: bool,
    /// Whether it was ever compacted.
    pub was_compacted: bool,
}

impl Topic {
    pub fn compacts(&self) -> bool {
        self.policy.contains("compact")
    }

    pub fn deletes(&self) -> bool {
        self.policy.contains("delete")
    }
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub offsets: BTreeMap<(String, u32), Committed>,
    /// When its last member has gone.
    pub empty_since: i64,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub topics: BTreeMap<String, Topic>,
    pub txns: BTreeMap<u64, Txn>,
    pub groups: BTreeMap<String, Group>,
    /// Name, topic, partition, to the last number.
    pub numbers: BTreeMap<(String, String, u32), i32>,
    pub sums: BTreeMap<String, i64>,
    /// Offsets as old as this are gone for certain.
    pub surely_expired: i64,
}

impl Model {
    pub fn part(&mut self, topic: &str, partition: u32) -> &mut Part {
        &mut self.topics.get_mut(topic).unwrap().parts[partition as usize]
    }

    pub fn state(&self, rec: &Rec) -> State {
        rec.txn.map_or(State::Committed, |txn| {
            // One that the end of the machine has cut off before it was known.
            self.txns.get(&txn).map_or(State::Aborted, |txn| txn.state)
        })
    }

    /// A record has got its place.
    pub fn place(&mut self, topic: &str, partition: u32, offset: u64, rec: Rec) {
        if let Some((name, number)) = &rec.number {
            let last = (name.clone(), topic.to_owned(), partition);
            self.numbers.insert(last, *number);
        }
        let part = self.part(topic, partition);
        assert!(
            offset >= part.next,
            "{topic}-{partition}: {offset} was given before {}",
            part.next
        );
        part.next = offset + 1;
        part.recs.insert(offset, rec);
    }

    pub fn end_txn(&mut self, txn: u64, state: State) {
        let ended = self.txns.get_mut(&txn).unwrap();
        assert_eq!(ended.state, State::Open);
        ended.state = state;
        if state == State::Committed {
            for pending in ended.offsets.clone() {
                self.commit(&pending.group, pending.place, pending.to);
            }
        }
    }

    pub fn commit(&mut self, group: &str, place: (String, u32), to: Committed) {
        if self.topics.contains_key(&place.0) {
            let group = self.groups.entry(group.to_owned()).or_default();
            let known = group.offsets.entry(place).or_insert(to);
            if known.order < to.order {
                *known = to;
            }
        }
    }

    /// What nobody is there to end, or what took too long.
    pub fn abort(&mut self, which: impl Fn(&Txn) -> bool) {
        for txn in self.txns.values_mut().filter(|txn| txn.state == State::Open) {
            if which(txn) {
                txn.state = State::Aborted;
            }
        }
    }

    pub fn delete_topic(&mut self, topic: &str) {
        self.topics.remove(topic);
        for group in self.groups.values_mut() {
            group.offsets.retain(|(of, _), _| of != topic);
        }
        for txn in self.txns.values_mut() {
            txn.offsets.retain(|pending| pending.place.0 != topic);
        }
        self.numbers.retain(|(_, of, _), _| of != topic);
    }

    /// Groups of which the outcome of an offset is open.
    pub fn pending_groups(&self) -> BTreeSet<String> {
        let open = self.txns.values().filter(|txn| txn.state == State::Open);
        open.flat_map(|txn| txn.offsets.iter().map(|pending| pending.group.clone())).collect()
    }
}
