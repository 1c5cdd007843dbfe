use std::io::ErrorKind;

use super::OsDisk;
use crate::disk::Disk;

#[test]
fn parts_are_written_one_behind_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let disk = OsDisk::new();
    let file = disk.create(&dir.path().join("f")).unwrap();
    let bytes: Vec<u8> = (0..5000_u32).map(|i| i as u8).collect();
    // More parts than one system call takes, with empty ones between.
    let mut parts: Vec<&[u8]> = vec![&[]];
    parts.extend(bytes.chunks(2).flat_map(|part| [part, &[]]));
    file.write_at(&parts, 7).unwrap();
    file.write_at(&[b"x"], 0).unwrap();
    file.write_at(&[], 0).unwrap();
    file.write_at(&[&[], &[]], 0).unwrap();
    file.sync().unwrap();
    let mut read = vec![0xFF; 6000];
    assert_eq!(file.read_at(&mut read, 7).unwrap(), 5000);
    assert_eq!(read[..5000], bytes);
    assert_eq!(file.read_at(&mut read[..8], 0).unwrap(), 8);
    assert_eq!(read[..8], [b'x', 0, 0, 0, 0, 0, 0, 0]);
}

#[cfg(target_os = "linux")]
#[test]
fn short_and_interrupted_writes_are_continued() {
    use std::io::{Error, IoSlice};
    let parts = [&b"ab"[..], b"", b"cde", b"f"];
    let mut slices = parts.map(IoSlice::new);
    let (mut written, mut calls) = (vec![0; 10], 0);
    super::write_slices(&mut slices, 3, |slices, position| {
        calls += 1;
        if calls % 2 == 1 {
            return Err(ErrorKind::Interrupted.into());
        }
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let n = all.len().min(4);
        written[position as usize..][..n].copy_from_slice(&all[..n]);
        Ok(n)
    })
    .unwrap();
    assert_eq!((&written[..], calls), (&b"\0\0\0abcdef\0"[..], 4));
    let mut slices = parts.map(IoSlice::new);
    let zero = super::write_slices(&mut slices, 0, |_, _| Ok(0));
    assert_eq!(zero.unwrap_err().kind(), ErrorKind::WriteZero);
    let mut slices = parts.map(IoSlice::new);
    let full = super::write_slices(&mut slices, 0, |_, _| Err(Error::from(ErrorKind::StorageFull)));
    assert_eq!(full.unwrap_err().kind(), ErrorKind::StorageFull);
}

#[test]
fn allocate_lengthens_and_never_shortens() {
    let dir = tempfile::tempdir().unwrap();
    let file = OsDisk::new().create(&dir.path().join("f")).unwrap();
    file.write_at(&[b"abc"], 0).unwrap();
    file.allocate(0, 2).unwrap();
    file.allocate(0, 0).unwrap();
    assert_eq!(file.len().unwrap(), 3);
    file.allocate(4096, 4096).unwrap();
    assert_eq!(file.len().unwrap(), 8192);
    file.set_len(5).unwrap();
    let mut read = [9; 8];
    assert_eq!(file.read_at(&mut read, 0).unwrap(), 5);
    assert_eq!(&read[..5], b"abc\0\0");
    assert_eq!(file.allocate(u64::MAX, 1).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn names_can_be_created_listed_renamed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = OsDisk::new();
    let at = |name: &str| dir.path().join(name);
    disk.create_dir(&at("d")).unwrap();
    disk.create_dir(&at("d")).unwrap();
    disk.create(&at("f")).unwrap().write_at(&[b"123"], 0).unwrap();
    assert_eq!(disk.create(&at("f")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.create_dir(&at("f")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    disk.create(&at("g")).unwrap();
    disk.rename(&at("f"), &at("g")).unwrap();
    disk.sync_dir(dir.path()).unwrap();
    let mut entries = disk.list(dir.path()).unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let seen: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.is_dir, e.len)).collect();
    assert_eq!(seen, [("d", true, 0), ("g", false, 3)]);
    assert_eq!(disk.entry(&at("f")).unwrap(), None);
    assert_eq!(disk.entry(&at("g")).unwrap().unwrap(), entries[1]);
    disk.remove(&at("g")).unwrap();
    assert_eq!(disk.open(&at("g")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.sync_dir(&at("x")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn the_lock_excludes_a_second_handle_of_the_same_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    let guard = OsDisk::new().lock(&path).unwrap();
    let again = OsDisk::new().lock(&path).map(|_| ());
    assert_eq!(again.unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(guard);
    assert!(OsDisk::new().lock(&path).is_ok());
}

#[test]
fn a_map_outlives_its_file_and_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, path) = (OsDisk::new(), dir.path().join("f"));
    let file = disk.create(&path).unwrap();
    file.write_at(&[&[5; 10_000]], 0).unwrap();
    assert_eq!(file.map(10_001).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert!(file.map(0).unwrap().is_empty());
    let slice = file.map(9_000).unwrap().slice(8_000..);
    disk.remove(&path).unwrap();
    drop(file);
    assert_eq!(slice, vec![5; 1_000]);
}

#[test]
fn without_maps_nothing_is_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, path) = (OsDisk::without_maps(), dir.path().join("f"));
    let file = disk.create(&path).unwrap();
    file.allocate(0, 4096).unwrap();
    assert_eq!(file.map(1).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(disk.map_shared(&path, 4096).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[cfg(target_os = "linux")]
#[test]
fn stores_to_a_shared_map_reach_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, path) = (OsDisk::new(), dir.path().join("stage"));
    let file = disk.create(&path).unwrap();
    file.write_at(&[&vec![1; 8192]], 0).unwrap();
    let map = disk.map_shared(&path, 8192).unwrap();
    let (a, mut b) = map.memory.split_at(4096);
    assert_eq!((a.position(), b.position(), b.bytes()[0]), (0, 4096, 1));
    b.bytes_mut().fill(2);
    map.file.sync().unwrap();
    let mut read = [0; 2];
    file.read_at(&mut read, 4095).unwrap();
    assert_eq!(read, [1, 2]);
    // The memory outlives name and handles.
    disk.remove(&path).unwrap();
    drop((map.file, file, a));
    assert_eq!(b.bytes()[4095], 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_is_mapped_to_write_only_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, path) = (OsDisk::new(), dir.path().join("stage"));
    disk.create(&path).unwrap().allocate(0, 4096).unwrap();
    let map = disk.map_shared(&path, 4096).unwrap();
    assert_eq!(disk.map_shared(&path, 4096).unwrap_err().kind(), ErrorKind::WouldBlock);
    let reader = map.memory.into_block(0).reader();
    drop(map.file);
    // A reader alone keeps the memory, and so the refusal.
    assert_eq!(disk.map_shared(&path, 4096).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(reader);
    disk.map_shared(&path, 4096).unwrap();
    assert_eq!(disk.map_shared(&path, 8192).unwrap_err().kind(), ErrorKind::InvalidInput);
    let missing = disk.map_shared(&dir.path().join("none"), 4096);
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

/// What a file system without space or a broken disk would do to a store.
#[cfg(target_os = "linux")]
#[test]
fn a_page_that_is_not_there_is_an_error_when_it_is_brought_in() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, path) = (OsDisk::new(), dir.path().join("stage"));
    let file = disk.create(&path).unwrap();
    file.write_at(&[&vec![1; 5 * 4096]], 0).unwrap();
    let map = disk.map_shared(&path, 5 * 4096).unwrap();
    let (first, rest) = map.memory.split_at(4096);
    let (second, last) = rest.split_at(4096);
    first.bring_in().unwrap();
    file.set_len(2 * 4096).unwrap();
    assert_eq!(last.bring_in().unwrap_err().raw_os_error(), Some(14));
    assert_eq!(last.bring_in().unwrap_err().raw_os_error(), Some(14), "it stays one");
    second.bring_in().unwrap();
    assert_eq!((first.bytes()[0], second.bytes()[4095]), (1, 1));
    file.set_len(5 * 4096).unwrap();
    last.bring_in().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn the_boot_has_one_identity() {
    let id = OsDisk::new().boot_id();
    assert!(id.is_some_and(|id| id != 0));
    assert_eq!(id, OsDisk::default().boot_id());
}

#[test]
#[cfg(target_os = "linux")]
fn the_front_of_a_growing_file_is_lent_as_far_as_no_page_is_shared() {
    const GRAIN: usize = 64 << 10;
    let dir = tempfile::tempdir().unwrap();
    let file = OsDisk::new().create(&dir.path().join("file")).unwrap();
    let content: Vec<u8> = (0..5 * GRAIN).map(|at| (at % 251) as u8).collect();
    file.write_at(&[&content[..GRAIN - 1]], 0).unwrap();
    let few = file.map_front(GRAIN as u64 - 1, 4 * GRAIN).unwrap_err();
    assert_eq!(few.kind(), ErrorKind::Unsupported, "all of it shares a page with the end");
    file.write_at(&[&content[GRAIN - 1..2 * GRAIN + 9]], GRAIN as u64 - 1).unwrap();
    let front = file.map_front(GRAIN as u64, 4 * GRAIN).unwrap();
    let first = front.lend(2 * GRAIN as u64 - 1);
    assert_eq!(first, content[..GRAIN]);
    // Longer than when it was mapped.
    file.write_at(&[&content[2 * GRAIN + 9..]], 2 * GRAIN as u64 + 9).unwrap();
    assert_eq!(front.lend(3 * GRAIN as u64), content[..3 * GRAIN]);
    assert_eq!(front.lend(5 * GRAIN as u64), content[..4 * GRAIN], "no further than its reach");
    file.set_len(GRAIN as u64 + 1).unwrap();
    drop((front, file));
    assert_eq!(first, content[..GRAIN], "what is lent outlives map, file and the cut behind it");
    let without = OsDisk::without_maps().open(&dir.path().join("file")).unwrap();
    assert!(without.map_front(GRAIN as u64, GRAIN).is_err());
}
