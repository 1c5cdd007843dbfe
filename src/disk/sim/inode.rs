//! One simulated file, whatever its names.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::content::{Content, SECTOR};
use crate::disk::Span;
use crate::disk::map::Anonymous;

/// Memory is compared with what was seen last in steps of a page.
pub(super) const PAGE: usize = 8 * SECTOR;

/// A file, its memory if it was mapped to write, and what it costs.
#[derive(Debug, Default)]
pub(super) struct Inode {
    /// The bytes, up to date after [`absorb`](Self::absorb).
    pub(super) content: Content,
    /// Its latest name.
    pub(super) path: PathBuf,
    pub(super) linked: bool,
    /// How many open handles it has.
    pub(super) handles: usize,
    /// From its start to the end of what was written or reserved.
    pub(super) space: u64,
    /// So much from its start on is lent for good.
    lent: u64,
    shared: Option<Shared>,
}

/// A file that was mapped: it lives here, and `content` follows.
#[derive(Debug)]
struct Shared {
    memory: Arc<Anonymous>,
    /// What it held when somebody last looked.
    seen: Vec<u8>,
}

impl Inode {
    /// A file of a new machine: neither open nor mapped.
    pub(super) fn with(content: Content, path: PathBuf, linked: bool, space: u64) -> Inode {
        Inode { content, path, linked, space, ..Inode::default() }
    }

    /// Whether it takes up space.
    pub(super) fn is_used(&self) -> bool {
        self.linked || self.handles > 0 || self.is_mapped()
    }

    pub(super) fn is_mapped(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.memory.is_mapped())
    }

    /// Maps it to write.
    pub(super) fn map_shared(&mut self) -> io::Result<Span> {
        self.absorb()?;
        if let Some(shared) = &self.shared {
            return shared.memory.map();
        }
        let seen = self.content.live().bytes();
        let memory = Arc::new(Anonymous::new(&seen)?);
        let span = memory.map()?;
        self.shared = Some(Shared { memory, seen });
        Ok(span)
    }

    /// Takes over what was stored to its memory since the last time.
    pub(super) fn absorb(&mut self) -> io::Result<()> {
        let Some(shared) = &mut self.shared else { return Ok(()) };
        let now = shared.memory.read()?;
        let pages = now.chunks(PAGE).zip(shared.seen.chunks(PAGE)).enumerate();
        for (page, (new, old)) in pages.filter(|(_, (new, old))| new != old) {
            let sectors = new.chunks(SECTOR).zip(old.chunks(SECTOR)).enumerate();
            for (index, (new, _)) in sectors.filter(|(_, (new, old))| new != old) {
                self.content.write(new, (page * PAGE + index * SECTOR) as u64);
            }
        }
        shared.seen = now;
        Ok(())
    }

    /// Its first bytes, by whole sectors, for somebody who may keep them: from now on nothing may
    /// happen to them, and nothing that has happened may still change them.
    pub(super) fn lend(&mut self, len: u64) -> Bytes {
        let whole = len / SECTOR as u64 * SECTOR as u64;
        let (path, durable) = (self.path.display(), self.content.is_durable_to(whole));
        assert!(durable, "{path}: what is lent, {whole} bytes, is not durable");
        self.lent = self.lent.max(whole);
        let mut bytes = vec![0; usize::try_from(whole).unwrap_or(usize::MAX)];
        self.content.live().read(&mut bytes, 0);
        Bytes::from(bytes)
    }

    /// Before the bytes from `position` on are written, or cut off.
    pub(super) fn check_not_lent(&self, position: u64) {
        let (path, lent) = (self.path.display(), self.lent);
        assert!(position >= lent, "{path}: bytes from {position} on change, {lent} are lent");
    }

    /// Before its contents change by a call: only memory that nobody has any more may be left.
    pub(super) fn detach(&mut self) -> io::Result<()> {
        if self.is_mapped() {
            let message = "the file is mapped to write; change it through its memory";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.absorb()?;
        self.shared = None;
        Ok(())
    }

    /// The process dies: the file keeps what was stored so far and forgets the memory.
    pub(super) fn freeze(&mut self) {
        // Reading the memory's own file cannot fail for a reason that a test could cause; if it
        // does, the machine ends with what was seen before.
        let _ = self.absorb();
        self.shared = None;
    }
}
