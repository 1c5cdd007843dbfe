//! What a member holds, and how it is committed.

use std::cell::RefCell;
use std::time::Duration;

use crate::backend::{Backend, CommitOffset, CommitRequest, CommitTicket, MemberRef};
use crate::base::wait::Deadline;
use crate::base::{Result, TopicPartition};

use super::super::consumer_event::Events;
use super::super::consumer_settings::ConsumerSettings;
use super::super::fetcher::Fetcher;
use super::super::offsets::Offsets;
use super::super::slot::Context;
use super::committed::OffsetAndMetadata;

/// How long a commit waits for the disk: Kafka's `default.api.timeout.ms`.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Apart from the consumer, so that its fetcher can be changed meanwhile.
pub(in crate::client) fn context<'c>(
    backend: &'c dyn Backend,
    settings: &ConsumerSettings,
    events: &'c RefCell<Events>,
) -> Context<'c> {
    let ConsumerSettings { reset, skip_corrupt, check_crcs, .. } = *settings;
    Context { backend, reset, skip_corrupt, check_crcs, events }
}

/// The known positions of all assigned partitions. Not of those whose topic was deleted: a commit
/// would be of the one that has its name now.
pub(super) fn positions(fetcher: &Fetcher) -> Offsets {
    let known = |tp: &TopicPartition| {
        let position = fetcher.slot(tp).filter(|slot| !slot.is_deleted())?.known_position()?;
        Some((tp.clone(), position))
    };
    fetcher.partitions().filter_map(known).collect()
}

/// Commits, and waits for room in the stage only. The first refusal is the error; what was not refused has been
/// committed nevertheless.
pub(super) fn place<'a>(
    backend: &dyn Backend,
    group: &str,
    member: Option<&MemberRef>,
    offsets: &[CommitOffset<'a>],
    max_block: Duration,
) -> Result<(CommitTicket, Result<()>)> {
    let request = CommitRequest { group, member, offsets, max_block };
    let reply = backend.groups()?.commit(&request)?;
    let refused = reply.refused.into_iter().next();
    let outcome = match refused {
        None => Ok(()),
        Some((_, error)) if error.partition().is_some() => Err(error),
        Some((partition, error)) => Err(error.with_partition(&partition)),
    };
    Ok((reply.ticket, outcome))
}

/// Commits, and waits until that is as durable as the topics.
pub(super) fn commit(
    backend: &dyn Backend,
    group: &str,
    member: Option<&MemberRef>,
    offsets: &[CommitOffset<'_>],
) -> Result<()> {
    let (ticket, outcome) = place(backend, group, member, offsets, PATIENCE)?;
    if ticket.is_due() {
        let deadline = Deadline::after(backend.clock(), PATIENCE);
        backend.groups()?.wait_committed(ticket, deadline)?;
    }
    outcome
}

pub(super) fn commit_offsets(
    backend: &dyn Backend,
    group: &str,
    member: Option<&MemberRef>,
    offsets: &Offsets,
) -> Result<()> {
    let mut plain = offsets.iter().map(|(tp, offset)| plain(tp, offset));
    match (plain.next(), plain.len()) {
        (Some(only), 0) => commit(backend, group, member, &[only]),
        (first, _) => {
            commit(backend, group, member, &first.into_iter().chain(plain).collect::<Vec<_>>())
        }
    }
}

pub(super) fn plain(partition: &TopicPartition, offset: u64) -> CommitOffset<'_> {
    CommitOffset { partition, offset, leader_epoch: None, metadata: "" }
}

pub(super) fn detailed<'a>(
    partition: &'a TopicPartition,
    offset: &'a OffsetAndMetadata,
) -> CommitOffset<'a> {
    let OffsetAndMetadata { offset, leader_epoch, ref metadata } = *offset;
    CommitOffset { partition, offset, leader_epoch, metadata }
}
