//! Who has asked for what of the background.

use std::sync::Arc;

use super::Partition;

/// Partitions that have asked for one thing. Each asks once, until it is done.
#[derive(Debug, Default)]
pub struct Asked {
    now: Vec<Arc<Partition>>,
    /// Those for which it failed: for a later pass, which nobody is woken for.
    later: Vec<Arc<Partition>>,
}

impl Asked {
    pub(super) fn ask(&mut self, partition: Arc<Partition>) {
        self.now.push(partition);
    }

    pub(super) fn ask_later(&mut self, partition: Arc<Partition>) {
        self.later.push(partition);
    }

    /// All of them; they are none of these any more.
    pub(super) fn take(&mut self) -> Vec<Arc<Partition>> {
        let later = std::mem::take(&mut self.later);
        let mut asked = std::mem::take(&mut self.now);
        asked.extend(later);
        asked
    }

    /// Whether nobody waits for a pass.
    pub(super) fn is_idle(&self) -> bool {
        self.now.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now.is_empty() && self.later.is_empty()
    }

    /// Leaves those that `kept` chooses.
    pub(super) fn retain(&mut self, kept: impl Fn(&Arc<Partition>) -> bool) {
        self.now.retain(&kept);
        self.later.retain(&kept);
    }

    pub(super) fn clear(&mut self) {
        self.now.clear();
        self.later.clear();
    }
}
