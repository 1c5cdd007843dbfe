//! Files that clients keep beside the log: caches of what it says.

use std::path::Path;

use crate::base::Result;
use crate::base::wait::Deadline;

/// Where clients keep files of their own.
pub trait SideFiles: Send + Sync {
    /// The log's identity.
    fn log_id(&self) -> u128;

    /// Returns when every record that was appended before the call survives a power cut, whatever
    /// its level. `DeliveryTimeout` at the deadline.
    fn make_durable(&self, deadline: Deadline<'_>) -> Result<()>;

    /// The file at `path`; `None` when there is none.
    fn open(&self, path: &Path) -> Result<Option<Box<dyn SideFile>>>;

    /// Puts a file at `path`, durably, with what `write` writes. Whenever this fails, or the
    /// process or the power does, the file that stood there stays, or the new one is there whole.
    fn replace(
        &self,
        path: &Path,
        write: &mut dyn FnMut(&mut dyn SideWriter) -> Result<()>,
    ) -> Result<()>;
}

/// A file that was found.
pub trait SideFile {
    /// Its length in bytes.
    fn len(&self) -> Result<u64>;

    /// The `len` bytes from `position` on; fewer only at the end of the file.
    fn read(&self, position: u64, len: usize) -> Result<Vec<u8>>;
}

/// A file that is being written.
pub trait SideWriter {
    /// Adds `bytes` at its end.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
}
