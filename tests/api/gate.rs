//! A disk whose segment files can be held up: a write or a sync that does not return.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use alluvium::testing::{Disk, DiskFile, Entry, SharedMap, SimDisk};
use bytes::Bytes;

/// How long a test waits for somebody to come, before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Holds writers of segments up while it is shut.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    shut: bool,
    held: usize,
}

impl Gate {
    pub fn shut(&self) {
        self.0.0.lock().unwrap().shut = true;
    }

    pub fn open(&self) {
        self.0.0.lock().unwrap().shut = false;
        self.0.1.notify_all();
    }

    /// Returns when somebody is held up.
    pub fn wait_until_held(&self) {
        let state = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(state, PATIENCE, |state| state.held == 0).unwrap();
        let came = !waited.1.timed_out();
        drop(waited);
        assert!(came, "nobody came");
    }

    fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.held += 1;
        self.0.1.notify_all();
        state = self.0.1.wait_while(state, |state| state.shut).unwrap();
        state.held -= 1;
    }
}

/// A simulated disk behind a gate.
#[derive(Debug)]
pub struct GatedDisk {
    pub disk: SimDisk,
    pub gate: Gate,
    /// The same for who syncs them.
    pub syncs: Gate,
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn DiskFile>,
    gate: Option<Gate>,
    syncs: Option<Gate>,
}

impl GatedDisk {
    fn behind(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        let [gate, syncs] = [&self.gate, &self.syncs].map(|gate| is_segment.then(|| gate.clone()));
        Arc::new(GatedFile { file, gate, syncs })
    }
}

impl Disk for GatedDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.disk.entry(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.behind(path, self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.behind(path, self.disk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(path)
    }

    fn map_shared(&self, path: &Path, len: usize) -> io::Result<SharedMap> {
        self.disk.map_shared(path, len)
    }

    fn boot_id(&self) -> Option<u128> {
        self.disk.boot_id()
    }
}

impl DiskFile for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        self.gate.iter().for_each(Gate::pass);
        self.file.write_at(parts, position)
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        self.file.allocate(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.iter().for_each(Gate::pass);
        self.file.sync()
    }

    fn map(&self, len: usize) -> io::Result<Bytes> {
        self.file.map(len)
    }
}
