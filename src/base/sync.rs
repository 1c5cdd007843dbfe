//! One switch between real primitives and a model checker's.
//!
//! Everything that takes part in publish-then-wake or pin-and-recycle imports
//! its atomics and its mutex from here, so that `--cfg alluvium_loom` swaps them all.

#[cfg(not(alluvium_loom))]
pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

#[cfg(alluvium_loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

#[cfg(not(alluvium_loom))]
pub use parking_lot::{Mutex, MutexGuard};

#[cfg(alluvium_loom)]
pub use self::model::Mutex;

#[cfg(alluvium_loom)]
pub use loom::sync::MutexGuard;

#[cfg(alluvium_loom)]
mod model {
    use loom::sync::MutexGuard;

    /// `loom`'s mutex behind `parking_lot`'s signatures.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// A mutex around `value`.
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        /// Waits for the mutex and takes it; a panic of another holder does not poison it.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }

        /// Takes it if nobody has it.
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}
