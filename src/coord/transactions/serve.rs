//! The coordinator as clients see it.

use std::time::Duration;

use crate::backend::{
    CommitRequest, EndError, NameHolder, Outcome, ProducerEpoch, TransactionBackend,
    TransactionHolder,
};
use crate::base::wait::Deadline;
use crate::base::{Result, TopicId};

use super::coordinator::Coordinator;

impl TransactionBackend for Coordinator {
    fn new_producer(&self, deadline: Deadline<'_>) -> Result<i64> {
        Coordinator::new_producer(self, deadline)
    }

    fn hold_name(&self, name: &str, deadline: Deadline<'_>) -> Result<NameHolder> {
        Coordinator::hold_name(self, name, deadline)
    }

    fn last_sequence(&self, who: ProducerEpoch, part: (TopicId, u32)) -> Result<Option<i32>> {
        Coordinator::last_sequence(self, who, part)
    }

    fn hold_id(
        &self,
        id: &str,
        timeout: Duration,
        deadline: Deadline<'_>,
    ) -> Result<TransactionHolder> {
        Coordinator::hold_id(self, id, timeout, deadline)
    }

    fn begin(&self, who: &TransactionHolder, deadline: Deadline<'_>) -> Result<ProducerEpoch> {
        Coordinator::begin(self, who, deadline)
    }

    fn join(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        parts: &[(TopicId, u32)],
        max_block: Duration,
    ) -> Result<()> {
        Coordinator::join(self, who, stamp, parts, max_block)
    }

    fn send_offsets(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        request: &CommitRequest<'_>,
    ) -> Result<()> {
        Coordinator::send_offsets(self, who, stamp, request)
    }

    fn end(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        commit: bool,
        deadline: Deadline<'_>,
    ) -> Result<(), EndError> {
        if commit {
            return self.commit(who, stamp, deadline);
        }
        let outcome = Outcome::Aborted;
        self.abort(who, stamp).map_err(|error| EndError { error, outcome })
    }

    fn check(&self, who: &TransactionHolder, stamp: ProducerEpoch) -> Result<()> {
        Coordinator::check(self, who, stamp)
    }
}
