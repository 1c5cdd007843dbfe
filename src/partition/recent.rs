//! The keys of the records that no sealed segment indexes yet.
//!
//! It stands behind the append lock, and is exact: keys are compared, not hashes. So a condition
//! about a key that was used lately is decided here, in one look, without reading a record.
//!
//! Records are kept in tables, each over a run of offsets. A table is given up as a whole when
//! everything in it is sealed; a new one is begun when the last one has grown to half of the
//! limit, and what stands before it is then sealed. What a table still holds of sealed records
//! does not count: compaction may have taken them away.

use std::collections::VecDeque;
use std::ops::Range;

/// No record before, or no key in a slot.
const NONE: u32 = u32::MAX;
const FIRST_SLOTS: usize = 16;

/// The keys of the newest records of a partition.
#[derive(Debug)]
pub struct Recent {
    /// The oldest first; never empty.
    tables: VecDeque<Table>,
    /// Everything below is sealed.
    from: u64,
    /// Offsets whose records were lost.
    lost: Vec<(u64, u64)>,
    limit: usize,
    /// Bytes of all tables but the last.
    older_bytes: usize,
}

impl Recent {
    /// For the records from `from` on.
    pub fn new(from: u64, limit: usize) -> Self {
        let tables = VecDeque::from([Table::new(from)]);
        Self { tables, from, lost: Vec::new(), limit, older_bytes: 0 }
    }

    /// It holds the records from here on.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// Goes by another limit from now on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The most memory that it should take, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.older_bytes + self.tables.back().map_or(0, Table::bytes)
    }

    /// Whether no more is to be noted before something is sealed.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.limit
    }

    /// Whether a table waits for its records to be sealed.
    pub fn wants_seal(&self) -> bool {
        self.tables.len() > 1
    }

    /// Takes note of the record at `offset`, which is the newest. It is in doubt when it belongs to a
    /// transaction: whether it counts is decided later.
    #[inline]
    pub fn note(&mut self, hash: u64, key: &[u8], offset: u64, in_doubt: bool) {
        let Some(last) = self.tables.back_mut() else { return };
        last.note(hash, key, offset, in_doubt);
        if last.bytes() >= self.limit / 2 {
            self.begin_table(offset + 1);
        }
    }

    #[cold]
    fn begin_table(&mut self, from: u64) {
        self.older_bytes = self.bytes();
        self.tables.push_back(Table::new(from));
    }

    /// The offset of the newest record of the key below `below`.
    #[inline]
    pub fn before(&self, hash: u64, key: &[u8], below: u64) -> Option<u64> {
        let mut places = self.places(hash, key).filter(|offset| *offset < below);
        places.find(|offset| !self.is_lost(*offset))
    }

    /// The offsets of the records of the key that lie in `within`, in order.
    pub fn within(&self, hash: u64, key: &[u8], within: Range<u64>) -> Vec<u64> {
        let places = self.places(hash, key).take_while(|offset| *offset >= within.start);
        let mut found: Vec<u64> =
            places.filter(|at| *at < within.end && !self.is_lost(*at)).collect();
        found.reverse();
        found
    }

    /// The newest first.
    #[inline]
    fn places(&self, hash: u64, key: &[u8]) -> impl Iterator<Item = u64> {
        self.all(hash, key).map(|(offset, _)| offset)
    }

    /// The offsets of all records of the key, the newest first, and whether each is in doubt.
    #[inline]
    pub fn each(&self, hash: u64, key: &[u8]) -> impl Iterator<Item = (u64, bool)> {
        self.all(hash, key).filter(|(offset, _)| !self.is_lost(*offset))
    }

    #[inline]
    fn all(&self, hash: u64, key: &[u8]) -> impl Iterator<Item = (u64, bool)> {
        let all = self.tables.iter().rev().flat_map(move |table| table.places(hash, key));
        all.take_while(|(offset, _)| *offset >= self.from)
    }

    fn is_lost(&self, offset: u64) -> bool {
        self.lost.iter().any(|(from, to)| (*from..*to).contains(&offset))
    }

    /// The records in `from..to` are no more.
    pub fn lose(&mut self, from: u64, to: u64) {
        self.lost.push((from, to));
    }

    /// Everything below `offset` is sealed, and nothing at or above `end` is there. Returns what
    /// is to be dropped when no lock is held.
    pub fn forget_below(&mut self, offset: u64, end: u64) -> Vec<Table> {
        self.from = self.from.max(offset.min(end));
        let mut gone = Vec::new();
        while self.tables.get(1).is_some_and(|second| second.from <= offset) {
            gone.extend(self.tables.pop_front());
        }
        if offset >= end && self.tables.back().is_some_and(|last| !last.entries.is_empty()) {
            gone.extend(self.tables.drain(..));
            self.tables.push_back(Table::new(end));
        }
        let older = self.tables.len() - 1;
        self.older_bytes = self.tables.iter().take(older).map(Table::bytes).sum();
        let from = self.from;
        self.lost.retain(|(_, to)| *to > from);
        gone
    }
}

/// The keys of a run of records.
#[derive(Debug)]
pub struct Table {
    from: u64,
    /// Numbers of keys, by their hash; a power of two, and at least a third is free.
    slots: Vec<u32>,
    keys: Vec<Key>,
    /// The bytes of the keys.
    text: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Key {
    hash: u64,
    at: u32,
    len: u32,
    /// Its newest entry.
    last: u32,
    count: u32,
}

/// A record, and the entry of the one before it of the same key.
#[derive(Debug)]
struct Entry {
    offset: u64,
    before: u32,
    in_doubt: bool,
}

impl Table {
    fn new(from: u64) -> Self {
        let (slots, keys, text, entries) = Default::default();
        Self { from, slots, keys, text, entries }
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry>()
            + self.keys.len() * size_of::<Key>()
            + self.slots.len() * size_of::<u32>()
            + self.text.len()
    }

    #[inline]
    fn note(&mut self, hash: u64, key: &[u8], offset: u64, in_doubt: bool) {
        // The limit keeps both counts far below 2^32.
        let entry = self.entries.len() as u32;
        let before = match self.slot_of(hash, key) {
            Ok(number) => {
                let Some(known) = self.keys.get_mut(number as usize) else { return };
                known.count += 1;
                std::mem::replace(&mut known.last, entry)
            }
            Err(free) => {
                self.add_key(hash, key, entry, free);
                NONE
            }
        };
        self.entries.push(Entry { offset, before, in_doubt });
    }

    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<&Key> {
        self.slot_of(hash, key).ok().and_then(|number| self.keys.get(number as usize))
    }

    /// The number of the key, or the slot that it would get.
    #[inline]
    fn slot_of(&self, hash: u64, key: &[u8]) -> Result<u32, usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        loop {
            match self.slots.get(slot) {
                None | Some(&NONE) => return Err(slot),
                Some(number) if self.is_key(*number, hash, key) => return Ok(*number),
                Some(_) => slot = (slot + 1) & mask,
            }
        }
    }

    #[inline]
    fn is_key(&self, number: u32, hash: u64, key: &[u8]) -> bool {
        let Some(known) = self.keys.get(number as usize) else { return false };
        let range = known.at as usize..known.at as usize + known.len as usize;
        known.hash == hash && self.text.get(range) == Some(key)
    }

    #[inline]
    fn add_key(&mut self, hash: u64, key: &[u8], last: u32, free: usize) {
        let (at, len) = (self.text.len() as u32, key.len() as u32);
        let number = self.keys.len() as u32;
        self.text.extend_from_slice(key);
        self.keys.push(Key { hash, at, len, last, count: 1 });
        let has_room = self.keys.len() * 3 <= self.slots.len() * 2;
        match self.slots.get_mut(free).filter(|_| has_room) {
            Some(slot) => *slot = number,
            None => self.widen(),
        }
    }

    #[cold]
    fn widen(&mut self) {
        let slots = (self.slots.len() * 2).max(FIRST_SLOTS);
        self.slots.clear();
        self.slots.resize(slots, NONE);
        for (number, key) in (0..).zip(&self.keys) {
            let mut slot = key.hash as usize & (slots - 1);
            while self.slots.get(slot).is_some_and(|taken| *taken != NONE) {
                slot = (slot + 1) & (slots - 1);
            }
            if let Some(free) = self.slots.get_mut(slot) {
                *free = number;
            }
        }
    }

    fn places(&self, hash: u64, key: &[u8]) -> impl Iterator<Item = (u64, bool)> {
        let entry = |at: u32| self.entries.get(at as usize);
        let last = self.find(hash, key).and_then(move |key| entry(key.last));
        std::iter::successors(last, move |newer| entry(newer.before))
            .map(|entry| (entry.offset, entry.in_doubt))
    }
}

#[cfg(all(test, not(alluvium_loom)))]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::batch::key_hash;

    /// What is done to it: a record of a key, a seal up to a share of what there is, a loss.
    #[derive(Clone, Debug)]
    enum Step {
        Note(u8),
        Seal(u8),
        Lose(u8, u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            20 => (0_u8..30).prop_map(Step::Note),
            1 => any::<u8>().prop_map(Step::Seal),
            1 => (any::<u8>(), 0_u8..4).prop_map(|(at, len)| Step::Lose(at, len)),
        ];
        prop::collection::vec(step, 0..400)
    }

    fn key(number: u8) -> Vec<u8> {
        format!("key-{number}").into_bytes()
    }

    proptest! {
        #[test]
        fn it_is_the_map_of_its_records(
            steps in steps(), limit in 200_usize..4_000, alike in any::<bool>(),
        ) {
            // Where all hashes are alike only the keys tell the records apart.
            let hash = |key: &[u8]| if alike { 7 } else { key_hash(key) };
            let (mut recent, mut end) = (Recent::new(0, limit), 0_u64);
            let mut model = BTreeMap::<u64, u8>::new();
            for step in steps {
                match step {
                    Step::Note(number) => {
                        recent.note(hash(&key(number)), &key(number), end, false);
                        model.insert(end, number);
                        end += 1;
                    }
                    Step::Seal(share) => {
                        recent.forget_below(end * u64::from(share) / 255, end);
                    }
                    Step::Lose(share, len) => {
                        let from = end * u64::from(share) / 255;
                        let to = (from + u64::from(len)).min(end);
                        recent.lose(from, to);
                        model.retain(|offset, _| !(from..to).contains(offset));
                    }
                }
                let there = model.range(recent.from()..).map(|(at, n)| (*at, *n));
                let there: Vec<_> = there.collect();
                for number in [end as u8 % 30, 7, 30] {
                    let (hash, key) = (hash(&key(number)), key(number));
                    let mine = there.iter().filter(|(_, n)| *n == number).map(|(at, _)| *at);
                    let mine: Vec<_> = mine.collect();
                    prop_assert_eq!(recent.each(hash, &key).count(), mine.len());
                    prop_assert_eq!(recent.within(hash, &key, 0..end), mine.clone());
                    prop_assert_eq!(recent.before(hash, &key, u64::MAX), mine.last().copied());
                    let half = mine.iter().rev().find(|at| **at < end / 2).copied();
                    prop_assert_eq!(recent.before(hash, &key, end / 2), half);
                }
            }
        }
    }

    #[test]
    fn a_table_that_has_grown_is_given_up_when_it_is_sealed() {
        let mut recent = Recent::new(100, 4_096);
        let mut offset = 100_u64;
        while !recent.is_full() {
            recent.note(key_hash(&offset.to_le_bytes()), &offset.to_le_bytes(), offset, false);
            offset += 1;
        }
        assert!(recent.wants_seal() && recent.bytes() >= 4_096 && recent.from() == 100);
        assert!(!recent.forget_below(offset - 1, offset).is_empty());
        assert!(recent.from() > 100 && !recent.is_full());
        recent.forget_below(offset, offset);
        assert_eq!((recent.from(), recent.bytes()), (offset, 0));
    }
}
