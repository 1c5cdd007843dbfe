//! Producers and transactions, as an operator sees them.

use crate::base::{Error, Result, TopicPartition};
use crate::coord::transactions::{TransactionFilter, TransactionView};
use crate::partition::ProducerState;

use super::Admin;

/// A producer as a partition knows it. From [`Admin::describe_producers`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerDescription {
    /// The producer id.
    pub producer_id: i64,
    /// The epoch that it last appended in.
    pub producer_epoch: i16,
    /// The number of its last record; none where nothing but a marker is left of it.
    pub last_sequence: Option<i32>,
    /// The time of its last record, in milliseconds since the Unix epoch.
    pub last_timestamp_ms: i64,
    /// The first offset of its open transaction, if it has one here.
    pub transaction_start: Option<u64>,
}

impl Admin {
    /// The producers that a partition knows, by id: those that number their records and whose
    /// state has not expired (`producer.id.expiration.ms`).
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, TopicPartition};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// let producer = log.producer().name("till-1").build()?;
    /// let _ = producer.send(orders.record("one espresso"))?;
    /// let partition = TopicPartition::new("orders", 0);
    /// let producers = log.admin().describe_producers(&partition)?;
    /// assert_eq!(producers[0].last_sequence, Some(0));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`, or `Closed`.
    pub fn describe_producers(&self, of: &TopicPartition) -> Result<Vec<ProducerDescription>> {
        let describe = |state: ProducerState| ProducerDescription {
            producer_id: state.id,
            producer_epoch: state.epoch,
            last_sequence: state.last_sequence,
            last_timestamp_ms: state.last_timestamp,
            transaction_start: state.open_first_offset,
        };
        Ok(self.0.producers_of(of)?.into_iter().map(describe).collect())
    }

    /// Transactional ids with their present or last transaction, those that `filter` takes, by
    /// id.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, TransactionFilter, TransactionState};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// let mut producer = log.transactional_producer("till-1").build()?;
    /// let sale = producer.begin()?;
    /// sale.send(orders.record("one espresso"))?;
    /// let open = TransactionFilter::new().states([TransactionState::Ongoing]);
    /// let open = log.admin().list_transactions(&open)?;
    /// assert_eq!(&*open[0].transactional_id, "till-1");
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn list_transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionView>> {
        self.0.list_transactions(filter)
    }

    /// A transactional id and its present or last transaction.
    ///
    /// # Errors
    ///
    /// `TransactionalIdNotFound`, or `Closed`.
    pub fn describe_transaction(&self, transactional_id: &str) -> Result<TransactionView> {
        self.0.describe_transaction(transactional_id)
    }

    /// Aborts what a producer has open in a partition. Where the producer has a transactional id,
    /// all of its open transaction is aborted, and its owner is told so (`TransactionAbortable`);
    /// else (a transaction that nobody coordinates any more) its part in this partition is.
    /// Nothing happens where nothing is open.
    ///
    /// # Errors
    ///
    /// `UnknownTopicOrPartition`; `ConcurrentTransactions` when it could not be completed;
    /// `StorageFull`, `StorageError`, `Closed`.
    pub fn abort_transaction(&self, partition: &TopicPartition, producer_id: i64) -> Result<()> {
        self.0.abort_transaction(partition, producer_id)
    }

    /// Takes transactional ids from whoever holds them: what is open is aborted, and their
    /// producers are told `ProducerFenced`. Returns the ids for which that has failed.
    ///
    /// ```
    /// use alluvium::{ErrorKind, EventLog};
    ///
    /// let log = EventLog::in_memory();
    /// let mut producer = log.transactional_producer("till-1").build()?;
    /// assert!(log.admin().fence_producers(["till-1"])?.is_empty());
    /// assert_eq!(producer.begin().unwrap_err().kind(), ErrorKind::ProducerFenced);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn fence_producers<'a>(
        &self,
        transactional_ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<(String, Error)>> {
        self.0.fence_producers(&transactional_ids.into_iter().collect::<Vec<_>>())
    }
}
