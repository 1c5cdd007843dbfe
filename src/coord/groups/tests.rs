//! The coordinator's promises.
