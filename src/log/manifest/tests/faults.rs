//! Full disks, failed writes and syncs, torn ends.

use super::*;
use crate::base::ErrorKind;

fn opened(disk: &Arc<TestDisk>) -> Manifest {
    let manifest = create(disk);
    manifest.append(&[Record::Opened { incarnation: 1, boot_id: None }]).unwrap();
    manifest
}

fn reopened_is_the_same(disk: &Arc<TestDisk>, manifest: &Manifest) -> ManifestReport {
    let (again, report) = open(disk, manifest.synced_len()).unwrap();
    assert_eq!(state_of(&again), state_of(manifest));
    report
}

#[test]
fn a_directory_without_a_manifest_is_no_log() {
    let disk = TestDisk::new();
    assert_eq!(open(&disk, Witness::NONE).unwrap_err().kind(), ErrorKind::NotALog);
    create(&disk);
    let twice = Manifest::create(disk.clone(), Path::new(DIR), 1).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::IllegalState);
}

#[test]
fn a_failed_creation_leaves_no_log_and_can_be_repeated() {
    for call in ["create", "allocate", "write", "sync", "rename"] {
        let disk = TestDisk::new();
        disk.plan(call, &[true]);
        assert!(Manifest::create(disk.clone(), Path::new(DIR), 99).is_err(), "{call}");
        assert!(!Manifest::exists(&*disk, Path::new(DIR)).unwrap());
        create(&disk);
    }
}

#[test]
fn a_full_disk_refuses_growth_and_still_serves_trims() {
    let disk = TestDisk::new();
    let manifest = opened(&disk);
    disk.limit_space(Some(disk.used()));
    let mut offset = 0;
    let full = loop {
        offset += 1;
        if let Err(error) = manifest.append(&[ceiling(offset)]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    let both = [Record::LogStart { key: key(1, 0), offset: 1 }, ceiling(offset)];
    assert!(manifest.append(&both).is_err(), "one record without the right spoils the group");
    let ends = (0..1024).map(|n| PartitionEnd { key: key(1, n), offset: 0 }).collect();
    let mut trimmed = 0;
    while trimmed < 80 {
        trimmed += 1;
        let trim = Record::LogStart { key: key(1, 0), offset: trimmed };
        let sequence = manifest.append(&[trim]).unwrap();
        manifest.sync_to(sequence).unwrap();
    }
    manifest.append(&[Record::Closed { incarnation: 1, ends }]).unwrap();
    manifest.append(&[Record::Opened { incarnation: 2, boot_id: None }]).unwrap();
    reopened_is_the_same(&disk, &manifest);
    disk.limit_space(None);
    manifest.append(&[ceiling(offset)]).unwrap();
    reopened_is_the_same(&disk, &manifest);
}

#[test]
fn a_failed_write_changes_nothing_and_is_covered() {
    let disk = TestDisk::new();
    let manifest = opened(&disk);
    let before = state_of(&manifest);
    for wipe_fails_too in [false, true] {
        disk.plan("write", &[true, wipe_fails_too]);
        assert!(manifest.append(&[ceiling(9), created(1, 0)]).is_err());
        assert_eq!(state_of(&manifest), before);
        let report = reopened_is_the_same(&disk, &manifest);
        assert_eq!(report.torn_bytes > 0, wipe_fails_too);
    }
    manifest.append(&[ceiling(5)]).unwrap();
    assert_eq!(reopened_is_the_same(&disk, &manifest).torn_bytes, 0);
}

#[test]
fn after_a_failed_sync_the_content_moves_to_a_new_file() {
    for call in ["sync", "sync_dir"] {
        let disk = TestDisk::new();
        drop(opened(&disk));
        // An open manifest syncs its name once: whoever gave it may have died before.
        let (manifest, _) = open(&disk, Witness::NONE).unwrap();
        let sequence = manifest.append(&[ceiling(9)]).unwrap();
        disk.plan(call, &[true]);
        manifest.sync_to(sequence).unwrap();
        assert_eq!(manifest.synced_len().generation, 2, "{call}");
        let report = reopened_is_the_same(&disk, &manifest);
        assert_eq!(report.valid_bytes, manifest.synced_len().len);
        assert!(disk.contents("manifest.tmp").is_none());
        let next = manifest.append(&[ceiling(10)]).unwrap();
        manifest.sync_to(next).unwrap();
        assert_eq!(manifest.synced_len().generation, 2);
        reopened_is_the_same(&disk, &manifest);
    }
}

#[test]
fn when_the_rewrite_fails_too_the_error_stays() {
    let plans: [&[(&'static str, &[bool])]; 4] = [
        &[("sync", &[true, true])],
        &[("sync", &[true]), ("rename", &[true])],
        &[("sync", &[true]), ("create", &[true])],
        &[("sync", &[true]), ("sync_dir", &[true])],
    ];
    for plan in plans {
        let disk = TestDisk::new();
        let manifest = opened(&disk);
        let first = manifest.append(&[ceiling(8)]).unwrap();
        manifest.sync_to(first).unwrap();
        let sequence = manifest.append(&[ceiling(9)]).unwrap();
        plan.iter().for_each(|(call, outcomes)| disk.plan(call, outcomes));
        let error = manifest.sync_to(sequence).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageError, "{plan:?}");
        let syncs = disk.calls("sync");
        assert!(manifest.sync_to(sequence).is_err() && manifest.append(&[ceiling(10)]).is_err());
        assert_eq!(disk.calls("sync"), syncs, "nothing is synced again");
        assert!(manifest.sync_to(first).is_ok(), "what was durable stays durable");
        reopened_is_the_same(&disk, &manifest);
    }
}

#[test]
fn a_long_manifest_is_rewritten_and_keeps_what_it_says() {
    let disk = TestDisk::new();
    let manifest = opened(&disk);
    for number in 1..=1500 {
        let offset = number * 10;
        let mut group = vec![created(number, offset), ceiling(offset)];
        if number > 1 {
            group.push(Record::SegmentRetired { number: number - 1 });
        }
        let sequence = manifest.append(&group).unwrap();
        manifest.sync_to(sequence).unwrap();
    }
    assert!(manifest.synced_len().generation > 1);
    assert!(disk.contents("manifest").unwrap().len() <= 192 << 10);
    reopened_is_the_same(&disk, &manifest);
    assert!(manifest.with_state(|s| s.is_removable(1) && s.is_removable(1499)));
    manifest.forget(0..=u64::MAX);
    manifest.rewrite().unwrap();
    reopened_is_the_same(&disk, &manifest);
    assert!(manifest.with_state(|s| !s.is_removable(1) && s.is_removable(1501)));
    assert_eq!(manifest.next_number(), 1501);
}

#[test]
fn a_full_disk_only_postpones_a_rewrite() {
    let disk = TestDisk::new();
    let manifest = opened(&disk);
    for offset in 1..2000 {
        manifest.append(&[ceiling(offset)]).unwrap();
    }
    disk.limit_space(Some(disk.used()));
    let sequence = manifest.append(&[Record::LogStart { key: key(1, 0), offset: 1 }]).unwrap();
    manifest.sync_to(sequence).unwrap();
    assert_eq!(manifest.synced_len().generation, 1);
    assert!(disk.contents("manifest.tmp").is_none());
    reopened_is_the_same(&disk, &manifest);
}

#[test]
fn a_rewrite_that_never_got_its_name_is_removed() {
    let disk = TestDisk::new();
    let manifest = opened(&disk);
    disk.put("manifest.tmp", vec![7; 100]);
    assert!(reopened_is_the_same(&disk, &manifest).removed_rewrite);
    assert!(disk.contents("manifest.tmp").is_none());
    disk.put("manifest.tmp", vec![7; 100]);
    manifest.rewrite().unwrap();
    reopened_is_the_same(&disk, &manifest);
}

#[test]
fn a_torn_end_is_cut_covered_and_never_comes_back() {
    let disk = TestDisk::new();
    let manifest = opened(&disk);
    let start = end_of(&manifest);
    manifest.append(&[ceiling(1)]).unwrap();
    let middle = end_of(&manifest);
    manifest.append(&[ceiling(2)]).unwrap();
    let mut torn = disk.contents("manifest").unwrap();
    torn[start..middle].fill(0);
    disk.put("manifest", torn.clone());

    let (manifest, report) = open(&disk, Witness::NONE).unwrap();
    assert_eq!(report.valid_bytes, start as u64);
    assert!(report.torn_bytes > 0);
    manifest.append(&[Record::LogStart { key: key(1, 0), offset: 7 }]).unwrap();
    assert_eq!(end_of(&manifest), middle, "the new frame is as long as the lost");
    let mut bytes = disk.contents("manifest").unwrap();
    assert!(bytes[middle..].iter().all(|byte| *byte == 0), "the torn end is covered");

    // A power cut may undo the cover: the old frame behind must not continue the new one.
    bytes[middle..].copy_from_slice(&torn[middle..]);
    disk.put("manifest", bytes);
    let report = reopened_is_the_same(&disk, &manifest);
    assert_eq!(report.valid_bytes, middle as u64);
    assert!(report.torn_bytes > 0);
}
