//! Transactions as programs hold them.

mod builder;
mod commit_error;
mod current;
mod open;
mod process;
mod producer;

pub use builder::TransactionalProducerBuilder;
pub use commit_error::CommitError;
pub(super) use current::Current;
pub use open::Transaction;
pub use process::Processed;
pub use producer::TransactionalProducer;
