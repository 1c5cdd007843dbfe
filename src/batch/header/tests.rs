use proptest::option;
use proptest::prelude::*;

use super::*;

fn header() -> impl Strategy<Value = BatchHeader> {
    let ids = (any::<u8>(), any::<i16>(), any::<i64>(), any::<i32>(), any::<u32>());
    let times = (any::<i64>(), option::of(any::<i32>()));
    let places = (0..1u64 << 62, 0..1000u32, 0..1000u32, 0..1000u32, any::<u32>());
    (ids, times, places).prop_map(|(ids, times, places)| {
        let (attributes, producer_epoch, producer_id, base_sequence, leader_epoch) = ids;
        let (base_timestamp, max_timestamp_delta) = times;
        let (base_offset, count, more_offsets, more_bytes, payload_crc) = places;
        BatchHeader {
            attributes: Attributes(attributes),
            producer_epoch,
            payload_len: 16 * count + 8 * more_bytes,
            payload_crc,
            base_offset,
            base_timestamp,
            last_offset_delta: count + more_offsets,
            count,
            max_timestamp_delta: max_timestamp_delta.unwrap_or(BatchHeader::NO_TIMESTAMP),
            leader_epoch,
            producer_id,
            base_sequence,
        }
    })
}

/// Gives tampered bytes a checksum that holds.
fn resealed(mut bytes: [u8; HEADER_BYTES], salt: u32) -> [u8; HEADER_BYTES] {
    let crc = header_crc(&bytes, salt);
    put(&mut bytes, CRC_AT, crc.to_le_bytes());
    bytes
}

proptest! {
    #[test]
    fn a_header_comes_back_as_it_was_written(header in header(), salt: u32, behind: Vec<u8>) {
        let mut bytes = header.encode(salt).to_vec();
        bytes.extend(behind);
        prop_assert_eq!(BatchHeader::decode(&bytes, salt), Ok(header));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_detected(header in header(), salt: u32) {
        let bytes = header.encode(salt);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            let damage = BatchHeader::decode(&bad, salt).unwrap_err();
            prop_assert!(!damage.version, "a flipped bit is damage, not a newer version");
        }
    }

    #[test]
    fn a_header_of_another_file_is_refused(header in header(), salt: u32, other: u32) {
        prop_assume!(salt != other);
        prop_assert!(BatchHeader::decode(&header.encode(salt), other).is_err());
    }

    #[test]
    fn every_flipped_bit_of_a_payload_is_detected(
        payload in proptest::collection::vec(any::<u8>(), 1..200),
    ) {
        let header = BatchHeader {
            payload_len: u32::try_from(payload.len()).unwrap(),
            payload_crc: payload_crc(&payload),
            ..BatchHeader::empty(0)
        };
        prop_assert_eq!(verify(&header, &payload), Ok(()));
        prop_assert!(verify(&header, &payload[1..]).is_err());
        for bit in 0..payload.len() * 8 {
            let mut bad = payload.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify(&header, &bad).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: [u8; HEADER_BYTES], salt: u32) {
        let mut bytes = bytes;
        prop_assert!(BatchHeader::decode(&bytes, salt).is_err());
        put(&mut bytes, 0, MAGIC.to_le_bytes());
        put(&mut bytes, 2, [VERSION]);
        put(&mut bytes, 4, [0, 0]);
        let bytes = resealed(bytes, salt);
        if let Ok(header) = BatchHeader::decode(&bytes, salt) {
            prop_assert_eq!(header.encode(salt), bytes);
            prop_assert!(header.next_offset() > header.base_offset);
        }
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let header = BatchHeader {
        attributes: Attributes::CONTROL,
        producer_epoch: 0x0706,
        payload_len: 0x0008,
        payload_crc: 0x0F0E_0D0C,
        base_offset: 0x1716_1514_1312_1110,
        base_timestamp: 0x1F1E_1D1C_1B1A_1918,
        last_offset_delta: 0x2322_2120,
        count: 0,
        max_timestamp_delta: 0x2B2A_2928,
        leader_epoch: 0x2F2E_2D2C,
        producer_id: 0x3736_3534_3332_3130,
        base_sequence: 0x3B3A_3938,
    };
    let mut expected: Vec<u8> = (0..64).collect();
    expected[..6].copy_from_slice(&[0x1F, 0xA1, 1, 1 << 5, 0, 0]);
    expected[8..12].copy_from_slice(&[8, 0, 0, 0]);
    expected[36..40].copy_from_slice(&[0; 4]);
    assert_eq!(header.encode(9)[..60], expected[..60]);
    assert_eq!(header.encode(9)[60..], header_crc(&header.encode(9), 9).to_le_bytes());
    assert_eq!(header_crc(&header.encode(0), 0), crc32fast::hash(&header.encode(0)[..60]));
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let sound = BatchHeader::empty(7).encode(1);
    for at in [2, 4] {
        let mut newer = sound;
        newer[at] = 0x80;
        assert!(!BatchHeader::decode(&newer, 1).unwrap_err().version, "its checksum is wrong");
        assert!(BatchHeader::decode(&resealed(newer, 1), 1).unwrap_err().version);
    }
    let mut ignorable = sound;
    ignorable[5] = 0xFF;
    assert_eq!(BatchHeader::decode(&resealed(ignorable, 1), 1), Ok(BatchHeader::empty(7)));
}

#[test]
fn fields_that_contradict_each_other_are_damage() {
    let decode = |header: BatchHeader| BatchHeader::decode(&header.encode(3), 3);
    let good = BatchHeader {
        count: 2,
        last_offset_delta: 1,
        payload_len: 32,
        ..BatchHeader::empty(u64::MAX - 2)
    };
    assert_eq!(decode(good), Ok(good));
    assert_eq!(good.next_offset(), u64::MAX);
    assert!(decode(BatchHeader { payload_len: 33, ..good }).is_err());
    assert!(decode(BatchHeader { payload_len: 24, ..good }).is_err());
    assert!(decode(BatchHeader { count: 3, payload_len: 48, ..good }).is_err());
    assert!(decode(BatchHeader { base_offset: u64::MAX - 1, ..good }).is_err());
    let compressed = Attributes::NONE.with_codec(1);
    assert!(decode(BatchHeader { payload_len: 8, attributes: compressed, ..good }).is_ok());
}

#[test]
fn too_few_bytes_are_no_header() {
    let bytes = BatchHeader::empty(0).encode(0);
    for len in 0..HEADER_BYTES {
        assert!(BatchHeader::decode(&bytes[..len], 0).is_err());
    }
}

#[test]
fn places_and_times_are_relative_to_the_base() {
    let header = BatchHeader {
        base_timestamp: 1000,
        last_offset_delta: 4,
        payload_len: 80,
        ..BatchHeader::empty(10)
    };
    assert_eq!(header.next_offset(), 15);
    assert_eq!(header.last_offset(), 14);
    assert_eq!(header.total_len(), 144);
    assert_eq!(header.max_timestamp(), None);
    assert_eq!(header.timestamp(None), None);
    assert_eq!(header.timestamp(Some(-1)), Some(999));
    let late = BatchHeader { max_timestamp_delta: 5, ..header };
    assert_eq!(late.max_timestamp(), Some(1005));
    let last = BatchHeader { base_timestamp: i64::MAX, ..late };
    assert_eq!(last.max_timestamp(), Some(i64::MAX), "saturates, for bytes may say anything");
}
