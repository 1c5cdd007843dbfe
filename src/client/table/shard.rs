//! Some of a table's records, found by their keys.

use std::collections::HashMap;

use super::super::packed_record::{PackedRecord, partition_of};
use super::key_hash::KeyHash;

/// Bits of an index word that say where the record stands, plus one; the others are the hash's.
/// 0 is an empty place.
const SLOT_BITS: u32 = 24;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
const LEAST_PLACES: usize = 8;

/// Records in no order, and an index into them: open addressing with linear probing, at most
/// three quarters full.
///
/// A word of the index holds forty bits of its key's hash, so that probing touches no other
/// key's record, and growing none at all.
#[derive(Clone, Default)]
pub(super) struct Shard {
    index: Vec<u64>,
    records: Vec<PackedRecord>,
    /// Records of keys that stand in several partitions at once, but for the one of each that
    /// counts. Nearly always empty.
    rivals: HashMap<Box<[u8]>, Vec<PackedRecord>>,
}

/// What a change of a shard did to the number of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Removed,
    None,
}

impl Shard {
    pub(super) fn records(&self) -> &[PackedRecord] {
        &self.records
    }

    /// The record of `key` that counts.
    #[inline]
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<&PackedRecord> {
        let (_, slot) = self.find(hash, key)?;
        self.records.get(slot)
    }

    /// Takes what `Packing::pack` made of the latest record of `key` in its partition.
    pub(super) fn put(&mut self, hash: u64, key: &[u8], packed: &[u8]) -> Change {
        let Some((_, slot)) = self.find(hash, key) else {
            self.push(hash, PackedRecord::new(packed));
            return Change::Added;
        };
        let known = &mut self.records[slot];
        if known.partition() == partition_of(packed) {
            known.become_record(packed);
        } else {
            let rivals = self.rivals.entry(key.into()).or_default();
            rivals.retain(|rival| rival.partition() != partition_of(packed));
            rivals.push(PackedRecord::new(packed));
        }
        self.elect(slot, key);
        Change::None
    }

    /// The latest record of `key` in `partition` is a tombstone.
    pub(super) fn remove(&mut self, hash: &KeyHash, key: &[u8], partition: u32) -> Change {
        let Some((place, slot)) = self.find(hash.of(key), key) else { return Change::None };
        let is_it = self.records[slot].partition() == partition;
        if !self.rivals.is_empty()
            && let Some(rivals) = self.rivals.get_mut(key)
        {
            rivals.retain(|rival| rival.partition() != partition);
            let heir = if is_it { rivals.pop() } else { None };
            if rivals.is_empty() {
                self.rivals.remove(key);
            }
            if let Some(heir) = heir {
                self.records[slot] = heir;
                self.elect(slot, key);
                return Change::None;
            }
        }
        if !is_it {
            return Change::None;
        }
        self.take(place, slot, hash);
        Change::Removed
    }

    /// Of a key's records in several partitions the one with the greatest timestamp counts, and
    /// of equal ones that of the highest partition: so it does not matter which was read first.
    fn elect(&mut self, slot: usize, key: &[u8]) {
        if self.rivals.is_empty() {
            return;
        }
        let Some(rivals) = self.rivals.get_mut(key) else { return };
        let rank = |record: &PackedRecord| (record.timestamp_ms(), record.partition());
        for rival in rivals {
            if rank(rival) > rank(&self.records[slot]) {
                std::mem::swap(rival, &mut self.records[slot]);
            }
        }
    }

    /// Drops what stands below `offset` in `partition`; how many keys less there are.
    pub(super) fn drop_below(&mut self, partition: u32, offset: u64, hash: &KeyHash) -> usize {
        let is_below = |r: &PackedRecord| r.partition() == partition && r.offset() < offset;
        self.rivals.retain(|_, rivals| {
            rivals.retain(|rival| !is_below(rival));
            !rivals.is_empty()
        });
        let below: Vec<PackedRecord> =
            self.records.iter().filter(|record| is_below(record)).cloned().collect();
        let keys = below.iter().filter_map(PackedRecord::key);
        keys.filter(|key| self.remove(hash, key, partition) == Change::Removed).count()
    }

    /// Whether `partition` has a record here below `offset`.
    pub(super) fn has_below(&self, partition: u32, offset: u64) -> bool {
        let is_below = |r: &PackedRecord| r.partition() == partition && r.offset() < offset;
        self.records.iter().any(is_below) || self.rivals.values().flatten().any(is_below)
    }

    /// Every record, also those that do not count because of another partition's.
    pub(super) fn all_records(&self) -> impl Iterator<Item = &PackedRecord> {
        self.records.iter().chain(self.rivals.values().flatten())
    }

    /// Two shards of one: where `goes` says so of a hash's upper forty bits, into the second.
    pub(super) fn split(self, goes: impl Fn(u64) -> bool, hash: &KeyHash) -> (Self, Self) {
        let mut words = vec![0; self.records.len()];
        for word in self.index.iter().filter(|word| **word != 0) {
            words[slot_of(*word)] = *word;
        }
        let (mut stay, mut go) = (Self::default(), Self::default());
        for (record, word) in self.records.into_iter().zip(words) {
            if goes(word) { &mut go } else { &mut stay }.push(word, record);
        }
        for (key, rivals) in self.rivals {
            if goes(hash.of(&key)) { &mut go } else { &mut stay }.rivals.insert(key, rivals);
        }
        (stay, go)
    }

    /// The place in the index and the slot of `key`.
    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<(usize, usize)> {
        let mask = self.index.len().checked_sub(1)?;
        let mut place = home(hash, mask);
        loop {
            let word = self.index[place];
            if word == 0 {
                return None;
            }
            if (word ^ hash) & !SLOT_MASK == 0 {
                let slot = slot_of(word);
                if self.records[slot].key() == Some(key) {
                    return Some((place, slot));
                }
            }
            place = (place + 1) & mask;
        }
    }

    /// Takes a record whose key is not here.
    fn push(&mut self, hash: u64, record: PackedRecord) {
        if self.records.len() >= most_records(self.index.len()) {
            self.grow();
        }
        if self.records.len() == self.records.capacity() {
            // Not twice as many: half of it would stay empty in most shards.
            self.records.reserve_exact(self.index.len() / 8);
        }
        self.records.push(record);
        self.link(hash & !SLOT_MASK | self.records.len() as u64);
    }

    fn link(&mut self, word: u64) {
        let mask = self.index.len() - 1;
        let mut place = home(word, mask);
        while self.index[place] != 0 {
            place = (place + 1) & mask;
        }
        self.index[place] = word;
    }

    fn grow(&mut self) {
        let places = (self.index.len() * 2).max(LEAST_PLACES);
        let old = std::mem::replace(&mut self.index, vec![0; places]);
        old.into_iter().filter(|word| *word != 0).for_each(|word| self.link(word));
    }

    /// Removes the record in `slot`, to which `place` leads. The last record takes its slot.
    fn take(&mut self, place: usize, slot: usize, hash: &KeyHash) {
        self.unlink(place);
        let last = self.records.len() as u64;
        if slot_of(last) != slot {
            let moved = self.records.last().and_then(PackedRecord::key).unwrap_or_default();
            let mask = self.index.len() - 1;
            let mut at = home(hash.of(moved), mask);
            while self.index[at] & SLOT_MASK != last {
                at = (at + 1) & mask;
            }
            self.index[at] = self.index[at] & !SLOT_MASK | (slot as u64 + 1);
        }
        self.records.swap_remove(slot);
    }

    /// Empties a place and moves those behind it that are not at home, so that probing finds
    /// them.
    fn unlink(&mut self, mut hole: usize) {
        let mask = self.index.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let word = self.index[at];
            if word == 0 {
                break;
            }
            let from_home = at.wrapping_sub(home(word, mask)) & mask;
            if from_home >= at.wrapping_sub(hole) & mask {
                self.index[hole] = word;
                hole = at;
            }
        }
        self.index[hole] = 0;
    }
}

#[inline]
fn home(hash: u64, mask: usize) -> usize {
    (hash >> SLOT_BITS) as usize & mask
}

#[inline]
fn slot_of(word: u64) -> usize {
    ((word & SLOT_MASK) as usize).wrapping_sub(1)
}

fn most_records(places: usize) -> usize {
    places / 4 * 3
}
