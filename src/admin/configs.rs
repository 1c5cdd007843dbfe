//! Settings, as an operator sees them.

use crate::admin::Admin;
use crate::base::{ConfigEntry, ConfigResource, Result};

impl Admin {
    /// Every setting of a topic or of the log: value, source, type, documentation, whether it has
    /// an effect. All of them, in the order of their names, not only those that were set.
    ///
    /// ```
    /// use alluvium::{ConfigResource, ConfigSource, EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// log.create_topic(NewTopic::new("orders").config("segment.ms", "3600000"))?;
    /// let told = log.admin().describe_configs(&ConfigResource::topic("orders"))?;
    /// let entry = told.iter().find(|entry| entry.name == "segment.ms").unwrap();
    /// assert_eq!(entry.value.as_deref(), Some("3600000"));
    /// assert_eq!(entry.source, ConfigSource::DynamicTopicConfig);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, or `Closed`.
    pub fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>> {
        self.node().describe_configs(resource)
    }
}
