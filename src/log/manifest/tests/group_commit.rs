//! Many callers, one sync; appends while others sync or rewrite.

use std::thread;

use super::*;
use crate::base::ErrorKind;

#[test]
fn waiting_callers_share_syncs_and_all_is_there() {
    let disk = TestDisk::new();
    let manifest = create(&disk);
    manifest.append(&[Record::Opened { incarnation: 1, boot_id: None }]).unwrap();
    thread::scope(|scope| {
        for topic in 1..5_u128 {
            let manifest = &manifest;
            scope.spawn(move || {
                for offset in 1..400 {
                    let record = Record::Ceiling { key: key(topic, 0), offset };
                    let sequence = manifest.append(&[record]).unwrap();
                    manifest.sync_to(sequence).unwrap();
                }
            });
        }
    });
    let (again, report) = open(&disk, manifest.synced_len()).unwrap();
    assert_eq!(state_of(&again), state_of(&manifest));
    assert_eq!(report.torn_bytes, 0);
    assert!(manifest.synced_len().generation > 1, "rewritten on the way");
    for topic in 1..5 {
        assert_eq!(again.with_state(|s| s.partition(&key(topic, 0)).unwrap().ceiling()), 399);
    }
}

#[test]
fn one_sync_serves_all_that_was_appended_before_it() {
    let disk = TestDisk::new();
    let manifest = create(&disk);
    let sequences: Vec<_> = (1..5).map(|n| manifest.append(&[ceiling(n)]).unwrap()).collect();
    let before = disk.calls("sync");
    sequences.iter().rev().for_each(|sequence| manifest.sync_to(*sequence).unwrap());
    assert_eq!(disk.calls("sync"), before + 1);
    let ahead = manifest.sync_to(sequences[3] + 1).unwrap_err();
    assert_eq!(ahead.kind(), ErrorKind::IllegalState);
}

#[test]
fn appends_go_on_while_a_sync_or_a_rewrite_runs() {
    for rewrite in [false, true] {
        let disk = TestDisk::new();
        let manifest = Arc::new(create(&disk));
        let first = manifest.append(&[ceiling(1)]).unwrap();
        let (during, seen) = (manifest.clone(), disk.clone());
        disk.on_next_sync(move || {
            during.append(&[ceiling(2)]).unwrap();
            during.append(&[created(1, 0), ceiling(3)]).unwrap();
            // Killed in the middle of it, the log must find them.
            let image = TestDisk::new();
            image.put("manifest", seen.contents("manifest").unwrap());
            let (killed, _) = open(&image, during.synced_len()).unwrap();
            assert_eq!(state_of(&killed), state_of(&during));
        });
        if rewrite {
            manifest.rewrite().unwrap();
        } else {
            manifest.sync_to(first).unwrap();
        }
        let (again, _) = open(&disk, manifest.synced_len()).unwrap();
        assert_eq!(state_of(&again), state_of(&manifest));
        assert_eq!(again.with_state(|s| s.partition(&key(1, 0)).unwrap().ceiling()), 3);
        let last = manifest.append(&[ceiling(4)]).unwrap();
        manifest.sync_to(last).unwrap();
        let (again, _) = open(&disk, manifest.synced_len()).unwrap();
        assert_eq!(state_of(&again), state_of(&manifest));
    }
}
