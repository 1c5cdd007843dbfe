//! Settings, as an operator sees them.

use crate::admin::Admin;
use crate::base::{AlterConfigOp, ConfigEntry, ConfigResource, Result};

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

    /// Changes settings of a topic, all of `ops` or none. They are durable, and in force without a
    /// restart, when this returns: for calls that begin later, and for the next segment. What is
    /// stored stays as it is.
    ///
    /// `durability` and `flush.messages` say one thing in two ways: changing one takes the other
    /// back where it contradicts. When the level is raised, what consumers could see and
    /// have committed is made durable before this returns.
    ///
    /// ```
    /// use alluvium::{AlterConfigOp, ConfigResource, EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// log.create_topic(NewTopic::new("orders"))?;
    /// let ops = [
    ///     AlterConfigOp::set("max.message.bytes", "2000000"),
    ///     AlterConfigOp::append("cleanup.policy", "compact"),
    ///     AlterConfigOp::delete("segment.ms"),
    /// ];
    /// log.admin().incremental_alter_configs(&ConfigResource::topic("orders"), &ops)?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Nothing has changed with `InvalidConfig` (a key that does not exist, a value that it cannot
    /// have, a list operation on what is no list, any setting of the log itself, which are those
    /// of its open), `InvalidRequest` (a key named twice), `UnknownTopicOrPartition`, `Closed`.
    ///
    /// `DeliveryTimeout`, `StorageError`, `StorageFull`: the disk failed. The change may hold, now
    /// or after the next open.
    pub fn incremental_alter_configs(
        &self,
        resource: &ConfigResource,
        ops: &[AlterConfigOp],
    ) -> Result<()> {
        self.node().alter_configs(resource, ops)
    }

    /// Checks everything that [`incremental_alter_configs`](Self::incremental_alter_configs)
    /// checks, and changes nothing (Kafka's `validate_only`).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn validate_alter_configs(
        &self,
        resource: &ConfigResource,
        ops: &[AlterConfigOp],
    ) -> Result<()> {
        self.node().validate_alter_configs(resource, ops)
    }
}
