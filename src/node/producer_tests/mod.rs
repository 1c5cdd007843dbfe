//! Producers with ids and transactions, as a partition of a log keeps them.

pub(super) mod bed;
mod compacting;
mod crashes;
mod numbered;
mod reading;
mod reopening;
mod transactions;
