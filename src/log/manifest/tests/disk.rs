//! The smallest disk with faults: names, bytes, a limit of space, failures on demand.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, Entry, SharedMap};

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Switches {
    files: BTreeMap<PathBuf, Arc<TestFile>>,
    /// Outcomes of the next calls of these kinds; `true` fails. Empty means success.
    fail: BTreeMap<&'static str, VecDeque<bool>>,
    calls: BTreeMap<&'static str, usize>,
    space: Option<u64>,
    on_sync: Option<Hook>,
}

#[derive(Clone, Default)]
pub(super) struct TestDisk(Arc<Mutex<Switches>>);

impl std::fmt::Debug for TestDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestDisk")
    }
}

#[derive(Debug)]
pub(super) struct TestFile {
    disk: TestDisk,
    bytes: Mutex<Vec<u8>>,
}

impl TestDisk {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The next calls of this kind end like this; `true` fails.
    pub(super) fn plan(&self, call: &'static str, outcomes: &[bool]) {
        self.0.lock().fail.insert(call, outcomes.iter().copied().collect());
    }

    pub(super) fn calls(&self, call: &'static str) -> usize {
        self.0.lock().calls.get(call).copied().unwrap_or(0)
    }

    /// All files together may have at most this many bytes.
    pub(super) fn limit_space(&self, space: Option<u64>) {
        self.0.lock().space = space;
    }

    pub(super) fn on_next_sync(&self, hook: impl FnOnce() + Send + 'static) {
        self.0.lock().on_sync = Some(Box::new(hook));
    }

    pub(super) fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.0.lock().files.get(&Path::new(super::DIR).join(name)).cloned()?;
        Some(file.bytes.lock().clone())
    }

    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        let file = Arc::new(TestFile { disk: self.clone(), bytes: Mutex::new(bytes) });
        self.0.lock().files.insert(Path::new(super::DIR).join(name), file);
    }

    pub(super) fn used(&self) -> u64 {
        let files: Vec<_> = self.0.lock().files.values().cloned().collect();
        files.iter().map(|file| file.bytes.lock().len() as u64).sum()
    }

    fn call(&self, call: &'static str) -> io::Result<()> {
        let mut switches = self.0.lock();
        *switches.calls.entry(call).or_default() += 1;
        match switches.fail.get_mut(call).and_then(VecDeque::pop_front) {
            Some(true) => Err(io::Error::other("planned")),
            _ => Ok(()),
        }
    }

    fn file(&self, path: &Path) -> io::Result<Arc<TestFile>> {
        self.0.lock().files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for TestDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        let Ok(file) = self.file(path) else { return Ok(None) };
        Ok(Some(Entry { name: path.display().to_string(), is_dir: false, len: file.len()? }))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<Entry>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.call("create")?;
        let file = Arc::new(TestFile { disk: self.clone(), bytes: Mutex::default() });
        self.0.lock().files.insert(path.to_owned(), file.clone());
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename")?;
        let file = self.file(from)?;
        let mut switches = self.0.lock();
        switches.files.remove(from);
        switches.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().files.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.call("sync_dir")
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn map_shared(&self, _: &Path, _: usize) -> io::Result<SharedMap> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn boot_id(&self) -> Option<u128> {
        None
    }
}

impl TestFile {
    fn lengthen(&self, to: usize) -> io::Result<()> {
        let more = to.saturating_sub(self.bytes.lock().len());
        let space = self.disk.0.lock().space;
        if more > 0 && space.is_some_and(|space| self.disk.used() + more as u64 > space) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut bytes = self.bytes.lock();
        let len = bytes.len().max(to);
        bytes.resize(len, 0);
        Ok(())
    }
}

impl DiskFile for TestFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let bytes = self.bytes.lock();
        let rest = &bytes[bytes.len().min(position as usize)..];
        // Short reads are legal.
        let len = rest.len().min(buffer.len()).min(10_000);
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        let outcome = self.disk.call("write");
        let mut all = parts.concat();
        if outcome.is_err() {
            // Of a frame most arrives, of a cover of zeros nothing.
            let cover = all.iter().all(|byte| *byte == 0);
            all.truncate(if cover { 0 } else { all.len() * 2 / 3 });
        }
        let at = position as usize;
        self.lengthen(at + all.len())?;
        self.bytes.lock()[at..at + all.len()].copy_from_slice(&all);
        outcome
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        self.disk.call("allocate")?;
        self.lengthen((position + len) as usize)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        let hook = self.disk.0.lock().on_sync.take();
        if let Some(hook) = hook {
            hook();
        }
        self.disk.call("sync")
    }

    fn map(&self, _: usize) -> io::Result<Bytes> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
