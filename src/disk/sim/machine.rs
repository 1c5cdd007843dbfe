//! The machine behind a simulated disk: its files, its names, its space and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::content::Content;
use super::fault::{Fault, Operation, Plan, power_is_off};
use super::inode::Inode;
use super::names::{Names, Node};
use super::rng::{Dice, PowerCut, Rng};
use crate::disk::memory::{file_name, key};
use crate::disk::{Entry, Span};

/// Everything that a simulated process shares with its simulated operating system.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) plan: Plan,
    pub(super) is_off: bool,
    /// How many bytes all files together may take.
    pub(super) space: u64,
    pub(super) maps: bool,
    pub(super) boot_id: u128,
    pub(super) locked: BTreeSet<PathBuf>,
    names: Names,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
}

impl Machine {
    pub(super) fn new() -> Machine {
        Machine {
            plan: Plan::default(),
            is_off: false,
            space: u64::MAX,
            maps: true,
            boot_id: 1,
            locked: BTreeSet::new(),
            names: Names::default(),
            inodes: BTreeMap::new(),
            next_inode: 0,
        }
    }

    /// Counts an operation and lets it happen, fail, or be the last one.
    pub(super) fn perform<T>(
        &mut self,
        operation: Operation,
        path: &Path,
        body: impl FnOnce(&mut Machine, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.is_off {
            return Err(power_is_off());
        }
        let verdict = self.plan.begin(operation, path);
        if verdict.crash {
            // In the middle of a write is a moment too.
            if let (Operation::Write, Some(Fault::ShortWrite(_))) = (operation, verdict.fault) {
                let _ = body(self, verdict.fault);
            }
            self.turn_off();
            return Err(power_is_off());
        }
        match (operation, verdict.fault) {
            (Operation::Write, Some(Fault::ShortWrite(_)))
            | (Operation::Sync | Operation::SyncDir | Operation::SyncAll, Some(_))
            | (_, None) => body(self, verdict.fault),
            (_, Some(fault)) => Err(fault.error()),
        }
    }

    /// The end of the process: files keep what was stored to their memory up to now.
    pub(super) fn turn_off(&mut self) {
        if !self.is_off {
            self.inodes.values_mut().for_each(Inode::freeze);
            self.is_off = true;
        }
    }

    /// The machine after the death of the process.
    pub(super) fn after_kill(&mut self) -> Machine {
        self.turn_off();
        let inodes = self.inodes.iter().map(|(number, inode)| {
            let content = inode.content.clone();
            (*number, Inode::with(content, inode.path.clone(), inode.linked, inode.space))
        });
        let inodes = inodes.collect();
        self.successor(self.boot_id, self.names.clone(), inodes)
    }

    /// The machine after the power went off and came back.
    pub(super) fn after_power_cut(&mut self, cut: PowerCut) -> Machine {
        self.turn_off();
        let mut dice = Dice::new(cut);
        let names = self.names.after_power_cut(&mut dice);
        let linked = names.files();
        let mut inodes = BTreeMap::new();
        for (number, inode) in &self.inodes {
            let image = inode.content.after_power_cut(&mut dice);
            let space = inode.space.min(image.len);
            let linked = linked.contains(number);
            let inode = Inode::with(Content::settled(image), inode.path.clone(), linked, space);
            inodes.insert(*number, inode);
        }
        let mut rng = Rng::new(self.boot_id as u64);
        let boot_id = u128::from(rng.next()) << 64 | u128::from(rng.next());
        self.successor(boot_id, names, inodes)
    }

    fn successor(&self, boot_id: u128, names: Names, inodes: BTreeMap<u64, Inode>) -> Machine {
        let (space, maps, next_inode) = (self.space, self.maps, self.next_inode);
        let mut next =
            Machine { space, maps, boot_id, names, inodes, next_inode, ..Machine::new() };
        next.forget_lost_files();
        // A file found under two names, or under the older one, answers to what is there.
        let all: Vec<_> = next.names.below(Path::new("")).map(|(k, n)| (k.clone(), n)).collect();
        for (key, node) in all {
            if let Some(inode) = next.inode_of(node) {
                inode.path = key;
            }
        }
        next
    }

    /// Drops files that no name, handle or power cut leads to any more.
    pub(super) fn forget_lost_files(&mut self) {
        let named = self.names.files();
        self.inodes.retain(|number, inode| inode.is_used() || named.contains(number));
    }

    pub(super) fn drop_caches(&mut self) {
        for inode in self.inodes.values_mut().filter(|inode| !inode.is_mapped()) {
            // An old memory's content must not come back over what is read from the disk.
            if inode.detach().is_ok() {
                inode.content.drop_caches();
            }
        }
    }

    /// How many bytes all files take.
    pub(super) fn used(&self) -> u64 {
        self.inodes.values().filter(|inode| inode.is_used()).map(|inode| inode.space).sum()
    }

    /// How far a file may reach without taking more space than there is.
    pub(super) fn reach(&self, number: u64) -> u64 {
        if self.space == u64::MAX {
            return u64::MAX;
        }
        let own = self.inodes.get(&number).map_or(0, |inode| inode.space);
        own + self.space.saturating_sub(self.used())
    }

    /// The file of an open handle.
    pub(super) fn inode(&mut self, number: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode_of(&mut self, node: Node) -> Option<&mut Inode> {
        if let Node::File(number) = node { self.inodes.get_mut(&number) } else { None }
    }

    /// The number of the file of this name.
    pub(super) fn lookup(&self, key: &Path) -> io::Result<u64> {
        match self.names.get(key) {
            Some(Node::File(number)) => Ok(number),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn check_dir(&self, key: &Path) -> io::Result<()> {
        match self.names.get(key) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn check_parent(&self, key: &Path) -> io::Result<()> {
        self.check_dir(key.parent().ok_or(io::ErrorKind::InvalidInput)?)
    }

    pub(super) fn create_dir(&mut self, key: PathBuf) -> io::Result<()> {
        match self.names.get(&key) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                self.check_parent(&key)?;
                self.names.create(key, Node::Dir);
                Ok(())
            }
        }
    }

    pub(super) fn create(&mut self, key: PathBuf) -> io::Result<u64> {
        if self.names.get(&key).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.check_parent(&key)?;
        let number = self.new_inode(&key, Content::default(), 0);
        self.names.create(key, Node::File(number));
        Ok(number)
    }

    fn new_inode(&mut self, key: &Path, content: Content, space: u64) -> u64 {
        let number = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(number, Inode::with(content, key.to_path_buf(), true, space));
        number
    }

    pub(super) fn entry(&self, key: &Path) -> Option<Entry> {
        let (is_dir, len) = match self.names.get(key)? {
            Node::Dir => (true, 0),
            Node::File(number) => {
                (false, self.inodes.get(&number).map_or(0, |inode| inode.content.live().len))
            }
        };
        Some(Entry { name: file_name(key), is_dir, len })
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.check_dir(dir)?;
        let inside = self.names.below(dir).filter(|(key, _)| key.parent() == Some(dir));
        Ok(inside.filter_map(|(key, _)| self.entry(key)).collect())
    }

    pub(super) fn rename(&mut self, from: PathBuf, to: PathBuf) -> io::Result<()> {
        let number = self.lookup(&from)?;
        self.check_parent(&to)?;
        match self.names.get(&to) {
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::File(same)) if same == number => return Ok(()),
            Some(Node::File(replaced)) => self.unlink(replaced, &to)?,
            None => {}
        }
        self.inode(number)?.path.clone_from(&to);
        self.names.rename(from, to, Node::File(number));
        Ok(())
    }

    pub(super) fn remove(&mut self, key: PathBuf) -> io::Result<()> {
        let number = self.lookup(&key)?;
        self.unlink(number, &key)?;
        self.names.remove(key, Node::File(number));
        Ok(())
    }

    /// The name `key` of a file is about to go: it may have another.
    fn unlink(&mut self, number: u64, key: &Path) -> io::Result<()> {
        let other = self.names.other_than(Node::File(number), key);
        let inode = self.inode(number)?;
        inode.linked = other.is_some();
        if let Some(other) = other {
            inode.path = other;
        }
        Ok(())
    }

    pub(super) fn hard_link(&mut self, from: &Path, to: PathBuf) -> io::Result<()> {
        let number = self.lookup(from)?;
        if self.names.get(&to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.check_parent(&to)?;
        self.names.create(to, Node::File(number));
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, key: PathBuf) -> io::Result<()> {
        self.check_dir(&key)?;
        if self.names.below(&key).nth(1).is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.names.remove(key, Node::Dir);
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, key: &Path, fault: Option<Fault>) -> io::Result<()> {
        self.check_dir(key)?;
        if let Some(fault) = fault {
            self.names.fail_sync(key);
            return Err(fault.error());
        }
        self.names.sync(key);
        self.forget_lost_files();
        Ok(())
    }

    /// Syncs every file and every directory.
    pub(super) fn sync_all(&mut self, fault: Option<Fault>) -> io::Result<()> {
        for inode in self.inodes.values_mut() {
            inode.absorb()?;
            if fault.is_some() { inode.content.fail_sync() } else { inode.content.sync() }
        }
        let all = self.names.below(Path::new("")).map(|(key, node)| (key.clone(), node));
        let dirs = all.filter(|(_, node)| matches!(node, Node::Dir)).map(|(key, _)| key);
        for dir in dirs.chain([PathBuf::new()]).collect::<Vec<_>>() {
            self.sync_dir(&dir, fault)
                .or_else(|error| if fault.is_some() { Ok(()) } else { Err(error) })?;
        }
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    pub(super) fn map_shared(&mut self, number: u64, len: usize) -> io::Result<Span> {
        if !self.maps {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let len = len as u64;
        if len == 0 || self.inode(number)?.content.live().len != len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // A store into a hole of a full disk would be a signal.
        if self.reach(number) < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = self.inode(number)?;
        let span = inode.map_shared()?;
        inode.space = inode.space.max(len);
        Ok(span)
    }

    /// Puts a file there as if it had always been there.
    pub(super) fn plant(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let key = key(path)?.into_owned();
        let (content, space) = (Content::of(bytes), bytes.len() as u64);
        if let Ok(number) = self.lookup(&key) {
            let inode = self.inode(number)?;
            inode.detach()?;
            (inode.content, inode.space) = (content, space);
            self.names.plant(&key, Node::File(number));
            return Ok(());
        }
        let number = self.new_inode(&key, content, space);
        self.names.plant(&key, Node::File(number));
        Ok(())
    }

    /// Takes a file away as if it had never been there.
    pub(super) fn uproot(&mut self, path: &Path) -> io::Result<()> {
        let key = key(path)?.into_owned();
        let number = self.lookup(&key)?;
        self.unlink(number, &key)?;
        self.names.uproot(&key);
        self.forget_lost_files();
        Ok(())
    }

    /// The files of all directories.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let all = self.names.below(Path::new(""));
        let files = all.filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(key, _)| Path::new("/").join(key)).collect()
    }
}
