//! Pieces of files in memory that is used again.
//!
//! Memory that is given back to the system comes back page by page, each with a fault, which costs
//! more than the read. So a few buffers are kept: for the whole process, whose memory it is.

use std::{io, mem};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::DiskFile;

/// The longest piece: with one more it stays in the second-level cache while it is decoded.
pub(super) const PIECE: usize = 256 << 10;
/// As many as a reader needs who looks at what he has been given while he reads on.
const KEPT: usize = 8;

static FREE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// Reads up to [`PIECE`] bytes from `position` on; fewer where the file ends before.
pub(super) fn read(file: &dyn DiskFile, position: u64, len: usize) -> io::Result<Bytes> {
    if len > PIECE {
        return file.read_fresh(len, position).map(Bytes::from);
    }
    let free = FREE.lock().pop();
    let memory = free.unwrap_or_else(|| vec![0; PIECE].into_boxed_slice());
    let mut piece = Piece { memory, len: 0 };
    piece.len = file.read_at(piece.memory.get_mut(..len).unwrap_or_default(), position)?;
    Ok(Bytes::from_owner(piece))
}

/// Memory of which the first bytes have been read.
struct Piece {
    memory: Box<[u8]>,
    len: usize,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let memory = mem::take(&mut self.memory);
        let mut free = FREE.lock();
        if free.len() < KEPT {
            free.push(memory);
            return;
        }
        drop(free);
        // Giving it back may be a system call: not under the lock.
        drop(memory);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::{Disk, MemoryDisk};

    #[test]
    fn a_piece_is_what_stands_in_the_file_whatever_its_memory_held_before() {
        let disk = MemoryDisk::default();
        let file = disk.create(Path::new("/file")).unwrap();
        let content: Vec<u8> = (0..PIECE * 2 + 100).map(|at| (at % 251) as u8).collect();
        file.write_at(&[&content], 0).unwrap();
        let mut held = Vec::new();
        for round in 0..3 * KEPT {
            for len in [0, 1, PIECE - 1, PIECE, PIECE + 1] {
                let at = round * 1_001;
                let piece = read(&*file, at as u64, len).unwrap();
                assert_eq!(piece, content[at..at + len], "{len} bytes at {at}");
                held.push((at, piece));
            }
            let end = content.len() - 7;
            assert_eq!(read(&*file, end as u64, 100).unwrap(), content[end..], "the file ends");
            if round % 5 == 4 {
                held.clear();
            }
        }
        for (at, piece) in held {
            assert_eq!(piece, content[at..at + piece.len()], "nobody else writes to it");
        }
        assert!(FREE.lock().len() <= KEPT);
    }
}
