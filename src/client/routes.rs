//! The topics that a producer has met: found again without a lock or an allocation.
//!
//! Entries are only ever added, so a reference to one lives as long as the table: that is
//! how a delivery borrows the partition that it waits for.

use std::sync::{Arc, OnceLock};

use crate::backend::{Backend, PartitionBackend, TopicRoute};
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::numbering::Numbers;
use super::partitioner::{Random, Sticky, Turns};
use super::record::Target;
use super::topic::Topic;

/// A topic that was met, and where its next record without a key goes.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) route: Arc<TopicRoute>,
    pub(super) sticky: Sticky,
    pub(super) turns: Turns,
    pub(super) numbers: Arc<Numbers>,
}

impl Entry {
    pub(super) fn partition_count(&self) -> u32 {
        u32::try_from(self.route.partitions.len()).unwrap_or(u32::MAX)
    }
}

/// The door of a partition; the error names the partition and how many there are (B01).
pub(super) fn door(route: &TopicRoute, partition: u32) -> Result<&Arc<dyn PartitionBackend>> {
    let index = usize::try_from(partition).unwrap_or(usize::MAX);
    route.partitions.get(index).ok_or_else(|| no_such_partition(route, partition))
}

#[cold]
fn no_such_partition(route: &TopicRoute, partition: u32) -> Error {
    let count = route.partitions.len();
    let message = format!("there is no partition {partition}: the topic has {count}, from 0");
    Error::new(ErrorKind::UnknownTopicOrPartition, message)
        .with_partition(&TopicPartition::new(Arc::clone(&route.name), partition))
}

/// The topics that a producer has met, by name and by identity.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_name: Trie,
    by_id: Trie,
}

impl Routes {
    /// The entry of a record's topic, if it was met before.
    #[inline(always)]
    pub(super) fn known(&self, target: Target<'_>) -> Option<&Entry> {
        match target {
            Target::Name(name) => self.known_by_name(name),
            Target::Handle(topic) => self.known_by_id(topic),
        }
    }

    /// The entry of a record's topic, resolved at the first meeting.
    pub(super) fn entry(
        &self,
        target: Target<'_>,
        backend: &dyn Backend,
        random: &Random,
    ) -> Result<&Entry> {
        match target {
            Target::Name(name) => self.named(name, backend, random),
            Target::Handle(topic) => self.handled(topic, backend, random),
        }
    }

    /// Every topic that was met.
    pub(super) fn entries(&self) -> Vec<&Entry> {
        self.by_id.entries()
    }

    #[inline(never)]
    fn known_by_name(&self, name: &str) -> Option<&Entry> {
        self.by_name.find(hash(name.as_bytes()), is_named(name)).map(|entry| &**entry)
    }

    #[inline(always)]
    fn known_by_id(&self, topic: &Topic) -> Option<&Entry> {
        let id = topic.id();
        let wanted = |entry: &Entry| {
            let same = Arc::ptr_eq(&entry.route, topic.route()) || entry.route.id == id;
            same && entry.route.is_live()
        };
        self.by_id.find(id.0 as u64, wanted).map(|entry| &**entry)
    }

    fn named(&self, name: &str, backend: &dyn Backend, random: &Random) -> Result<&Entry> {
        if let Some(entry) = self.known_by_name(name) {
            return Ok(entry);
        }
        let entry = Arc::clone(self.admit(backend.resolve_or_create(name)?, random));
        Ok(self.by_name.insert(hash(name.as_bytes()), entry, is_named(name)))
    }

    fn handled(&self, topic: &Topic, backend: &dyn Backend, random: &Random) -> Result<&Entry> {
        if let Some(entry) = self.known_by_id(topic) {
            return Ok(entry);
        }
        let id = topic.id();
        let resolved = backend.resolve(topic.name());
        if topic.route().is_deleted() {
            let message = format!("the topic {:?} of this handle was deleted", topic.name());
            let error = Error::new(ErrorKind::UnknownTopicOrPartition, message);
            return Err(error.with_topic(topic.name()));
        }
        let route = resolved?;
        if route.id != id {
            let message = format!("the handle of topic {:?} is of another log", topic.name());
            return Err(Error::new(ErrorKind::InvalidRequest, message).with_topic(topic.name()));
        }
        Ok(self.admit(route, random))
    }

    fn admit(&self, route: Arc<TopicRoute>, random: &Random) -> &Arc<Entry> {
        let id = route.id;
        let count = u32::try_from(route.partitions.len()).unwrap_or(u32::MAX);
        let former = self.by_id.find(id.0 as u64, |entry| entry.route.id == id);
        let numbers = former.map_or_else(Arc::default, |entry| Arc::clone(&entry.numbers));
        let (sticky, turns) = (Sticky::new(count, random), Turns::default());
        let entry = Arc::new(Entry { route, sticky, turns, numbers });
        let wanted = |entry: &Entry| entry.route.id == id && entry.route.is_live();
        self.by_id.insert(id.0 as u64, entry, wanted)
    }
}

/// The entry of a topic that has grown or is deleted stays behind: there is a new route, or the
/// name may belong to a new topic.
fn is_named(name: &str) -> impl Fn(&Entry) -> bool {
    move |entry| *entry.route.name == *name && entry.route.is_live()
}

/// A hash trie that only grows: four children a node, two bits of the hash a level.
#[derive(Debug, Default)]
struct Trie {
    root: Link,
}

type Link = OnceLock<Box<Node>>;

#[derive(Debug)]
struct Node {
    entry: Arc<Entry>,
    children: [Link; 4],
}

impl Node {
    fn child(&self, hash: u64) -> &Link {
        let [a, b, c, d] = &self.children;
        match hash & 3 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        }
    }
}

impl Trie {
    #[inline(always)]
    fn find(&self, mut hash: u64, wanted: impl Fn(&Entry) -> bool) -> Option<&Arc<Entry>> {
        let mut slot = &self.root;
        while let Some(node) = slot.get() {
            if wanted(&node.entry) {
                return Some(&node.entry);
            }
            slot = node.child(hash);
            hash >>= 2;
        }
        None
    }

    fn entries(&self) -> Vec<&Entry> {
        let (mut entries, mut links) = (Vec::new(), vec![&self.root]);
        while let Some(link) = links.pop() {
            if let Some(node) = link.get() {
                entries.push(&*node.entry);
                links.extend(&node.children);
            }
        }
        entries
    }

    /// Adds `entry`, unless another thread has added a wanted one first: then returns that.
    fn insert(
        &self,
        mut hash: u64,
        entry: Arc<Entry>,
        wanted: impl Fn(&Entry) -> bool,
    ) -> &Arc<Entry> {
        let mut slot = &self.root;
        loop {
            let node = slot.get_or_init(|| {
                Box::new(Node { entry: Arc::clone(&entry), children: Default::default() })
            });
            if Arc::ptr_eq(&node.entry, &entry) || wanted(&node.entry) {
                return &node.entry;
            }
            slot = node.child(hash);
            hash >>= 2;
        }
    }
}

impl Drop for Trie {
    /// A topic recreated very often makes a long chain, too long for a recursive drop.
    fn drop(&mut self) {
        let mut nodes: Vec<_> = self.root.take().into_iter().collect();
        while let Some(mut node) = nodes.pop() {
            nodes.extend(node.children.iter_mut().filter_map(OnceLock::take));
        }
    }
}

/// Spreads names over the trie. Nothing stored depends on it.
fn hash(name: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = name.as_chunks::<8>();
    let tail = rest.iter().fold(name.len() as u64, |tail, byte| (tail << 8) ^ u64::from(*byte));
    let mixed = words.iter().fold(tail.wrapping_mul(K), |h, word| {
        (h.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(K)
    });
    mixed ^ (mixed >> 32)
}
