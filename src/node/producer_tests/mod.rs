//! Producers with ids and transactions, as a partition of a log keeps them.

mod bed;
mod crashes;
mod numbered;
mod reading;
mod reopening;
mod transactions;
