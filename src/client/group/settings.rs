//! What a member of a group goes by.

use std::sync::Arc;
use std::time::Duration;

use crate::base::config::{boolean, invalid, number};
use crate::base::{Error, ErrorKind, Result};

/// What a member of a group goes by.
#[derive(Clone, Debug)]
pub(in crate::client) struct GroupSettings {
    pub(in crate::client) id: Arc<str>,
    pub(in crate::client) client_id: Arc<str>,
    pub(in crate::client) instance_id: Option<Arc<str>>,
    pub(in crate::client) assignor: Option<Arc<str>>,
    pub(in crate::client) max_poll_interval: Duration,
    pub(in crate::client) session_timeout: Duration,
    /// Whether polls commit; else only the program does.
    auto_commit: bool,
    auto_commit_interval: Duration,
}

impl GroupSettings {
    pub(in crate::client) fn new(id: &str) -> Result<Self> {
        if id.is_empty() {
            let message = "the group's id is empty";
            return Err(Error::new(ErrorKind::InvalidGroupId, message));
        }
        Ok(Self {
            id: id.into(),
            client_id: "consumer".into(),
            instance_id: None,
            assignor: None,
            max_poll_interval: Duration::from_secs(300),
            session_timeout: Duration::from_secs(45),
            auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
        })
    }

    /// Takes one of Kafka's settings; false for one that is not about groups.
    pub(in crate::client) fn set(&mut self, key: &str, value: &str) -> Result<bool> {
        const MOST: u64 = i32::MAX as u64;
        match key {
            "client.id" => self.client_id = value.into(),
            "group.instance.id" => self.instance_id = Some(instance_id(key, value)?),
            "group.remote.assignor" | "partition.assignment.strategy" => {
                self.assignor = Some(value.trim().into());
            }
            "max.poll.interval.ms" => {
                self.max_poll_interval = Duration::from_millis(number(key, value, 1, MOST)?);
            }
            "session.timeout.ms" => {
                self.session_timeout = Duration::from_millis(number(key, value, 1, MOST)?);
            }
            "enable.auto.commit" => self.auto_commit = boolean(key, value)?,
            "auto.commit.interval.ms" => {
                self.auto_commit_interval = Duration::from_millis(number(key, value, 0, MOST)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// How often polls commit by themselves; none: never, the program commits.
    pub(in crate::client) fn set_auto_commit(&mut self, every: Option<Duration>) {
        self.auto_commit = every.is_some();
        self.auto_commit_interval = every.unwrap_or(self.auto_commit_interval);
    }

    pub(super) fn auto_commit(&self) -> Option<Duration> {
        self.auto_commit.then_some(self.auto_commit_interval)
    }
}

fn instance_id(key: &str, value: &str) -> Result<Arc<str>> {
    if value.is_empty() || value.len() > 249 {
        return Err(invalid(key, value, "it must have 1 to 249 bytes"));
    }
    Ok(value.into())
}
