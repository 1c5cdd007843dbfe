//! A topic as clients see it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::base::TopicId;

use super::PartitionBackend;

const LIVE: u8 = 0;
const REPLACED: u8 = 1;
const DELETED: u8 = 2;

/// A topic as clients see it: its name and one door per partition.
///
/// A route never changes. A topic that gets more partitions gets a new route, which shares the
/// doors of the old one; the old one says so, and goes on leading to the partitions that it has.
pub struct TopicRoute {
    /// The topic's name.
    pub name: Arc<str>,
    /// The topic's identity.
    pub id: TopicId,
    /// One door per partition, by number.
    pub partitions: Box<[Arc<dyn PartitionBackend>]>,
    state: AtomicU8,
    topic: Arc<Lineage>,
}

/// What all routes of one topic share. It does not keep the newest alive: whoever serves the
/// topic does, and a chain of routes would hold the doors of all of them.
#[derive(Default)]
struct Lineage {
    deleted: AtomicBool,
    newest: Mutex<Weak<TopicRoute>>,
}

impl TopicRoute {
    /// The first route of a topic.
    pub fn new(
        name: Arc<str>,
        id: TopicId,
        partitions: impl IntoIterator<Item = Arc<dyn PartitionBackend>>,
    ) -> Arc<Self> {
        let (partitions, topic) = (partitions.into_iter().collect(), Arc::default());
        Arc::new(Self { name, id, partitions, state: AtomicU8::new(LIVE), topic })
    }

    /// The route that is to follow this one, with these partitions more.
    pub fn grown(&self, more: impl IntoIterator<Item = Arc<dyn PartitionBackend>>) -> Arc<Self> {
        Arc::new(Self {
            name: Arc::clone(&self.name),
            id: self.id,
            partitions: self.partitions.iter().cloned().chain(more).collect(),
            state: AtomicU8::new(LIVE),
            topic: Arc::clone(&self.topic),
        })
    }

    /// From now on `newer` is the topic's route.
    pub fn replace_by(&self, newer: &Arc<Self>) {
        *self.topic.newest.lock() = Arc::downgrade(newer);
        self.state.store(REPLACED, Ordering::Release);
    }

    /// The topic is gone, and so are all its routes. To be called on the newest one.
    pub fn delete(&self) {
        self.topic.deleted.store(true, Ordering::Release);
        self.state.store(DELETED, Ordering::Release);
    }

    /// Whether the topic still has this route: it is not deleted, and has not grown since.
    pub fn is_live(&self) -> bool {
        self.state.load(Ordering::Acquire) == LIVE
    }

    /// Whether the topic was deleted after this route was resolved.
    pub fn is_deleted(&self) -> bool {
        // Only the newest route is told; one that was replaced asks for the topic.
        !self.is_live() && self.topic.deleted.load(Ordering::Acquire)
    }

    /// The topic's route of now; this one, if it is deleted or nobody serves it any more.
    pub fn newest(self: &Arc<Self>) -> Arc<Self> {
        if self.is_live() {
            return Arc::clone(self);
        }
        let newest = self.topic.newest.lock().upgrade();
        newest.unwrap_or_else(|| Arc::clone(self))
    }
}

impl fmt::Debug for TopicRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicRoute")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("partitions", &self.partitions.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_route_leads_to_the_newest_and_learns_of_a_deletion() {
        let first = TopicRoute::new("t".into(), TopicId(1), []);
        assert!(first.is_live() && Arc::ptr_eq(&first.newest(), &first));
        let second = first.grown([]);
        first.replace_by(&second);
        let third = second.grown([]);
        second.replace_by(&third);
        for old in [&first, &second] {
            assert!(!old.is_live() && !old.is_deleted());
            assert!(Arc::ptr_eq(&old.newest(), &third));
        }
        third.delete();
        for route in [&first, &second, &third] {
            assert!(!route.is_live() && route.is_deleted());
        }
        drop(third);
        assert!(Arc::ptr_eq(&first.newest(), &first), "nobody serves a newer one");
    }
}
