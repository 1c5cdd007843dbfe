//! Where a record stands among the segments of a pass.

/// A segment's number in the pass, and a position in its file: later records are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) u64);

impl Place {
    /// The record at `position` of the segment `input`. `None` where 32 bits do not hold both:
    /// segments have fewer bytes, and no partition has so many segments.
    pub(super) fn new(input: usize, position: u64) -> Option<Self> {
        let (input, position) = (u32::try_from(input).ok()?, u32::try_from(position).ok()?);
        Some(Self(u64::from(input) << 32 | u64::from(position)))
    }

    pub(super) fn input(self) -> usize {
        (self.0 >> 32) as usize
    }

    pub(super) fn position(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }
}
