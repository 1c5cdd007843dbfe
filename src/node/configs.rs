//! Settings told and altered while the log is open.

use crate::backend::Backend;
use crate::base::config::{describe_log, describe_topic};
use crate::base::{ConfigEntry, ConfigResource, Error, Result};

use super::Node;

impl Node {
    /// Every setting of a topic or of the log, in the order of their names.
    pub fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>> {
        self.check_open()?;
        match resource {
            ConfigResource::Log => Ok(describe_log(&self.config)),
            ConfigResource::Topic(name) => {
                let entry = self.catalogue.view(|catalogue| catalogue.topic(name).cloned());
                let entry = entry.ok_or_else(|| Error::unknown_topic(name))?;
                describe_topic(&entry.configs, &self.config)
            }
        }
    }
}
