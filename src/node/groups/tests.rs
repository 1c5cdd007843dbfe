//! Groups over a whole log: membership, hand-over, commits, what an open finds again.

mod commits;
mod joining;
mod operating;
mod support;
