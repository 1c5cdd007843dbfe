//! What a consumer goes by, as Kafka's strings say it.

use crate::base::config::{boolean, invalid, number, only};
use crate::base::{Isolation, Result};

use super::offset_reset::OffsetReset;

/// What a consumer goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConsumerSettings {
    pub(super) reset: OffsetReset,
    pub(super) max_poll_records: usize,
    pub(super) max_partition_fetch_bytes: usize,
    pub(super) fetch_max_bytes: usize,
    pub(super) skip_corrupt: bool,
    pub(super) check_crcs: bool,
    pub(super) allow_auto_create: bool,
    pub(super) isolation: Isolation,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            reset: OffsetReset::default(),
            max_poll_records: 500,
            max_partition_fetch_bytes: 1 << 20,
            fetch_max_bytes: 50 << 20,
            allow_auto_create: true,
            skip_corrupt: false,
            check_crcs: true,
            isolation: Isolation::default(),
        }
    }
}

impl ConsumerSettings {
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        const MOST: usize = i32::MAX as usize;
        match key {
            "auto.offset.reset" => self.reset = OffsetReset::parse(key, value)?,
            "max.poll.records" => self.max_poll_records = number(key, value, 1, MOST)?,
            "max.partition.fetch.bytes" => {
                self.max_partition_fetch_bytes = number(key, value, 1, MOST)?;
            }
            "fetch.max.bytes" => self.fetch_max_bytes = number(key, value, 1, MOST)?,
            "allow.auto.create.topics" => self.allow_auto_create = boolean(key, value)?,
            "check.crcs" => self.check_crcs = boolean(key, value)?,
            "isolation.level" => self.isolation = isolation(key, value)?,
            _ if accept_inert(key, value)? => {}
            _ => accept_only(key, value)?,
        }
        Ok(())
    }
}

fn isolation(key: &str, value: &str) -> Result<Isolation> {
    let all = [Isolation::ReadUncommitted, Isolation::ReadCommitted];
    let named = all.into_iter().find(|level| level.name() == value.trim());
    named.ok_or_else(|| invalid(key, value, "it is read_uncommitted or read_committed"))
}

/// Takes a key of Kafka's that is checked and has no effect here; false when it is not one.
fn accept_inert(key: &str, value: &str) -> Result<bool> {
    match key {
        "client.rack" => {}
        "heartbeat.interval.ms"
        | "fetch.max.wait.ms"
        | "request.timeout.ms"
        | "default.api.timeout.ms" => {
            number(key, value, 0, i32::MAX)?;
        }
        "retry.backoff.ms" | "retry.backoff.max.ms" => {
            number(key, value, 0, i64::MAX)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Takes the value that says what is so anyway. Any other would be a lie, and an unknown key is
/// a mistake.
fn accept_only(key: &str, value: &str) -> Result<()> {
    let (values, reason): (&[&str], &str) = match key {
        "fetch.min.bytes" => (&["1"], "a poll returns as soon as there is a record"),
        "exclude.internal.topics" => (&["true"], "a pattern takes no topic of the log's own"),
        "group.protocol" => (&["consumer"], "members are assigned by the log, as in KIP-848"),
        _ => return Err(invalid(key, value, KEYS)),
    };
    only(key, value, values, reason)
}

const KEYS: &str = "there is no such key; a consumer has auto.offset.reset, max.poll.records, \
                    max.partition.fetch.bytes, fetch.max.bytes, allow.auto.create.topics, \
                    isolation.level, check.crcs, \
                    group.id, group.instance.id, group.remote.assignor, \
                    partition.assignment.strategy, client.id, max.poll.interval.ms, \
                    session.timeout.ms, enable.auto.commit, auto.commit.interval.ms; \
                    without effect: fetch.min.bytes, \
                    exclude.internal.topics, group.protocol, client.rack, \
                    heartbeat.interval.ms, fetch.max.wait.ms, request.timeout.ms, \
                    default.api.timeout.ms, retry.backoff.ms, retry.backoff.max.ms";
