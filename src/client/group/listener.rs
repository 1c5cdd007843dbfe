//! What a program is told when its partitions come and go.

use std::cell::RefCell;
use std::fmt;

use crate::backend::{Backend, MemberRef};
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::super::consumer_event::Events;
use super::super::consumer_settings::ConsumerSettings;
use super::super::fetcher::Fetcher;
use super::super::offsets::Offsets;
use super::super::positions::Position;
use super::super::slot::{Context, Slot};
use super::holdings::{commit_offsets, context};

/// Is told when partitions come to a consumer and go from it. Set by
/// [`ConsumerBuilder::listener`](crate::ConsumerBuilder::listener).
///
/// Calls come in the thread that polls, before the poll returns, and under no lock. One change
/// may come in several calls: never take one call for the whole assignment. An error is returned
/// by the poll; the assignment stands, and the call is not repeated. A panic unwinds through the
/// poll, and the partitions are taken over or let go nevertheless. (C39 to C42, C58; KIP-429)
///
/// ```
/// use alluvium::{EventLog, NewTopic, Offsets, Rebalance, RebalanceListener, Result, TopicPartition};
/// use std::time::Duration;
///
/// /// Keeps offsets in a database of its own.
/// struct Outside(Offsets);
///
/// impl RebalanceListener for Outside {
///     fn assigned(&mut self, cx: &mut Rebalance<'_>, partitions: &[TopicPartition]) -> Result<()> {
///         for tp in partitions {
///             cx.seek(tp, self.0.get(tp).unwrap_or(0))?;
///         }
///         Ok(())
///     }
/// }
///
/// let log = EventLog::in_memory();
/// let orders = log.create_topic(NewTopic::new("orders"))?;
/// let producer = log.producer().build()?;
/// for value in ["one", "two"] {
///     producer.send(orders.record(value))?.wait()?;
/// }
/// let known = Offsets::from_iter([(TopicPartition::new("orders", 0), 1)]);
/// let group = log.consumer().group("kitchen").topics(["orders"]);
/// let mut consumer = group.listener(Outside(known)).build()?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// assert_eq!(records.iter().map(|r| r.offset()).collect::<Vec<_>>(), [1]);
/// # Ok::<(), alluvium::Error>(())
/// ```
pub trait RebalanceListener: Send + 'static {
    /// These partitions came; none of them, where a change of the group has only taken some away.
    /// Their positions are known: committed, or by the reset policy. A member that keeps what it
    /// has is told nothing.
    ///
    /// # Errors
    ///
    /// What the program likes to see returned by the poll.
    fn assigned(&mut self, cx: &mut Rebalance<'_>, partitions: &[TopicPartition]) -> Result<()> {
        let _ = (cx, partitions);
        Ok(())
    }

    /// These partitions are about to go: nobody else has them before this returns. The last
    /// chance to commit.
    ///
    /// # Errors
    ///
    /// What the program likes to see returned by the poll.
    fn revoked(&mut self, cx: &mut Rebalance<'_>, partitions: &[TopicPartition]) -> Result<()> {
        let _ = (cx, partitions);
        Ok(())
    }

    /// These partitions are gone, because the member was removed: others may have them, and
    /// commits fail. Calls [`revoked`](Self::revoked) if not implemented.
    ///
    /// # Errors
    ///
    /// What the program likes to see returned by the poll.
    fn lost(&mut self, cx: &mut Rebalance<'_>, partitions: &[TopicPartition]) -> Result<()> {
        self.revoked(cx, partitions)
    }
}

/// What a [`RebalanceListener`] can do with the consumer that it listens to.
pub struct Rebalance<'c> {
    pub(super) backend: &'c dyn Backend,
    pub(super) settings: &'c ConsumerSettings,
    pub(super) events: &'c RefCell<Events>,
    pub(super) fetcher: &'c mut Fetcher,
    pub(super) group: &'c str,
    pub(super) member: Option<&'c MemberRef>,
}

impl Rebalance<'_> {
    /// The offset of the next record that a poll would return of `partition`.
    ///
    /// # Errors
    ///
    /// `IllegalState` for a partition that is neither assigned nor just being taken away;
    /// `NoOffsetForPartition` when nothing is known and the reset policy is `none`.
    pub fn position(&self, partition: &TopicPartition) -> Result<u64> {
        self.slot(partition)?.position(self.context())
    }

    /// Reads `partition` from `offset` on.
    ///
    /// # Errors
    ///
    /// `IllegalState` for a partition that is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: u64) -> Result<()> {
        self.slot(partition)?;
        self.fetcher.change(partition, |slot| slot.seek(Position::At(offset)));
        Ok(())
    }

    /// Commits these offsets, each the next one to be read, and waits until they are as durable
    /// as their topics.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::commit_offsets`](crate::Consumer::commit_offsets).
    pub fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        commit_offsets(self.backend, self.group, self.member, offsets)
    }

    /// Returns nothing of these partitions until
    /// [`Consumer::resume`](crate::Consumer::resume).
    ///
    /// # Errors
    ///
    /// `IllegalState` for a partition that is not assigned; then nothing has changed.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        partitions.iter().try_for_each(|partition| self.slot(partition).map(drop))?;
        for partition in partitions {
            self.fetcher.change(partition, |slot| slot.set_paused(true));
        }
        Ok(())
    }

    fn slot(&self, partition: &TopicPartition) -> Result<&Slot> {
        self.fetcher.slot(partition).ok_or_else(|| {
            let message = "the partition is not assigned to this consumer";
            Error::new(ErrorKind::IllegalState, message).with_partition(partition)
        })
    }

    fn context(&self) -> Context<'_> {
        context(self.backend, self.settings, self.events)
    }
}

impl fmt::Debug for Rebalance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebalance")
            .field("group", &self.group)
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}
