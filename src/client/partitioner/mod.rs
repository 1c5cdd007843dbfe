//! Which partition a record goes to: named, by key, sticky, in turn, or as the program says.

mod custom;
mod murmur2;
mod random;
mod sticky;
mod strategy;

pub use custom::Partitioner;

pub(super) use murmur2::partition_of;
pub(super) use random::Random;
pub(super) use sticky::{Produced, Sticky};
pub(super) use strategy::{Chosen, Strategy, Turns};
