//! Real files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::Front;
use super::{Disk, DiskFile, Entry, FileSystem, SharedMap, map};

mod file_system;

/// The files of the operating system.
#[derive(Clone, Debug)]
pub struct OsDisk {
    maps: bool,
}

impl OsDisk {
    /// Real files, mapped where that works: not on 32-bit systems, whose address space is too
    /// small for it, nor on network file systems.
    #[must_use]
    pub fn new() -> OsDisk {
        OsDisk { maps: cfg!(target_pointer_width = "64") }
    }

    /// Real files that are never mapped: a dying device is then an error, never a signal.
    #[must_use]
    #[cfg(test)]
    pub fn without_maps() -> OsDisk {
        OsDisk { maps: false }
    }

    fn file(&self, file: File) -> Arc<dyn DiskFile> {
        Arc::new(OsFile { file: Arc::new(file), maps: self.maps, stores: None })
    }
}

impl Default for OsDisk {
    fn default() -> OsDisk {
        OsDisk::new()
    }
}

impl Disk for OsDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            result => result,
        }
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        match fs::metadata(path) {
            Ok(found) => Ok(Some(entry(path.file_name().unwrap_or_default(), &found))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in fs::read_dir(dir)? {
            let found = found?;
            match found.metadata() {
                Ok(data) => entries.push(entry(&found.file_name(), &data)),
                // Removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(self.file(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    /// Where directories cannot be opened, names are left to the file system's own order.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if cfg!(windows) {
            return fs::metadata(dir).map(|_| ());
        }
        File::open(dir)?.sync_all()
    }

    /// An advisory lock of the open file, so that two logs of one process exclude each other too.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(LockGuard(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn map_shared(&self, path: &Path, len: usize) -> io::Result<SharedMap> {
        if !self.maps {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if is_remote(&file) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let (memory, file, stores) = map::shared(file, len)?;
        let file = OsFile { file, maps: self.maps, stores: Some(stores) };
        Ok(SharedMap { memory, file: Arc::new(file) })
    }

    fn file_system(&self, dir: &Path) -> io::Result<Box<dyn FileSystem>> {
        file_system::of(dir)
    }

    fn open_files_limit(&self) -> Option<usize> {
        file_system::open_files_limit()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn boot_id(&self) -> Option<u128> {
        let mut text = [0; 64];
        let file = File::open("/proc/sys/kernel/random/boot_id").ok()?;
        let len = read_some(&file, &mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..len)?).ok()?;
        u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn boot_id(&self) -> Option<u128> {
        None
    }
}

fn entry(name: &std::ffi::OsStr, found: &fs::Metadata) -> Entry {
    let is_dir = found.is_dir();
    let len = if is_dir { 0 } else { found.len() };
    Entry { name: name.to_string_lossy().into_owned(), is_dir, len }
}

/// Gives the lock back at once even if a forked child still holds a copy of the handle.
#[derive(Debug)]
struct LockGuard(File);

impl Drop for LockGuard {
    fn drop(&mut self) {
        // Closing the handle, right behind this, does it as well.
        let _ = self.0.unlock();
    }
}

#[derive(Debug)]
struct OsFile {
    /// Shared with the region of a shared map, whose lock it holds.
    file: Arc<File>,
    maps: bool,
    /// What was stored to the shared map, if this is its file.
    stores: Option<map::Stores>,
}

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match read_some(&self.file, rest, position + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    #[cfg(unix)]
    fn read_fresh(&self, len: usize, position: u64) -> io::Result<Vec<u8>> {
        use rustix::buffer::spare_capacity;
        // Memory that is overwritten at once need not be zeroed before.
        let mut buffer = Vec::with_capacity(len);
        while buffer.len() < len {
            let at = position + buffer.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut buffer), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The memory may have more room than was asked for.
        buffer.truncate(len);
        Ok(buffer)
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        match parts {
            [] => Ok(()),
            [one] => write_one(&self.file, one, position),
            many => write_many(&self.file, many, position),
        }
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        let Some(end) = position.checked_add(len) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if len == 0 || reserve(&self.file, position, len)? {
            return Ok(());
        }
        // No such call here: the length alone, and no promise of space.
        if self.len()? < end { self.file.set_len(end) } else { Ok(()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_part(&self, position: u64, len: u64) -> io::Result<()> {
        match &self.stores {
            Some(stores) => stores.sync(position, len),
            None => self.sync(),
        }
    }

    fn map(&self, len: usize) -> io::Result<Bytes> {
        if !self.maps || is_remote(&self.file) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        map::sealed(&self.file, len)
    }

    /// Only where a map shows what was written before, as one cache of pages makes certain.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn map_front(&self, len: u64, reach: usize) -> io::Result<Arc<dyn Front>> {
        if !self.maps || is_remote(&self.file) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Arc::new(map::FrontMap::new(&self.file, len, reach)?))
    }
}

#[cfg(unix)]
fn read_some(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, position)
}

#[cfg(unix)]
fn write_one(file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, position)
}

#[cfg(windows)]
fn read_some(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    match std::os::windows::fs::FileExt::seek_read(file, buffer, position) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        result => result,
    }
}

#[cfg(windows)]
fn write_one(file: &File, mut bytes: &[u8], mut position: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, position)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => {
                bytes = bytes.get(n..).unwrap_or_default();
                position += n as u64;
            }
        }
    }
    Ok(())
}

/// Where files have no calls with a position (WebAssembly), which have few threads: one at a time.
#[cfg(not(any(unix, windows)))]
static MOVES_THE_POSITION: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

#[cfg(not(any(unix, windows)))]
fn read_some(mut file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let _alone = MOVES_THE_POSITION.lock();
    io::Seek::seek(&mut file, io::SeekFrom::Start(position))?;
    io::Read::read(&mut file, buffer)
}

#[cfg(not(any(unix, windows)))]
fn write_one(mut file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
    let _alone = MOVES_THE_POSITION.lock();
    io::Seek::seek(&mut file, io::SeekFrom::Start(position))?;
    io::Write::write_all(&mut file, bytes)
}

/// One gathering call for as many parts as the system takes at once.
#[cfg(target_os = "linux")]
fn write_many(file: &File, parts: &[&[u8]], position: u64) -> io::Result<()> {
    let mut slices: Vec<io::IoSlice<'_>> =
        parts.iter().map(|part| io::IoSlice::new(part)).collect();
    write_slices(&mut slices, position, |slices, position| {
        rustix::io::pwritev(file, slices, position).map_err(io::Error::from)
    })
}

#[cfg(not(target_os = "linux"))]
fn write_many(file: &File, parts: &[&[u8]], mut position: u64) -> io::Result<()> {
    for part in parts {
        write_one(file, part, position)?;
        position += part.len() as u64;
    }
    Ok(())
}

/// The system's limit (`IOV_MAX`) of parts of one call.
#[cfg(target_os = "linux")]
const MAX_PARTS: usize = 1024;

/// Calls `write` until it took everything, however little it takes at a time.
#[cfg(target_os = "linux")]
fn write_slices(
    mut slices: &mut [io::IoSlice<'_>],
    mut position: u64,
    mut write: impl FnMut(&[io::IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<()> {
    io::IoSlice::advance_slices(&mut slices, 0); // drops empty parts at the front
    while !slices.is_empty() {
        let batch = slices.get(..MAX_PARTS).unwrap_or(slices);
        match write(batch, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                position += n as u64;
                io::IoSlice::advance_slices(&mut slices, n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the space could be reserved; `false` where the file system has no such call.
#[cfg(target_os = "linux")]
fn reserve(file: &File, position: u64, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    loop {
        match fallocate(file, FallocateFlags::empty(), position, len) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &File, _position: u64, _len: u64) -> io::Result<bool> {
    Ok(false)
}

/// Whether another machine may change the file or drop out below a map of it.
#[cfg(target_os = "linux")]
fn is_remote(file: &File) -> bool {
    /// NFS, SMB (two), CIFS, 9P, Ceph, AFS, Lustre: `statfs(2)`.
    const REMOTE: [u64; 8] = [
        0x6969,
        0x517B,
        0xFE53_4D42,
        0xFF53_4D42,
        0x0102_1997,
        0x00C3_6400,
        0x5346_414F,
        0x0BD0_0BD0,
    ];
    // The type's width and sign differ between systems; 32 bits carry every value.
    rustix::fs::fstatfs(file).is_ok_and(|stat| REMOTE.contains(&(stat.f_type as u64 & 0xFFFF_FFFF)))
}

#[cfg(not(target_os = "linux"))]
fn is_remote(_file: &File) -> bool {
    false
}

#[cfg(test)]
#[cfg(not(alluvium_loom))]
mod tests;
