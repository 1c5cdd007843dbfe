//! Where the records of each key stand in one sealed segment.
//!
//! ```text
//!  0 count u32    4 bits u32: the directory has 2^bits buckets
//!  8 directory    2^bits + 1 numbers u32: where each bucket's entries begin, and the last end
//! .. entries      of 8 bytes: mark u32, offset delta u32
//! ```
//!
//! The hash of a key leads to it: its highest `bits` bits are the number of the bucket, the next
//! 32 bits are the mark. Entries of a bucket stand in the order of their marks, and of their
//! offsets where these are equal. A look-up touches two places. Keys whose hashes are alike share
//! a mark, so whoever looks for one compares the key of the record.

use std::ops::Range;

use bytes::Bytes;

use super::source::Source;

const HEAD_BYTES: u64 = 8;
const ENTRY_BYTES: u64 = 8;
/// So many entries a bucket has, about.
const BUCKET: usize = 4;
const MOST_BITS: u32 = 26;

/// Collects the records of a segment.
#[derive(Debug, Default)]
pub(super) struct Builder(Vec<(u64, u32)>);

impl Builder {
    /// Takes note of a record by the hash of its key.
    pub(super) fn note(&mut self, hash: u64, delta: u32) {
        self.0.push((hash, delta));
    }

    /// Bytes of memory that are in use.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<(u64, u32)>()
    }

    /// The postings.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.sort_unstable();
        let count = self.0.len();
        let bits = (count / BUCKET).checked_ilog2().unwrap_or(0).min(MOST_BITS);
        let buckets = 1_usize << bits;
        let mut out = Vec::with_capacity(8 + (buckets + 1) * 4 + count * 8);
        // A segment has fewer than 2^32 bytes, hence fewer records.
        out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&bits.to_le_bytes());
        let mut at = 0_u32;
        for bucket in 0..buckets as u64 {
            out.extend_from_slice(&at.to_le_bytes());
            let rest = self.0.get(at as usize..).unwrap_or_default();
            at += rest.iter().take_while(|(hash, _)| split(*hash, bits).0 == bucket).count() as u32;
        }
        out.extend_from_slice(&at.to_le_bytes());
        for (hash, delta) in &self.0 {
            out.extend_from_slice(&split(*hash, bits).1.to_le_bytes());
            out.extend_from_slice(&delta.to_le_bytes());
        }
        out
    }
}

/// Bucket and mark of a hash.
fn split(hash: u64, bits: u32) -> (u64, u32) {
    let bucket = hash.checked_shr(64 - bits).unwrap_or(0);
    (bucket, ((hash << bits) >> 32) as u32)
}

/// Postings where they stand.
#[derive(Debug)]
pub(super) struct Postings {
    source: Source,
    /// Their bytes in the source.
    range: Range<u64>,
}

impl Postings {
    pub(super) fn new(source: Source, range: Range<u64>) -> Self {
        Self { source, range }
    }

    pub(super) fn of_bytes(bytes: Bytes) -> Self {
        let range = 0..bytes.len() as u64;
        Self { source: Source::Whole(bytes), range }
    }

    /// The entries of a hash; `None` where the bytes contradict themselves.
    pub(super) fn run(&mut self, hash: u64) -> std::io::Result<Option<Run>> {
        let Some(head) = self.slice(0, HEAD_BYTES)? else { return Ok(None) };
        let bits = word(&head, 4).filter(|bits| *bits <= MOST_BITS);
        let (Some(count), Some(bits)) = (word(&head, 0), bits) else { return Ok(None) };
        let (bucket, mark) = split(hash, bits);
        let Some(bounds) = self.slice(HEAD_BYTES + bucket * 4, 8)? else { return Ok(None) };
        let (Some(from), Some(to)) = (word(&bounds, 0), word(&bounds, 4)) else { return Ok(None) };
        if from > to || to > count {
            return Ok(None);
        }
        let entries = HEAD_BYTES + ((1_u64 << bits) + 1) * 4;
        let (at, len) = (entries + u64::from(from) * ENTRY_BYTES, u64::from(to - from));
        let Some(entries) = self.slice(at, len * ENTRY_BYTES)? else { return Ok(None) };
        Ok(Some(Run::of(entries, mark)))
    }

    fn slice(&mut self, at: u64, len: u64) -> std::io::Result<Option<Bytes>> {
        let (start, limit) = (self.range.start.saturating_add(at), self.range.end);
        if start.saturating_add(len) > limit {
            return Ok(None);
        }
        let Ok(len) = usize::try_from(len) else { return Ok(None) };
        self.source.slice(start, len, limit)
    }
}

/// The records whose keys have one hash, or nearly so, in the order of their offsets.
#[derive(Debug)]
pub(super) struct Run(Bytes);

impl Run {
    /// The entries of `bucket` that have this mark.
    fn of(bucket: Bytes, mark: u32) -> Self {
        let marks = |at: usize| word(&bucket, at * ENTRY_BYTES as usize).unwrap_or(u32::MAX);
        let count = bucket.len() / ENTRY_BYTES as usize;
        let from = partition_point(count, |at| marks(at) < mark);
        let to = from + partition_point(count - from, |at| marks(from + at) == mark);
        Self(bucket.slice(from * ENTRY_BYTES as usize..to * ENTRY_BYTES as usize))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len() / ENTRY_BYTES as usize
    }

    /// The offset delta of the one at `at`.
    pub(super) fn delta(&self, at: usize) -> u32 {
        word(&self.0, at * ENTRY_BYTES as usize + 4).unwrap_or(u32::MAX)
    }

    /// How many are below `delta`.
    pub(super) fn below(&self, delta: u64) -> usize {
        partition_point(self.len(), |at| u64::from(self.delta(at)) < delta)
    }
}

/// How many of `0..count` come before those that `is_before` does not hold for.
fn partition_point(count: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

    fn deltas(bytes: &[u8], hash: u64) -> Option<Vec<u32>> {
        let mut postings = Postings::of_bytes(Bytes::copy_from_slice(bytes));
        let run = postings.run(hash).unwrap()?;
        Some((0..run.len()).map(|at| run.delta(at)).collect())
    }

    proptest! {
        #[test]
        fn every_record_of_a_hash_is_found_in_order_and_no_other(
            hashes in prop::collection::vec(prop_oneof![0_u64..40, any::<u64>()], 0..300),
        ) {
            let (mut builder, mut model) = (Builder::default(), BTreeMap::<u64, Vec<u32>>::new());
            for (delta, hash) in (0..).zip(&hashes) {
                let hash = hash.wrapping_mul(SPREAD);
                builder.note(hash, delta);
                model.entry(hash).or_default().push(delta);
            }
            let bytes = builder.finish();
            // Hashes that begin alike may share their entries.
            let alike = |hash: u64| {
                let all = (0..).zip(&hashes);
                all.filter(move |(_, of)| of.wrapping_mul(SPREAD) >> 32 == hash >> 32).count()
            };
            for (hash, wanted) in &model {
                let found = deltas(&bytes, *hash).unwrap();
                prop_assert!(found.is_sorted() && found.len() <= alike(*hash));
                prop_assert!(wanted.iter().all(|delta| found.contains(delta)));
            }
            let stranger = 77_u64.wrapping_mul(SPREAD);
            prop_assert!(deltas(&bytes, stranger).unwrap().len() <= alike(stranger));
        }

        #[test]
        fn bytes_that_are_no_postings_are_noticed_or_give_anything_but_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..64), hash in any::<u64>(),
        ) {
            deltas(&bytes, hash);
        }
    }

    #[test]
    fn a_run_is_searched_by_offset() {
        let mut builder = Builder::default();
        (0..1_000).for_each(|delta| builder.note(5 << 40, delta * 2));
        let bytes = Bytes::from(builder.finish());
        let run = Postings::of_bytes(bytes).run(5 << 40).unwrap().unwrap();
        assert_eq!(
            (run.len(), run.below(0), run.below(7), run.below(u64::MAX)),
            (1_000, 0, 4, 1_000)
        );
    }
}
