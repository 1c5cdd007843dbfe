//! What the machine does at best.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// A file whose blocks exist, to be written over and synced.
pub struct BareFile {
    file: File,
    content: Vec<u8>,
}

impl BareFile {
    pub fn new(dir: &Path, len: usize) -> Self {
        let content = vec![7; len];
        let path = dir.join("bare");
        let mut file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        file.write_all(&content).unwrap();
        file.sync_all().unwrap();
        Self { file, content }
    }

    /// One write of everything and one sync.
    pub fn write_and_sync(&self) -> Duration {
        let start = Instant::now();
        write_at_start(&self.file, &self.content);
        self.file.sync_data().unwrap();
        start.elapsed()
    }
}

#[cfg(unix)]
fn write_at_start(file: &File, bytes: &[u8]) {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, 0).unwrap();
}

#[cfg(not(unix))]
fn write_at_start(mut file: &File, bytes: &[u8]) {
    use std::io::Seek;
    file.rewind().unwrap();
    file.write_all(bytes).unwrap();
}
