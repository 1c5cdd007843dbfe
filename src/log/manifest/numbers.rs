//! A set of segment numbers, kept as ranges: numbers come and go in runs.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A set of segment numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberSet {
    /// First number of each range to its last; ranges neither touch nor overlap.
    ranges: BTreeMap<u64, u64>,
}

impl NumberSet {
    /// Whether `number` is a member.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, last)| *last >= number)
    }

    /// Whether any member lies in `range`.
    #[must_use]
    pub fn intersects(&self, range: &RangeInclusive<u64>) -> bool {
        self.ranges
            .range(..=*range.end())
            .next_back()
            .is_some_and(|(_, last)| last >= range.start())
    }

    /// The members as ranges, in order; neighbours are one range.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.iter().map(|(first, last)| *first..=*last)
    }

    /// Whether there is no member.
    #[must_use]
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds all numbers of `range`.
    pub(super) fn insert(&mut self, range: RangeInclusive<u64>) {
        let (mut first, mut last) = range.into_inner();
        if first > last {
            return;
        }
        // Everything that overlaps or touches becomes one range.
        while let Some((&from, &to)) = self.ranges.range(..=last.saturating_add(1)).next_back() {
            if to.saturating_add(1) < first {
                break;
            }
            self.ranges.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.ranges.insert(first, last);
    }

    /// Takes all numbers of `range` out.
    pub(super) fn remove(&mut self, range: RangeInclusive<u64>) {
        let (first, last) = range.into_inner();
        while let Some((&from, &to)) = self.ranges.range(..=last).next_back() {
            if to < first {
                break;
            }
            self.ranges.remove(&from);
            if let Some(next) = last.checked_add(1).filter(|next| *next <= to) {
                self.ranges.insert(next, to);
            }
            if from < first {
                self.ranges.insert(from, first - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_hold_what_a_plain_set_holds(
            steps in prop::collection::vec((any::<bool>(), 0_u64..40, 0_u64..6), 0..40),
        ) {
            let (mut ranges, mut plain) = (NumberSet::default(), BTreeSet::new());
            for (add, first, more) in steps {
                let range = first..=first + more;
                if add {
                    ranges.insert(range.clone());
                    plain.extend(range);
                } else {
                    ranges.remove(range.clone());
                    plain.retain(|n| !range.contains(n));
                }
                prop_assert!((0..60).all(|n| ranges.contains(n) == plain.contains(&n)));
                let known: Vec<_> = ranges.ranges().collect();
                prop_assert!(known.windows(2).all(|w| w[0].end() + 1 < *w[1].start()));
                prop_assert_eq!(ranges.intersects(&(3..=5)), (3..=5).any(|n| plain.contains(&n)));
            }
        }
    }

    #[test]
    fn the_greatest_number_is_a_number_too() {
        let mut set = NumberSet::default();
        set.insert(u64::MAX..=u64::MAX);
        set.insert(0..=3);
        assert!(set.contains(u64::MAX) && set.contains(0));
        set.remove(0..=u64::MAX);
        assert!(set.is_empty());
    }
}
