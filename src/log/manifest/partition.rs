//! What the manifest knows of one partition.

use super::record::{Record, SegmentEnd};
use crate::log::PartitionKey;

/// One live segment of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentState {
    /// The file's number.
    pub number: u64,
    /// The offset of its first record.
    pub base_offset: u64,
    /// How it ends, once it is sealed.
    pub sealed: Option<SegmentEnd>,
}

/// Offsets without records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first missing offset.
    pub from: u64,
    /// The offset behind the last missing one.
    pub to: u64,
}

/// What the manifest knows of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionState {
    pub(super) start: u64,
    /// Offsets below it were used in segments that are, or were, sealed.
    pub(super) floor: u64,
    pub(super) ceiling: u64,
    /// Below it no record has a newer one of its key below it.
    pub(super) compacted: u64,
    /// What was known of producers as of an offset, where no footer says it any more.
    pub(super) producers: (u64, Vec<u8>),
    pub(super) segments: Vec<SegmentState>,
    pub(super) gaps: Vec<Gap>,
}

impl PartitionState {
    /// The log start offset.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// No offset at or above it has been given to a record; 0 when none was set.
    #[must_use]
    pub fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// Where the next compaction begins to look for keys; 0 before the first one.
    #[must_use]
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// What is known of producers without any segment, as in a footer.
    #[must_use]
    pub fn producers(&self) -> &[u8] {
        &self.producers.1
    }

    /// The least offset that a new segment may begin with.
    #[must_use]
    pub fn floor(&self) -> u64 {
        // An unsealed segment proves nothing once it is retired: a power cut may have taken all
        // that was in it and more, and the next one begins where the rest ends.
        let last = self.segments.last().map_or(0, |segment| segment.base_offset);
        self.floor.max(last)
    }

    /// The live segments in the order of their offsets.
    #[must_use]
    pub fn segments(&self) -> &[SegmentState] {
        &self.segments
    }

    /// The registered gaps that reach above the log start, in order.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    pub(super) fn add_segment(&mut self, number: u64, base_offset: u64) -> Result<(), String> {
        let floor = self.floor();
        if base_offset < floor {
            return Err(format!(
                "segment {number} begins at {base_offset}, offsets below {floor} are used"
            ));
        }
        self.segments.push(SegmentState { number, base_offset, sealed: None });
        Ok(())
    }

    /// Checks `end` against the unsealed segment `number` and its neighbour; where it stands.
    fn check_end(&self, number: u64, end: &SegmentEnd) -> Result<usize, String> {
        let position = self.find(number)?;
        let segment = self.segments.get(position).ok_or_else(|| unknown(number))?;
        if segment.sealed.is_some() {
            return Err(format!("segment {number} is sealed already"));
        }
        let above = self.segments.get(position + 1).map_or(u64::MAX, |next| next.base_offset);
        if end.next_offset < segment.base_offset || end.next_offset > above {
            let (base, next) = (segment.base_offset, end.next_offset);
            return Err(format!("segment {number} from {base} to {next} overlaps the next"));
        }
        check_lengths(number, end)?;
        Ok(position)
    }

    /// Puts the sealed segment `new` in the place of `old`, which must be sealed, follow each
    /// other, and span the same offsets.
    pub(super) fn replace(&mut self, new: SegmentState, old: &[u64]) -> Result<(), String> {
        let number = new.number;
        let (Some(first), Some(end)) = (old.first(), new.sealed) else {
            return Err(format!("segment {number} replaces nothing"));
        };
        let at = self.find(*first)?;
        let gone = self.segments.get(at..at + old.len()).unwrap_or_default();
        let same = gone.iter().map(|segment| segment.number).eq(old.iter().copied());
        if !same || gone.iter().any(|segment| segment.sealed.is_none()) {
            return Err(format!("segment {number} replaces what are no sealed neighbours"));
        }
        let base = gone.first().map(|segment| segment.base_offset);
        let next = gone.last().and_then(|segment| segment.sealed).map(|end| end.next_offset);
        if base != Some(new.base_offset) || next != Some(end.next_offset) {
            return Err(format!("segment {number} spans other offsets than those it replaces"));
        }
        check_lengths(number, &end)?;
        self.segments.splice(at..at + old.len(), [new]);
        Ok(())
    }

    pub(super) fn raise_compacted(&mut self, offset: u64) -> Result<(), String> {
        if offset < self.compacted {
            let before = self.compacted;
            return Err(format!("the compacted part goes back from {before} to {offset}"));
        }
        self.compacted = offset;
        Ok(())
    }

    pub(super) fn seal(&mut self, number: u64, end: SegmentEnd) -> Result<(), String> {
        let position = self.check_end(number, &end)?;
        if let Some(segment) = self.segments.get_mut(position) {
            segment.sealed = Some(end);
        }
        if end.footer_crc != 0 {
            // Its footer says all.
            self.producers = (0, Vec::new());
        }
        self.floor = self.floor.max(end.next_offset);
        Ok(())
    }

    /// The offsets before `end` are used, even if the segment goes on after the next open.
    pub(super) fn checkpoint(&mut self, number: u64, end: &SegmentEnd) -> Result<(), String> {
        self.check_end(number, end)?;
        self.floor = self.floor.max(end.next_offset);
        Ok(())
    }

    pub(super) fn remove_segment(&mut self, number: u64) -> Result<(), String> {
        let position = self.find(number)?;
        self.segments.remove(position);
        Ok(())
    }

    // Work happens at both ends: seals at the back, retention at the front.
    fn find(&self, number: u64) -> Result<usize, String> {
        if self.segments.first().is_some_and(|first| first.number == number) {
            return Ok(0);
        }
        self.segments.iter().rposition(|s| s.number == number).ok_or_else(|| unknown(number))
    }

    pub(super) fn raise_start(&mut self, offset: u64) -> Result<(), String> {
        if offset < self.start {
            return Err(format!("the log start goes back from {} to {offset}", self.start));
        }
        self.start = offset;
        self.gaps.retain(|gap| gap.to > offset);
        Ok(())
    }

    pub(super) fn raise_ceiling(&mut self, offset: u64) -> Result<(), String> {
        if offset < self.ceiling {
            return Err(format!("the ceiling goes back from {} to {offset}", self.ceiling));
        }
        self.ceiling = offset;
        Ok(())
    }

    pub(super) fn add_gap(&mut self, gap: Gap) -> Result<(), String> {
        let position = self.gaps.partition_point(|known| known.from < gap.from);
        let before = position.checked_sub(1).and_then(|p| self.gaps.get(p));
        let clear = before.is_none_or(|known| known.to <= gap.from)
            && self.gaps.get(position).is_none_or(|known| gap.to <= known.from);
        if gap.from >= gap.to || !clear {
            return Err(format!("the gap {}..{} is empty or overlaps another", gap.from, gap.to));
        }
        if gap.to > self.start {
            self.gaps.insert(position, gap);
        }
        Ok(())
    }

    /// The records that make this state out of nothing.
    pub(super) fn records(&self, key: PartitionKey, out: &mut Vec<Record>) {
        let mut implied = 0;
        for segment in &self.segments {
            let SegmentState { number, base_offset, sealed } = *segment;
            out.push(Record::SegmentCreated { key, number, base_offset });
            if let Some(end) = sealed {
                out.push(Record::SegmentSealed { number, end });
                implied = end.next_offset;
            }
        }
        if self.floor > implied {
            out.push(Record::Floor { key, offset: self.floor });
        }
        if self.start > 0 {
            out.push(Record::LogStart { key, offset: self.start });
        }
        if self.ceiling > 0 {
            out.push(Record::Ceiling { key, offset: self.ceiling });
        }
        if self.compacted > 0 {
            out.push(Record::Compacted { key, offset: self.compacted });
        }
        if !self.producers.1.is_empty() {
            let (offset, state) = self.producers.clone();
            out.push(Record::Producers { key, offset, state });
        }
        out.extend(self.gaps.iter().map(|gap| Record::Gap { key, from: gap.from, to: gap.to }));
    }
}

fn check_lengths(number: u64, end: &SegmentEnd) -> Result<(), String> {
    let footer = end.file_len > end.data_len || end.footer_crc == 0;
    if end.file_len < end.data_len || !footer {
        return Err(format!("segment {number} ends with impossible lengths"));
    }
    Ok(())
}

pub(super) fn unknown(number: u64) -> String {
    format!("there is no live segment {number}")
}
