//! Which segments are too old or too many: a pure choice (A36 to A45).

/// What the choice looks at of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The offset of its first record.
    pub base_offset: u64,
    /// The offset behind its last one.
    pub next_offset: u64,
    /// Bytes of header and batches.
    pub bytes: u64,
    /// The greatest timestamp of its records.
    pub max_timestamp: Option<i64>,
}

/// What segments are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionRules {
    /// Wall time, in milliseconds.
    pub now_ms: i64,
    /// How old a segment may get (`retention.ms`).
    pub retention_ms: Option<u64>,
    /// How many bytes must stay (`retention.bytes`).
    pub retention_bytes: Option<u64>,
    /// Nothing behind this offset goes: consumers have not seen it.
    pub visible: u64,
}

/// Which segments go: a prefix of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// So many from the front are more than `retention.bytes`.
    pub by_size: usize,
    /// So many behind those are older than `retention.ms`.
    pub by_time: usize,
    /// The base offset and the timestamp of a segment that is stamped in the future and keeps
    /// later ones that are old enough to go (A39).
    pub pinned_by: Option<(u64, i64)>,
}

impl Choice {
    /// How many segments go.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_size + self.by_time
    }
}

impl RetentionRules {
    /// The choice among `segments`, which are in order; the last one is the one that is written.
    ///
    /// Size comes before time; each takes only a prefix of what is left, and stops at the first
    /// segment that may stay (A37).
    #[must_use]
    pub fn choose(&self, segments: &[SegmentFacts]) -> Choice {
        let visible = segments.iter().take_while(|s| s.next_offset <= self.visible).count();
        let reachable = segments.get(..visible).unwrap_or_default();
        let by_size = self.too_many(reachable, segments);
        let rest = reachable.get(by_size..).unwrap_or_default();
        let by_time = rest.iter().take_while(|s| self.is_old(s)).count();
        let pinned_by = rest.get(by_time..).and_then(|kept| self.pin(kept));
        Choice { by_size, by_time, pinned_by }
    }

    /// The oldest goes only while at least `retention.bytes` stay (A41).
    fn too_many(&self, reachable: &[SegmentFacts], all: &[SegmentFacts]) -> usize {
        let Some(limit) = self.retention_bytes else { return 0 };
        let total: u64 = all.iter().map(|segment| segment.bytes).sum();
        if total <= limit {
            return 0;
        }
        let mut over = total - limit;
        let goes = |segment: &&SegmentFacts| {
            let left = over.checked_sub(segment.bytes);
            over = left.unwrap_or(over);
            left.is_some()
        };
        reachable.iter().take_while(goes).count()
    }

    /// What has no time is as old as what is before it.
    fn is_old(&self, segment: &SegmentFacts) -> bool {
        match segment.max_timestamp {
            Some(time) => self.is_older(time),
            None => self.retention_ms.is_some(),
        }
    }

    /// Whether something of this time is strictly older than `retention.ms` (A38).
    #[must_use]
    pub fn is_older(&self, time: i64) -> bool {
        let age = i128::from(self.now_ms) - i128::from(time);
        self.retention_ms.is_some_and(|limit| age > i128::from(limit))
    }

    fn pin(&self, kept: &[SegmentFacts]) -> Option<(u64, i64)> {
        let (first, later) = kept.split_first()?;
        let time = first.max_timestamp.filter(|time| *time > self.now_ms)?;
        later.iter().any(|segment| self.is_old(segment)).then_some((first.base_offset, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn rules(retention_ms: Option<u64>, retention_bytes: Option<u64>) -> RetentionRules {
        RetentionRules { now_ms: NOW, retention_ms, retention_bytes, visible: u64::MAX }
    }

    /// Segments of ten records and 100 bytes, as old as this.
    fn aged(ages: &[i64]) -> Vec<SegmentFacts> {
        let segment = |(n, age): (u64, &i64)| SegmentFacts {
            base_offset: n * 10,
            next_offset: n * 10 + 10,
            bytes: 100,
            max_timestamp: Some(NOW - age),
        };
        (0..).zip(ages).map(segment).collect()
    }

    #[test]
    fn a36_nothing_goes_without_a_rule() {
        let choice = rules(None, None).choose(&aged(&[NOW, 5, 0]));
        assert_eq!(choice, Choice::default());
    }

    #[test]
    fn a38_a_segment_goes_when_it_is_strictly_older() {
        let segments = aged(&[101, 100, 99]);
        assert_eq!(rules(Some(100), None).choose(&segments).by_time, 1);
        assert_eq!(rules(Some(98), None).choose(&segments).by_time, 3, "the active one too");
        assert_eq!(rules(Some(0), None).choose(&aged(&[0])).by_time, 0);
    }

    #[test]
    fn a37_only_a_prefix_goes() {
        assert_eq!(rules(Some(100), None).choose(&aged(&[500, 50, 500, 0])).by_time, 1);
    }

    #[test]
    fn a39_a_segment_from_the_future_keeps_all_behind_it_and_is_told() {
        let choice = rules(Some(100), None).choose(&aged(&[500, -9, 500, 0]));
        assert_eq!((choice.by_time, choice.pinned_by), (1, Some((10, NOW + 9))));
        let young = rules(Some(100), None).choose(&aged(&[500, -9, 50, 0]));
        assert_eq!(young.pinned_by, None, "it keeps nothing that would go");
    }

    #[test]
    fn a41_at_least_retention_bytes_stay() {
        let five = aged(&[9, 9, 9, 9, 9]);
        let left = |limit| 500 - 100 * rules(None, Some(limit)).choose(&five).by_size;
        assert_eq!([500, 401, 400, 250, 100, 1, 0].map(left), [500, 500, 400, 300, 100, 100, 0]);
    }

    #[test]
    fn a37_size_comes_before_time() {
        let choice = rules(Some(100), Some(300)).choose(&aged(&[500, 500, 500, 500, 0]));
        assert_eq!((choice.by_size, choice.by_time, choice.count()), (2, 2, 4));
    }

    #[test]
    fn a45_nothing_goes_that_is_not_visible() {
        let most = RetentionRules { visible: 29, ..rules(Some(1), Some(0)) };
        assert_eq!(most.choose(&aged(&[500, 500, 500])).count(), 2);
        assert_eq!(RetentionRules { visible: 30, ..most }.choose(&aged(&[5, 5, 5])).count(), 3);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut segments = aged(&[0, 0]);
        segments[0].max_timestamp = Some(i64::MIN);
        segments[1].max_timestamp = None;
        let choice = rules(Some(u64::MAX), None).choose(&segments);
        assert_eq!(choice.by_time, 0);
        assert_eq!(rules(Some(i64::MAX as u64), None).choose(&segments).by_time, 2);
    }
}
