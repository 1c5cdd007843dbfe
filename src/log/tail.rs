//! A torn end that an open found: cut, if nothing proves that it was durable.

use std::path::PathBuf;

use super::report::Cut;
use crate::base::{Error, Result, TopicPartition};

/// What the scan of a partition's unsealed segments could not take for records.
///
/// The verdict waits until staged chunks were adopted: they may hold what is torn here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    pub(super) cuts: Vec<Cut>,
    /// Everything below this offset was durable once, and where that is written.
    pub(super) proven: Option<(u64, PathBuf)>,
}

impl Tail {
    /// The offset below which everything was durable once, if that is proven.
    #[must_use]
    pub fn proven(&self) -> Option<u64> {
        self.proven.as_ref().map(|(offset, _)| *offset)
    }

    pub(super) fn prove(&mut self, offset: u64, path: PathBuf) {
        if self.proven().is_none_or(|known| known < offset) {
            self.proven = Some((offset, path));
        }
    }

    /// Judges the cuts: `end` is the partition's end with all that was adopted.
    ///
    /// # Errors
    /// `CorruptMessage` with file and offsets when records are missing that were durable: then
    /// this is damage and no torn end.
    pub fn judge(&self, partition: &TopicPartition, end: u64) -> Result<()> {
        let Some((proven, evidence)) = self.proven.as_ref().filter(|(proven, _)| *proven > end)
        else {
            return Ok(());
        };
        let (path, position) = match self.cuts.first() {
            Some(cut) => (&cut.path, cut.position),
            None => (evidence, 0),
        };
        let message = format!(
            "damaged at byte {position}: the records {end}..{proven} are missing and were \
             durable, as {} proves",
            evidence.display()
        );
        Err(Error::corrupt(path, message).with_partition(partition).with_offset(end))
    }
}
