//! What happened without anybody having asked, kept until somebody does.

use std::collections::VecDeque;

/// Events that are kept.
const ROOM: usize = 1_024;

/// Events until they are taken; the oldest go first.
#[derive(Debug)]
pub struct Events<T> {
    kept: VecDeque<T>,
    missed: u64,
}

impl<T> Default for Events<T> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), missed: 0 }
    }
}

impl<T> Events<T> {
    /// Something happened.
    pub fn push(&mut self, event: T) {
        if self.kept.len() == ROOM {
            self.kept.pop_front();
            self.missed += 1;
        }
        self.kept.push_back(event);
    }

    /// All since the last call; `missed` makes the event that tells how many were dropped.
    pub fn take(&mut self, missed: impl FnOnce(u64) -> T) -> Vec<T> {
        let dropped = std::mem::take(&mut self.missed);
        let told = (dropped > 0).then(|| missed(dropped));
        told.into_iter().chain(self.kept.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_their_number_is_told() {
        let mut events = Events::default();
        (0..ROOM as u64 + 3).for_each(|n| events.push(n));
        let taken = events.take(|missed| missed + 1_000_000);
        assert_eq!((taken[0], taken[1]), (1_000_003, 3));
        assert_eq!(taken.len(), ROOM + 1);
        assert!(events.take(|missed| missed).is_empty());
    }
}
