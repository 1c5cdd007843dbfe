//! A hostile twin of a disk, for tests.
//!
//! [`SimDisk`] keeps two images of its files: the live one that a process sees, and the durable
//! one that a power cut cannot take away. It counts every operation, fails those it is told to
//! fail, stops at any of them, and is then continued as another process or another boot would
//! find it. Nothing in it depends on time, so one seed always gives the same machine.
//!
//! ```
//! use std::path::Path;
//! use alluvium::testing::{Disk, SimDisk};
//!
//! let disk = SimDisk::new();
//! let file = disk.create(Path::new("/f"))?;
//! file.write_at(&[b"hello"], 0)?;
//!
//! // Killed, a process loses nothing that it wrote. Without power even the name is uncertain.
//! assert_eq!(disk.kill().read_file("/f")?, b"hello");
//! for seed in 0..100 {
//!     let after = disk.power_cut(seed);
//!     assert!(matches!(after.read_file("/f").as_deref(), Err(_) | Ok(b"" | b"hello" | b"\0\0\0\0\0")));
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

mod content;
mod fault;
mod file;
mod inode;
mod machine;
mod names;
mod rng;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

pub use fault::{Fault, Operation, Traced};
use machine::Machine;
pub use rng::PowerCut;

use super::memory::key;

/// A disk of a machine that can lose its process or its power at any moment.
///
/// Clones are handles of the same machine. Only the root directory exists at first. Stores to
/// shared maps are live at once and durable with the next sync of their file, like writes; but
/// a file that is mapped to write refuses other changes, which no log should need.
#[derive(Clone)]
pub struct SimDisk {
    machine: Arc<Mutex<Machine>>,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> SimDisk {
        SimDisk::of(Machine::new())
    }

    fn of(machine: Machine) -> SimDisk {
        SimDisk { machine: Arc::new(Mutex::new(machine)) }
    }

    /// Whether files can be mapped; they can at first.
    pub fn set_maps(&self, maps: bool) {
        self.machine.lock().maps = maps;
    }

    /// How many bytes all files together may take; no limit at first. A file takes space from
    /// its start to the end of what was written or reserved, until it is removed and closed.
    pub fn set_space(&self, bytes: u64) {
        self.machine.lock().space = bytes;
    }

    /// How many bytes all files take.
    #[must_use]
    pub fn used_space(&self) -> u64 {
        self.machine.lock().used()
    }

    /// How many operations there were: the index of the next one.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.machine.lock().plan.count
    }

    /// Begins to keep a list of all operations, or begins it anew.
    pub fn start_trace(&self) {
        self.machine.lock().plan.trace = Some(Vec::new());
    }

    /// The operations since [`start_trace`](Self::start_trace).
    #[must_use]
    pub fn trace(&self) -> Vec<Traced> {
        self.machine.lock().plan.trace.clone().unwrap_or_default()
    }

    /// Makes the operation of this index fail.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.machine.lock().plan.fail_at(operation, fault);
    }

    /// Makes the next operation of this sort fail whose path contains `path`. Called twice, it
    /// fails two of them.
    pub fn fail_next(&self, operation: Operation, path: &str, fault: Fault) {
        self.machine.lock().plan.fail_next(operation, path, fault);
    }

    /// Takes back all faults, and the crash, that have not happened yet.
    pub fn clear_faults(&self) {
        self.machine.lock().plan.clear();
    }

    /// Stops the machine at the operation of this index: it and all later ones fail and change
    /// nothing. With a [`Fault::ShortWrite`] at the same index, that much still arrives.
    ///
    /// The image is taken at that very moment, with all stores to shared maps so far. What the
    /// process goes on storing is lost, so an acknowledgement counts only if
    /// [`is_off`](Self::is_off) still says no after it.
    pub fn crash_at(&self, operation: u64) {
        self.machine.lock().plan.crash_at = Some(operation);
    }

    /// Whether the machine has stopped: by [`crash_at`](Self::crash_at), [`kill`](Self::kill) or
    /// [`power_cut`](Self::power_cut).
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.machine.lock().is_off
    }

    /// What the next process finds after this one died: the live image, and no locks. What was
    /// not synced still is not.
    ///
    /// This machine stops, if it has not yet; ask it again for another twin.
    #[must_use]
    pub fn kill(&self) -> SimDisk {
        SimDisk::of(self.machine.lock().after_kill())
    }

    /// What the next boot finds after the power failed: the durable image, and of everything
    /// since then any part that the seed chooses, sector by sector and name by name.
    ///
    /// This machine stops, if it has not yet; ask it again with other seeds.
    #[must_use]
    pub fn power_cut(&self, seed: u64) -> SimDisk {
        self.power_cut_with(PowerCut::Seed(seed))
    }

    /// As [`power_cut`](Self::power_cut), but with a choice of what is left.
    #[must_use]
    pub fn power_cut_with(&self, cut: PowerCut) -> SimDisk {
        SimDisk::of(self.machine.lock().after_power_cut(cut))
    }

    /// Lets the system forget clean pages: what a failed sync let go of reads as it was before.
    pub fn drop_caches(&self) {
        self.machine.lock().drop_caches();
    }

    /// The live contents of a file. Like all calls from here on it is no operation, and works
    /// when the machine is off too.
    ///
    /// # Errors
    ///
    /// `NotFound`, `IsADirectory`.
    pub fn read_file(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let mut machine = self.machine.lock();
        let number = machine.lookup(&key(path.as_ref())?)?;
        let inode = machine.inode(number)?;
        inode.absorb()?;
        Ok(inode.content.live().bytes())
    }

    /// What a power cut would at least leave of the contents of a file.
    ///
    /// # Errors
    ///
    /// `NotFound`, `IsADirectory`.
    pub fn read_durable(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let mut machine = self.machine.lock();
        let number = machine.lookup(&key(path.as_ref())?)?;
        Ok(machine.inode(number)?.content.durable().bytes())
    }

    /// Puts a file there with these contents, durably, with the directories above it. Open
    /// handles see it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a file that is mapped to write.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        self.machine.lock().plant(path.as_ref(), bytes)
    }

    /// Takes a file away, durably.
    ///
    /// # Errors
    ///
    /// `NotFound`, `IsADirectory`.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.machine.lock().uproot(path.as_ref())
    }

    /// All files there are, with their whole paths, in order.
    #[must_use]
    pub fn list_files(&self) -> Vec<PathBuf> {
        self.machine.lock().files()
    }
}

impl Default for SimDisk {
    fn default() -> SimDisk {
        SimDisk::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("files", &self.list_files()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(alluvium_loom))]
mod tests;
