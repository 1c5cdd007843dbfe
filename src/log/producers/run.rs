//! Records of one producer that follow each other, in offset and in sequence.

use super::sequence::{HALF, behind, steps};

/// Records of one producer that follow each other, in offset and in sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The offset of the first.
    pub base_offset: u64,
    /// Its sequence number.
    pub sequence: i32,
    /// How many.
    pub count: u32,
}

impl Run {
    /// The number of the last record.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        behind(self.sequence, self.count.saturating_sub(1))
    }

    /// The number that follows.
    #[must_use]
    pub fn next_sequence(&self) -> i32 {
        behind(self.sequence, self.count)
    }

    /// The offset that follows.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.base_offset.saturating_add(u64::from(self.count))
    }

    /// The offset at which `count` records from `sequence` on stand, if all of them are here.
    #[must_use]
    pub fn find(&self, sequence: i32, count: u32) -> Option<u64> {
        let at = steps(self.sequence, sequence);
        let whole = at.checked_add(count).is_some_and(|end| end <= self.count);
        whole.then(|| self.base_offset.saturating_add(u64::from(at)))
    }

    /// Takes `other` in, if it goes on where this one ends. A run stays so short that the order of
    /// its numbers is beyond doubt.
    pub fn join(&mut self, other: &Run) -> bool {
        let follows =
            other.base_offset == self.next_offset() && other.sequence == self.next_sequence();
        let count = self.count.saturating_add(other.count);
        let joins = follows && count <= HALF;
        if joins {
            self.count = count;
        }
        joins
    }

    /// What is left of it in front of and behind the offsets `from..to`.
    #[must_use]
    pub fn without(&self, from: u64, to: u64) -> [Option<Run>; 2] {
        let part = |from: u64, to: u64| {
            let (from, to) = (from.max(self.base_offset), to.min(self.next_offset()));
            let count = u32::try_from(to.checked_sub(from)?).ok().filter(|count| *count > 0)?;
            let at = u32::try_from(from - self.base_offset).ok()?;
            Some(Run { base_offset: from, sequence: behind(self.sequence, at), count })
        };
        [part(0, from), part(to, u64::MAX)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_finds_what_stands_in_it_over_the_wrap() {
        let run = Run { base_offset: 100, sequence: i32::MAX - 1, count: 5 };
        assert_eq!((run.last_sequence(), run.next_sequence(), run.next_offset()), (2, 3, 105));
        assert_eq!(run.find(i32::MAX - 1, 5), Some(100));
        assert_eq!(run.find(0, 3), Some(102));
        assert_eq!(run.find(0, 4), None, "overlaps its end");
        assert_eq!(run.find(i32::MAX - 2, 2), None, "overlaps its beginning");
        assert_eq!(run.find(0, u32::MAX), None);
    }

    #[test]
    fn a_run_grows_where_offset_and_sequence_go_on() {
        let mut run = Run { base_offset: 10, sequence: 0, count: 2 };
        assert!(!run.join(&Run { base_offset: 13, sequence: 2, count: 1 }), "a hole");
        assert!(!run.join(&Run { base_offset: 12, sequence: 3, count: 1 }));
        assert!(run.join(&Run { base_offset: 12, sequence: 2, count: 1 }));
        assert!(!run.join(&Run { base_offset: 13, sequence: 3, count: HALF }), "too long");
    }

    #[test]
    fn what_is_lost_leaves_two_ends() {
        let run = Run { base_offset: 10, sequence: 5, count: 10 };
        let front = Run { count: 3, ..run };
        let back = Run { base_offset: 16, sequence: 11, count: 4 };
        assert_eq!(run.without(13, 16), [Some(front), Some(back)]);
        assert_eq!(run.without(0, 30), [None, None]);
        assert_eq!(run.without(20, 30), [Some(run), None]);
    }
}
