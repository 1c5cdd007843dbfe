use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::rng::Rng;
use super::{Fault, Operation, PowerCut, SimDisk};
use crate::disk::{Disk, DiskFile};

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// A file whose name and first contents survive everything.
fn settled(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    disk.write_file(name, bytes).unwrap();
    disk.open(path(name)).unwrap()
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.map(|_| ()).unwrap_err().kind()
}

/// Everything that power cuts with 300 seeds leave of a file.
fn outcomes(disk: &SimDisk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..300).map(|seed| disk.power_cut(seed).read_file(name).ok()).collect()
}

mod contents {
    use super::*;

    #[test]
    fn a_sync_of_a_part_says_nothing_of_the_rest() {
        const PAGE: usize = 4 << 10;
        let disk = SimDisk::new();
        let file = settled(&disk, "/f", &[0; 3 * PAGE]);
        file.write_at(&[&[1; 3 * PAGE]], 0).unwrap();
        file.sync_part(PAGE as u64 + 100, 8).unwrap();
        let is = [0, PAGE, 2 * PAGE].map(|at| disk.read_durable("/f").unwrap()[at]);
        assert_eq!(is, [0, 1, 0]);
        // What it failed to write is in doubt, whatever part it was.
        file.write_at(&[&[2; 3 * PAGE]], 0).unwrap();
        disk.fail_next(Operation::Sync, "/f", Fault::SyncFails);
        file.sync_part(0, 8).unwrap_err();
        file.sync_part(0, 3 * PAGE as u64).unwrap();
        let is = [0, PAGE, 2 * PAGE].map(|at| disk.read_durable("/f").unwrap()[at]);
        assert_eq!(is, [0, 1, 0]);
        file.sync().unwrap();
        assert_eq!(disk.read_durable("/f").unwrap()[0], 0);
    }

    #[test]
    fn a_killed_process_loses_nothing_and_lost_power_what_was_not_synced() {
        let disk = SimDisk::new();
        let file = settled(&disk, "/f", b"old");
        file.write_at(&[b"ne", b"w"], 0).unwrap();
        assert_eq!(disk.read_file("/f").unwrap(), b"new");
        assert_eq!(disk.read_durable("/f").unwrap(), b"old");
        assert_eq!(disk.kill().read_file("/f").unwrap(), b"new");
        let cut = |cut| disk.power_cut_with(cut).read_file("f").unwrap();
        assert_eq!(cut(PowerCut::Nothing), b"old");
        assert_eq!(cut(PowerCut::Everything), b"new");
        let both = [Some(b"new".to_vec()), Some(b"old".to_vec())];
        assert_eq!(outcomes(&disk, "/f"), BTreeSet::from(both));
    }

    #[test]
    fn what_a_killed_process_did_not_sync_is_still_not_synced() {
        let disk = SimDisk::new();
        settled(&disk, "/f", b"old").write_at(&[b"new"], 0).unwrap();
        let next = disk.kill();
        assert_eq!(next.power_cut_with(PowerCut::Nothing).read_file("/f").unwrap(), b"old");
        let next = disk.kill();
        next.open(path("/f")).unwrap().sync().unwrap();
        assert_eq!(next.power_cut_with(PowerCut::Nothing).read_file("/f").unwrap(), b"new");
    }

    #[test]
    fn after_a_sync_no_power_cut_changes_anything() {
        let disk = SimDisk::new();
        let file = settled(&disk, "/f", &[1; 3000]);
        file.write_at(&[&[2; 2000]], 500).unwrap();
        file.set_len(2800).unwrap();
        file.sync().unwrap();
        let now = disk.read_file("/f").unwrap();
        assert_eq!(outcomes(&disk, "/f"), BTreeSet::from([Some(now)]));
    }

    #[test]
    fn any_set_of_sectors_may_survive() {
        let disk = SimDisk::new();
        settled(&disk, "/f", &[0; 4 * 512]).write_at(&[&[9; 4 * 512]], 0).unwrap();
        let seen = outcomes(&disk, "/f");
        assert_eq!(seen.len(), 16, "all subsets of four sectors");
        for image in seen.into_iter().flatten() {
            assert!(image.chunks(512).all(|s| s == [0; 512] || s == [9; 512]), "sectors are whole");
        }
    }

    #[test]
    fn older_versions_of_a_sector_may_survive_too() {
        let disk = SimDisk::new();
        let file = settled(&disk, "/f", b"0");
        for digit in [b"1", b"2", b"3"] {
            file.write_at(&[digit], 0).unwrap();
        }
        let seen: Vec<_> = outcomes(&disk, "/f").into_iter().flatten().flatten().collect();
        assert_eq!(seen, b"0123");
    }

    #[test]
    fn length_and_contents_survive_separately() {
        let disk = SimDisk::new();
        let file = settled(&disk, "/f", b"");
        file.allocate(0, 600).unwrap();
        file.write_at(&[&[7; 600]], 0).unwrap();
        let seen = outcomes(&disk, "/f");
        let mut torn = vec![0; 600];
        assert!(seen.contains(&Some(Vec::new())) && seen.contains(&Some(torn.clone())));
        torn[512..].fill(7);
        assert!(seen.contains(&Some(torn)));
    }

    #[test]
    fn a_cut_and_regrown_file_reads_zeros_where_it_was_cut() {
        let disk = SimDisk::new();
        let file = settled(&disk, "/f", &[5; 2000]);
        file.set_len(700).unwrap();
        file.set_len(2000).unwrap();
        let now = disk.read_file("/f").unwrap();
        assert_eq!((now[699], now[700], now[1999]), (5, 0, 0));
        assert_eq!(disk.kill().read_file("/f").unwrap(), now);
        assert_eq!(disk.power_cut_with(PowerCut::Everything).read_file("/f").unwrap(), now);
        let next = disk.kill();
        next.open(path("/f")).unwrap().sync().unwrap();
        assert_eq!(next.power_cut_with(PowerCut::Nothing).read_file("/f").unwrap(), now);
    }

    #[test]
    fn one_seed_gives_one_machine() {
        let disk = SimDisk::new();
        settled(&disk, "/f", &[0; 40 * 512]).write_at(&[&[1; 40 * 512]], 0).unwrap();
        let image = |seed| disk.power_cut(seed).read_file("/f").unwrap();
        assert!((0..20).all(|seed| image(seed) == image(seed)));
        assert!((0..20).any(|seed| image(seed) != image(seed + 1)));
    }

    /// Random calls against the plainest model: a vector now, and one as of the last sync.
    #[test]
    fn images_follow_a_model_through_random_calls() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let disk = SimDisk::new();
            let file = settled(&disk, "/f", b"");
            let (mut live, mut durable) = (Vec::new(), Vec::new());
            for step in 0..40_u8 {
                let (at, len) = (rng.below(3000), rng.below(1500));
                match rng.below(8) {
                    0..4 => {
                        let end = live.len().max(at + len);
                        if len > 0 {
                            live.resize(end, 0);
                            live[at..at + len].fill(step);
                        }
                        file.write_at(&[&vec![step; len]], at as u64).unwrap();
                    }
                    4 => {
                        live.resize(at, 0);
                        file.set_len(at as u64).unwrap();
                    }
                    5 => {
                        live.resize(live.len().max(at + len), 0);
                        file.allocate(at as u64, len as u64).unwrap();
                    }
                    6 => {
                        file.sync().unwrap();
                        durable.clone_from(&live);
                    }
                    _ => {}
                }
                assert_eq!(disk.read_file("/f").unwrap(), live);
                assert_eq!(disk.read_durable("/f").unwrap(), durable);
            }
            assert_eq!(disk.power_cut_with(PowerCut::Everything).read_file("/f").unwrap(), live);
            assert_eq!(disk.power_cut_with(PowerCut::Nothing).read_file("/f").unwrap(), durable);
            assert_eq!(disk.kill().read_file("/f").unwrap(), live);
        }
    }
}

mod names {
    use super::*;

    #[test]
    fn a_created_name_may_vanish_although_its_contents_were_synced() {
        let disk = SimDisk::new();
        let file = disk.create(path("/f")).unwrap();
        file.write_at(&[b"x"], 0).unwrap();
        file.sync().unwrap();
        assert_eq!(outcomes(&disk, "/f"), BTreeSet::from([None, Some(b"x".to_vec())]));
        let disk = disk.kill();
        disk.sync_dir(path("/")).unwrap();
        assert_eq!(outcomes(&disk, "/f"), BTreeSet::from([Some(b"x".to_vec())]));
    }

    #[test]
    fn a_rename_happens_wholly_or_not_at_all() {
        let disk = SimDisk::new();
        settled(&disk, "/new", b"new");
        settled(&disk, "/old", b"old");
        disk.rename(path("/new"), path("/old")).unwrap();
        assert_eq!(disk.read_file("/old").unwrap(), b"new");
        let state = |seed| {
            let after = disk.power_cut(seed);
            (after.read_file("/old").unwrap(), after.read_file("/new").ok())
        };
        let seen: BTreeSet<_> = (0..50).map(state).collect();
        let before = (b"old".to_vec(), Some(b"new".to_vec()));
        assert_eq!(seen, BTreeSet::from([before, (b"new".to_vec(), None)]));
    }

    #[test]
    fn operations_of_a_directory_happen_each_for_itself() {
        let disk = SimDisk::new();
        settled(&disk, "/gone", b"");
        disk.create(path("/a")).unwrap();
        disk.create(path("/b")).unwrap();
        disk.remove(path("/gone")).unwrap();
        let seen: BTreeSet<_> = (0..300).map(|seed| disk.power_cut(seed).list_files()).collect();
        assert_eq!(seen.len(), 8, "all subsets of three operations: {seen:?}");
        assert_eq!(disk.power_cut_with(PowerCut::Nothing).list_files(), [path("/gone")]);
        let all = disk.power_cut_with(PowerCut::Everything).list_files();
        assert_eq!(all, [path("/a"), path("/b")]);
    }

    #[test]
    fn a_name_is_taken_only_from_the_file_that_the_operation_meant() {
        let disk = SimDisk::new();
        settled(&disk, "/a", b"1");
        settled(&disk, "/new", b"2");
        disk.rename(path("/new"), path("/a")).unwrap();
        disk.rename(path("/a"), path("/c")).unwrap();
        let seen: BTreeSet<_> = (0..50).map(|seed| disk.power_cut(seed).list_files()).collect();
        // The second alone finds the old file behind its name and leaves it there.
        let names = |all: &[&str]| all.iter().map(|name| path(name).to_path_buf()).collect();
        let (none, first): (Vec<_>, Vec<_>) = (names(&["/a", "/new"]), names(&["/a"]));
        let (second, both) = (names(&["/a", "/c", "/new"]), names(&["/c"]));
        assert_eq!(seen, BTreeSet::from([none, first, second, both]));
    }

    #[test]
    fn a_lost_directory_takes_its_files_along() {
        let disk = SimDisk::new();
        disk.create_dir(path("/d")).unwrap();
        disk.create(path("/d/f")).unwrap().sync().unwrap();
        disk.sync_dir(path("/d")).unwrap();
        let seen: BTreeSet<_> = (0..50).map(|seed| disk.power_cut(seed).list_files()).collect();
        assert_eq!(seen, BTreeSet::from([vec![], vec![path("/d/f").to_path_buf()]]));
        assert_eq!(disk.power_cut_with(PowerCut::Nothing).list(path("/")).unwrap(), []);
    }

    #[test]
    fn a_removed_file_serves_its_open_handle() {
        let disk = SimDisk::new();
        let file = settled(&disk, "/f", b"abc");
        let map = file.map(2).unwrap();
        disk.remove(path("/f")).unwrap();
        disk.sync_dir(path("/")).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(file.read_at(&mut buffer, 1).unwrap(), 2);
        drop(file);
        assert_eq!((&map[..], &buffer[..2]), (&b"ab"[..], &b"bc"[..]));
        assert_eq!(kind(disk.open(path("/f"))), ErrorKind::NotFound);
    }

    #[test]
    fn a_name_is_an_error_where_it_should_be() {
        let disk = SimDisk::new();
        assert_eq!(kind(disk.create(path("/d/f"))), ErrorKind::NotFound);
        disk.create_dir(path("/d")).unwrap();
        disk.create_dir(path("/d")).unwrap();
        disk.create(path("/d/f")).unwrap();
        assert_eq!(kind(disk.create(path("/d/f"))), ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.create_dir(path("/d/f"))), ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.remove(path("/d"))), ErrorKind::IsADirectory);
        assert_eq!(kind(disk.list(path("/e"))), ErrorKind::NotFound);
        assert_eq!(disk.entry(path("/e")).unwrap(), None);
        assert!(disk.entry(path("/")).unwrap().unwrap().is_dir);
        assert_eq!(disk.list(path("/d")).unwrap()[0].name, "f");
    }

    #[test]
    fn locks_exclude_and_die_with_the_process() {
        let disk = SimDisk::new();
        let guard = disk.lock(path("/LOCK")).unwrap();
        assert_eq!(kind(disk.lock(path("LOCK"))), ErrorKind::WouldBlock);
        let next = disk.kill();
        let held = next.lock(path("/LOCK")).unwrap();
        drop(guard);
        assert_eq!(kind(next.lock(path("/LOCK"))), ErrorKind::WouldBlock);
        drop(held);
        assert!(next.lock(path("/LOCK")).is_ok());
    }
}

mod faults;
