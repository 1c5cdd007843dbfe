//! The latest record of each key: a table's memory.
//!
//! Records stand in many small shards, each behind a pointer that is counted. Whoever lends a view
//! holds the pointers; a change of a shard that somebody looks at copies that one first. So a view
//! stands still, costs nothing, and holds nobody up.
//!
//! There is no moment at which all is moved: with each so many keys more one shard is split in two
//! (linear hashing).

use std::sync::Arc;

use super::super::packed_record::PackedRecord;
use super::key_hash::KeyHash;
use super::shard::{Change, Shard};

/// Keys in a shard, on average. The fullest hold twice as many, the least full half: a copy of
/// one takes some ten microseconds.
const KEYS_A_SHARD: usize = 768;
/// The bits of a hash that choose its shard, from here up; a shard's index uses those below.
const SHARD_SHIFT: u32 = 44;

/// The latest record of each key.
#[derive(Clone)]
pub(super) struct Latest {
    hash: KeyHash,
    shards: Vec<Arc<Shard>>,
    len: usize,
}

impl Latest {
    pub(super) fn new() -> Self {
        Self { hash: KeyHash::new(), shards: vec![Arc::default()], len: 0 }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Option<&PackedRecord> {
        let hash = self.hash.of(key);
        self.shards[shard_of(hash, self.shards.len())].get(hash, key)
    }

    /// One record of each key, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PackedRecord> {
        self.shards.iter().flat_map(|shard| shard.records())
    }

    /// As [`iter`](Self::iter), and those that do not count because their key stands in another
    /// partition too.
    pub(super) fn all_records(&self) -> impl Iterator<Item = &PackedRecord> {
        self.shards.iter().flat_map(|shard| shard.all_records())
    }

    /// Takes what `Packing::pack` made of a record with a value, the latest of `key` in its
    /// partition.
    #[inline]
    pub(super) fn put(&mut self, key: &[u8], packed: &[u8]) {
        let hash = self.hash.of(key);
        let change = self.shard(hash).put(hash, key, packed);
        if change == Change::Added {
            self.len += 1;
            if self.len > self.shards.len() * KEYS_A_SHARD {
                self.split();
            }
        }
    }

    /// The latest record of `key` in `partition` is a tombstone.
    pub(super) fn remove(&mut self, key: &[u8], partition: u32) {
        // Not copied for nothing.
        if self.get(key).is_none() {
            return;
        }
        let hash = self.hash;
        if self.shard(hash.of(key)).remove(&hash, key, partition) == Change::Removed {
            self.len -= 1;
        }
    }

    /// Drops what stands below `offset` in `partition`.
    pub(super) fn drop_below(&mut self, partition: u32, offset: u64) {
        for shard in &mut self.shards {
            if shard.has_below(partition, offset) {
                self.len -= Arc::make_mut(shard).drop_below(partition, offset, &self.hash);
            }
        }
    }

    /// The lowest offset of a record of `partition`.
    pub(super) fn lowest(&self, partition: u32) -> Option<u64> {
        let of_it = self.all_records().filter(|record| record.partition() == partition);
        of_it.map(PackedRecord::offset).min()
    }

    fn shard(&mut self, hash: u64) -> &mut Shard {
        let at = shard_of(hash, self.shards.len());
        Arc::make_mut(&mut self.shards[at])
    }

    /// Splits the shard whose turn it is, into itself and a new one behind the others.
    fn split(&mut self) {
        let new = self.shards.len();
        let at = new - (1 << new.ilog2());
        let shard = Arc::unwrap_or_clone(std::mem::take(&mut self.shards[at]));
        let (stay, go) = shard.split(|hash| shard_of(hash, new + 1) == new, &self.hash);
        self.shards[at] = Arc::new(stay);
        self.shards.push(Arc::new(go));
    }
}

/// Which of `count` shards a hash belongs to: as many of its bits as all shards have a number for,
/// and one bit more where that names a shard that there is.
#[inline]
fn shard_of(hash: u64, count: usize) -> usize {
    let bits = (hash >> SHARD_SHIFT) as usize;
    let level = 1 << count.ilog2();
    let at = bits & (2 * level - 1);
    if at < count { at } else { at & (level - 1) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::super::packed_record::{Packing, Place};
    use super::*;
    use crate::base::{RawRecord, TimestampType};
    use crate::batch::{encode_record, encoded_len};
    use proptest::prelude::*;

    fn packed(key: &[u8], value: &[u8], partition: u32, offset: u64, time: i64) -> Vec<u8> {
        let record =
            RawRecord { key: Some(key), value: Some(value), headers: &[], timestamp_ms: None };
        let mut encoded = vec![0; encoded_len(&record).unwrap()];
        encode_record(&mut encoded, &record, 7, Some(9));
        let timestamp_type = TimestampType::LogAppendTime;
        let place = Place { partition, offset, timestamp_ms: Some(time), timestamp_type };
        Packing::default().pack(&place, &encoded).to_vec()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u16, u32, i64, usize),
        Remove(u16, u32),
        DropBelow(u32, u64),
        Look,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            20 => (0..3_000_u16, 0..3_u32, 0..5_i64, 0..20_usize)
                .prop_map(|(k, p, t, v)| Step::Put(k, p, t, v)),
            8 => (0..3_000_u16, 0..3_u32).prop_map(|(k, p)| Step::Remove(k, p)),
            1 => (0..3_u32, 0..4_000_u64).prop_map(|(p, o)| Step::DropBelow(p, o)),
            1 => Just(Step::Look),
        ];
        prop::collection::vec(step, 0..4_000)
    }

    type Model = BTreeMap<(u16, u32), (i64, u64, Vec<u8>)>;

    fn winners(model: &Model) -> BTreeMap<u16, (u32, u64, Vec<u8>)> {
        let mut best = BTreeMap::new();
        for (&(key, partition), (time, offset, value)) in model {
            let of = best.entry(key).or_insert((*time, partition, *offset, value.clone()));
            if (*time, partition) > (of.0, of.1) {
                *of = (*time, partition, *offset, value.clone());
            }
        }
        best.into_iter().map(|(key, (_, p, o, v))| (key, (p, o, v))).collect()
    }

    fn check(latest: &Latest, model: &Model) {
        let winners = winners(model);
        assert_eq!(latest.len(), winners.len());
        assert_eq!(latest.iter().count(), winners.len());
        assert_eq!(latest.all_records().count(), model.len());
        for key in 0..3_000_u16 {
            let found = latest.get(&key.to_le_bytes());
            let found = found.map(|r| (r.partition(), r.offset(), r.value().unwrap().to_vec()));
            assert_eq!(found.as_ref(), winners.get(&key), "key {key}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_map_whose_views_stand_still(steps in steps()) {
            let (mut latest, mut model) = (Latest::new(), Model::new());
            let mut views = Vec::new();
            for (offset, step) in steps.into_iter().enumerate() {
                let offset = offset as u64;
                match step {
                    Step::Put(key, partition, time, len) => {
                        let value = vec![offset as u8; len];
                        let packed = packed(&key.to_le_bytes(), &value, partition, offset, time);
                        latest.put(&key.to_le_bytes(), &packed);
                        model.insert((key, partition), (time, offset, value));
                    }
                    Step::Remove(key, partition) => {
                        latest.remove(&key.to_le_bytes(), partition);
                        model.remove(&(key, partition));
                    }
                    Step::DropBelow(partition, below) => {
                        latest.drop_below(partition, below);
                        model.retain(|(_, p), (_, o, _)| *p != partition || *o >= below);
                        prop_assert!(latest.lowest(partition).is_none_or(|lowest| lowest >= below));
                    }
                    Step::Look => views.push((latest.clone(), model.clone())),
                }
            }
            check(&latest, &model);
            for (view, model) in &views {
                check(view, model);
            }
        }
    }

    #[test]
    fn shards_are_about_equally_full_and_found_at_every_number_of_them() {
        let mut latest = Latest::new();
        for n in 0..100_000_u32 {
            let packed = packed(&n.to_le_bytes(), b"v", 0, u64::from(n), 0);
            latest.put(&n.to_le_bytes(), &packed);
        }
        assert_eq!(latest.len(), 100_000);
        assert!((0..100_000_u32).all(|n| latest.get(&n.to_le_bytes()).is_some()));
        let most = latest.shards.iter().map(|shard| shard.records().len()).max().unwrap();
        assert!(most < 3 * KEYS_A_SHARD, "{most}");
    }
}
