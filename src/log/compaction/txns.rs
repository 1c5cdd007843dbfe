//! What a pass knows of transactions and producers (A56 to A58).

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::{Batch, BatchHeader, Control, Damage};
use crate::log::producers::{AbortedTxn, Producers};

/// How a pass deals with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Its records count, and go when newer ones come.
    Plain,
    /// It was aborted: its records go, and make no others obsolete.
    Aborted,
    /// It ends a transaction, and goes some time after that transaction's records.
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

/// What a pass has left of transactions so far, in front of where it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Remains {
    /// The last offset of each producer that has something left.
    last: HashMap<i64, u64>,
}

impl Remains {
    /// Something of a batch stays.
    pub(super) fn note(&mut self, header: &BatchHeader) {
        if header.attributes.is_transactional() && !header.attributes.is_control() {
            self.last.insert(header.producer_id, header.next_offset().saturating_sub(1));
        }
    }

    /// Whether something is left of the transaction that this marker ends. What is no marker of a
    /// transaction is not ours to judge: it counts as needed.
    pub(super) fn needs(&self, marker: &Batch) -> Result<bool, Damage> {
        let header = &marker.header;
        let Some(control) = Control::decode(header.attributes, &marker.payload)? else {
            return Ok(header.count > 0);
        };
        let last = self.last.get(&header.producer_id);
        Ok(control.first_offset.zip(last).is_some_and(|(first, last)| *last >= first))
    }
}

/// Whether the header of a batch stays although no record does: it is its producer's last one,
/// whose sequence numbers go on behind it, or its last marker, by which its epoch is known. Without
/// `producers` that is not known, and it stays.
pub(super) fn keeps_header(header: &BatchHeader, producers: Option<&Producers>) -> bool {
    if header.producer_id < 0 {
        return false;
    }
    let Some(producers) = producers else { return true };
    let Some(producer) = producers.get(header.producer_id) else { return false };
    let last = match header.attributes.is_control() {
        true => producer.last_marker.map(|marker| marker.offset),
        false => producer.last_offset(),
    };
    last.is_some_and(|last| (header.base_offset..header.next_offset()).contains(&last))
}
