//! Compaction of one partition: a pass in slices, and the change of segments that ends each group.

use std::sync::atomic::Ordering;

use crate::base::Result;
use crate::log::{CompactionLimits, CompactionPass, Progress, Slice, Standing, Swapped, Verdict};

use super::Partition;

/// Whether a pass was begun.
#[derive(Debug)]
pub enum Beginning {
    /// Yes.
    Begun(Box<CompactionPass>),
    /// Nothing that may be compacted is there, or new.
    NothingNew,
    /// Less is new than `min.cleanable.dirty.ratio` asks for.
    TooClean(Standing),
}

impl Partition {
    /// Whether the newest record of each key is to be kept, by the settings of now.
    pub fn is_compacted(&self) -> bool {
        self.settings.read().cleanup_policy.compact
    }

    /// How the partition stands to compaction. Takes no lock that is held over a system call.
    pub fn compaction_standing(&self) -> Standing {
        // The marks first: what they say of is in every later view, or gone.
        self.standing_below(self.compaction_bound())
    }

    /// How far compaction could come if nobody held it back.
    pub fn compactable_end(&self) -> u64 {
        self.standing_below(self.marks_now().stable).bound
    }

    /// Nothing at or above `offset` is compacted from now on.
    pub fn allow_compaction_below(&self, offset: u64) {
        self.compact_below.store(offset, Ordering::Release);
    }

    /// Whether a disk has taken records of the log away in this life.
    pub fn has_seen_losses(&self) -> bool {
        self.shared.losses.any()
    }

    fn compaction_bound(&self) -> u64 {
        self.marks_now().stable.min(self.compact_below.load(Ordering::Acquire))
    }

    fn standing_below(&self, stable: u64) -> Standing {
        let config = self.settings.read().clone();
        let view = self.view.read().clone();
        Standing::of(&view, &config, stable, self.shared.clock.unix_ms())
    }

    /// Whether a pass is worth it, and how much there is to do.
    pub fn compaction_verdict(&self) -> (Verdict, Standing) {
        let standing = self.compaction_standing();
        (standing.verdict(&self.settings.read()), standing)
    }

    /// Begins a pass if one is worth it; with `force`, if there is anything to look through.
    ///
    /// # Errors
    /// `Closed`.
    pub fn begin_compaction(&self, force: bool, map_bytes: u64) -> Result<Beginning> {
        // In this order: what has ended below is among the aborted ones by now.
        let stable = self.compaction_bound();
        match self.compaction_verdict() {
            (Verdict::NothingNew, standing) if !force || standing.segments == 0 => {
                return Ok(Beginning::NothingNew);
            }
            (Verdict::TooClean, standing) if !force => return Ok(Beginning::TooClean(standing)),
            _ => {}
        }
        let aborted = self.aborted_within(self.marks.start(), stable)?;
        let log = self.flush.lock();
        if self.is_closed() {
            return Err(self.closed());
        }
        let now_ms = self.shared.clock.unix_ms();
        let standing = Standing::of(&log.view(), log.config(), stable, now_ms);
        let limits = CompactionLimits { map_bytes, now_ms, aborted };
        Ok(Beginning::Begun(Box::new(CompactionPass::begin(&log, &standing, limits))))
    }

    /// Goes on with a pass until the slice is over; true when the pass is.
    ///
    /// The lock of the segments is held for the changes only, and over no sync.
    ///
    /// # Errors
    /// `Closed`; `CorruptMessage` for a damaged batch; `StorageError` and `StorageFull` from the
    /// disk. The pass is over: what it wrote and did not swap is removed with it.
    pub fn compact(&self, pass: &mut CompactionPass, slice: &mut Slice<'_>) -> Result<bool> {
        loop {
            if self.is_closed() {
                return Err(self.closed());
            }
            match pass.advance(slice).map_err(|e| self.error(e))? {
                Progress::More if slice.is_over() => return Ok(false),
                Progress::More => {}
                Progress::Done => return Ok(true),
                Progress::Swap(change) => {
                    let swapped = {
                        let mut log = self.flush.lock();
                        let swapped = log.swap(change);
                        self.rewritten.fetch_add(1, Ordering::Release);
                        self.publish_view(&log);
                        swapped.map_err(|e| self.error(e))?
                    };
                    pass.take(&swapped).map_err(|e| self.error(e))?;
                    self.end_swap(&swapped)?;
                }
            }
        }
    }

    /// The old files may go when no manifest that a power cut leaves can name them.
    fn end_swap(&self, swapped: &Swapped) -> Result<()> {
        let Swapped::Done(position) = swapped else { return Ok(()) };
        self.shared.files.manifest().sync_to(*position).map_err(|e| self.error(e))?;
        self.flush.lock().end_swap().map_err(|e| self.error(e))
    }
}
