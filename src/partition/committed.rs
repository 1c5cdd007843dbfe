//! What readers see of transactions: no markers, and at `ReadCommitted` no aborted records.

use crate::backend::{Fetch, FetchInfo, FetchedBatch};
use crate::base::{Isolation, Result};
use crate::batch::BatchHeader;
use crate::log::producers::AbortedTxn;

use super::Partition;

/// Where a fetch has found nothing to show, the next ones bring at least so many bytes,
const NEXT_BYTES: usize = 256 << 10;
/// and after so many, or so many batches, it tells its reader how far it came.
const MOST_BYTES: usize = 8 << 20;
const MOST_BATCHES: usize = 1 << 10;

impl Partition {
    /// Adds the visible batches from `request.from` on to `into`. Batches that hold nothing for
    /// the reader come without a payload, so that it passes them (A34); where they are all that
    /// there is, the read goes on behind them.
    pub fn read(&self, request: &Fetch, into: &mut Vec<FetchedBatch>) -> Result<FetchInfo> {
        // What has ended by now is in the lists of aborted ones by now.
        let marks = self.marks_for(request.isolation);
        let (mut next, mut passed, first) = (*request, 0, into.len());
        let mut gaps = Vec::new();
        loop {
            let before = into.len();
            let mut info = match self.read_below(&next, marks, into) {
                // Told by the read that begins with it.
                Err(_) if passed > 0 => return Ok(FetchInfo { gaps, hint: next.hint }),
                info => info?,
            };
            gaps.append(&mut info.gaps);
            let read: usize = into[before..].iter().map(|batch| batch.payload.len()).sum();
            self.hide(request.isolation, &mut into[before..])?;
            let Some(last) = into[before..].last() else { break };
            let behind = last.header.next_offset().min(last.below);
            let shows = into[before..].iter().any(|batch| !batch.payload.is_empty());
            passed += read.max(1);
            let is_enough = passed > MOST_BYTES || into.len() - first > MOST_BATCHES;
            if shows || is_enough || behind <= next.from {
                return Ok(FetchInfo { gaps, ..info });
            }
            next = Fetch { from: behind, max_bytes: next.max_bytes.max(NEXT_BYTES), ..next };
            if behind >= marks.visible {
                return Ok(FetchInfo { gaps, ..info });
            }
        }
        Ok(FetchInfo { gaps, hint: next.hint })
    }

    /// Takes the payload of the batches that the reader is not to see.
    pub fn hide(&self, isolation: Isolation, batches: &mut [FetchedBatch]) -> Result<()> {
        let aborted = match isolation {
            Isolation::ReadUncommitted => Vec::new(),
            Isolation::ReadCommitted => self.aborted_among(batches)?,
        };
        for batch in batches {
            let header = &batch.header;
            if header.attributes.is_control() || is_aborted(&aborted, header) {
                batch.hide();
            }
        }
        Ok(())
    }

    /// The aborted transactions that records of these batches may belong to, in order.
    fn aborted_among(&self, batches: &[FetchedBatch]) -> Result<Vec<AbortedTxn>> {
        let is_data = |header: &BatchHeader| {
            header.attributes.is_transactional() && !header.attributes.is_control()
        };
        let mut data = batches.iter().map(|batch| &batch.header).filter(|header| is_data(header));
        let Some(first) = data.next() else { return Ok(Vec::new()) };
        let to = data.next_back().unwrap_or(first).next_offset();
        let mut found = self.aborted_within(first.base_offset, to)?;
        found.sort_unstable_by_key(|txn| (txn.producer, txn.first));
        Ok(found)
    }

    /// Whether the records of a batch are aborted ones.
    pub(super) fn is_aborted(&self, header: &BatchHeader) -> Result<bool> {
        let found = self.aborted_within(header.base_offset, header.next_offset())?;
        Ok(found.iter().any(|txn| txn.producer == header.producer_id && txn.covers(header)))
    }

    /// The aborted transactions of which records lie in `from..to` (B35).
    pub fn aborted_within(&self, from: u64, to: u64) -> Result<Vec<AbortedTxn>> {
        let overlaps = |txn: &&AbortedTxn| txn.overlaps(from, to);
        // The newest first: what leaves this list stands in the view that is loaded after.
        let mut found: Vec<_> = self.aborted.read().iter().filter(overlaps).copied().collect();
        let view = self.view.read().clone();
        found.extend(view.aborted(from, to).map_err(|e| self.error(e))?);
        Ok(found)
    }
}

/// Whether the records of a batch belong to one of `aborted`, which are in the order of producer
/// and first offset.
fn is_aborted(aborted: &[AbortedTxn], header: &BatchHeader) -> bool {
    let key = (header.producer_id, header.base_offset);
    let behind = aborted.partition_point(|txn| (txn.producer, txn.first) <= key);
    behind.checked_sub(1).and_then(|at| aborted.get(at)).is_some_and(|txn| txn.covers(header))
}
