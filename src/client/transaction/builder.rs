//! How a transactional producer is made.

use std::fmt;
use std::time::Duration;

use crate::base::Result;
use crate::base::config::number;
use crate::client::numbering::Numbering;
use crate::client::partitioner::Partitioner;
use crate::client::producer_builder::ProducerBuilder;

use super::current::Current;
use super::producer::TransactionalProducer;

/// Makes a [`TransactionalProducer`]. From
/// [`EventLog::transactional_producer`](crate::EventLog::transactional_producer).
///
/// ```
/// use alluvium::{ErrorKind, EventLog};
/// use std::time::Duration;
///
/// let log = EventLog::in_memory();
/// let long = Duration::from_secs(3_600);
/// let refused = log.transactional_producer("pay-1").timeout(long).build().unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::InvalidTransactionTimeout);
/// let producer = log.transactional_producer("pay-1").build()?;
/// # drop(producer);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a producer is made by build()"]
pub struct TransactionalProducerBuilder {
    id: String,
    producer: ProducerBuilder,
    settings: Vec<(String, String)>,
}

impl TransactionalProducerBuilder {
    pub(crate) fn new(producer: ProducerBuilder, id: &str) -> Self {
        Self { id: id.to_owned(), producer, settings: Vec::new() }
    }

    /// How long a transaction may be open, from its first record on, on the log's monotonic
    /// clock; then it is aborted. Default 60 s; at most `transaction.max.timeout.ms` of the log.
    /// The same as the setting `transaction.timeout.ms`.
    pub fn timeout(self, timeout: Duration) -> Self {
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.set("transaction.timeout.ms", &ms.to_string())
    }

    /// One of Kafka's string settings; see [`ProducerBuilder::set`]. Beside those:
    ///
    /// | key | unit | bounds | default |
    /// |---|---|---|---|
    /// | `transaction.timeout.ms` | ms | 1 ..= `transaction.max.timeout.ms` | 60,000 |
    /// | `transactional.id` | | 1 to 249 bytes | what the builder was made with |
    ///
    /// `max.block.ms` is also how long a commit waits for the disk.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        match key {
            "transactional.id" => value.clone_into(&mut self.id),
            "transaction.timeout.ms" => self.settings.push((key.to_owned(), value.to_owned())),
            "enable.idempotence" if value.trim().eq_ignore_ascii_case("true") => {}
            _ => self.producer = self.producer.set(key, value),
        }
        self
    }

    /// As [`ProducerBuilder::partitioner`].
    pub fn partitioner(mut self, partitioner: impl Partitioner) -> Self {
        self.producer = self.producer.partitioner(partitioner);
        self
    }

    /// Takes the transactional id: a producer that had it before is fenced, and what it has open
    /// is aborted (B27).
    ///
    /// # Errors
    ///
    /// `InvalidConfig` for a key that is unknown or a value outside of its bounds, naming both;
    /// `InvalidTransactionTimeout` for a timeout above `transaction.max.timeout.ms`;
    /// `ConcurrentTransactions` when a decided transaction of the former producer could not be
    /// completed within `max.block.ms`; `StorageFull`, `StorageError`, `Closed`.
    pub fn build(self) -> Result<TransactionalProducer> {
        let mut timeout = Duration::from_secs(60);
        for (key, value) in &self.settings {
            timeout = Duration::from_millis(number(key, value, 1, i32::MAX as u64)?);
        }
        let id = self.id;
        let shared = self.producer.build_numbered(|backend, deadline| {
            let holder = backend.transactions()?.hold_id(&id, timeout, deadline)?;
            Ok(Numbering::Transaction(Current::new(holder)))
        })?;
        Ok(TransactionalProducer::new(shared))
    }
}

impl fmt::Debug for TransactionalProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducerBuilder")
            .field("transactional_id", &self.id)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
