//! What goes wrong on a simulated disk, and when.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The calls of [`Disk`](crate::disk::Disk) and [`DiskFile`](crate::disk::DiskFile), each of
/// which a simulated disk counts.
#[allow(missing_docs)] // named like the calls
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    CreateDir,
    Entry,
    List,
    Create,
    Open,
    Rename,
    Remove,
    HardLink,
    RemoveDir,
    SyncDir,
    SyncAll,
    Lock,
    MapShared,
    Len,
    Read,
    Write,
    Allocate,
    SetLen,
    Sync,
    Map,
}

impl Operation {
    fn is_sync(self) -> bool {
        matches!(self, Operation::Sync | Operation::SyncDir | Operation::SyncAll)
    }
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The device failed. Nothing happened; of a sync, see [`SyncFails`](Fault::SyncFails).
    Eio,
    /// No space left. Nothing happened.
    NoSpace,
    /// Only so many bytes of a write arrived, then the device failed. For other operations
    /// the same as [`Eio`](Fault::Eio).
    ShortWrite(usize),
    /// A sync fails, and what it was to make durable counts as clean from then on: it may be
    /// on the disk or not, and no later sync changes that. Placed on another operation, it waits
    /// for the next sync of a file or directory.
    SyncFails,
}

impl Fault {
    /// The error that the caller gets.
    pub(super) fn error(self) -> io::Error {
        match self {
            Fault::NoSpace => io::ErrorKind::StorageFull.into(),
            Fault::Eio | Fault::ShortWrite(_) | Fault::SyncFails => device_error(),
        }
    }
}

/// `EIO`, as a system would say it.
fn device_error() -> io::Error {
    if cfg!(unix) { io::Error::from_raw_os_error(5) } else { io::Error::other("device error") }
}

/// The error of every operation after a crash.
pub(super) fn power_is_off() -> io::Error {
    io::Error::other("the simulated machine is off")
}

/// One operation that a simulated disk performed, or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Its index; the first operation of a disk is 0.
    pub index: u64,
    /// Which call it was.
    pub operation: Operation,
    /// The file or directory; of a rename or a link, the new name.
    pub path: PathBuf,
}

/// What becomes of one operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Verdict {
    pub(super) fault: Option<Fault>,
    /// The machine stops in the middle of it.
    pub(super) crash: bool,
}

/// The faults to come, and the count of operations.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) count: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) trace: Option<Vec<Traced>>,
    at: BTreeMap<u64, Fault>,
    next: Vec<(Option<Operation>, String, Fault)>,
}

impl Plan {
    pub(super) fn fail_at(&mut self, index: u64, fault: Fault) {
        self.at.insert(index, fault);
    }

    pub(super) fn fail_next(&mut self, operation: Operation, path: &str, fault: Fault) {
        self.next.push((Some(operation), path.to_owned(), fault));
    }

    pub(super) fn clear(&mut self) {
        self.at.clear();
        self.next.clear();
        self.crash_at = None;
    }

    /// Counts an operation and says what becomes of it.
    pub(super) fn begin(&mut self, operation: Operation, path: &Path) -> Verdict {
        let index = self.count;
        self.count += 1;
        if let Some(trace) = &mut self.trace {
            trace.push(Traced { index, operation, path: Path::new("/").join(path) });
        }
        let mut fault = self.at.remove(&index);
        if fault == Some(Fault::SyncFails) && !operation.is_sync() {
            self.next.push((None, String::new(), Fault::SyncFails));
            fault = None;
        }
        let crash = self.crash_at.is_some_and(|at| at <= index);
        Verdict { fault: fault.or_else(|| self.take_next(operation, path)), crash }
    }

    fn take_next(&mut self, operation: Operation, path: &Path) -> Option<Fault> {
        let path = Path::new("/").join(path);
        let path = path.to_string_lossy();
        let matches = |(wanted, part, _): &(Option<Operation>, String, Fault)| {
            wanted.map_or(operation.is_sync(), |wanted| wanted == operation)
                && path.contains(part.as_str())
        };
        let index = self.next.iter().position(matches)?;
        Some(self.next.remove(index).2)
    }
}
