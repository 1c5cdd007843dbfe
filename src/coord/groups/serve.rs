//! The coordinator as clients see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::{
    CommitReply, CommitRequest, CommitTicket, CommittedOffset, GroupBackend, GroupSession,
    JoinGroup,
};
use crate::base::wait::Deadline;
use crate::base::{ErrorKind, Result, TopicPartition};

use super::coordinator::Coordinator;

impl GroupBackend for Coordinator {
    fn join(&self, join: JoinGroup) -> Result<Box<dyn GroupSession>> {
        Coordinator::join(self, join).map(|session| Box::new(session) as Box<dyn GroupSession>)
    }

    fn commit(&self, request: &CommitRequest<'_>) -> Result<CommitReply> {
        Coordinator::commit(self, request)
    }

    fn wait_committed(&self, ticket: CommitTicket, deadline: Deadline) -> Result<()> {
        Coordinator::wait_committed(self, ticket, deadline)
    }

    fn holders(&self, group: &str) -> Result<BTreeMap<Arc<str>, Vec<TopicPartition>>> {
        match self.describe(group) {
            Ok(view) => Ok(view.members.into_iter().map(|m| (m.member_id, m.assignment)).collect()),
            Err(error) if error.kind() == ErrorKind::GroupIdNotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    fn committed(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        Coordinator::committed(self, group, partitions)
    }

    fn committed_stable(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        Coordinator::committed_stable(self, group, partitions)
    }
}
