//! Floor 0: the words that every other floor speaks.
//!
//! Nothing here does I/O, takes a lock that another floor could wait for, or
//! starts a thread.

pub mod agenda;
pub mod clock;
pub mod clock_watch;
pub mod config;
pub mod error;
pub mod events;
pub mod expect;
pub mod ids;
pub mod isolation;
mod planted;
pub mod record;
pub mod relay;
pub mod stop;
pub mod sync;
pub mod validation;
pub mod wait;
#[cfg(test)]
pub mod wake_count;

pub use clock::{Clock, ManualClock, SystemClock};
pub use clock_watch::ClockWatch;
pub use config::{
    AlterConfigOp, CleanupPolicy, CompressionType, ConfigEntry, ConfigResource, ConfigSource,
    ConfigSynonym, ConfigType, Durability, LogConfig, NewTopic, TopicConfig,
};
pub use error::{Error, ErrorKind, Result};
pub use expect::Expect;
pub use ids::{NAMED_PRODUCERS, TopicId, TopicPartition};
pub use isolation::Isolation;
pub use planted::Planted;
pub use record::{Header, RawRecord, TimestampType};
pub use validation::{RecordView, Validators, Violation};
