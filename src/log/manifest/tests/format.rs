//! Bytes: round trips, cuts, flips.

use std::path::Path;

use super::super::fields::Fields;
use super::super::frame::{FileHeader, HEADER_BYTES};
use super::super::read::{Reading, read};
use super::*;
use crate::base::ErrorKind;

fn read_bytes(bytes: &[u8], witness: Witness) -> Result<Reading> {
    read(Path::new("log/manifest"), bytes, witness)
}

/// A file of one frame per group, each synced before the next unless `lazy`; its bytes with a
/// few zeros behind, and the state at every frame's end.
fn file(lazy: bool) -> (Vec<u8>, Vec<(usize, ManifestState)>) {
    let disk = TestDisk::new();
    let manifest = create(&disk);
    let mut places = vec![(manifest.synced_len().len as usize, state_of(&manifest))];
    for group in every_kind() {
        let sequence = manifest.append(&group).unwrap();
        places.push((end_of(&manifest), state_of(&manifest)));
        if !lazy {
            manifest.sync_to(sequence).unwrap();
        }
    }
    let mut bytes = disk.contents("manifest").unwrap();
    let last = places.last().unwrap().0;
    assert!(bytes[last..].iter().all(|byte| *byte == 0));
    bytes.truncate(last + 40);
    (bytes, places)
}

fn full_witness(places: &[(usize, ManifestState)]) -> Witness {
    Witness { generation: 1, len: places.last().unwrap().0 as u64 }
}

#[test]
fn every_record_kind_survives_its_bytes() {
    let mut records: Vec<_> = every_kind().concat();
    records.push(Record::LogCreated { log_id: 3 });
    records.push(Record::Opened { incarnation: 2, boot_id: None });
    records.push(Record::Floor { key: key(1, 2), offset: 3 });
    let (retired, skipped) = (vec![1..=2, 9..=9], vec![4..=4]);
    records.push(Record::Numbers { highest: 12, retired, skipped });
    for record in records {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(bytes.len() % 8, 0, "{record:?}");
        assert_eq!(Record::decode(&mut Fields::new(&bytes)), Ok(record.clone()));
        for cut in 0..bytes.len() {
            assert!(Record::decode(&mut Fields::new(&bytes[..cut])).is_err(), "{record:?} {cut}");
        }
    }
}

#[test]
fn a_file_cut_at_any_byte_yields_a_prefix_or_a_refusal() {
    let (bytes, places) = file(false);
    for cut in 0..bytes.len() {
        let witnessed = read_bytes(&bytes[..cut], full_witness(&places));
        assert_eq!(witnessed.is_ok(), cut >= places.last().unwrap().0, "cut at {cut}");
        let Ok(reading) = read_bytes(&bytes[..cut], Witness::NONE) else {
            assert!(cut < places[0].0, "refused although only unwitnessed frames were cut: {cut}");
            continue;
        };
        let (end, state) = places.iter().rfind(|(end, _)| *end <= cut).unwrap();
        assert_eq!((reading.end, &reading.state), (*end, state), "cut at {cut}");
        assert!(
            reading.torn_to <= cut
                && (reading.torn_to > *end) == (cut > *end && cut < places.last().unwrap().0)
        );
    }
}

#[test]
fn every_flipped_bit_is_refused_or_lies_in_the_unwitnessed_last_group() {
    let (mut bytes, places) = file(false);
    let (last, before) = (places.last().unwrap(), &places[places.len() - 2]);
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        match read_bytes(&bytes, full_witness(&places)) {
            Ok(reading) => {
                assert!(bit / 8 >= last.0, "bit {bit} of the content was believed");
                assert_eq!(reading.state, last.1);
                assert!(reading.torn_to > reading.end, "bit {bit} is not reported");
            }
            Err(error) => {
                assert!(bit / 8 < last.0);
                assert_eq!(error.kind(), ErrorKind::CorruptMessage, "{error}");
                assert!(error.to_string().contains("log/manifest"), "{error}");
            }
        }
        if let Ok(reading) = read_bytes(&bytes, Witness::NONE) {
            assert!(bit / 8 >= before.0, "bit {bit} before the last frame was not refused");
            let place = if bit / 8 >= last.0 { last } else { before };
            assert_eq!((reading.end, &reading.state), (place.0, &place.1), "bit {bit}");
            assert!(reading.torn_to > reading.end, "bit {bit} is not reported");
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn frames_that_were_never_synced_may_arrive_in_any_order() {
    let (whole, places) = file(true);
    for hole in places.windows(2) {
        let mut bytes = whole.clone();
        bytes[hole[0].0..hole[1].0].fill(0);
        let reading = read_bytes(&bytes, Witness::NONE).unwrap();
        assert_eq!((reading.end, &reading.state), (hole[0].0, &hole[0].1));
        let behind = hole[1].0 < places.last().unwrap().0;
        assert_eq!(reading.torn_to > reading.end, behind);
    }
}

#[test]
fn a_newer_version_or_an_unknown_flag_has_its_own_kind() {
    let (whole, _) = file(false);
    for (at, value) in [(8, 2_u8), (12, 4), (56, 1)] {
        let mut bytes = whole.clone();
        bytes[at] = value;
        let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        let error = read_bytes(&bytes, Witness::NONE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedVersion, "{error}");
    }
    assert!(matches!(
        Record::decode(&mut Fields::new(&[99, 0, 0, 0, 8, 0, 0, 0])),
        Err(super::super::fields::Flaw::Unknown(_))
    ));
}

#[test]
fn an_older_generation_than_the_witness_is_refused_and_a_newer_one_is_not() {
    let (bytes, _) = file(false);
    let later = Witness { generation: 2, len: 64 };
    let error = read_bytes(&bytes, later).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptMessage);
    let header = FileHeader { log_id: 1, generation: 7, first_sequence: 1, birth_len: 64 };
    assert_eq!(FileHeader::decode(&header.encode()).unwrap().0, header);
    // Of generation 0 nothing can be known.
    assert!(read_bytes(&bytes, Witness { generation: 0, len: 1 << 40 }).is_ok());
}

#[test]
fn the_layout_is_the_documented_one() {
    let disk = TestDisk::new();
    create(&disk);
    let bytes = disk.contents("manifest").unwrap();
    assert_eq!(&bytes[..8], b"ALLUVMAN");
    assert_eq!(bytes[8..16], [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[16], 99, "log id");
    assert_eq!((bytes[32], bytes[40], bytes[48]), (1, 1, 120), "generation, sequence, birth");
    assert_eq!(bytes[60..64], crc32fast::hash(&bytes[..60]).to_le_bytes());
    assert_eq!(bytes[64..68], [24, 0, 0, 0], "payload length");
    assert_eq!((bytes[72], bytes[80]), (1, 0), "sequence, synced");
    assert_eq!(bytes[88..92], bytes[60..64], "the chain begins with the file header");
    assert_eq!((bytes[96], bytes[100], bytes[104]), (1, 24, 99), "kind, length, log id");
    assert_eq!(bytes.len(), 64 << 10);
}
