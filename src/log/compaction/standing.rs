//! What of a partition may be compacted, and whether it is worth it (A50, A51).

use crate::base::TopicConfig;
use crate::log::layer::Layer;
use crate::log::segment::FIRST_BATCH;
use crate::log::view::View;

/// How a partition stands to compaction at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// So many segments from the front are in reach.
    pub segments: usize,
    /// Where the part begins that no pass has seen.
    pub first_dirty: u64,
    /// Where the part ends that a pass may touch.
    pub bound: u64,
    /// Bytes of batches in front of `first_dirty`.
    pub clean_bytes: u64,
    /// Bytes of batches from there to `bound`.
    pub dirty_bytes: u64,
    /// The oldest dirty segment has waited for `max.compaction.lag.ms`.
    pub overdue: bool,
    /// Time alone may bring more into reach, or make what is in reach due.
    pub waits: bool,
}

/// Whether a pass is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Due,
    /// Nothing that a pass may touch is new.
    NothingNew,
    /// Less is new than `min.cleanable.dirty.ratio` asks for.
    TooClean,
}

impl Standing {
    /// How `view` stands, of whose records those below `stable` may be touched.
    pub fn of(view: &View, config: &TopicConfig, stable: u64, now_ms: i64) -> Self {
        let first_dirty = view.compacted.max(view.start);
        let mut standing = Self {
            segments: 0,
            first_dirty,
            bound: view.start,
            clean_bytes: 0,
            dirty_bytes: 0,
            overdue: false,
            waits: false,
        };
        let since = now_ms.saturating_sub(config.max_compaction_lag_ms);
        for layer in view.closed.iter() {
            let is_dirty = layer.next_offset > first_dirty;
            let young = is_dirty && is_young(layer, config, now_ms);
            if layer.sealed.is_none() || layer.next_offset > stable || young {
                standing.waits = layer.sealed.is_some();
                break;
            }
            standing.segments += 1;
            standing.bound = layer.next_offset;
            let bytes = layer.data_len - FIRST_BATCH;
            if is_dirty {
                standing.dirty_bytes += bytes;
                standing.overdue |= config.max_compaction_lag_ms != i64::MAX
                    && layer.first_timestamp().is_some_and(|first| first < since);
            } else {
                standing.clean_bytes += bytes;
            }
        }
        standing.waits |= standing.dirty_bytes > 0 && config.max_compaction_lag_ms != i64::MAX;
        standing
    }

    /// The share of what a pass would read that no pass has seen.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a share need not be exact")]
    pub fn ratio(&self) -> f64 {
        let all = self.clean_bytes + self.dirty_bytes;
        if all == 0 { 0.0 } else { self.dirty_bytes as f64 / all as f64 }
    }

    /// Whether a pass is worth it.
    #[must_use]
    pub fn verdict(&self, config: &TopicConfig) -> Verdict {
        if self.dirty_bytes == 0 {
            Verdict::NothingNew
        } else if self.overdue || self.ratio() > config.min_cleanable_dirty_ratio {
            Verdict::Due
        } else {
            Verdict::TooClean
        }
    }
}

/// Whether `min.compaction.lag.ms` keeps the segment, and all behind it, from compaction.
fn is_young(layer: &Layer, config: &TopicConfig, now_ms: i64) -> bool {
    let lag = config.min_compaction_lag_ms;
    lag > 0 && layer.max_timestamp.is_some_and(|last| last > now_ms.saturating_sub(lag))
}
