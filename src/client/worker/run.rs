//! The loop that processes every record at least once.

use std::error::Error as StdError;
use std::time::Duration;

use crate::base::{Error, ErrorKind, Result};
use crate::client::consumer::{Consumer, Heed, InHand};
use crate::client::consumer_record::ConsumerRecord;
use crate::client::records::Records;

use super::dead_letters::{Failure, bury};
use super::options::{CommitPolicy, RunOptions};
use super::report::RunReport;

impl Consumer {
    /// Gives every record to `process` until a [`StopHandle`](crate::StopHandle) ends it, and
    /// commits what was processed: each record is processed at least once, by this consumer or,
    /// after a failure, by another one of the group.
    ///
    /// A record for which `process` fails is tried again, in place: nothing behind it in its
    /// partition is processed before. After the last attempt it becomes a dead letter if there
    /// is a topic for these, else the run ends at it. While it waits for a retry the consumer
    /// keeps its partitions, however long that is. A stop takes effect after the record in hand,
    /// or in the middle of a wait; what was processed is committed then.
    ///
    /// To process a record *once* in effect, make `process` idempotent:
    /// [`ProcessedIds`](crate::ProcessedIds) helps.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic, OffsetReset, RunOptions};
    ///
    /// let log = EventLog::in_memory();
    /// let mails = log.create_topic(NewTopic::new("mails"))?;
    /// log.create_topic(NewTopic::new("mails.dead"))?;
    /// let producer = log.producer().build()?;
    /// for to in ["ada@example.org", "nobody", "bob@example.org"] {
    ///     producer.send(mails.record(to))?.wait()?;
    /// }
    /// let group = log.consumer().group("mailer").topics(["mails"]);
    /// let mut mailer = group.offset_reset(OffsetReset::Earliest).build()?;
    /// let stop = mailer.stop_handle();
    /// let options = RunOptions::new().retries(0).dead_letters(producer, "mails.dead");
    /// let report = mailer.run(&options, |mail| {
    ///     let to = mail.value_str().map_err(|e| e.to_string())?;
    ///     if to.starts_with("bob") {
    ///         stop.stop();
    ///     }
    ///     if to.contains('@') { Ok(()) } else { Err(format!("{to:?} is no address")) }
    /// })?;
    /// assert_eq!((report.processed, report.dead_lettered), (2, 1));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `ProcessingFailed`, naming partition and offset, with the error of `process` as its
    /// source, when a record has failed for the last time and there is no place for dead letters:
    /// the position is at the record, and calling this again tries it again. What sending the
    /// dead letter fails with, likewise. Those of [`poll`](Self::poll) and
    /// [`commit`](Self::commit). A commit that comes too late, after the consumer was removed
    /// from the group, is no error: it is counted, the records come again, and nothing more of
    /// what was polled before is processed.
    pub fn run<E>(
        &mut self,
        options: &RunOptions,
        mut process: impl FnMut(&ConsumerRecord<'_>) -> Result<(), E>,
    ) -> Result<RunReport>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut process =
            |record: &ConsumerRecord<'_>| process(record).map_err(Into::<Box<_>>::into);
        let mut run = Run { options, report: RunReport::default(), process: &mut process };
        let mut records = Records::default();
        loop {
            if self.take_stop() {
                return Ok(run.report);
            }
            self.poll_heeding(Heed::Stop, &mut records, Duration::MAX)?;
            let before = run.report.done();
            let outcome = run.batch(InHand::new(self, &records));
            let moved = run.report.done() > before;
            let committed = match options.commit {
                CommitPolicy::EachPoll if moved => run.count_late(self.commit()),
                _ => Ok(()),
            };
            // Why the run ends tells more than why the last commit failed.
            let end = outcome?;
            committed?;
            if end == End::Stop {
                return Ok(run.report);
            }
        }
    }
}

type Cause = Box<dyn StdError + Send + Sync>;

/// One run: what it goes by, and what it has done.
struct Run<'r> {
    options: &'r RunOptions,
    report: RunReport,
    process: &'r mut dyn FnMut(&ConsumerRecord<'_>) -> Result<(), Cause>,
}

#[derive(PartialEq, Eq)]
enum End {
    /// Of these records.
    Batch,
    /// Of the run.
    Stop,
}

impl Run<'_> {
    /// Dropped, by a panic too, `hand` sets the positions to what was not processed.
    fn batch(&mut self, mut hand: InHand<'_>) -> Result<End> {
        let records = hand.records();
        for record in records {
            if hand.consumer().was_removed() {
                return Ok(End::Batch);
            }
            if let Some(end) = self.record(hand.consumer(), &record)? {
                return Ok(end);
            }
            hand.count();
            if self.options.commit == CommitPolicy::EachRecord {
                let committed = hand.consumer().commit_record(&record);
                self.count_late(committed)?;
            }
            if hand.consumer().take_stop() {
                return Ok(End::Stop);
            }
        }
        Ok(End::Batch)
    }

    /// Tries one record as often as need be. Why it was not processed to the end, if so: a stop
    /// came while it waited, or the consumer was removed from the group, and the record is
    /// somebody else's.
    fn record(
        &mut self,
        consumer: &mut Consumer,
        record: &ConsumerRecord<'_>,
    ) -> Result<Option<End>> {
        let mut retry = 0;
        loop {
            let Err(cause) = (self.process)(record) else {
                self.report.processed += 1;
                return Ok(None);
            };
            if retry == self.options.retries {
                return self.give_up(consumer, record, cause).map(|()| None);
            }
            retry += 1;
            self.report.retries += 1;
            if !consumer.pause_for(self.options.backoff.before_retry(retry))? {
                return Ok(Some(End::Stop));
            }
            if consumer.was_removed() {
                return Ok(Some(End::Batch));
            }
        }
    }

    fn give_up(
        &mut self,
        consumer: &Consumer,
        record: &ConsumerRecord<'_>,
        cause: Cause,
    ) -> Result<()> {
        let attempts = self.options.retries.saturating_add(1);
        let Some((producer, topic)) = &self.options.dead_letters else {
            let message = format!("the record has failed {attempts} times: {cause}");
            let error = Error::new(ErrorKind::ProcessingFailed, message).with_boxed_source(cause);
            return Err(error
                .with_partition(record.topic_partition())
                .with_offset(record.offset()));
        };
        let (message, group) = (cause.to_string(), consumer.group_metadata().group);
        bury(producer, topic, record, &Failure { message: &message, attempts, group: &group })?;
        self.report.dead_lettered += 1;
        Ok(())
    }

    /// Whoever was removed from the group joins again: its records come again, here or elsewhere.
    fn count_late(&mut self, committed: Result<()>) -> Result<()> {
        use ErrorKind::{FencedMemberEpoch, StaleMemberEpoch, UnknownMemberId};
        let late = [FencedMemberEpoch, StaleMemberEpoch, UnknownMemberId];
        match committed {
            Err(error) if late.contains(&error.kind()) => {
                self.report.late_commits += 1;
                Ok(())
            }
            other => other,
        }
    }
}
