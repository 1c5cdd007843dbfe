//! Files that clients keep, on the disk that the log is on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::{Backend, SideFile, SideFiles, SideWriter};
use crate::base::wait::Deadline;
use crate::base::{Error, Result};
use crate::disk::{Disk, DiskFile};

use super::Node;

impl SideFiles for Node {
    fn log_id(&self) -> u128 {
        self.shared.files().log_id()
    }

    fn make_durable(&self, deadline: Deadline<'_>) -> Result<()> {
        self.check_open()?;
        self.shared.flush(true, deadline)
    }

    fn open(&self, path: &Path) -> Result<Option<Box<dyn SideFile>>> {
        let disk = self.shared.files().disk();
        if disk.entry(path).map_err(|e| Error::io("look for", path, e))?.is_none() {
            return Ok(None);
        }
        let file = disk.open(path).map_err(|e| Error::io("open", path, e))?;
        Ok(Some(Box::new(Found { file, path: path.to_owned() })))
    }

    fn replace(
        &self,
        path: &Path,
        write: &mut dyn FnMut(&mut dyn SideWriter) -> Result<()>,
    ) -> Result<()> {
        let disk = &**self.shared.files().disk();
        let new = new_name(path);
        let written = write_new(disk, &new, write);
        let renamed = written
            .and_then(|()| disk.rename(&new, path).map_err(|e| Error::io("rename", &new, e)));
        if renamed.is_err() {
            // It fails where there is nothing to remove; the next replacement removes it too.
            drop(disk.remove(&new));
            return renamed;
        }
        let dir = dir_of(path);
        disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
    }
}

/// Where a file stands until it is whole.
fn new_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Writes a whole file and syncs it.
fn write_new(
    disk: &dyn Disk,
    path: &Path,
    write: &mut dyn FnMut(&mut dyn SideWriter) -> Result<()>,
) -> Result<()> {
    if disk.entry(path).map_err(|e| Error::io("look for", path, e))?.is_some() {
        // A replacement that did not come to its end.
        disk.remove(path).map_err(|e| Error::io("remove", path, e))?;
    }
    let file = disk.create(path).map_err(|e| Error::io("create", path, e))?;
    let mut writing = Writing { file: Arc::clone(&file), path, end: 0 };
    write(&mut writing)?;
    file.sync().map_err(|e| Error::io("sync", path, e))
}

struct Found {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
}

impl SideFile for Found {
    fn len(&self) -> Result<u64> {
        self.file.len().map_err(|e| Error::io("look at", &self.path, e))
    }

    fn read(&self, position: u64, len: usize) -> Result<Vec<u8>> {
        let read = self.file.read_fresh(len, position);
        read.map_err(|e| Error::io("read", &self.path, e))
    }
}

struct Writing<'a> {
    file: Arc<dyn DiskFile>,
    path: &'a Path,
    end: u64,
}

impl SideWriter for Writing<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_at(&[bytes], self.end);
        written.map_err(|e| Error::io("write", self.path, e))?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}
