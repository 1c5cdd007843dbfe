//! What a pass knows of transactions and producers (A56 to A58).

use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::log::producers::{AbortedTxn, Producers};

/// How a pass deals with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Its records count, and go when newer ones come.
    Plain,
    /// It was aborted: its records go, and make no others obsolete.
    Aborted,
    /// It ends a transaction, and stays as it is.
    Marker,
}

/// The aborted transactions of a partition, as far as a pass may meet their records: all that
/// stands below the last stable offset is decided.
#[derive(Clone, Debug)]
pub(super) struct Aborted(Arc<[AbortedTxn]>);

impl Aborted {
    pub(super) fn new(mut all: Vec<AbortedTxn>) -> Self {
        all.sort_unstable_by_key(|txn| (txn.producer, txn.first));
        Self(all.into())
    }

    pub(super) fn treatment(&self, header: &BatchHeader) -> Treatment {
        if header.attributes.is_control() {
            return Treatment::Marker;
        }
        if !header.attributes.is_transactional() {
            return Treatment::Plain;
        }
        let key = (header.producer_id, header.base_offset);
        let behind = self.0.partition_point(|txn| (txn.producer, txn.first) <= key);
        let txn = behind.checked_sub(1).and_then(|at| self.0.get(at));
        if txn.is_some_and(|txn| txn.covers(header)) {
            Treatment::Aborted
        } else {
            Treatment::Plain
        }
    }
}

/// Whether the header of a batch stays although no record does: it is its producer's last one,
/// whose sequence numbers go on behind it. Without `producers` that is not known, and it stays.
pub(super) fn keeps_header(header: &BatchHeader, producers: Option<&Producers>) -> bool {
    if header.producer_id < 0 {
        return false;
    }
    let Some(producers) = producers else { return true };
    let last = producers.get(header.producer_id).and_then(|producer| producer.last_offset());
    last.is_some_and(|last| (header.base_offset..header.next_offset()).contains(&last))
}
