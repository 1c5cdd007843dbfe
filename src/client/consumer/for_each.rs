//! The whole loop: every record to a closure, and an end that leaves the position exact.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::super::consumer_record::ConsumerRecord;
use super::super::group::Membership;
use super::super::offsets::Offsets;
use super::super::positions::Position;
use super::super::records::Records;
use super::Consumer;
use super::poll::Heed;

impl Consumer {
    /// Gives every record to `f`, and waits for more, until a
    /// [`StopHandle`](crate::StopHandle) ends it or something fails.
    ///
    /// Afterwards the position of each partition is its next unprocessed record. A record is
    /// processed when `f` has returned `Ok` for it. An error of `f` leaves the position *at* its
    /// record: the next loop gives it again, and a [`seek`](Self::seek) behind it leaves it out.
    /// The same holds for a panic.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, OffsetReset, TopicPartition};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// let producer = log.producer().build()?;
    /// for value in ["tea", "milk", "close"] {
    ///     producer.send(orders.record(value))?.wait()?;
    /// }
    /// let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
    /// consumer.assign([TopicPartition::new("orders", 0)])?;
    /// let stop = consumer.stop_handle(); // Usually for a signal handler or another thread.
    /// let mut served = 0;
    /// consumer.for_each(|order| {
    ///     served += 1;
    ///     if order.value_str()? == "close" {
    ///         stop.stop();
    ///     }
    ///     Ok::<(), alluvium::Error>(())
    /// })?;
    /// assert_eq!(served, 3);
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `f` fails with, and what [`poll`](Self::poll) fails with; calling this again goes on.
    pub fn for_each<E, F>(&mut self, mut f: F) -> Result<(), E>
    where
        E: From<Error>,
        F: FnMut(ConsumerRecord<'_>) -> Result<(), E>,
    {
        let mut failure = None;
        self.drive(&mut |record| match f(record) {
            Ok(()) => Step::Next,
            Err(error) => {
                failure = Some(error);
                Step::Refuse
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    /// Gives every record to `f`, and waits for more, until `f` breaks with a value, which is
    /// returned; `None` when a [`StopHandle`](crate::StopHandle) has ended it.
    ///
    /// Afterwards the position of each partition is its next unprocessed record. The record for
    /// which `f` broke is processed.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, OffsetReset, TopicPartition};
    /// use std::ops::ControlFlow;
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders"))?;
    /// let producer = log.producer().build()?;
    /// for value in ["tea", "milk", "tea"] {
    ///     producer.send(orders.record(value))?.wait()?;
    /// }
    /// let mut consumer = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
    /// let tp = TopicPartition::new("orders", 0);
    /// consumer.assign([tp.clone()])?;
    /// let milk = consumer.for_each_until(|order| match order.value() {
    ///     Some(b"milk") => ControlFlow::Break(order.offset()),
    ///     _ => ControlFlow::Continue(()),
    /// })?;
    /// assert_eq!((milk, consumer.position(&tp)?), (Some(1), 2));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`poll`](Self::poll); calling this again goes on.
    pub fn for_each_until<B>(
        &mut self,
        mut f: impl FnMut(ConsumerRecord<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        let mut broken = None;
        self.drive(&mut |record| match f(record) {
            ControlFlow::Continue(()) => Step::Next,
            ControlFlow::Break(value) => {
                broken = Some(value);
                Step::Finish
            }
        })?;
        Ok(broken)
    }

    /// The loop behind both. Ends with the first step that is not `Next`, or a stop.
    fn drive(&mut self, f: &mut dyn FnMut(ConsumerRecord<'_>) -> Step) -> Result<()> {
        let mut records = Records::default();
        loop {
            if self.bell.take_stop() {
                return Ok(());
            }
            self.poll_heeding(Heed::Stop, &mut records, Duration::MAX)?;
            let mut batch = InHand::new(self, &records);
            if batch.process(f) {
                return Ok(());
            }
        }
    }
}

/// What comes after a record.
enum Step {
    /// The next one.
    Next,
    /// The end.
    Finish,
    /// The end, and the record is not processed.
    Refuse,
}

/// The records of one poll while they are processed. Dropped, by a panic too, it sets each
/// partition back to its first record that was not.
pub(in crate::client) struct InHand<'l> {
    consumer: &'l mut Consumer,
    records: &'l Records,
    processed: usize,
}

impl<'l> InHand<'l> {
    pub(in crate::client) fn new(consumer: &'l mut Consumer, records: &'l Records) -> Self {
        Self { consumer, records, processed: 0 }
    }

    pub(in crate::client) fn consumer(&mut self) -> &mut Consumer {
        self.consumer
    }

    pub(in crate::client) fn records(&self) -> &'l Records {
        self.records
    }

    /// One more of them is processed.
    pub(in crate::client) fn count(&mut self) {
        self.processed += 1;
    }

    /// True when the loop ends.
    fn process(&mut self, f: &mut dyn FnMut(ConsumerRecord<'_>) -> Step) -> bool {
        for record in self.records {
            let step = f(record);
            if matches!(step, Step::Refuse) {
                return true;
            }
            self.processed += 1;
            if matches!(step, Step::Finish) || self.consumer.bell.take_stop() {
                return true;
            }
        }
        false
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut last: Option<&TopicPartition> = None;
        for record in self.records.iter().skip(self.processed) {
            // Records of one partition stand together.
            let partition = record.topic_partition();
            if last.replace(partition) != Some(partition) {
                let position = Position::At(record.offset());
                self.consumer.fetcher.change(partition, |slot| slot.seek(position));
            }
        }
    }
}

/// For those who process records in transactions.
impl Consumer {
    /// Nothing is committed that no transaction commits.
    pub(in crate::client) fn check_no_auto_commit(&self) -> Result<()> {
        if !self.group.as_ref().is_some_and(Membership::commits_by_itself) {
            return Ok(());
        }
        let message = "the consumer commits by itself (enable.auto.commit), whatever becomes of \
                       the transaction: build it with auto_commit(None)";
        Err(Error::new(ErrorKind::IllegalState, message))
    }

    /// One record, as soon as there is one.
    pub(in crate::client) fn poll_one(&mut self, timeout: Duration) -> Result<Records> {
        let most = std::mem::replace(&mut self.settings.max_poll_records, 1);
        let polled = self.poll(timeout);
        self.settings.max_poll_records = most;
        polled
    }

    /// Whether any assigned partition of these stands before its offset.
    pub(in crate::client) fn stands_before(&self, ends: &Offsets) -> bool {
        let position = |tp| self.fetcher.slot(tp).and_then(|slot| slot.known_position());
        ends.iter().any(|(tp, end)| position(tp).is_some_and(|at| at < end))
    }

    /// Sets the positions of those that are assigned.
    pub(in crate::client) fn seek_all(&mut self, to: &Offsets) {
        for (tp, offset) in to.iter() {
            self.fetcher.change(tp, |slot| slot.seek(Position::At(offset)));
        }
    }
}
