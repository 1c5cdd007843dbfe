//! What a log decides for all groups.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Error, ErrorKind, Result};

use super::assign::Assignor;

/// What a log decides for all groups.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// Assignors beside the log's own.
    pub assignors: Vec<Arc<dyn Assignor>>,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `group.max.size`.
    pub max_size: usize,
    /// `offsets.retention.minutes`; none: offsets never expire.
    pub offsets_retention: Option<Duration>,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check: Duration,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            assignors: Vec::new(),
            offset_metadata_max_bytes: 4_096,
            max_size: usize::MAX,
            offsets_retention: None,
            retention_check: Duration::from_secs(600),
        }
    }
}

impl GroupOptions {
    /// Checks every option; the error names it and its bounds.
    pub fn check(&self) -> Result<()> {
        let bad = |message: String| Err(Error::new(ErrorKind::InvalidConfig, message));
        if self.max_size == 0 {
            return bad("group.max.size=0: it must be at least 1".to_owned());
        }
        if self.offsets_retention.is_some_and(|time| time < Duration::from_millis(1)) {
            return bad("offsets.retention: the least is 1 ms".to_owned());
        }
        if self.retention_check < Duration::from_millis(1) {
            return bad("offsets.retention.check.interval.ms: the least is 1".to_owned());
        }
        if let Some(unnamed) = self.assignors.iter().find(|assignor| assignor.name().is_empty()) {
            return bad(format!("{unnamed:?}: an assignor needs a name"));
        }
        Ok(())
    }
}
