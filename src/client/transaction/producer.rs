//! A producer whose records count together or not at all.

use std::fmt;
use std::sync::Arc;

use crate::base::{Error, Result};
use crate::client::numbering::Numbering;
use crate::client::producer::Shared;

use super::current::Current;
use super::open::Transaction;

/// Sends records, and commits offsets, that count together or not at all.
///
/// From [`EventLog::transactional_producer`](crate::EventLog::transactional_producer). Its
/// transactional id outlives it: whoever builds a producer of the same id again fences this one,
/// and ends what it has left open.
///
/// ```
/// use alluvium::{EventLog, Isolation, NewTopic, OffsetReset, TopicPartition};
/// use std::time::Duration;
///
/// let log = EventLog::in_memory();
/// let debits = log.create_topic(NewTopic::new("debits"))?;
/// let credits = log.create_topic(NewTopic::new("credits"))?;
/// let mut producer = log.transactional_producer("transfers-1").build()?;
///
/// let transfer = producer.begin()?;
/// transfer.send(debits.record("5 EUR").key("ada"))?;
/// transfer.send(credits.record("5 EUR").key("bob"))?;
/// transfer.commit()?;
///
/// let second = producer.begin()?;
/// second.send(debits.record("7 EUR").key("ada"))?;
/// drop(second); // Aborted.
///
/// let reader = log.consumer().isolation(Isolation::ReadCommitted);
/// let mut reader = reader.offset_reset(OffsetReset::Earliest).build()?;
/// reader.assign([TopicPartition::new("debits", 0), TopicPartition::new("credits", 0)])?;
/// assert_eq!(reader.poll(Duration::from_secs(1))?.len(), 2);
/// # Ok::<(), alluvium::Error>(())
/// ```
///
/// What would be an illegal state elsewhere does not compile: there is no transaction before
/// the producer is built, and one at a time:
///
/// ```compile_fail,E0499
/// # let log = alluvium::EventLog::in_memory();
/// let mut producer = log.transactional_producer("transfers-1").build()?;
/// let first = producer.begin()?;
/// let second = producer.begin()?; // The first one is still open.
/// first.commit()?;
/// # Ok::<(), alluvium::Error>(())
/// ```
///
/// Nothing is sent outside of one, or after its end:
///
/// ```compile_fail,E0599
/// # let log = alluvium::EventLog::in_memory();
/// let producer = log.transactional_producer("transfers-1").build()?;
/// producer.send(alluvium::Record::new("debits", "5 EUR"))?;
/// # Ok::<(), alluvium::Error>(())
/// ```
///
/// ```compile_fail,E0382
/// # let log = alluvium::EventLog::in_memory();
/// # let mut producer = log.transactional_producer("transfers-1").build()?;
/// let transfer = producer.begin()?;
/// transfer.commit()?;
/// transfer.send(alluvium::Record::new("debits", "5 EUR"))?;
/// # Ok::<(), alluvium::Error>(())
/// ```
///
/// And producers without a transactional id have no transactions:
///
/// ```compile_fail,E0599
/// # let log = alluvium::EventLog::in_memory();
/// let mut producer = log.producer().build()?;
/// let transfer = producer.begin()?;
/// # Ok::<(), alluvium::Error>(())
/// ```
pub struct TransactionalProducer {
    pub(super) shared: Arc<Shared>,
}

impl TransactionalProducer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Begins a transaction. It costs nothing until something is sent; its time
    /// (`transaction.timeout.ms`) begins with its first record.
    ///
    /// # Errors
    ///
    /// `ProducerFenced` when another producer of the same id was built: this one can only be
    /// dropped. `InvalidProducerIdMapping` when the id has expired
    /// (`transactional.id.expiration.ms`): build anew. `ConcurrentTransactions` when the former
    /// transaction could not be completed within `max.block.ms`, naming what keeps it from that:
    /// try again. `Closed`.
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        let current = current(&self.shared)?;
        let shared = &self.shared;
        let deadline = shared.deadline(shared.settings().max_block);
        let stamp = shared.backend().transactions()?.begin(&current.holder, deadline)?;
        current.begin(stamp);
        Ok(Transaction::new(&self.shared))
    }

    /// The transactional id.
    #[must_use]
    pub fn transactional_id(&self) -> &str {
        current(&self.shared).map_or("", |current| &current.holder.id)
    }
}

/// The transaction of a transactional producer.
pub(super) fn current(shared: &Shared) -> Result<&Current> {
    match shared.numbering() {
        Some(Numbering::Transaction(current)) => Ok(current),
        _ => Err(Error::closed()),
    }
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("transactional_id", &self.transactional_id())
            .finish_non_exhaustive()
    }
}
