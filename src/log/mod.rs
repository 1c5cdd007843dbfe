//! Floor 2: one partition's segments, and the manifest that names them.
//!
//! | file | holds |
//! |---|---|
//! | `files`, `dir`, `cache` | what all partitions share: manifest, names, open files |
//! | `layout`, `index` | bytes of a segment around its batches, and its sparse index |
//! | `segment`, `layer`, `view` | a file, a file up to a mark, a snapshot of a partition |
//! | `source`, `front`, `cursor` | reading bytes, mapped or not, walking batches |
//! | `sections`, `postings`, `keyed` | behind a footer's index; where the records of each key stand |
//! | `segment_log` | a partition for its single writer |
//! | `write`, `active`, `roll` | writing, and when to begin the next segment |
//! | `sync`, `rescue` | surviving a power cut, and a failed sync |
//! | `compaction/` | keeping the newest record of each key |
//! | `seal`, `trim` | sealing, closing, moving the start, deleting |
//! | `retention` | which segments are too old or too many |
//! | `open`, `scan`, `tail`, `gaps` | what a crash left |
//! | `producers`, `states` | who has appended what, which transactions are open; where that stands |
//! | `copy` | a log that begins as a copy of another |
//! | `report` | what an open found |

mod active;
mod cache;
mod compaction;
mod copy;
mod cursor;
mod dir;
mod files;
mod front;
pub(crate) mod fuzz;
mod gaps;
mod index;
pub mod key;
mod keyed;
mod layer;
mod layout;
pub mod manifest;
mod open;
mod piece;
mod postings;
pub mod producers;
mod report;
mod rescue;
mod retention;
mod roll;
mod room;
mod scan;
mod seal;
mod sections;
mod segment;
mod segment_log;
mod source;
mod states;
mod sync;
mod tail;
mod trim;
mod view;
mod write;

#[cfg(test)]
mod tests;

pub use compaction::{
    CompactionLimits, CompactionPass, PassReport, Progress, Slice, Standing, Swapped, Verdict,
};
pub use copy::{CopyReport, CopyTarget, LogCopy, PartitionCut};
pub use files::{FilesOptions, LogFiles, SEGMENTS, lock_dir};
pub use key::PartitionKey;
pub use layout::SEGMENT_SUFFIX;
pub use manifest::{PartitionEnd, Record, Witness};
pub use report::{Cut, GapEvent, OpenReport};
pub use retention::{RetentionRules, SegmentFacts};
pub use room::Room;
pub use seal::Footing;
pub use segment_log::{Placed, SegmentLog};
pub use sync::SyncTicket;
pub use view::View;
