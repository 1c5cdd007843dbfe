//! The current latest record of each key of a topic.
//!
//! A table has no thread. Whoever asks it applies what has become visible since somebody asked
//! last, and then looks. It equals, at each moment, what reading its partitions from the log start
//! to where it has come would give.

mod builder;
mod catch_up;
mod key_hash;
mod latest;
mod part;
mod shard;
mod snapshot;
mod state;
mod stats;
#[allow(clippy::module_inception, reason = "the directory's main noun")]
mod table;
mod table_record;
mod table_view;

pub use builder::TableBuilder;
pub use snapshot::Restored;
pub use stats::TableStats;
pub use table::Table;
pub use table_record::TableRecord;
pub use table_view::TableView;
