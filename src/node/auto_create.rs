//! Topics created because somebody names them (`auto.create.topics.enable`).

use std::sync::Arc;

use crate::backend::{Backend, TopicRoute};
use crate::base::{ErrorKind, NewTopic, Result};

use super::Node;

impl Node {
    /// The route of a topic, created with `num.partitions` and the log's defaults if there is none
    /// and the log's settings allow it.
    pub(super) fn resolve_or_make(&self, name: &str) -> Result<Arc<TopicRoute>> {
        match self.resolve(name) {
            Err(e) if e.kind() == ErrorKind::UnknownTopicOrPartition => {}
            resolved => return resolved,
        }
        if !self.config.auto_create_topics {
            return self.resolve(name);
        }
        let _nothing_is_deleted = self.topics_change.read();
        self.check_open()?;
        match self.create_one(&NewTopic::new(name)) {
            // Whoever was first has made it, in whatever shape.
            Err(e) if e.kind() == ErrorKind::TopicAlreadyExists => self.resolve(name),
            outcome => outcome,
        }
    }
}
