//! Whole file systems, and how much of the system a process may have.

use std::io;
use std::path::Path;

use crate::disk::FileSystem;

/// How many files this process may have open; `None` where the system does not say.
#[cfg(target_os = "linux")]
pub(super) fn open_files_limit() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.and_then(|most| usize::try_from(most).ok())
}

/// What macOS gives a process that does not ask for more is the least of the systems that do not
/// tell by a file.
#[cfg(not(target_os = "linux"))]
pub(super) fn open_files_limit() -> Option<usize> {
    cfg!(unix).then_some(256)
}

/// The file system of the directory `dir`; `Unsupported` where it does not tell of every failure.
#[cfg(target_os = "linux")]
pub(super) fn of(dir: &Path) -> io::Result<Box<dyn FileSystem>> {
    let file = std::fs::File::open(dir)?;
    if !kernel_tells_failures() || !is_known(&file) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(Box::new(LinuxFileSystem { dir: file }))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of(_dir: &Path) -> io::Result<Box<dyn FileSystem>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A directory of it. The system remembers by this handle which failures it has told.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct LinuxFileSystem {
    dir: std::fs::File,
}

#[cfg(target_os = "linux")]
impl FileSystem for LinuxFileSystem {
    fn sync(&self) -> io::Result<()> {
        rustix::fs::syncfs(&self.dir).map_err(io::Error::from)
    }
}

/// Since this version `syncfs` fails when a file could not be written, and when the file system's
/// own part of it fails.
#[cfg(target_os = "linux")]
const FIRST_KERNEL: (u32, u32) = (5, 18);

#[cfg(target_os = "linux")]
fn kernel_tells_failures() -> bool {
    let system = rustix::system::uname();
    let release = system.release().to_str().unwrap_or_default();
    version(release).is_some_and(|version| version >= FIRST_KERNEL)
}

#[cfg(target_os = "linux")]
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether the file is on a local file system of which it is known that `syncfs` reaches the
/// device: `statfs(2)`.
#[cfg(target_os = "linux")]
fn is_known(file: &std::fs::File) -> bool {
    const EXT4: u64 = 0xEF53;
    const XFS: u64 = 0x5846_5342;
    const BTRFS: u64 = 0x9123_683E;
    let known = [EXT4, XFS, BTRFS];
    rustix::fs::fstatfs(file).is_ok_and(|stat| known.contains(&(stat.f_type as u64 & 0xFFFF_FFFF)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_open_files_is_the_one_that_the_system_tells() {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        // "unlimited" is no number, and none is known then.
        let told = line.unwrap().split_whitespace().next().unwrap().parse().ok();
        assert_eq!(open_files_limit(), told);
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(version("6.1.0-13-amd64\n"), Some((6, 1)));
        assert_eq!(version("5.18"), Some((5, 18)));
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("nonsense"), None);
        assert!(version("5.9.1") < Some(FIRST_KERNEL));
    }
}
