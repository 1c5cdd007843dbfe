//! The simulated directory tree: names now, and names after a power cut.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::rng::Dice;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    /// The number of a file, which is never used again.
    File(u64),
}

type Table = BTreeMap<PathBuf, Node>;

#[derive(Clone, Debug)]
enum Operation {
    Create(PathBuf),
    Remove(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
}

/// An operation that no `sync_dir` has made durable.
#[derive(Clone, Debug)]
struct Change {
    operation: Operation,
    node: Node,
    /// A `sync_dir` failed over it: no later one proves anything about it.
    doubtful: bool,
}

impl Change {
    fn is_in(&self, dir: &Path) -> bool {
        self.paths().any(|path| path.parent() == Some(dir))
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let (one, other) = match &self.operation {
            Operation::Create(path) | Operation::Remove(path) => (path, None),
            Operation::Rename { from, to } => (from, Some(to)),
        };
        std::iter::once(one).chain(other)
    }

    /// Does to `table` what the operation does to a directory, whether or not the operations
    /// before it happened. A rename is one step, as file systems promise.
    fn apply(&self, table: &mut Table) {
        match &self.operation {
            Operation::Create(path) => {
                table.insert(path.clone(), self.node);
            }
            Operation::Remove(path) => self.clear(table, path),
            Operation::Rename { from, to } => {
                self.clear(table, from);
                table.insert(to.clone(), self.node);
            }
        }
    }

    fn clear(&self, table: &mut Table, path: &Path) {
        if table.get(path) == Some(&self.node) {
            table.remove(path);
        }
    }
}

/// All names of a simulated disk. The root has none and is always there.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    live: Table,
    durable: Table,
    changes: Vec<Change>,
}

impl Names {
    pub(super) fn get(&self, key: &Path) -> Option<Node> {
        if key.as_os_str().is_empty() { Some(Node::Dir) } else { self.live.get(key).copied() }
    }

    /// The names that begin with `dir`, at any depth.
    pub(super) fn below(&self, dir: &Path) -> impl Iterator<Item = (&PathBuf, Node)> {
        let names = self.live.range(dir.to_path_buf()..);
        names.take_while(move |(key, _)| key.starts_with(dir)).map(|(key, node)| (key, *node))
    }

    /// Another name than `key` of the same file.
    pub(super) fn other_than(&self, node: Node, key: &Path) -> Option<PathBuf> {
        let mut names = self.live.iter().filter(|(name, other)| **other == node && *name != key);
        names.next().map(|(name, _)| name.clone())
    }

    pub(super) fn create(&mut self, key: PathBuf, node: Node) {
        self.change(Operation::Create(key), node);
    }

    pub(super) fn remove(&mut self, key: PathBuf, node: Node) {
        self.change(Operation::Remove(key), node);
    }

    pub(super) fn rename(&mut self, from: PathBuf, to: PathBuf, node: Node) {
        self.change(Operation::Rename { from, to }, node);
    }

    fn change(&mut self, operation: Operation, node: Node) {
        let change = Change { operation, node, doubtful: false };
        change.apply(&mut self.live);
        self.changes.push(change);
    }

    /// Makes a name, and the directories above it, as if they had always been there.
    pub(super) fn plant(&mut self, key: &Path, node: Node) {
        for dir in key.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
            self.live.insert(dir.to_path_buf(), Node::Dir);
            self.durable.insert(dir.to_path_buf(), Node::Dir);
        }
        self.live.insert(key.to_path_buf(), node);
        self.durable.insert(key.to_path_buf(), node);
    }

    /// Takes a name away as if it had never been there.
    pub(super) fn uproot(&mut self, key: &Path) {
        self.live.remove(key);
        self.durable.remove(key);
        self.changes.retain(|change| change.paths().all(|path| path != key));
    }

    /// Makes what happened in `dir` durable.
    pub(super) fn sync(&mut self, dir: &Path) {
        let mut kept: Vec<Change> = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            if change.doubtful || !change.is_in(dir) {
                kept.push(change);
                continue;
            }
            change.apply(&mut self.durable);
            // A proven later operation on a name ends the doubt about earlier ones.
            kept.retain(|old| {
                !(old.doubtful && change.paths().any(|p| old.paths().any(|q| p == q)))
            });
        }
        self.changes = kept;
    }

    /// Nobody will ever know what of `dir` is on the disk.
    pub(super) fn fail_sync(&mut self, dir: &Path) {
        for change in self.changes.iter_mut().filter(|change| change.is_in(dir)) {
            change.doubtful = true;
        }
    }

    /// What is there after a power cut. Whatever lost a directory above it is lost too.
    pub(super) fn after_power_cut(&self, dice: &mut Dice) -> Names {
        dice.reroll();
        let mut table = self.durable.clone();
        for change in &self.changes {
            if dice.happened() {
                change.apply(&mut table);
            }
        }
        let all = table.clone();
        let is_dir = |dir: &Path| dir.as_os_str().is_empty() || all.get(dir) == Some(&Node::Dir);
        table.retain(|key, _| key.ancestors().skip(1).all(is_dir));
        Names { live: table.clone(), durable: table, changes: Vec::new() }
    }

    /// Every file that has a name, or may have one again after a power cut.
    pub(super) fn files(&self) -> BTreeSet<u64> {
        let tables = self.live.values().chain(self.durable.values());
        let nodes = tables.chain(self.changes.iter().map(|change| &change.node));
        nodes
            .filter_map(|node| if let Node::File(number) = node { Some(*number) } else { None })
            .collect()
    }
}
