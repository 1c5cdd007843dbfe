//! A sealed file under a second name, or its bytes in another place.

use std::io::ErrorKind as Io;
use std::path::Path;
use std::sync::Arc;

use crate::base::{Error, Result};
use crate::disk::Disk;
use crate::log::files::LogFiles;

/// Bytes of one read.
const PIECE: u64 = 1 << 20;

/// How a file came to its new place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// It has two names now.
    Linked,
    /// There are two files, and the new one is synced.
    Copied,
}

/// Brings files from a log to where its copy is made.
#[derive(Debug)]
pub(super) struct Mover<'a> {
    source: &'a Arc<dyn Disk>,
    target: &'a dyn Disk,
    /// Why there are no links between the two.
    no_links: Option<String>,
}

impl<'a> Mover<'a> {
    pub(super) fn new(source: &'a LogFiles, target: &'a dyn Disk) -> Self {
        Self { source: source.disk(), target, no_links: None }
    }

    /// Why a file was copied; `None` when none was.
    pub(super) fn no_links(self) -> Option<String> {
        self.no_links
    }

    /// Lets the first `len` bytes of the file `from`, which is all that it has, be found as `to`.
    pub(super) fn file(&mut self, from: &Path, to: &Path, len: u64) -> Result<Moved> {
        if self.no_links.is_none() {
            match self.target.hard_link(from, to) {
                Ok(()) => return Ok(Moved::Linked),
                Err(error) if is_no_link(error.kind()) => self.no_links = Some(error.to_string()),
                Err(error) => return Err(Error::io("link", to, error)),
            }
        }
        self.copy(from, to, len).map(|()| Moved::Copied)
    }

    fn copy(&self, from: &Path, to: &Path, len: u64) -> Result<()> {
        let source = self.source.open(from).map_err(|e| Error::io("open", from, e))?;
        let target = self.target.create(to).map_err(|e| Error::io("create", to, e))?;
        let mut at = 0;
        while at < len {
            let piece = usize::try_from(PIECE.min(len - at)).unwrap_or(usize::MAX);
            let bytes = source.read_fresh(piece, at).map_err(|e| Error::io("read", from, e))?;
            if bytes.is_empty() {
                let message = format!("it ends at {at}, the manifest says {len}");
                return Err(Error::corrupt(from, message));
            }
            target.write_at(&[&bytes], at).map_err(|e| Error::io("write", to, e))?;
            at += bytes.len() as u64;
        }
        target.sync().map_err(|e| Error::io("sync", to, e))
    }
}

/// Whether copying may do what linking does not: another file system, one without links, one that
/// refuses them for this file, or has too many of them.
fn is_no_link(kind: Io) -> bool {
    use Io::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(kind, CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}
