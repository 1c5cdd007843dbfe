//! The calls of a simulated disk: each is counted, may fail, and works on the machine.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::SimDisk;
use super::content::Content;
use super::fault::{Fault, Operation};
use super::inode::PAGE;
use super::machine::Machine;
use crate::disk::memory::key;
use crate::disk::{Disk, DiskFile, Entry, FileSystem, Front, SharedMap};

impl SimDisk {
    fn perform<T>(
        &self,
        operation: Operation,
        path: &Path,
        body: impl FnOnce(&mut Machine, PathBuf, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let key = key(path)?.into_owned();
        let mut machine = self.machine.lock();
        machine.perform(operation, &key.clone(), |machine, fault| body(machine, key, fault))
    }

    /// A new handle. The machine is locked by the caller.
    fn handle(&self, machine: &mut Machine, number: u64) -> io::Result<Arc<dyn DiskFile>> {
        machine.inode(number)?.handles += 1;
        Ok(Arc::new(SimFile { machine: self.machine.clone(), number }))
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.perform(Operation::CreateDir, dir, |machine, key, _| machine.create_dir(key))
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.perform(Operation::Entry, path, |machine, key, _| Ok(machine.entry(&key)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.perform(Operation::List, dir, |machine, key, _| machine.list(&key))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.perform(Operation::Create, path, |machine, key, _| {
            let number = machine.create(key)?;
            self.handle(machine, number)
        })
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.perform(Operation::Open, path, |machine, key, _| {
            let number = machine.lookup(&key)?;
            self.handle(machine, number)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = key(from)?.into_owned();
        self.perform(Operation::Rename, to, |machine, to, _| machine.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.perform(Operation::Remove, path, |machine, key, _| machine.remove(key))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = key(from)?.into_owned();
        self.perform(Operation::HardLink, to, |machine, to, _| machine.hard_link(&from, to))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.perform(Operation::RemoveDir, dir, |machine, key, _| machine.remove_dir(key))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.perform(Operation::SyncDir, dir, |machine, key, fault| machine.sync_dir(&key, fault))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.perform(Operation::Lock, path, |machine, key, _| {
            if machine.lookup(&key).is_err() {
                machine.create(key.clone())?;
            }
            if !machine.locked.insert(key.clone()) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let guard: Box<dyn Send + Sync> =
                Box::new(LockGuard { machine: self.machine.clone(), key });
            Ok(guard)
        })
    }

    fn map_shared(&self, path: &Path, len: usize) -> io::Result<SharedMap> {
        self.perform(Operation::MapShared, path, |machine, key, _| {
            let number = machine.lookup(&key)?;
            let memory = machine.map_shared(number, len)?;
            Ok(SharedMap { memory, file: self.handle(machine, number)? })
        })
    }

    fn file_system(&self, dir: &Path) -> io::Result<Box<dyn FileSystem>> {
        Ok(Box::new(SimFileSystem { disk: self.clone(), dir: dir.to_owned() }))
    }

    fn boot_id(&self) -> Option<u128> {
        Some(self.machine.lock().boot_id)
    }
}

/// The one file system of a simulated disk.
#[derive(Debug)]
struct SimFileSystem {
    disk: SimDisk,
    dir: PathBuf,
}

impl FileSystem for SimFileSystem {
    fn sync(&self) -> io::Result<()> {
        let all = |machine: &mut Machine, _, fault| machine.sync_all(fault);
        self.disk.perform(Operation::SyncAll, &self.dir, all)
    }
}

/// Ends the lock of its own process only: the next one has a machine of its own.
#[derive(Debug)]
struct LockGuard {
    machine: Arc<Mutex<Machine>>,
    key: PathBuf,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.machine.lock().locked.remove(&self.key);
    }
}

/// An open file.
#[derive(Debug)]
struct SimFile {
    machine: Arc<Mutex<Machine>>,
    number: u64,
}

impl SimFile {
    /// `done` is what a sync does that succeeds.
    fn sync_as(&self, done: impl FnOnce(&mut Content)) -> io::Result<()> {
        self.perform(Operation::Sync, |machine, fault| {
            let inode = machine.inode(self.number)?;
            inode.absorb()?;
            if let Some(fault) = fault {
                inode.content.fail_sync();
                return Err(fault.error());
            }
            done(&mut inode.content);
            Ok(())
        })
    }

    fn perform<T>(
        &self,
        operation: Operation,
        body: impl FnOnce(&mut Machine, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut machine = self.machine.lock();
        let path = machine.inode(self.number)?.path.clone();
        machine.perform(operation, &path, body)
    }

    /// Writes as much as there is space for, or as the fault lets through.
    fn write(
        &self,
        machine: &mut Machine,
        bytes: &[u8],
        position: u64,
        fault: Option<Fault>,
    ) -> io::Result<()> {
        let end = position.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let reach = machine.reach(self.number);
        let inode = machine.inode(self.number)?;
        inode.detach()?;
        let (mut fits, mut result) = (bytes.len(), Ok(()));
        if end > inode.space && end > reach {
            fits = usize::try_from(reach.saturating_sub(position)).unwrap_or(fits).min(fits);
            result = Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(fault) = fault {
            fits = fits.min(if let Fault::ShortWrite(count) = fault { count } else { 0 });
            result = Err(fault.error());
        }
        if let Some(written) = bytes.get(..fits).filter(|written| !written.is_empty()) {
            inode.check_not_lent(position);
            inode.content.write(written, position);
            inode.space = inode.space.max(position + fits as u64);
        }
        result
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Ok(inode) = self.machine.lock().inode(self.number) {
            inode.handles = inode.handles.saturating_sub(1);
        }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.perform(Operation::Len, |machine, _| {
            Ok(machine.inode(self.number)?.content.live().len)
        })
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.perform(Operation::Read, |machine, _| {
            let inode = machine.inode(self.number)?;
            inode.absorb()?;
            Ok(inode.content.live().read(buffer, position))
        })
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        let bytes = parts.concat();
        self.perform(Operation::Write, |machine, fault| {
            self.write(machine, &bytes, position, fault)
        })
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        self.perform(Operation::Allocate, |machine, _| {
            let end = position.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
            let reach = machine.reach(self.number);
            let inode = machine.inode(self.number)?;
            if end > inode.space && end > reach {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if end > inode.content.live().len {
                inode.detach()?;
                inode.content.set_len(end);
            }
            inode.space = inode.space.max(end);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.perform(Operation::SetLen, |machine, _| {
            let inode = machine.inode(self.number)?;
            inode.detach()?;
            inode.check_not_lent(len);
            inode.content.set_len(len);
            inode.space = inode.space.min(len);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_as(Content::sync)
    }

    fn sync_part(&self, position: u64, len: u64) -> io::Result<()> {
        self.sync_as(|content| content.sync_part(position, len, PAGE as u64))
    }

    fn map(&self, len: usize) -> io::Result<Bytes> {
        self.perform(Operation::Map, |machine, _| {
            if !machine.maps {
                return Err(io::ErrorKind::Unsupported.into());
            }
            let inode = machine.inode(self.number)?;
            inode.absorb()?;
            if inode.content.live().len < len as u64 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut bytes = vec![0; len];
            inode.content.live().read(&mut bytes, 0);
            Ok(Bytes::from(bytes))
        })
    }

    fn map_front(&self, len: u64, reach: usize) -> io::Result<Arc<dyn Front>> {
        self.perform(Operation::Map, |machine, _| {
            if !machine.maps || len == 0 {
                return Err(io::ErrorKind::Unsupported.into());
            }
            let machine = self.machine.clone();
            let front: Arc<dyn Front> = Arc::new(SimFront { machine, number: self.number, reach });
            Ok(front)
        })
    }
}

/// A map of a growing file. It stays valid when the file is removed.
#[derive(Debug)]
struct SimFront {
    machine: Arc<Mutex<Machine>>,
    number: u64,
    reach: usize,
}

impl Front for SimFront {
    /// No call of the system, so it is not counted and cannot fail by plan.
    fn lend(&self, len: u64) -> Bytes {
        let mut machine = self.machine.lock();
        let inode = machine.inode(self.number);
        inode.map_or_else(|_| Bytes::new(), |inode| inode.lend(len.min(self.reach as u64)))
    }

    fn reach(&self) -> u64 {
        self.reach as u64
    }
}
