//! Torn tails and flipped bits: exact data, a counted cut, or a loud refusal.

use std::sync::Arc;

use super::bed::{Bed, Seen, all, config, copy, read_file, write_file};
use crate::base::{ErrorKind, Result};

fn open_and_read(disk: Arc<dyn crate::disk::Disk>) -> Result<(Vec<Seen>, Bed)> {
    let bed = Bed::on(disk, config(600, 0))?;
    Ok((all(&bed.log.view())?, bed))
}

/// Eight batches, one segment; the middle was synced if `synced`.
fn one_segment(synced: bool) -> (Bed, Vec<Seen>) {
    let mut bed = Bed::new(config(100_000, 0));
    for i in 0..8 {
        bed.put(&[i + 1; 10]);
        if synced && i == 3 {
            bed.log.sync().unwrap();
        }
    }
    let seen = bed.all();
    (bed, seen)
}

#[test]
fn a66_a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    let (bed, seen) = one_segment(false);
    let path = bed.segment_files()[0].clone();
    let whole = read_file(&*bed.disk, &path);
    let len = 64 + 8 * (64 + 32);
    for cut in 0..=len {
        for garbage in [false, true] {
            let disk = copy(&*bed.disk);
            let mut bytes = whole[..cut].to_vec();
            bytes.extend(vec![if garbage { 0xEE } else { 0 }; 80]);
            write_file(&*disk, &path, &bytes);
            let (got, mut bed) = open_and_read(disk).unwrap();
            assert_eq!(got, seen[..got.len()], "cut at {cut}");
            // The last six bytes of a batch are zeros: zeros in their place are the batch.
            let padding = if garbage { 0 } else { 6 };
            assert_eq!(got.len(), (cut + padding).saturating_sub(64) / 96, "cut at {cut}");
            let torn = garbage || cut > 64 && !matches!((cut - 64) % 96, 0 | 90..);
            assert_eq!(bed.report.cut_bytes() > 0, torn, "cut at {cut}");
            bed.put(b"next");
            let bed = bed.kill();
            let now = bed.all();
            assert_eq!(now.len(), got.len() + 1);
            assert_eq!(now[..got.len()], got);
        }
    }
}

#[test]
fn c22_a_snapshot_from_before_a_seal_knows_what_is_behind_damage() {
    let mut bed = Bed::new(config(400, 0));
    for i in 0..10 {
        bed.put(&[i + 1; 10]);
    }
    let before = bed.log.view();
    let path = bed.segment_files()[0].clone();
    let mut bytes = read_file(&*bed.disk, &path);
    bytes[64 + 96 + 16] ^= 1;
    write_file(&*bed.disk, &path, &bytes);
    assert_eq!(before.read(1, 1, u64::MAX, true).unwrap_err().kind(), ErrorKind::CorruptMessage);
    assert_eq!(before.behind_damage(1).unwrap(), 2);
    bed.log.seal_behind().unwrap();
    assert_eq!(bed.log.view().behind_damage(1).unwrap(), 2);
    assert_eq!(before.behind_damage(1).unwrap(), 2, "the index stands in the footer now");
}

#[test]
fn damage_in_front_of_what_was_synced_is_refused() {
    let (bed, _) = one_segment(true);
    let path = bed.segment_files()[0].clone();
    let mut bytes = read_file(&*bed.disk, &path);
    bytes[64 + 2 * 96 + 70] ^= 1;
    let disk = copy(&*bed.disk);
    write_file(&*disk, &path, &bytes);
    let error = Bed::on(disk, config(600, 0)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::CorruptMessage);
    assert_eq!((error.offset(), error.path()), (Some(2), Some(&*path)));
    // Behind the last batch that proves anything, it may be a tear.
    let mut bytes = read_file(&*bed.disk, &path);
    bytes[64 + 6 * 96 + 70] ^= 1;
    let disk = copy(&*bed.disk);
    write_file(&*disk, &path, &bytes);
    let bed = Bed::on(disk, config(600, 0)).unwrap();
    assert_eq!((bed.log.end_offset(), bed.report.cuts.len()), (6, 1));
    assert_eq!(bed.report.cuts[0].offset, 6);
}

#[test]
fn a_flipped_bit_anywhere_in_a_sealed_file_never_gives_other_data() {
    let mut bed = Bed::new(config(600, 0));
    for i in 0..9 {
        bed.append(&[(Some(i64::from(i)), &[i; 40])]).unwrap();
    }
    bed.log.seal_behind().unwrap();
    let seen = bed.all();
    let path = bed.segment_files()[0].clone();
    let whole = read_file(&*bed.disk, &path);
    for bit in 0..whole.len() * 8 {
        let disk = copy(&*bed.disk);
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        write_file(&*disk, &path, &bytes);
        match open_and_read(disk) {
            Ok((got, _)) => assert_eq!(got, seen, "bit {bit}"),
            Err(error) => {
                let kinds = [ErrorKind::CorruptMessage, ErrorKind::UnsupportedVersion];
                assert!(kinds.contains(&error.kind()), "bit {bit}: {error:?}");
                assert_eq!(error.path(), Some(&*path));
                assert_eq!((error.topic(), error.partition()), (Some("strata"), Some(3)));
            }
        }
    }
}

#[test]
fn a67_a_damaged_footer_is_rebuilt_and_gives_the_same_answers() {
    let mut bed = Bed::new(config(600, 0));
    for i in 0..9 {
        bed.append(&[(Some(i64::from(i)), &[i; 40])]).unwrap();
    }
    bed.log.seal_behind().unwrap();
    let seen = bed.all();
    let path = bed.segment_files()[0].clone();
    let mut bytes = read_file(&*bed.disk, &path);
    let len = bytes.len();
    bytes[len - 50..].fill(0xFF);
    let disk = copy(&*bed.disk);
    write_file(&*disk, &path, &bytes);
    let (got, bed) = open_and_read(disk).unwrap();
    assert_eq!(got, seen);
    assert_eq!(bed.log.view().find_timestamp(2, 9).unwrap(), Some((2, 2)));
}

#[test]
fn a_sealed_file_that_is_missing_or_short_is_refused_with_its_name() {
    let mut bed = Bed::new(config(500, 0));
    for i in 0..9 {
        bed.put(&[i; 40]);
    }
    bed.log.seal_behind().unwrap();
    let path = bed.segment_files()[1].clone();
    for cut in [None, Some(0), Some(64), Some(200)] {
        let disk = copy(&*bed.disk);
        match cut {
            None => disk.remove(&path).unwrap(),
            Some(len) => disk.open(&path).unwrap().set_len(len).unwrap(),
        }
        let error = Bed::on(disk, config(600, 0)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::CorruptMessage);
        assert_eq!(error.path(), Some(&*path));
    }
}

#[test]
fn a_missing_manifest_beside_segments_is_refused() {
    let mut bed = Bed::new(config(500, 0));
    bed.put(b"x");
    let disk = copy(&*bed.disk);
    disk.remove(std::path::Path::new("/log/manifest")).unwrap();
    let error = Bed::on(disk, config(600, 0)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::CorruptMessage);
}

#[test]
fn records_behind_a_hole_are_cut_with_it_unless_they_prove_more() {
    for synced in [false, true] {
        let mut bed = Bed::new(config(500, 0));
        for i in 0..9 {
            bed.put(&[i; 40]);
            if synced && i == 6 {
                bed.log.sync().unwrap();
            }
        }
        let seen = bed.all();
        let files = bed.segment_files();
        assert_eq!(files.len(), 3, "four batches in each");
        let disk = copy(&*bed.disk);
        let mut bytes = read_file(&*disk, &files[0]);
        bytes[64 + 2 * 120 + 70] ^= 1;
        write_file(&*disk, &files[0], &bytes);
        if synced {
            let error = Bed::on(disk, config(600, 0)).err().unwrap();
            assert_eq!((error.kind(), error.offset()), (ErrorKind::CorruptMessage, Some(2)));
            continue;
        }
        let (got, mut bed) = open_and_read(disk).unwrap();
        assert_eq!(got, seen[..2]);
        assert_eq!(bed.report.cuts.len(), 3);
        bed.put(b"on");
        bed.log.seal_behind().unwrap();
        let bed = bed.kill();
        assert_eq!(bed.all().len(), 3);
        assert!(bed.report.cuts.is_empty(), "what was cut once is gone");
        assert_eq!(bed.segment_files().len(), 2);
    }
}
