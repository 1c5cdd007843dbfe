//! What a producer's topics still hold that has not reached its level.

use std::sync::Arc;

use crate::base::{Error, ErrorKind, TopicPartition};

use super::routes::Routes;

/// An error names so many partitions and counts the others.
const NAMED: usize = 8;

/// A partition with records that have not reached its level.
struct Pending {
    place: TopicPartition,
    from: u64,
    to: u64,
}

/// The error of a close at its deadline, with the partitions that it left pending.
pub(super) fn name_pending(routes: &Routes, error: Error) -> Error {
    if error.kind() != ErrorKind::DeliveryTimeout {
        return error;
    }
    let pending = find(routes);
    let Some(first) = pending.first() else { return error };
    let records: u64 = pending.iter().map(|part| part.to - part.from).sum();
    let mut message = format!(
        "{records} records in {} partitions had not reached their level at the deadline of the \
         close; they are in the log and may still do so:",
        pending.len(),
    );
    for Pending { place, from, to } in pending.iter().take(NAMED) {
        message += &format!(" {place} offsets {from}..{to};");
    }
    if pending.len() > NAMED {
        message += &format!(" and {} more", pending.len() - NAMED);
    }
    let named = error.because(ErrorKind::DeliveryTimeout, message);
    named.with_partition(&first.place).with_offset(first.from)
}

fn find(routes: &Routes) -> Vec<Pending> {
    let mut pending = Vec::new();
    for entry in routes.entries() {
        for (number, door) in (0..).zip(&entry.route.partitions) {
            let marks = door.marks();
            if marks.visible < marks.end && !entry.route.is_deleted() {
                let place = TopicPartition::new(Arc::clone(&entry.route.name), number);
                pending.push(Pending { place, from: marks.visible, to: marks.end });
            }
        }
    }
    pending.sort_by(|a, b| a.place.cmp(&b.place));
    // A topic that has grown was met once more.
    pending.dedup_by(|a, b| a.place == b.place);
    pending
}
