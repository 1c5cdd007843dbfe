//! Where records go that say nothing: one partition for a while, then another.

use std::sync::atomic::{AtomicU64, Ordering};

use super::random::Random;

/// Where records without a key go: one partition until enough bytes went there (B04).
///
/// The partition stands in the upper half of the word, the bytes in the lower.
#[derive(Debug)]
pub(in crate::client) struct Sticky(AtomicU64);

impl Sticky {
    pub(in crate::client) fn new(count: u32, random: &Random) -> Self {
        Self(AtomicU64::new(u64::from(random.below(count)) << 32))
    }

    /// The partition of the moment.
    pub(in crate::client) fn current(&self) -> u32 {
        (self.0.load(Ordering::Relaxed) >> 32) as u32
    }

    /// Counts `bytes` that went to `partition`; moves on at `batch_size` of them.
    pub(in crate::client) fn produced(&self, at: Produced, count: u32, random: &Random) {
        let next = |word: u64| {
            let (partition, before) = ((word >> 32) as u32, word & u64::from(u32::MAX));
            if partition != at.partition {
                return None; // Another thread has moved on.
            }
            let after = before.saturating_add(at.bytes as u64).min(u64::from(u32::MAX));
            let next = if after >= u64::from(at.batch_size) {
                u64::from(another(partition, count, random)) << 32
            } else {
                u64::from(partition) << 32 | after
            };
            Some(next)
        };
        // An error says that another thread has moved on: then there is nothing to count.
        let _moved = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

/// Bytes that a sticky partition took.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Produced {
    pub(in crate::client) partition: u32,
    pub(in crate::client) bytes: usize,
    pub(in crate::client) batch_size: u32,
}

/// Any partition but `current`, each as likely.
fn another(current: u32, count: u32, random: &Random) -> u32 {
    if count < 2 {
        return 0;
    }
    let drawn = random.below(count - 1);
    if drawn < current { drawn } else { drawn + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b04_the_sticky_partition_changes_after_batch_size_bytes() {
        let random = Random::seeded(7);
        let sticky = Sticky::new(5, &random);
        let first = sticky.current();
        let produced = |bytes| Produced { partition: first, bytes, batch_size: 100 };
        sticky.produced(produced(99), 5, &random);
        assert_eq!(sticky.current(), first);
        sticky.produced(produced(1), 5, &random);
        assert_ne!(sticky.current(), first, "another, never the same again");
        let second = sticky.current();
        sticky.produced(produced(1_000), 5, &random);
        assert_eq!(sticky.current(), second, "bytes of the old partition no longer count");
    }

    #[test]
    fn another_reaches_every_partition_but_the_current() {
        let random = Random::seeded(1);
        let seen: std::collections::BTreeSet<_> =
            (0..200).map(|_| another(2, 5, &random)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 3, 4]);
        assert_eq!(another(0, 1, &random), 0);
    }
}
