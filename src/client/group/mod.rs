//! A consumer as a member of a group: what it is told, what it lets go of, what it commits.

mod async_commits;
mod auto_commit;
mod committed;
mod holdings;
mod listener;
mod membership;
mod metadata;
mod rebalance;
mod settings;

pub use committed::OffsetAndMetadata;
pub use listener::{Rebalance, RebalanceListener};
pub use metadata::GroupMetadata;

pub(super) use holdings::context;
pub(super) use membership::{Membership, Parts};
pub(super) use settings::GroupSettings;
