//! Writing, rolling, sealing, trimming, closing.

use std::sync::Arc;

use super::bed::{Bed, batch, config, placed, records};
use crate::base::ErrorKind;
use crate::disk::Disk;
use crate::log::view::SegmentInfo;

fn infos(bed: &Bed) -> Vec<SegmentInfo> {
    bed.log.view().segments().collect()
}

#[test]
fn an_empty_partition_owns_no_file() {
    let bed = Bed::new(config(400, 0));
    assert!(bed.segment_files().is_empty());
    let bed = bed.close();
    assert!(bed.report.clean && bed.segment_files().is_empty());
    assert_eq!((bed.log.start_offset(), bed.log.end_offset()), (0, 0));
}

#[test]
fn a17_a_rolled_segment_begins_with_the_batch_that_rolled_it() {
    let mut bed = Bed::new(config(400, 0));
    for i in 0..6_u8 {
        bed.append(&[(None, &[i; 50]), (None, &[i; 50])]).unwrap();
    }
    let bases: Vec<_> = infos(&bed).iter().map(|i| (i.base_offset, i.next_offset)).collect();
    assert_eq!(bases, [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 12)].map(|b| b));
    assert_eq!(bed.all().len(), 12);
}

#[test]
fn one_call_may_cross_segments_and_repeating_it_changes_nothing() {
    let mut bed = Bed::new(config(400, 0));
    let mut batches = Vec::new();
    for base in 0..20 {
        batches.push(batch(base, &[(None, &[u8::try_from(base).unwrap(); 90])]));
    }
    let placed: Vec<_> = batches.iter().map(placed).collect();
    bed.log.write(&placed, 0).unwrap();
    bed.log.write(&placed, 0).unwrap();
    bed.log.write(&placed[17..], 0).unwrap();
    assert_eq!(bed.log.end_offset(), 20);
    assert!(infos(&bed).len() > 5);
    assert_eq!(bed.all(), records(&batches));
}

#[test]
fn offsets_must_follow() {
    let mut bed = Bed::new(config(400, 0));
    bed.put(b"first");
    let hole = batch(5, &[(None, b"x")]);
    let error = bed.log.write(&[placed(&hole)], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(error.partition(), Some(3));
    assert_eq!(bed.log.end_offset(), 1);
}

#[test]
fn a_sync_moves_the_mark_and_what_follows_says_so() {
    let mut bed = Bed::new(config(4_000, 0));
    bed.put(b"a");
    let ticket = bed.log.begin_sync().unwrap();
    bed.put(b"b");
    let result = ticket.run();
    assert_eq!(bed.log.finish_sync(&ticket, result), 1);
    bed.put(b"c");
    bed.log.sync().unwrap();
    assert_eq!(bed.log.synced_offset(), 3);
    assert!(bed.log.begin_sync().is_none());
    bed.put(b"d");
    let batches = bed.log.view().read(0, 10_000, u64::MAX, true).unwrap();
    let durable: Vec<_> = batches.iter().map(|b| b.header.attributes.prev_durable()).collect();
    assert_eq!(durable, [true, false, false, true]);
}

#[test]
fn sealing_keeps_records_and_gives_reserved_space_back() {
    let mut bed = Bed::new(config(400, 0));
    for i in 0..10 {
        bed.put(&[i; 100]);
    }
    let before = bed.all();
    bed.log.seal_behind().unwrap();
    assert_eq!(bed.all(), before);
    assert!(!bed.log.needs_seal());
    let infos = infos(&bed);
    assert!(infos.iter().rev().skip(1).all(|i| i.sealed));
    assert_eq!(bed.log.synced_offset(), infos.last().unwrap().base_offset);
    let first = bed.disk.entry(&bed.segment_files()[0]).unwrap().unwrap();
    assert!(first.len < 1_000, "a footer and no reserve: {}", first.len);
    assert!(bed.files.cache.open_files() <= 3, "open files are bounded");
    let bed = bed.kill();
    assert_eq!(bed.report.scanned_segments, 1, "only the unsealed one is scanned");
    assert_eq!(bed.all(), before);
}

#[test]
fn a64_a_clean_close_needs_no_scan_and_the_segment_goes_on() {
    let mut bed = Bed::new(config(100_000, 64));
    for i in 0..20 {
        bed.append(&[(Some(i64::from(i)), &[i; 30])]).unwrap();
    }
    let mut bed = bed.close();
    assert!(bed.report.clean);
    assert_eq!(bed.report.scanned_segments, 0);
    assert_eq!(bed.log.synced_offset(), 20);
    bed.append(&[(Some(99), b"more")]).unwrap();
    assert_eq!(infos(&bed).len(), 1, "no new segment per open");
    assert_eq!(bed.log.view().find_timestamp(7, 100).unwrap(), Some((7, 7)));
    assert_eq!(bed.log.view().find_timestamp(20, 100).unwrap(), Some((20, 99)));
    let before = bed.all();
    let bed = bed.close().close();
    assert_eq!(bed.all(), before);
    let bed = bed.kill();
    assert_eq!(bed.report.scanned_segments, 1, "an open makes the last close void");
    assert_eq!((bed.all(), bed.report.cut_bytes()), (before, 0));
}

#[test]
fn a_log_that_was_closed_takes_no_more() {
    let mut bed = Bed::new(config(400, 0));
    bed.put(b"a");
    bed.log.close().unwrap();
    assert_eq!(bed.append(&[(None, b"b")]).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(bed.all().len(), 1, "and can be read");
}

#[test]
fn a35_a_reader_finishes_what_was_trimmed_meanwhile() {
    let mut bed = Bed::new(config(400, 0));
    for i in 0..10 {
        bed.put(&[i; 100]);
    }
    let old = bed.log.view();
    let before = bed.all();
    let files = bed.segment_files().len();
    bed.log.set_start(5).unwrap();
    assert_eq!(bed.log.view().start(), 5);
    assert_eq!(bed.all(), before[5..]);
    assert_eq!(super::bed::all(&old).unwrap(), before);
    assert_eq!(bed.segment_files().len(), files, "files live as long as a view of them");
    drop(old);
    assert!(bed.segment_files().len() < files);
    assert_eq!(
        bed.log.view().read(4, 1, u64::MAX, true).unwrap_err().kind(),
        ErrorKind::OffsetOutOfRange
    );
    let bed = bed.kill();
    assert_eq!(bed.log.start_offset(), 5);
    assert_eq!(bed.all(), before[5..]);
}

#[test]
fn trimming_everything_leaves_no_file_and_the_end() {
    let mut bed = Bed::new(config(400, 0));
    for i in 0..10 {
        bed.put(&[i; 100]);
    }
    bed.log.set_start(10).unwrap();
    assert!(bed.segment_files().is_empty());
    let mut bed = bed.kill();
    assert_eq!((bed.log.start_offset(), bed.log.end_offset()), (10, 10));
    bed.put(b"next");
    assert_eq!(bed.close().all(), [(10, None, b"next".to_vec())]);
}

#[test]
fn a_gap_holds_no_records_and_reading_passes_it() {
    let mut bed = Bed::new(config(4_000, 0));
    bed.put(b"a");
    bed.log.skip_to(50).unwrap();
    assert_eq!(bed.log.end_offset(), 50);
    let mut bed = bed.kill();
    assert_eq!(bed.log.end_offset(), 50, "the gap counts before anything follows it");
    bed.put(b"b");
    bed.log.skip_to(60).unwrap();
    bed.log.skip_to(70).unwrap();
    bed.put(b"c");
    let seen = [(0, None, b"a".to_vec()), (50, None, b"b".to_vec()), (70, None, b"c".to_vec())];
    assert_eq!(bed.all(), seen);
    let batches = bed.log.view().read(20, 1, u64::MAX, true).unwrap();
    assert_eq!(batches[0].header.base_offset, 50, "the first batch at or behind");
    assert!(bed.log.skip_to(3).is_err());
    let gaps: Vec<_> = bed.log.gaps().map(|g| (g.from, g.to)).collect();
    assert_eq!(gaps, [(1, 50), (51, 60), (60, 70)]);
    assert_eq!(bed.kill().all(), seen);
}

#[test]
fn deleting_removes_the_files_and_a_forgotten_one_goes_at_the_next_open() {
    let mut bed = Bed::new(config(400, 0));
    bed.put(&[1; 100]);
    bed.put(&[1; 300]);
    bed.files.retire_topics(&[super::bed::KEY.topic_id]).unwrap();
    let bed = bed.kill();
    assert_eq!(bed.report.removed_files, 2);
    assert!(bed.segment_files().is_empty() && bed.all().is_empty());

    let mut bed = Bed::new(config(400, 0));
    bed.put(&[1; 100]);
    bed.files.retire_topics(&[super::bed::KEY.topic_id]).unwrap();
    let Bed { disk, mut log, files, .. } = bed;
    log.delete();
    assert!(disk.list(std::path::Path::new("/log/segments")).unwrap().is_empty());
    drop(files);
}

#[test]
fn an_open_removes_only_what_is_proven_to_be_nobodys() {
    let mut bed = Bed::new(config(400, 0));
    bed.put(b"mine");
    let dir = std::path::Path::new("/log/segments");
    for stranger in ["0000000000000001.bak", "notes.txt", "00000000000000ff.seg"] {
        bed.disk.create(&dir.join(stranger)).unwrap();
    }
    let bed = bed.kill();
    assert_eq!(bed.report.removed_files, 1, "a number above all that were used");
    assert_eq!(bed.report.strangers.len(), 2);
    assert_eq!(bed.segment_files().len(), 3);
    assert_eq!(bed.all().len(), 1);
}

#[test]
fn a_second_handle_gets_a_clear_error_and_a_foreign_directory_stays_alone() {
    let bed = Bed::new(config(400, 0));
    let error = Bed::on(Arc::clone(&bed.disk), config(400, 0)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Locked);
    let disk = crate::disk::MemoryDisk::new();
    let dir = std::path::Path::new("/log");
    Disk::create_dir(&disk, dir).unwrap();
    Disk::create(&disk, &dir.join("thesis.tex")).unwrap();
    let error = Bed::on(Arc::new(disk), config(400, 0)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotALog);
}

#[test]
fn real_files_and_maps_behave_like_files_in_memory() {
    let parent = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(crate::disk::OsDisk::default());
    let mut bed = Bed::at(disk, &parent.path().join("log"), config(1_000, 64)).unwrap();
    for i in 0..60 {
        bed.append(&[(Some(i64::from(i)), &[i; 70]), (None, &[i; 9])]).unwrap();
    }
    let before = bed.all();
    let old = bed.log.view();
    bed.log.seal_behind().unwrap();
    assert_eq!(bed.all(), before);
    bed.log.set_start(40).unwrap();
    assert_eq!(super::bed::all(&old).unwrap(), before, "a view from before reads on");
    drop(old);
    let mut bed = bed.close();
    assert!(bed.report.clean);
    assert_eq!(bed.all(), before[40..]);
    assert_eq!(bed.log.view().find_timestamp(50, u64::MAX).unwrap(), Some((100, 50)));
    bed.append(&[(None, b"more")]).unwrap();
    let bed = bed.kill();
    assert_eq!(bed.all().len(), before.len() - 40 + 1);
    assert_eq!(bed.report.cut_bytes(), 0);
}

#[test]
fn readers_and_syncs_may_be_on_other_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<crate::log::View>();
    check::<crate::log::SyncTicket>();
    check::<crate::log::SegmentLog>();
    check::<crate::log::LogFiles>();
}

/// A settle that was under way while its topic was deleted.
#[test]
fn nothing_names_a_topic_after_its_deletion() {
    let mut bed = Bed::new(config(400, 0));
    bed.put(b"before");
    bed.files.retire_topics(&[super::bed::KEY.topic_id]).unwrap();
    let mut late = (0..10).map(|i| bed.append(&[(None, &[i; 90])]));
    let error = late.find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::IllegalState);
    drop(late);
    bed.log.delete();
    let bed = bed.kill();
    assert_eq!((bed.all().len(), bed.segment_files().len()), (0, 0));
}
