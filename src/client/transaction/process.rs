//! Read, process, write: what comes of records, and that they were read, in one transaction.

use std::error::Error as StdError;
use std::time::Duration;

use crate::backend::Outcome;
use crate::base::{Error, ErrorKind, Result};
use crate::client::consumer::{Consumer, InHand};
use crate::client::consumer_record::ConsumerRecord;
use crate::client::records::Records;
use crate::client::worker::{Failure, RunOptions, letter};

use super::commit_error::CommitError;
use super::open::Transaction;
use super::producer::TransactionalProducer;

/// How long [`TransactionalProducer::process`] waits for records.
const WAIT: Duration = Duration::from_secs(1);

/// What [`TransactionalProducer::process`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Processed {
    /// Records that were processed: what came of them is committed.
    pub records: usize,
    /// Transactions that were aborted and tried again.
    pub retries: usize,
    /// Records that were put aside, as
    /// [`process_with`](TransactionalProducer::process_with) tells.
    pub dead_lettered: usize,
}

type Cause = Box<dyn StdError + Send + Sync>;
type Process<'f> = &'f mut dyn FnMut(&Transaction<'_>, &Records) -> Result<(), Cause>;

impl TransactionalProducer {
    /// Polls once, for a second at most, and gives the records to `process`; commits what it
    /// sends and that the records were read, in one transaction. Exactly once: whatever fails,
    /// both count or neither.
    ///
    /// When `process` fails, or the commit does, the transaction is aborted, the consumer is
    /// set back to the first of the records (B41), and they are tried again, three times, with a
    /// growing pause. What else `process` does than sending is done again then.
    ///
    /// ```
    /// use alluvium::{EventLog, Isolation, NewTopic, OffsetReset, Record};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// log.create_topic(NewTopic::new("bills"))?;
    /// log.producer().build()?.send(orders.record("espresso"))?.wait()?;
    ///
    /// let consumer = log.consumer().group("billing").topics(["orders"]).auto_commit(None);
    /// let consumer = consumer.isolation(Isolation::ReadCommitted);
    /// let mut consumer = consumer.offset_reset(OffsetReset::Earliest).build()?;
    /// let mut producer = log.transactional_producer("billing-1").build()?;
    /// let done = producer.process(&mut consumer, |transaction, orders| {
    ///     for order in orders {
    ///         let bill = format!("{}: 2 EUR", order.value_str()?);
    ///         transaction.send(Record::new("bills", &bill))?;
    ///     }
    ///     Ok::<_, alluvium::Error>(())
    /// })?;
    /// assert_eq!(done.records, 1);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `ProcessingFailed` after the last attempt, with the last error as its source: the
    /// consumer stands at the first of the records. `IllegalState` when the consumer commits by
    /// itself (`enable.auto.commit`). `ProducerFenced`, `InvalidProducerIdMapping`: build anew.
    /// Those of [`Consumer::poll`], and of a commit whose outcome is `Undecided`: nothing is
    /// known of the records then, and the consumer stands behind them.
    pub fn process<E>(
        &mut self,
        consumer: &mut Consumer,
        process: impl FnMut(&Transaction<'_>, &Records) -> Result<(), E>,
    ) -> Result<Processed>
    where
        E: Into<Cause>,
    {
        self.process_with(consumer, &RunOptions::new(), WAIT, process)
    }

    /// As [`process`](Self::process), by `options`, and waiting for records for `wait`.
    ///
    /// Of the options, [`retries`](RunOptions::retries), [`backoff`](RunOptions::backoff) and
    /// [`dead_letters`](RunOptions::dead_letters) count. With a topic for dead letters, records
    /// that have failed together for the last time are given to `process` one by one, each in a
    /// transaction of its own; one that fails then as often goes to that topic, in the
    /// transaction that says it was read.
    ///
    /// # Errors
    ///
    /// Those of [`process`](Self::process).
    pub fn process_with<E>(
        &mut self,
        consumer: &mut Consumer,
        options: &RunOptions,
        wait: Duration,
        mut process: impl FnMut(&Transaction<'_>, &Records) -> Result<(), E>,
    ) -> Result<Processed>
    where
        E: Into<Cause>,
    {
        consumer.check_no_auto_commit()?;
        let records = consumer.poll(wait)?;
        if records.is_empty() {
            return Ok(Processed::default());
        }
        let mut process = |tx: &Transaction<'_>, records: &Records| {
            process(tx, records).map_err(Into::<Cause>::into)
        };
        let mut work = Work { producer: self, options, done: Processed::default() };
        work.all(consumer, &records, &mut process)?;
        Ok(work.done)
    }
}

/// One call of `process`.
struct Work<'w> {
    producer: &'w mut TransactionalProducer,
    options: &'w RunOptions,
    done: Processed,
}

/// Why an attempt came to nothing.
enum Failed {
    /// It may be tried again.
    Again(Cause),
    /// There is no use in that.
    For(Error),
    /// Perhaps it did not.
    Undecided(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        use ErrorKind::{Closed, InvalidProducerIdMapping, ProducerFenced};
        match error.kind() {
            Closed | InvalidProducerIdMapping | ProducerFenced => Failed::For(error),
            _ => Failed::Again(Box::new(error)),
        }
    }
}

impl Work<'_> {
    fn all(&mut self, consumer: &mut Consumer, records: &Records, f: Process<'_>) -> Result<()> {
        let tried = self.tries(consumer, records, f)?;
        let Some(cause) = tried else { return Ok(()) };
        if self.options.dead_letter_topic().is_none() {
            return Err(self.gave_up(records, cause));
        }
        // One of them is to blame: each alone, up to where they end.
        let ends = records.next_offsets();
        while consumer.stands_before(&ends) {
            let one = consumer.poll_one(WAIT)?;
            if one.is_empty() {
                return Ok(());
            }
            if let Some(cause) = self.tries(consumer, &one, f)? {
                self.put_aside(consumer, &one, &cause)?;
            }
        }
        Ok(())
    }

    /// Tries as often as need be. What the last attempt failed with, if they all did: the
    /// consumer then stands at the first record again.
    fn tries(
        &mut self,
        consumer: &mut Consumer,
        records: &Records,
        f: Process<'_>,
    ) -> Result<Option<Cause>> {
        let mut retry = 0;
        loop {
            match self.once(consumer, records, f) {
                Ok(()) => {
                    self.done.records += records.len();
                    return Ok(None);
                }
                Err(Failed::Undecided(error)) => return Err(error),
                Err(Failed::For(error)) => {
                    drop(InHand::new(consumer, records));
                    return Err(error);
                }
                Err(Failed::Again(cause)) if retry == self.options.retries_allowed() => {
                    drop(InHand::new(consumer, records));
                    return Ok(Some(cause));
                }
                Err(Failed::Again(cause)) => {
                    retry += 1;
                    self.done.retries += 1;
                    let goes_on = consumer.pause_for(self.options.wait_before(retry));
                    if !matches!(goes_on, Ok(true)) || consumer.was_removed() {
                        // They come again, here or elsewhere.
                        drop(InHand::new(consumer, records));
                        return goes_on.and_then(|_| Err(self.gave_up(records, cause)));
                    }
                }
            }
        }
    }

    fn once(
        &mut self,
        consumer: &Consumer,
        records: &Records,
        f: Process<'_>,
    ) -> Result<(), Failed> {
        let transaction = self.producer.begin()?;
        f(&transaction, records).map_err(|cause| match transaction.lost() {
            // Whatever the program made of it.
            Some(error) => Failed::from(error),
            None => Failed::Again(cause),
        })?;
        transaction.send_offsets(&records.next_offsets(), &consumer.group_metadata())?;
        settled(transaction.commit())
    }

    /// Puts the only record of `one` aside.
    fn put_aside(&mut self, consumer: &mut Consumer, one: &Records, cause: &Cause) -> Result<()> {
        let Some(topic) = self.options.dead_letter_topic() else { return Ok(()) };
        let (message, group) = (cause.to_string(), consumer.group_metadata());
        let attempts = self.options.retries_allowed().saturating_add(1);
        let transaction = self.producer.begin()?;
        for record in one {
            let failure = Failure { message: &message, attempts, group: &group.group };
            letter(topic, &record, &failure, |letter| transaction.send(letter).map(drop))?;
        }
        transaction.send_offsets(&one.next_offsets(), &group)?;
        match settled(transaction.commit()) {
            Ok(()) => {
                // The last attempt has set it back.
                consumer.seek_all(&one.next_offsets());
                self.done.dead_lettered += one.len();
                Ok(())
            }
            Err(Failed::For(error) | Failed::Undecided(error)) => Err(error),
            Err(Failed::Again(cause)) => Err(self.gave_up(one, cause)),
        }
    }

    fn gave_up(&self, records: &Records, cause: Cause) -> Error {
        let attempts = self.options.retries_allowed().saturating_add(1);
        let first = records.iter().next();
        let message = format!("the records have failed {attempts} times: {cause}");
        let error = Error::new(ErrorKind::ProcessingFailed, message).with_boxed_source(cause);
        let place = |error: Error, record: ConsumerRecord<'_>| {
            error.with_partition(record.topic_partition()).with_offset(record.offset())
        };
        match first {
            Some(record) => place(error, record),
            None => error,
        }
    }
}

/// What a commit came to.
fn settled(committed: Result<(), CommitError>) -> Result<(), Failed> {
    match committed {
        Ok(()) => Ok(()),
        // The log tells the partitions by itself.
        Err(CommitError { outcome: Outcome::Committed, .. }) => Ok(()),
        Err(CommitError { outcome: Outcome::Aborted, error }) => Err(error.into()),
        Err(CommitError { error, .. }) => Err(Failed::Undecided(error)),
    }
}
