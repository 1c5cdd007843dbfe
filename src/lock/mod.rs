//! Floor 1: a lock for what mostly one thread takes, and takes very often.

#![deny(clippy::undocumented_unsafe_blocks)]

mod barrier;
mod biased;
#[cfg(test)]
mod tests;

pub use barrier::prepare;
pub use biased::Biased;
