//! What became of a record.

use crate::base::Error;

use super::super::delivery::Placed;

/// What became of a record that was sent.
#[derive(Clone, Copy, Debug)]
pub struct SendOutcome<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: Option<u32>,
    pub(super) result: Result<Placed, &'a Error>,
}

impl<'a> SendOutcome<'a> {
    /// The name of the record's topic.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// The partition; `None` when the send failed before one was chosen.
    #[must_use]
    pub fn partition(&self) -> Option<u32> {
        self.partition
    }

    /// Where the record stands, at its topic's level.
    ///
    /// # Errors
    ///
    /// Why it was refused, or why it did not reach its level: then it may still do so, or was lost
    /// (`StorageError`).
    pub fn result(&self) -> Result<Placed, &'a Error> {
        self.result
    }
}
