//! How much to fetch at once: little after a seek, more as long as reading goes on.

/// What a reader asks for once it has read on for a while: so much stays in the second-level
/// cache while its records are looked at.
const WIDEST: usize = 256 << 10;
/// What it asks for at its second fetch.
const SECOND: usize = 64 << 10;

/// The bytes of a partition's next fetch.
///
/// Whoever seeks may want a single record, so the first fetch asks for one batch. A poll that has
/// room for more fetches again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window(usize);

impl Default for Window {
    fn default() -> Self {
        Self(1)
    }
}

impl Window {
    /// What to ask for when `left` are allowed.
    pub(super) fn ask(self, left: usize) -> usize {
        self.0.min(left)
    }

    /// Takes note of what came of it; whether there is likely more.
    pub(super) fn note(&mut self, asked: usize, brought: usize) -> bool {
        let filled = brought >= asked.div_ceil(2);
        if filled {
            self.0 = self.0.saturating_mul(4).clamp(SECOND, WIDEST);
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_one_batch_and_grows_while_it_is_filled() {
        let mut window = Window::default();
        assert_eq!(window.ask(1 << 20), 1);
        assert!(window.note(1, 16 << 10));
        assert_eq!(window.ask(1 << 20), SECOND);
        assert_eq!(window.ask(100), 100, "never more than is allowed");
        assert!(!window.note(SECOND, 136), "the end is near: no reason to ask again");
        assert_eq!(window.ask(1 << 20), SECOND);
        assert!(window.note(SECOND, SECOND / 2));
        assert!(window.note(WIDEST, WIDEST));
        assert_eq!(window.ask(1 << 20), WIDEST);
    }
}
