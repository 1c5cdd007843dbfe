//! Who may still look at a block: a count of pins and the end of its life in one atomic.

use crate::base::sync::{AtomicU64, Ordering};

/// Set once, when the block's memory is taken back. The other bits count pins.
///
/// A pin that comes too late raises the count for a moment, so the two must share a word: the
/// flag and the count are then seen in one order by everybody.
const DEAD: u64 = 1 << 63;

/// Live with a number of pins, or dead for ever.
///
/// The promise that `block.rs` builds on: between a successful [`try_pin`](Self::try_pin) and
/// its [`unpin`](Self::unpin), [`retire`](Self::retire) fails; after `retire` succeeded every
/// `try_pin` fails, and whatever was read under a pin was read before.
#[derive(Debug)]
pub(super) struct PinState(AtomicU64);

impl PinState {
    /// Live and without pins.
    pub(super) fn new() -> PinState {
        PinState(AtomicU64::new(0))
    }

    /// Adds a pin, unless the block is dead. A forgotten pin keeps the block alive for ever.
    pub(super) fn try_pin(&self) -> bool {
        // The count cannot reach the flag: that would take 2^63 forgotten pins.
        // Acquire: no read of the block may move up before the pin stands.
        if self.0.fetch_add(1, Ordering::Acquire) & DEAD == 0 {
            return true;
        }
        self.0.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Takes away a pin that `try_pin` gave.
    pub(super) fn unpin(&self) {
        // Release: every read under the pin stays above it. The pins of other readers in
        // between are read-modify-writes and so continue the release sequence to `retire`.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Ends the life of the block, unless somebody pins it.
    pub(super) fn retire(&self) -> bool {
        // Acquire: pairs with every `unpin`, so no store of the next owner moves up before a
        // reader's last read.
        self.0.compare_exchange(0, DEAD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
#[cfg(not(alluvium_loom))]
mod tests {
    use super::PinState;

    #[test]
    fn a_pinned_block_does_not_retire() {
        let pins = PinState::new();
        assert!(pins.try_pin());
        assert!(pins.try_pin());
        pins.unpin();
        assert!(!pins.retire());
        pins.unpin();
        assert!(pins.retire());
    }

    #[test]
    fn a_retired_block_takes_no_pin_and_retires_once() {
        let pins = PinState::new();
        assert!(pins.retire());
        assert!(!pins.try_pin());
        assert!(!pins.try_pin());
        assert!(!pins.retire());
    }
}

#[cfg(test)]
#[cfg(alluvium_loom)]
mod loom_tests {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU32, Ordering};
    use loom::thread;

    use super::PinState;

    /// The block's contents: 1 while it lives, 2 once the next owner wrote to it.
    struct Block {
        pins: PinState,
        content: AtomicU32,
    }

    fn block() -> Arc<Block> {
        Arc::new(Block { pins: PinState::new(), content: AtomicU32::new(1) })
    }

    fn read(block: &Block) {
        if block.pins.try_pin() {
            assert_eq!(block.content.load(Ordering::Relaxed), 1);
            block.pins.unpin();
        }
    }

    #[test]
    fn recycle_never_succeeds_under_a_pin() {
        loom::model(|| {
            let block = block();
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let block = block.clone();
                    thread::spawn(move || read(&block))
                })
                .collect();
            if block.pins.retire() {
                block.content.store(2, Ordering::Relaxed);
            }
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }

    #[test]
    fn pin_never_succeeds_after_recycle() {
        loom::model(|| {
            let block = block();
            let recycled = Arc::new(AtomicU32::new(0));
            let other = (block.clone(), recycled.clone());
            let reader = thread::spawn(move || {
                let (block, recycled) = other;
                let was_recycled = recycled.load(Ordering::Acquire) == 1;
                let pinned = block.pins.try_pin();
                assert!(!(was_recycled && pinned));
                if pinned {
                    block.pins.unpin();
                }
            });
            if block.pins.retire() {
                recycled.store(1, Ordering::Release);
            }
            reader.join().unwrap();
            // A refused pin leaves no trace, and a refused recycle is possible again.
            assert_eq!(block.pins.retire(), recycled.load(Ordering::Relaxed) == 0);
        });
    }
}
