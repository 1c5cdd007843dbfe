//! Transactions: which partitions belong together, and whether what they got counts.
//!
//! What was decided is a [`Registry`](registry::Registry), the replay of `__transaction_state`.
//! Who holds a transactional id now, and until when its transaction may be open, lives only as
//! long as the process ([`live`]). The [`Coordinator`](coordinator::Coordinator) puts both behind
//! one lock, before that of groups and those of partitions, and never holds it over a sync.
//!
//! Order of effects of a commit: records and offsets, durable where the transaction's level asks
//! for it; the decision, durable likewise; a marker to each partition; the record that all have
//! theirs. A crash before the decision is durable aborts, one after it commits: the next open
//! writes the markers that are missing before anybody reads ([`recover`]).

mod coordinator;
mod due;
mod end;
mod journal;
mod live;
mod names;
mod ongoing;
mod participants;
mod record;
mod recover;
mod registry;
mod ripening;
mod serve;
mod view;

pub use coordinator::Coordinator;
pub use live::TransactionOptions;
pub use recover::{Recovered, recover};
pub use view::{TransactionFilter, TransactionState, TransactionView};
