//! The offsets of a partition that hold no records, and never will.

/// Registered gaps, in order, without overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps(Vec<(u64, u64)>);

impl Gaps {
    pub(super) fn new(gaps: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut gaps: Vec<_> = gaps.collect();
        gaps.sort_unstable();
        Self(gaps)
    }

    /// The first offset at or behind `offset` that may hold a record.
    pub(super) fn behind(&self, offset: u64) -> u64 {
        let mut offset = offset;
        for (from, to) in &self.0 {
            if *from <= offset {
                offset = offset.max(*to);
            }
        }
        offset
    }

    /// The parts of `from..to` that are in no gap yet.
    pub(super) fn missing(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let (mut parts, mut at) = (Vec::new(), from);
        for (gap_from, gap_to) in &self.0 {
            if *gap_from > at && at < to {
                parts.push((at, to.min(*gap_from)));
            }
            at = at.max(*gap_to);
        }
        if at < to {
            parts.push((at, to));
        }
        parts
    }

    pub(super) fn add(&mut self, parts: &[(u64, u64)]) {
        self.0.extend_from_slice(parts);
        self.0.sort_unstable();
    }

    /// The gaps that reach above `start`.
    pub(super) fn above(&self, start: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied().filter(move |(_, to)| *to > start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_gaps_are_passed_at_once_and_new_ones_fill_what_is_left() {
        let mut gaps = Gaps::new([(40, 50), (20, 30), (30, 35)].into_iter());
        assert_eq!((gaps.behind(19), gaps.behind(20), gaps.behind(33)), (19, 35, 35));
        let missing = gaps.missing(10, 60);
        assert_eq!(missing, [(10, 20), (35, 40), (50, 60)]);
        assert_eq!(gaps.missing(22, 28), []);
        gaps.add(&missing);
        assert_eq!(gaps.behind(10), 60);
        assert_eq!(gaps.missing(10, 60), []);
    }
}
