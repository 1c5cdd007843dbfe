//! Where a consumer reads next, and how to have it read elsewhere.

use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::super::positions::Position;
use super::super::slot::Slot;
use super::Consumer;
use super::queries::check_time;

impl Consumer {
    /// Reads `partition` from `offset` at the next poll; what was fetched of it is forgotten.
    ///
    /// An offset out of range is accepted here; the next poll applies the reset policy.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the partition is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: u64) -> Result<()> {
        self.move_to(partition, Position::At(offset))
    }

    /// Reads these partitions from their first record, whichever that is at the next poll.
    /// All assigned partitions if there are none.
    ///
    /// # Errors
    ///
    /// `IllegalState` when a partition is not assigned; then nothing has changed.
    pub fn seek_to_beginning(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.move_all(partitions, Position::Beginning)
    }

    /// Reads these partitions from behind the last record that this consumer sees (B34), whichever
    /// that is at the next poll. All assigned partitions if there are none.
    ///
    /// # Errors
    ///
    /// `IllegalState` when a partition is not assigned; then nothing has changed.
    pub fn seek_to_end(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.move_all(partitions, Position::End)
    }

    /// Reads `partition` from the first record whose timestamp is at least `timestamp_ms`, or
    /// from the visible end when there is none.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the partition is not assigned; `InvalidRequest` for a negative time;
    /// what a search in stored records can meet otherwise.
    pub fn seek_to_time(&mut self, partition: &TopicPartition, timestamp_ms: i64) -> Result<()> {
        let slot = self.slot(partition)?;
        check_time(partition, timestamp_ms)?;
        let offset = slot.reader().first_since(timestamp_ms)?;
        self.move_to(partition, Position::At(offset))
    }

    /// The offset of the next record that a poll would return of `partition`.
    ///
    /// A position that is not yet known is fixed now, by the reset policy.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the partition is not assigned; `NoOffsetForPartition` when the
    /// position is unknown and the policy is `none`.
    pub fn position(&self, partition: &TopicPartition) -> Result<u64> {
        self.slot(partition)?.position(self.context())
    }

    /// How many offsets lie between the position and the end of what this consumer sees of
    /// `partition`: the visible end or, at [`Isolation::ReadCommitted`](crate::Isolation), the last
    /// stable offset (B34).
    ///
    /// # Errors
    ///
    /// Those of [`position`](Self::position).
    pub fn lag(&self, partition: &TopicPartition) -> Result<u64> {
        let position = self.position(partition)?;
        Ok(self.slot(partition)?.reader().end().saturating_sub(position))
    }

    /// How many offsets lie between the position and the visible end of `partition`, or `None`
    /// while the position is not known: unlike [`lag`](Self::lag) this fixes nothing.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the partition is not assigned.
    pub fn current_lag(&self, partition: &TopicPartition) -> Result<Option<u64>> {
        let slot = self.slot(partition)?;
        let lag = |position| slot.reader().end().saturating_sub(position);
        Ok(slot.known_position().map(lag))
    }

    fn move_all(&mut self, partitions: &[TopicPartition], position: Position) -> Result<()> {
        self.check_assigned(partitions)?;
        let all: Vec<_> = match partitions {
            [] => self.assignment().cloned().collect(),
            some => some.to_vec(),
        };
        all.iter().try_for_each(|partition| self.move_to(partition, position))
    }

    fn move_to(&mut self, partition: &TopicPartition, position: Position) -> Result<()> {
        self.slot(partition)?;
        self.fetcher.change(partition, |slot| slot.seek(position));
        if let Some(group) = &mut self.group {
            group.touch();
        }
        Ok(())
    }

    pub(super) fn slot(&self, partition: &TopicPartition) -> Result<&Slot> {
        self.fetcher.slot(partition).ok_or_else(|| {
            let message = "the partition is not assigned to this consumer";
            Error::new(ErrorKind::IllegalState, message).with_partition(partition)
        })
    }
}
