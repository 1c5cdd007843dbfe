//! The newest place of each key, in memory that is bounded before a pass begins.

use super::place::Place;

/// Bytes of a slot.
pub(super) const SLOT_BYTES: u64 = 16;

/// An open-addressing table of fixed size: hash and place of a key's newest record, 16 bytes.
///
/// It does not hold keys. Two keys of one hash share a slot, which has the newer one's place:
/// whoever asks compares the keys there.
#[derive(Debug)]
pub(super) struct KeyMap {
    /// Hash and place; the place 0 is none, for no record stands at the front of a file.
    slots: Vec<[u64; 2]>,
    used: usize,
    /// So many slots may be used: searches stay short.
    room: usize,
}

impl KeyMap {
    /// For at most `keys` keys, in at most `max_bytes`; always for one at least.
    pub(super) fn new(keys: u64, max_bytes: u64) -> Self {
        let wanted = keys.saturating_add(keys / 3).saturating_add(1);
        let slots = wanted.min(max_bytes / SLOT_BYTES).max(2);
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        Self { slots: vec![[0; 2]; slots], used: 0, room: (slots - slots / 4).min(slots - 1) }
    }

    /// Bytes that it holds.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.slots.len() as u64 * SLOT_BYTES
    }

    fn start(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    /// Reads where `hash` belongs, so that a later look finds it in the cache.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> u64 {
        self.slots.get(self.start(hash)).map_or(0, |slot| slot[0])
    }

    /// Takes note of a newer place; false when the table is full and the key is new.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, place: Place) -> bool {
        let mut at = self.start(hash);
        loop {
            let Some(slot) = self.slots.get_mut(at) else {
                at = 0;
                continue;
            };
            if slot[1] == 0 {
                if self.used == self.room {
                    return false;
                }
                self.used += 1;
                *slot = [hash, place.0];
                return true;
            }
            if slot[0] == hash {
                slot[1] = place.0;
                return true;
            }
            at += 1;
        }
    }

    /// The newest place that a key of this hash has.
    #[inline]
    pub(super) fn find(&self, hash: u64) -> Option<Place> {
        let mut at = self.start(hash);
        loop {
            // One slot is always empty: the search ends.
            let Some(slot) = self.slots.get(at) else {
                at = 0;
                continue;
            };
            if slot[1] == 0 {
                return None;
            }
            if slot[0] == hash {
                return Some(Place(slot[1]));
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_plain_map_holds_until_it_is_full(
            keys in prop::collection::vec((0_u64..60, any::<bool>()), 0..200),
            bytes in 0_u64..2_000,
        ) {
            let mut map = KeyMap::new(60, bytes);
            let mut plain = HashMap::new();
            for (at, (key, high)) in (1_u64..).zip(keys) {
                // Neighbours at both ends of the table: searches run round its end.
                let hash = if high { u64::MAX - key } else { key };
                let known = plain.contains_key(&hash);
                let taken = map.insert(hash, Place(at));
                prop_assert_eq!(taken, known || plain.len() < map.room);
                if taken {
                    plain.insert(hash, at);
                }
            }
            for hash in (0..60).chain(u64::MAX - 60..=u64::MAX) {
                prop_assert_eq!(map.find(hash).map(|place| place.0), plain.get(&hash).copied());
            }
            prop_assert!(map.bytes() <= bytes.max(2 * SLOT_BYTES));
        }
    }

    #[test]
    fn it_takes_no_more_memory_than_the_keys_need() {
        assert_eq!(KeyMap::new(3_000, 1 << 30).bytes(), 4_001 * SLOT_BYTES);
        assert_eq!(KeyMap::new(u64::MAX, 1 << 20).bytes(), 1 << 20);
        let mut least = KeyMap::new(0, 0);
        assert!(least.insert(5, Place(9)) && !least.insert(6, Place(10)));
        assert!(least.insert(5, Place(11)), "a known key always has room");
        assert_eq!((least.find(5), least.find(6)), (Some(Place(11)), None));
    }
}
