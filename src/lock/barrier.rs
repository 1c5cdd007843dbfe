//! A memory barrier of which one side costs nothing: the other side pays for both.
//!
//! Two threads each store a word and then load the other's. That at least one of them sees what the
//! other has stored needs a full barrier between store and load on *both* sides, some 5 ns each. Here
//! the frequent side runs [`light`], which only keeps the compiler from exchanging the two; the rare
//! side runs [`heavy`], which has the kernel run a full barrier on every processor that runs a thread
//! of this process (`membarrier(2)`). Wherever the frequent thread is just then, its store is either
//! before that barrier and seen, or its load is behind it and sees.
//!
//! Where the kernel has no such call, [`is_ready`] is never true and nobody relies on any of this.

#[cfg(not(alluvium_loom))]
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(not(alluvium_loom))]
const UNKNOWN: u8 = 0;
#[cfg(not(alluvium_loom))]
const READY: u8 = 1;
#[cfg(not(alluvium_loom))]
const MISSING: u8 = 2;

#[cfg(not(alluvium_loom))]
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Asks the kernel for the call, once in a process. In one that has threads already this may take
/// some milliseconds: not to be called under a lock, nor where somebody waits.
pub fn prepare() {
    #[cfg(not(alluvium_loom))]
    if STATE.load(Ordering::Acquire) == UNKNOWN {
        let state = if system::register() { READY } else { MISSING };
        STATE.store(state, Ordering::Release);
    }
}

/// Whether [`heavy`] works.
#[cfg(not(alluvium_loom))]
pub(super) fn is_ready() -> bool {
    STATE.load(Ordering::Relaxed) == READY
}

/// The side of a thread that is here very often: between its store and its load.
#[cfg(not(alluvium_loom))]
#[inline(always)]
pub(super) fn light() {
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// The side that pays, between its store and its load.
#[cfg(not(alluvium_loom))]
pub(super) fn heavy() {
    std::sync::atomic::fence(Ordering::SeqCst);
    if !system::barrier_everywhere() {
        // The process has taken the call away from itself after the log was opened. From now on
        // nobody relies on it. A store that is under way reaches the other processors within
        // nanoseconds, whatever runs there; this waits a million of them.
        STATE.store(MISSING, Ordering::Release);
        pause(std::time::Duration::from_millis(1));
    }
    std::sync::atomic::fence(Ordering::SeqCst);
}

/// Gives the processor away for a while.
#[cfg(not(alluvium_loom))]
pub(super) fn pause(time: std::time::Duration) {
    use crate::base::SystemClock;
    use crate::base::wait::{Deadline, Parker};

    Parker::new().park(&SystemClock, &Deadline::after(&SystemClock, time));
}

#[cfg(all(not(alluvium_loom), not(miri), any(target_os = "linux", target_os = "android")))]
mod system {
    use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

    pub fn register() -> bool {
        membarrier_query().contains(MembarrierQuery::PRIVATE_EXPEDITED)
            && membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
    }

    pub fn barrier_everywhere() -> bool {
        membarrier(MembarrierCommand::PrivateExpedited).is_ok()
    }
}

#[cfg(all(not(alluvium_loom), any(miri, not(any(target_os = "linux", target_os = "android")))))]
mod system {
    pub fn register() -> bool {
        false
    }

    pub fn barrier_everywhere() -> bool {
        false
    }
}

#[cfg(alluvium_loom)]
pub(super) use model::{heavy, is_ready, light};

/// What the pair means, for the model checker: a full barrier on both sides.
#[cfg(alluvium_loom)]
mod model {
    use crate::base::sync::Ordering;

    pub(in crate::lock) fn is_ready() -> bool {
        true
    }

    pub(in crate::lock) fn light() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }

    pub(in crate::lock) fn heavy() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}
