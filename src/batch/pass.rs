//! Stepping over many records at once: each is checked as by one, and no more is told than
//! where it ends.
//!
//! Records that are one like the other are stepped over without waiting for one's length to find
//! the next. Which of them are alike is never believed, only tried.

use std::ops::Range;

use super::damage::Damage;
use super::reader::{RecordReader, RecordView};
use super::record::{HAS_HEADERS, NO_TIMESTAMP, RECORD_ALIGN, RECORD_HEAD_BYTES};

/// So many records in a row must be alike until it is tried how many more are.
const ALIKE: u32 = 2;

const ORDER: Damage =
    Damage::new("record's offset is not behind the one before, or not in its batch");

/// Which records to step over.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The least offset delta that the next record may have, and the first one not wanted.
    pub deltas: Range<u64>,
    /// The greatest one that the batch has.
    pub last: u32,
    /// How many at most.
    pub most: usize,
}

/// What was stepped over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// How many records.
    pub count: usize,
    /// The offset delta behind the last one.
    pub next: u64,
    /// Why no more.
    pub stop: Stop,
}

/// What ended a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// As many were passed as were wanted.
    Full,
    /// The next record is not wanted.
    Behind,
    /// The payload has no more.
    End,
    /// What stands next is no record that belongs there.
    Damaged(Damage),
}

impl RecordReader<'_> {
    /// Steps over the records that are wanted, and adds to `ends` where each of them ends in the
    /// payload.
    pub fn pass(&mut self, wanted: &Wanted, ends: &mut Vec<u32>) -> Passed {
        let Wanted { ref deltas, last, most } = *wanted;
        let (mut count, mut next) = (0, deltas.start);
        let (mut shape, mut alike) = (Shape::NONE, 0);
        let stop = loop {
            if count == most {
                break Stop::Full;
            }
            let record = match self.peek() {
                Ok(Some(record)) => record,
                Ok(None) => break Stop::End,
                Err(damage) => break Stop::Damaged(damage),
            };
            let delta = u64::from(record.offset_delta);
            // Nothing can follow the batch's last record.
            let is_last = record.encoded_len() == self.rest().len();
            if delta < next || delta + u64::from(!is_last) > u64::from(last) {
                break Stop::Damaged(ORDER);
            }
            if delta >= deltas.end {
                break Stop::Behind;
            }
            self.advance(record.encoded_len());
            ends.push(self.position() as u32);
            (count, next) = (count + 1, delta + 1);
            let this = Shape::of(&record);
            alike = if this == shape { alike + 1 } else { 0 };
            shape = this;
            if alike == ALIKE {
                let wanted = deltas.end.min(u64::from(last)).saturating_sub(next);
                let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(most - count);
                let more = self.pass_alike(shape, next as u32, wanted, ends);
                (count, next, alike) = (count + more, next + more as u64, 0);
            }
        };
        Passed { count, next, stop }
    }

    /// Steps over records of this shape whose offsets follow each other from `next` on.
    fn pass_alike(&mut self, shape: Shape, next: u32, most: usize, ends: &mut Vec<u32>) -> usize {
        if shape.key_word & HAS_HEADERS != 0 {
            return 0;
        }
        let (from, size) = (self.position(), shape.size());
        let count = shape.count(self.rest(), next, most);
        ends.extend((1..=count).map(|number| (from + number * size) as u32));
        self.advance(count * size);
        count
    }
}

/// What of a record's head decides whether its parts are sound, offset and time apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    len: u32,
    key_word: u32,
}

impl Shape {
    const NONE: Self = Self { len: 0, key_word: 0 };

    #[inline(always)]
    fn of(record: &RecordView<'_>) -> Self {
        let head = record.encoded().first_chunk::<RECORD_HEAD_BYTES>();
        let head = head.map_or(0, |head| u128::from_le_bytes(*head));
        Self { len: head as u32, key_word: (head >> 96) as u32 }
    }

    /// The bytes of such a record, padding included.
    fn size(self) -> usize {
        (self.len as usize).next_multiple_of(RECORD_ALIGN).max(RECORD_HEAD_BYTES)
    }

    /// How many records of this shape `bytes` begin with, `most` at most, whose offsets are
    /// `next` and those that follow it.
    ///
    /// One comparison for each, of everything that must be as expected.
    fn count(self, bytes: &[u8], next: u32, most: usize) -> usize {
        let padding = self.size() - self.len as usize;
        // In two steps, because a shift by 64 is none.
        let padded = !(u64::MAX >> (4 * padding) >> (4 * padding));
        let timed = if self.key_word & NO_TIMESTAMP != 0 { u64::MAX } else { u64::MAX << 32 };
        let second = u64::from(self.key_word) << 32;
        let mut first = u64::from(self.len) | u64::from(next) << 32;
        let mut count = 0;
        for record in bytes.chunks_exact(self.size()).take(most) {
            let off = (word(record, 0) ^ first) | ((word(record, 8) ^ second) & timed);
            if off | (word(record, record.len() - RECORD_ALIGN) & padded) != 0 {
                break;
            }
            first = first.wrapping_add(1 << 32);
            count += 1;
        }
        count
    }
}

/// The eight bytes at `at`; none where there are fewer.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(u64::MAX, |word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests;
