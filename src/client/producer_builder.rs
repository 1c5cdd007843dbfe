//! How a producer is made.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Backend;
use crate::base::Result;
use crate::base::config::{invalid, number};
use crate::base::record::MAX_RECORD_BYTES;

use super::partitioner::Random;
use super::producer::Producer;

/// What a producer goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProducerSettings {
    pub(super) max_block: Duration,
    pub(super) delivery_timeout: Duration,
    pub(super) batch_size: u32,
    pub(super) max_request_size: usize,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            max_block: Duration::from_secs(60),
            delivery_timeout: Duration::from_secs(120),
            batch_size: 16_384,
            max_request_size: 1 << 20,
        }
    }
}

impl ProducerSettings {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "max.block.ms" => {
                self.max_block = Duration::from_millis(number(key, value, 0, i64::MAX as u64)?);
            }
            "delivery.timeout.ms" => {
                let most = i64::MAX as u64;
                self.delivery_timeout = Duration::from_millis(number(key, value, 0, most)?);
            }
            "batch.size" => self.batch_size = number(key, value, 0, i32::MAX as u32)?,
            "max.request.size" => {
                self.max_request_size = number(key, value, 0, MAX_RECORD_BYTES)?;
            }
            "linger.ms" => only(key, value, &["0"], "a record is in the log when send returns")?,
            "acks" => {
                only(key, value, &["all", "-1"], "a delivery is done when its level is reached")?;
            }
            "compression.type" => only(key, value, &["none"], "batches are not compressed")?,
            _ => return Err(invalid(key, value, KEYS)),
        }
        Ok(())
    }
}

const KEYS: &str = "there is no such key; a producer has max.block.ms, delivery.timeout.ms, \
                    batch.size, max.request.size, linger.ms, acks, compression.type";

/// Accepts a setting whose only working values are `values`: any other would be a lie.
fn only(key: &str, value: &str, values: &[&str], reason: &str) -> Result<()> {
    if values.contains(&value.trim()) {
        return Ok(());
    }
    Err(invalid(key, value, &format!("it can only be {}: {reason}", values.join(" or "))))
}

/// Makes a [`Producer`]. From `EventLog::producer`.
///
/// Settings are checked together in [`build`](Self::build).
///
/// ```
/// use alluvium::{ErrorKind, EventLog};
///
/// let log = EventLog::in_memory();
/// let producer = log.producer().set("max.block.ms", "500").build()?;
/// let refused = log.producer().set("linger.ms", "5").build().unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
/// # drop(producer);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a producer is made by build()"]
pub struct ProducerBuilder {
    backend: Arc<dyn Backend>,
    settings: Vec<(String, String)>,
    seed: Option<u64>,
}

impl ProducerBuilder {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, settings: Vec::new(), seed: None }
    }

    /// One of Kafka's string settings. The last value of a key counts.
    ///
    /// | key | unit | bounds | default |
    /// |---|---|---|---|
    /// | `max.block.ms` | ms | 0 ..= i64::MAX | 60,000: how long `send` waits for room |
    /// | `delivery.timeout.ms` | ms | 0 ..= i64::MAX | 120,000: how long `wait`, `flush` and `close` wait |
    /// | `batch.size` | bytes | 0 ..= i32::MAX | 16,384: records without a key change the partition after this many |
    /// | `max.request.size` | bytes | 0 ..= 64 MiB | 1 MiB: the largest record that `send` takes |
    /// | `linger.ms` | ms | 0 | 0: a record is in the log when `send` returns |
    /// | `acks` | | `all`, `-1` | `all`: a delivery is done when its level is reached |
    /// | `compression.type` | | `none` | `none` |
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Fixes the partitions that records without a key are spread over, so that a test of one
    /// thread repeats exactly. Default: different in each producer.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The producer.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` for a key that is unknown or a value outside of its bounds, naming both;
    /// `Closed` when the log is closed.
    pub fn build(self) -> Result<Producer> {
        let mut settings = ProducerSettings::default();
        for (key, value) in &self.settings {
            settings.set(key, value)?;
        }
        self.backend.check_open()?;
        let random = self.seed.map_or_else(Random::unseeded, Random::seeded);
        Ok(Producer::new(self.backend, settings, random))
    }
}
