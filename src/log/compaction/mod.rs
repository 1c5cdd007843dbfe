//! Compaction: the newest record of each key stays, with its offset and its timestamp.
//!
//! A pass over one partition first reads the part that no pass has seen (its *dirty* part) into a
//! map from key to place, and then copies all sealed segments, group by group, without what a
//! newer record of the same key has made obsolete. Each group becomes one new segment, which one
//! record of the manifest puts in the place of the old ones. Nothing is locked meanwhile but for
//! the change itself.
//!
//! | file | holds |
//! |---|---|
//! | `standing` | what of a partition may be compacted, and whether it is worth it |
//! | `place`, `key_hash`, `key_map` | the map: where the newest record of each key stands |
//! | `inputs` | the segments that a pass reads |
//! | `survey` | the first half: filling the map |
//! | `judge` | which records of a batch stay |
//! | `txns` | what was aborted, and whose last batch has to stay |
//! | `group`, `output` | the second half: a group of segments becomes a new one |
//! | `swap` | the new one takes the place of the old ones |
//! | `pass` | all of it in slices |

mod group;
mod inputs;
mod judge;
mod key_hash;
mod key_map;
mod output;
mod pass;
mod place;
mod slice;
mod standing;
mod survey;
mod swap;
mod txns;

pub use pass::{CompactionLimits, CompactionPass, PassReport, Progress};
pub use slice::Slice;
pub use standing::{Standing, Verdict};
pub use swap::Swapped;
