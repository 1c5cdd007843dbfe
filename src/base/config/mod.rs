//! Settings: Kafka's strings, what is known of each, and the typed form.
//!
//! The tables ([`topic_keys`], [`log_keys`]) are the only place that knows bounds, defaults and
//! documentation. [`Settings`] says which of several values holds.

mod alter;
mod describe;
mod durability;
mod key;
mod log_config;
mod log_keys;
mod new_topic;
mod resource;
mod settings;
mod topic_config;
mod topic_keys;
mod value;

#[cfg(test)]
mod tests;

pub use alter::{AlterConfigOp, alter};
pub use describe::{ConfigEntry, describe_log, describe_topic};
pub use durability::Durability;
pub use log_config::LogConfig;
pub use new_topic::NewTopic;
pub use resource::ConfigResource;
pub use settings::{ConfigSource, ConfigSynonym};
pub use topic_config::{CleanupPolicy, CompressionType, TopicConfig};
pub use value::ConfigType;

pub(crate) use new_topic::PARTITIONS;
pub(crate) use value::{boolean, invalid, number, only};
