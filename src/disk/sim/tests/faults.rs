use super::*;

#[test]
fn the_operation_that_was_named_fails_and_no_other() {
    let disk = SimDisk::new();
    let file = settled(&disk, "/f", b"abc");
    let next = disk.operations();
    disk.fail_at(next + 1, Fault::Eio);
    disk.fail_at(next + 3, Fault::NoSpace);
    file.write_at(&[b"x"], 0).unwrap();
    assert!(file.write_at(&[b"y"], 1).is_err());
    assert_eq!(file.read_at(&mut [0; 1], 0).unwrap(), 1);
    assert_eq!(kind(file.write_at(&[b"z"], 2)), ErrorKind::StorageFull);
    file.len().unwrap();
    assert_eq!(disk.operations(), next + 5);
    assert_eq!(disk.read_file("/f").unwrap(), b"xbc");
}

#[test]
fn faults_find_their_operation_by_sort_and_path() {
    let disk = SimDisk::new();
    let (a, b) = (settled(&disk, "/a.seg", b""), settled(&disk, "/manifest", b""));
    disk.fail_next(Operation::Sync, "manifest", Fault::SyncFails);
    disk.fail_next(Operation::Create, "/b", Fault::NoSpace);
    a.sync().unwrap();
    b.write_at(&[b"x"], 0).unwrap();
    assert!(b.sync().is_err());
    b.sync().unwrap();
    assert_eq!(kind(disk.create(path("/b.seg"))), ErrorKind::StorageFull);
    disk.create(path("/b.seg")).unwrap();
    disk.fail_next(Operation::Len, "", Fault::Eio);
    disk.clear_faults();
    b.len().unwrap();
}

#[test]
fn every_sort_of_operation_is_counted_traced_and_can_fail() {
    use Operation as O;
    let calls = |disk: &SimDisk, check: &dyn Fn(bool)| {
        let file = settled(disk, "/f", &[0; 512]);
        check(disk.create_dir(path("/d")).is_ok());
        check(disk.entry(path("/d")).is_ok());
        check(disk.list(path("/")).is_ok());
        check(disk.create(path("/c")).is_ok());
        check(disk.open(path("/f")).is_ok());
        check(disk.rename(path("/c"), path("/r")).is_ok());
        check(disk.remove(path("/r")).is_ok());
        check(disk.sync_dir(path("/")).is_ok());
        check(disk.lock(path("/LOCK")).is_ok());
        check(file.len().is_ok());
        check(file.read_at(&mut [0], 0).is_ok());
        check(file.write_at(&[b"x"], 0).is_ok());
        check(file.allocate(0, 512).is_ok());
        check(file.set_len(512).is_ok());
        check(file.sync().is_ok());
        check(file.map(1).is_ok());
    };
    let disk = SimDisk::new();
    disk.start_trace();
    calls(&disk, &|ok| assert!(ok));
    let trace = disk.trace();
    let sorts: Vec<_> = trace.iter().skip(1).map(|traced| traced.operation).collect();
    let expected = [
        [O::CreateDir, O::Entry, O::List, O::Create],
        [O::Open, O::Rename, O::Remove, O::SyncDir],
        [O::Lock, O::Len, O::Read, O::Write],
        [O::Allocate, O::SetLen, O::Sync, O::Map],
    ];
    assert_eq!(sorts, expected.concat());
    assert_eq!((trace[6].path.as_path(), trace[6].index), (path("/r"), 6));
    let disk = SimDisk::new();
    (1..=16).for_each(|index| disk.fail_at(index, Fault::Eio));
    calls(&disk, &|ok| assert!(!ok));
    assert_eq!(disk.read_file("/f").unwrap(), [0; 512]);
}

#[test]
fn a_short_write_leaves_its_beginning() {
    let disk = SimDisk::new();
    let file = settled(&disk, "/f", b"......");
    disk.fail_next(Operation::Write, "f", Fault::ShortWrite(3));
    assert!(file.write_at(&[b"ab", b"cd"], 1).is_err());
    assert_eq!(disk.read_file("/f").unwrap(), b".abc..");
}

#[test]
fn a_full_disk_takes_what_fits_and_goes_on_when_there_is_space() {
    let disk = SimDisk::new();
    let file = settled(&disk, "/f", b"");
    let other = settled(&disk, "/g", &[1; 40]);
    disk.set_space(100);
    assert_eq!(kind(file.write_at(&[&[2; 70]], 0)), ErrorKind::StorageFull);
    assert_eq!(disk.read_file("/f").unwrap(), [2; 60]);
    assert_eq!(disk.used_space(), 100);
    assert_eq!(kind(other.allocate(0, 41)), ErrorKind::StorageFull);
    // Nothing new is taken by writing over what is there.
    other.write_at(&[&[3; 40]], 0).unwrap();
    other.allocate(0, 40).unwrap();
    other.sync().unwrap();
    // A removed file keeps its space until it is closed.
    disk.remove(path("/g")).unwrap();
    assert_eq!(disk.used_space(), 100);
    drop(other);
    file.allocate(60, 40).unwrap();
    assert_eq!(kind(file.write_at(&[b"x"], 100)), ErrorKind::StorageFull);
    file.set_len(10).unwrap();
    assert_eq!(disk.used_space(), 10);
    disk.set_space(u64::MAX);
    file.write_at(&[&[4; 200]], 0).unwrap();
}

#[test]
fn after_a_failed_sync_a_later_one_proves_nothing() {
    let disk = SimDisk::new();
    let file = settled(&disk, "/f", &[0; 1024]);
    file.write_at(&[&[1; 512]], 0).unwrap();
    disk.fail_at(disk.operations(), Fault::SyncFails);
    assert!(file.sync().is_err());
    assert_eq!(disk.read_file("/f").unwrap()[..512], [1; 512], "still in the cache");
    file.write_at(&[&[2; 512]], 512).unwrap();
    file.sync().unwrap();
    let (lost, kept) = ([[0; 512], [2; 512]].concat(), [[1; 512], [2; 512]].concat());
    assert_eq!(outcomes(&disk, "/f"), BTreeSet::from([Some(lost.clone()), Some(kept)]));
    assert_eq!(disk.power_cut_with(PowerCut::Nothing).read_file("/f").unwrap(), lost);
    // Reads may show the loss before any power cut.
    disk.drop_caches();
    assert_eq!(disk.read_file("/f").unwrap(), lost);
}

#[test]
fn what_is_written_again_after_a_failed_sync_can_be_synced() {
    let disk = SimDisk::new();
    let file = settled(&disk, "/f", &[0; 512]);
    file.write_at(&[&[1; 512]], 0).unwrap();
    disk.fail_next(Operation::Sync, "f", Fault::Eio);
    assert!(file.sync().is_err());
    file.write_at(&[&[1; 512]], 0).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.read_durable("/f").unwrap(), [1; 512], "the same bytes count as written");
    file.write_at(&[&[2; 512]], 0).unwrap();
    file.sync().unwrap();
    assert_eq!(outcomes(&disk, "/f"), BTreeSet::from([Some(vec![2; 512])]));
}

#[test]
fn a_sync_fault_waits_for_the_next_sync() {
    let disk = SimDisk::new();
    let file = settled(&disk, "/f", b"");
    disk.fail_at(disk.operations(), Fault::SyncFails);
    file.write_at(&[b"x"], 0).unwrap();
    assert!(disk.sync_dir(path("/")).is_err());
    file.sync().unwrap();
}

#[test]
fn a_failed_sync_of_a_directory_leaves_its_names_in_doubt() {
    let disk = SimDisk::new();
    disk.create(path("/f")).unwrap();
    disk.fail_next(Operation::SyncDir, "/", Fault::SyncFails);
    assert!(disk.sync_dir(path("/")).is_err());
    disk.sync_dir(path("/")).unwrap();
    assert_eq!(outcomes(&disk, "/f"), BTreeSet::from([None, Some(vec![])]));
    // A later operation on the name, once synced, ends the doubt.
    let disk = disk.kill();
    disk.remove(path("/f")).unwrap();
    disk.sync_dir(path("/")).unwrap();
    assert_eq!(outcomes(&disk, "/f"), BTreeSet::from([None]));
}

#[test]
fn a_crash_stops_the_machine_at_its_operation() {
    let disk = SimDisk::new();
    let file = settled(&disk, "/f", b"ab");
    disk.crash_at(disk.operations() + 1);
    file.write_at(&[b"A"], 0).unwrap();
    assert!(!disk.is_off());
    assert!(file.write_at(&[b"B"], 1).is_err());
    assert!(disk.is_off());
    assert!(file.sync().is_err() && file.len().is_err() && disk.open(path("/f")).is_err());
    let next = disk.kill();
    assert!(!next.is_off());
    assert_eq!(next.operations(), 0);
    assert_eq!(next.read_file("/f").unwrap(), b"Ab");
    next.open(path("/f")).unwrap().write_at(&[b"C"], 0).unwrap();
    assert_eq!(disk.read_file("/f").unwrap(), b"Ab", "the dead machine has files of its own");
}

#[test]
fn a_crash_may_come_in_the_middle_of_a_write() {
    let disk = SimDisk::new();
    let file = settled(&disk, "/f", b"abcd");
    disk.fail_at(disk.operations(), Fault::ShortWrite(2));
    disk.crash_at(disk.operations());
    assert!(file.write_at(&[b"WXYZ"], 0).is_err());
    assert_eq!(disk.kill().read_file("/f").unwrap(), b"WXcd");
}

#[test]
fn only_a_power_cut_begins_another_boot() {
    let disk = SimDisk::new();
    let boot = disk.boot_id();
    assert_eq!(disk.kill().boot_id(), boot);
    let next = disk.power_cut(1);
    assert_ne!(next.boot_id(), boot);
    assert_ne!(next.power_cut(1).boot_id(), next.boot_id());
}

#[test]
fn a_test_may_tamper_with_files() {
    let disk = SimDisk::new();
    let file = settled(&disk, "/d/f", b"abc");
    disk.write_file("/d/f", b"xy").unwrap();
    assert_eq!(file.map(2).unwrap(), &b"xy"[..]);
    disk.write_file("/d/g", b"").unwrap();
    disk.remove_file("/d/f").unwrap();
    assert_eq!(kind(disk.remove_file("/d/f")), ErrorKind::NotFound);
    assert_eq!(disk.operations(), 2);
    assert_eq!(disk.power_cut(3).list_files(), [path("/d/g")]);
}

#[cfg(target_os = "linux")]
#[cfg(not(miri))]
mod shared_maps {
    use super::*;
    use crate::disk::SharedMap;

    fn mapped(disk: &SimDisk) -> SharedMap {
        settled(disk, "/stage", &[0; 8192]);
        disk.map_shared(path("/stage"), 8192).unwrap()
    }

    #[test]
    fn stores_survive_the_process_at_once_and_power_after_a_sync() {
        let disk = SimDisk::new();
        let mut map = mapped(&disk);
        map.memory.bytes_mut()[4096..].fill(1);
        assert_eq!(disk.read_file("/stage").unwrap()[4095..4097], [0, 1]);
        assert_eq!(disk.read_durable("/stage").unwrap(), [0; 8192]);
        map.file.sync().unwrap();
        map.memory.bytes_mut()[..1024].fill(2);
        let next = disk.kill();
        let all = [vec![2; 1024], vec![0; 3072], vec![1; 4096]].concat();
        assert_eq!(next.read_file("/stage").unwrap(), all);
        let seen = outcomes(&disk, "/stage");
        assert_eq!(seen.len(), 4, "all subsets of two sectors");
        assert!(seen.iter().flatten().all(|image| image[1024..] == all[1024..]));
    }

    #[test]
    fn memory_of_a_dead_process_is_cut_off() {
        let disk = SimDisk::new();
        let mut map = mapped(&disk);
        disk.crash_at(disk.operations());
        assert!(map.file.sync().is_err());
        map.memory.bytes_mut().fill(9);
        assert_eq!(disk.kill().read_file("/stage").unwrap(), [0; 8192]);
    }

    #[test]
    fn one_map_at_a_time_and_no_writes_beside_it() {
        let disk = SimDisk::new();
        let map = mapped(&disk);
        assert_eq!(kind(disk.map_shared(path("/stage"), 8192)), ErrorKind::WouldBlock);
        assert_eq!(kind(map.file.write_at(&[b"x"], 0)), ErrorKind::InvalidInput);
        assert_eq!(kind(map.file.set_len(1)), ErrorKind::InvalidInput);
        let SharedMap { mut memory, file } = map;
        memory.bytes_mut()[0] = b'y';
        drop(memory);
        file.write_at(&[b"z"], 1).unwrap();
        let map = disk.map_shared(path("/stage"), 8192).unwrap();
        assert_eq!(&map.memory.bytes()[..3], b"yz\0");
        assert_eq!(kind(disk.map_shared(path("/none"), 1)), ErrorKind::NotFound);
        disk.set_maps(false);
        assert_eq!(kind(disk.map_shared(path("/stage"), 8192)), ErrorKind::Unsupported);
        assert_eq!(kind(file.map(1)), ErrorKind::Unsupported);
    }

    #[test]
    fn a_failed_sync_loses_what_was_stored() {
        let disk = SimDisk::new();
        let mut map = mapped(&disk);
        map.memory.bytes_mut()[0] = 1;
        disk.fail_next(Operation::Sync, "stage", Fault::SyncFails);
        assert!(map.file.sync().is_err());
        map.file.sync().unwrap();
        assert_eq!(disk.power_cut_with(PowerCut::Nothing).read_file("/stage").unwrap(), [0; 8192]);
        assert_eq!(disk.kill().read_file("/stage").unwrap()[0], 1);
    }

    #[test]
    fn other_threads_store_while_a_sync_reads() {
        let disk = SimDisk::new();
        let SharedMap { memory, file } = mapped(&disk);
        let mut writer = memory.into_block(0);
        let reader = writer.reader();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for upto in 1..=8192 {
                    writer.spare_mut()[0] = 5;
                    writer.publish(upto);
                }
            });
            for _ in 0..50 {
                let before = reader.mark();
                file.sync().unwrap();
                let durable = disk.read_durable("/stage").unwrap();
                assert!(durable[..before].iter().all(|&byte| byte == 5));
            }
        });
    }

    #[test]
    fn a_map_needs_space_behind_it() {
        let disk = SimDisk::new();
        let file = settled(&disk, "/stage", b"");
        file.set_len(8192).unwrap();
        disk.set_space(8191);
        assert_eq!(kind(disk.map_shared(path("/stage"), 8192)), ErrorKind::StorageFull);
        disk.set_space(8192);
        disk.map_shared(path("/stage"), 8192).unwrap();
        assert_eq!(disk.used_space(), 8192);
    }
}
