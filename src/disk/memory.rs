//! Files in memory, for logs that live as long as their process.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::{Disk, DiskFile, Entry, SharedMap, Span};

/// Files grow in pieces of this size; a piece itself takes only what was written of it.
const PIECE: usize = 64 * 1024;

/// A wrong position must end in an error, not in a huge table of pieces.
const MAX_LEN: u64 = 1 << 40;

/// A file system in memory. Empty and cheap when new; clones are handles of the same one.
///
/// Only the root exists: a directory must be created, in an existing one.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    tree: Arc<Mutex<Tree>>,
}

#[derive(Debug, Default)]
struct Tree {
    names: BTreeMap<PathBuf, Node>,
    locked: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
enum Node {
    Dir,
    File(Arc<MemoryFile>),
}

impl MemoryDisk {
    /// An empty file system.
    #[must_use]
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    fn file(&self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        self.tree.lock().file(&key(path)?)
    }
}

/// The path without its root and `.`, so that all spellings of a name are one.
///
/// # Errors
///
/// `InvalidInput` if it climbs: nothing here needs that.
pub(super) fn key(path: &Path) -> io::Result<Cow<'_, Path>> {
    if path.components().all(|component| matches!(component, Component::Normal(_))) {
        return Ok(Cow::Borrowed(path));
    }
    let mut key = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => key.push(name),
            Component::ParentDir => return Err(io::ErrorKind::InvalidInput.into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(Cow::Owned(key))
}

/// The last name of a key, as entries tell it.
pub(super) fn file_name(key: &Path) -> String {
    key.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Tree {
    fn is_dir(&self, key: &Path) -> bool {
        key.as_os_str().is_empty() || matches!(self.names.get(key), Some(Node::Dir))
    }

    /// Everything whose name begins with `dir`, which comes first.
    fn below<'t>(&'t self, dir: &'t Path) -> impl Iterator<Item = (&'t PathBuf, &'t Node)> {
        let names = self.names.range::<Path, _>((Bound::Included(dir), Bound::Unbounded));
        names.take_while(move |(name, _)| name.starts_with(dir))
    }

    fn check_parent(&self, key: &Path) -> io::Result<()> {
        match key.parent() {
            Some(parent) if self.is_dir(parent) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn file(&self, key: &Path) -> io::Result<Arc<MemoryFile>> {
        match self.names.get(key) {
            Some(Node::File(file)) => Ok(file.clone()),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create(&mut self, key: PathBuf) -> io::Result<Arc<MemoryFile>> {
        self.check_parent(&key)?;
        if self.names.contains_key(&key) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::default());
        self.names.insert(key, Node::File(file.clone()));
        Ok(file)
    }
}

impl Node {
    fn entry(&self, key: &Path) -> Entry {
        let (is_dir, len) = match self {
            Node::Dir => (true, 0),
            Node::File(file) => (false, file.content.read().len),
        };
        Entry { name: file_name(key), is_dir, len }
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let key = key(dir)?;
        let mut tree = self.tree.lock();
        if tree.is_dir(&key) {
            return Ok(());
        }
        tree.check_parent(&key)?;
        if tree.names.contains_key(&*key) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        tree.names.insert(key.into_owned(), Node::Dir);
        Ok(())
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        let key = key(path)?;
        if key.as_os_str().is_empty() {
            return Ok(Some(Node::Dir.entry(&key)));
        }
        Ok(self.tree.lock().names.get(&*key).map(|node| node.entry(&key)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let key = key(dir)?;
        let tree = self.tree.lock();
        if !tree.is_dir(&key) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let entries = tree.below(&key).filter(|(name, _)| name.parent() == Some(&key));
        Ok(entries.map(|(name, node)| node.entry(name)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.tree.lock().create(key(path)?.into_owned())?)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (key(from)?, key(to)?);
        let mut tree = self.tree.lock();
        let file = tree.file(&from)?;
        tree.check_parent(&to)?;
        if tree.is_dir(&to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        tree.names.remove(&*from);
        tree.names.insert(to.into_owned(), Node::File(file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let key = key(path)?;
        let mut tree = self.tree.lock();
        tree.file(&key)?;
        tree.names.remove(&*key);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (key(from)?, key(to)?);
        let mut tree = self.tree.lock();
        let file = tree.file(&from)?;
        tree.check_parent(&to)?;
        if tree.is_dir(&to) || tree.names.contains_key(&*to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        tree.names.insert(to.into_owned(), Node::File(file));
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let key = key(dir)?;
        let mut tree = self.tree.lock();
        match tree.names.get(&*key) {
            Some(Node::Dir) if tree.below(&key).nth(1).is_none() => {}
            Some(Node::Dir) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
            Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        tree.names.remove(&*key);
        Ok(())
    }

    fn split(&self, from: &Path, to: &Path) -> io::Result<Arc<dyn Disk>> {
        let (from, to) = (key(from)?, key(to)?);
        let mut tree = self.tree.lock();
        if !matches!(tree.names.get(&*from), Some(Node::Dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let taken: Vec<PathBuf> = tree.below(&from).map(|(name, _)| name.clone()).collect();
        let mut other = Tree::default();
        for name in taken {
            let inner = name.strip_prefix(&from).unwrap_or(&name);
            let new = if inner.as_os_str().is_empty() { to.to_path_buf() } else { to.join(inner) };
            let node = tree.names.remove(&name);
            other.names.extend(node.map(|node| (new, node)));
        }
        Ok(Arc::new(MemoryDisk { tree: Arc::new(Mutex::new(other)) }))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let known = self.tree.lock().is_dir(&key(dir)?);
        if known { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let key = key(path)?.into_owned();
        let mut tree = self.tree.lock();
        if !tree.names.contains_key(&key) {
            tree.create(key.clone())?;
        }
        if !tree.locked.insert(key.clone()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(LockGuard { tree: self.tree.clone(), key }))
    }

    /// A copy on the heap: nothing here outlives the process, so stores need not reach the file.
    fn map_shared(&self, path: &Path, len: usize) -> io::Result<SharedMap> {
        let file = self.file(path)?;
        let content = file.content.read();
        if content.len != len as u64 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut memory = Span::heap(len);
        content.read(memory.bytes_mut(), 0);
        drop(content);
        Ok(SharedMap { memory, file })
    }

    fn boot_id(&self) -> Option<u128> {
        None
    }
}

#[derive(Debug)]
struct LockGuard {
    tree: Arc<Mutex<Tree>>,
    key: PathBuf,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.tree.lock().locked.remove(&self.key);
    }
}

#[derive(Debug, Default)]
struct MemoryFile {
    content: RwLock<Content>,
}

/// What is not there, in the middle or at the end, reads as zeros up to `len`.
#[derive(Debug, Default)]
struct Content {
    len: u64,
    /// Each as long as what was written of it, at most [`PIECE`].
    pieces: Vec<Vec<u8>>,
    /// Instead of `pieces` once somebody asked for the whole as one: the same bytes, not twice.
    frozen: Option<Bytes>,
}

/// The piece of a position, and the position in it. Every file ends within [`MAX_LEN`].
fn place(position: u64) -> io::Result<(usize, usize)> {
    match usize::try_from(position / PIECE as u64) {
        Ok(index) if position <= MAX_LEN => Ok((index, (position % PIECE as u64) as usize)),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

impl Content {
    fn read(&self, buffer: &mut [u8], position: u64) -> usize {
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let mut rest = buffer.get_mut(..count).unwrap_or_default();
        let mut position = position;
        while !rest.is_empty() {
            let step = rest.len().min(PIECE - (position % PIECE as u64) as usize);
            let (now, later) = rest.split_at_mut(step);
            let source = self.source(position);
            let known = source.len().min(step);
            let (copied, zeros) = now.split_at_mut(known);
            copied.copy_from_slice(source.get(..known).unwrap_or_default());
            zeros.fill(0);
            position += step as u64;
            rest = later;
        }
        count
    }

    /// What is there from `position` on, in one piece.
    fn source(&self, position: u64) -> &[u8] {
        let found = match &self.frozen {
            Some(all) => usize::try_from(position).ok().and_then(|at| all.get(at..)),
            None => place(position)
                .ok()
                .and_then(|(index, at)| self.pieces.get(index).and_then(|piece| piece.get(at..))),
        };
        found.unwrap_or_default()
    }

    fn write(&mut self, mut bytes: &[u8], mut position: u64) -> io::Result<()> {
        self.thaw();
        while !bytes.is_empty() {
            let (index, at) = place(position)?;
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - at));
            if self.pieces.len() <= index {
                self.pieces.resize_with(index + 1, Vec::new);
            }
            if let Some(piece) = self.pieces.get_mut(index) {
                write_piece(piece, at, now);
            }
            position += now.len() as u64;
            self.len = self.len.max(position);
            bytes = later;
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let (index, at) = place(len)?;
        if len < self.len {
            self.thaw();
            self.pieces.truncate(index + 1);
            if let Some(piece) = self.pieces.get_mut(index) {
                piece.truncate(at);
            }
        }
        self.len = len;
        Ok(())
    }

    fn whole(&mut self, len: usize) -> io::Result<Bytes> {
        if self.len < len as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(all) = self.frozen.as_ref().filter(|all| all.len() >= len) {
            return Ok(all.slice(..len));
        }
        let mut all = vec![0; len];
        self.read(&mut all, 0);
        let all = Bytes::from(all);
        if self.len == len as u64 {
            self.pieces = Vec::new();
            self.frozen = Some(all.clone());
        }
        Ok(all)
    }

    /// Back to pieces, for a file that is written again after all.
    fn thaw(&mut self) {
        if let Some(all) = self.frozen.take() {
            self.pieces = all.chunks(PIECE).map(<[u8]>::to_vec).collect();
        }
    }
}

/// Writes into a piece, which grows to the end of `bytes`.
fn write_piece(piece: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if piece.len() < at {
        piece.resize(at, 0);
    }
    let (over, new) = bytes.split_at(bytes.len().min(piece.len() - at));
    if let Some(place) = piece.get_mut(at..at + over.len()) {
        place.copy_from_slice(over);
    }
    piece.extend_from_slice(new);
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.read().len)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        Ok(self.content.read().read(buffer, position))
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        let mut content = self.content.write();
        let mut position = position;
        for part in parts {
            content.write(part, position)?;
            position += part.len() as u64;
        }
        Ok(())
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        let end = position.checked_add(len);
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut content = self.content.write();
        let len = content.len.max(end);
        content.set_len(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.content.write().set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, len: usize) -> io::Result<Bytes> {
        self.content.write().whole(len)
    }
}

#[cfg(test)]
#[cfg(not(alluvium_loom))]
mod tests;
