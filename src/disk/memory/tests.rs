use std::io::ErrorKind;
use std::path::Path;

use super::{MemoryDisk, PIECE};
use crate::disk::{Disk, DiskFile};

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn content(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0xFF; file.len().unwrap() as usize + 10];
    let n = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(n);
    bytes
}

#[test]
fn files_read_back_across_pieces_and_holes() {
    let disk = MemoryDisk::new();
    let file = disk.create(path("/f")).unwrap();
    let at = PIECE as u64 - 3;
    file.write_at(&[b"abc", b"", b"def"], at).unwrap();
    assert_eq!(file.len().unwrap(), at + 6);
    let mut buffer = [0xFF; 8];
    assert_eq!(file.read_at(&mut buffer, at - 2).unwrap(), 8);
    assert_eq!(&buffer, b"\0\0abcdef");
    assert_eq!(file.read_at(&mut buffer, at + 4).unwrap(), 2);
    assert_eq!(file.read_at(&mut buffer, at + 6).unwrap(), 0);
    file.write_at(&[b"XY"], at + 1).unwrap();
    assert_eq!(&content(&*file)[at as usize..], b"aXYdef");
}

#[test]
fn a_cut_file_grows_again_with_zeros() {
    let disk = MemoryDisk::new();
    let file = disk.create(path("f")).unwrap();
    file.write_at(&[&[7; 3 * PIECE]], 0).unwrap();
    file.set_len(PIECE as u64 + 2).unwrap();
    file.allocate(0, 10).unwrap();
    assert_eq!(file.len().unwrap(), PIECE as u64 + 2);
    file.allocate(PIECE as u64, 100).unwrap();
    let bytes = content(&*file);
    assert_eq!(bytes.len(), PIECE + 100);
    assert_eq!(bytes[PIECE..PIECE + 4], [7, 7, 0, 0]);
}

#[test]
fn maps_are_stable_bytes_and_the_file_stays_writable() {
    let disk = MemoryDisk::new();
    let file = disk.create(path("f")).unwrap();
    file.write_at(&[b"hello"], 0).unwrap();
    let (all, part) = (file.map(5).unwrap(), file.map(2).unwrap());
    assert_eq!(all.as_ptr(), part.as_ptr(), "one copy serves every map");
    assert_eq!(file.map(6).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(content(&*file), b"hello");
    file.write_at(&[b"J"], 0).unwrap();
    file.set_len(7).unwrap();
    assert_eq!(content(&*file), b"Jello\0\0");
    disk.remove(path("f")).unwrap();
    drop(file);
    assert_eq!((&all[..], &part[..]), (&b"hello"[..], &b"he"[..]));
}

#[test]
fn names_behave_like_a_file_system() {
    let disk = MemoryDisk::new();
    assert_eq!(disk.create(path("d/f")).unwrap_err().kind(), ErrorKind::NotFound);
    disk.create_dir(path("/d")).unwrap();
    disk.create_dir(path("d")).unwrap();
    disk.create(path("d/f")).unwrap().write_at(&[b"123"], 0).unwrap();
    disk.create(path("d-not-below")).unwrap();
    assert_eq!(disk.create(path("d/f")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    disk.create(path("d/g")).unwrap();
    disk.rename(path("d/f"), path("d/g")).unwrap();
    let entries = disk.list(path("d")).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].name.as_str(), entries[0].len), ("g", 3));
    assert_eq!(disk.open(path("d/f")).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(disk.entry(path("d")).unwrap().unwrap().is_dir);
    assert!(disk.entry(path("/")).unwrap().unwrap().is_dir);
    disk.remove(path("d/g")).unwrap();
    assert_eq!(disk.entry(path("d/g")).unwrap(), None);
    assert_eq!(disk.remove(path("d/g")).unwrap_err().kind(), ErrorKind::NotFound);
    disk.sync_dir(path("d")).unwrap();
    assert_eq!(disk.sync_dir(path("e")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.entry(path("../x")).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_lock_excludes_until_its_guard_drops() {
    let disk = MemoryDisk::new();
    let guard = disk.lock(path("/LOCK")).unwrap();
    let again = disk.clone().lock(path("LOCK")).map(|_| ());
    assert_eq!(again.unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(MemoryDisk::new().lock(path("LOCK")).is_ok(), "another disk is another world");
    drop(guard);
    assert!(disk.lock(path("LOCK")).is_ok());
    assert!(disk.entry(path("LOCK")).unwrap().is_some());
}

#[test]
fn a_shared_map_is_heap_memory_with_the_contents_of_the_file() {
    let disk = MemoryDisk::new();
    let file = disk.create(path("stage")).unwrap();
    file.write_at(&[b"head"], 0).unwrap();
    file.allocate(0, 4096).unwrap();
    assert_eq!(disk.map_shared(path("stage"), 100).unwrap_err().kind(), ErrorKind::InvalidInput);
    let map = disk.map_shared(path("stage"), 4096).unwrap();
    assert_eq!(&map.memory.bytes()[..5], b"head\0");
    map.file.sync().unwrap();
}

#[test]
fn a_position_out_of_reach_is_an_error() {
    let file = MemoryDisk::new().create(path("f")).unwrap();
    assert_eq!(file.write_at(&[b"x"], u64::MAX).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(file.set_len(u64::MAX).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(file.allocate(u64::MAX, 2).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(file.len().unwrap(), 0);
}
