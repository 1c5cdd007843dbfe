use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::batch::samples::{Sample, payload, sample};

/// Reads what can be read, and checks that it could have been written no other way.
fn check(bytes: &[u8]) -> usize {
    let mut reader = RecordReader::at(bytes, 0);
    loop {
        let before = reader.position();
        match reader.next() {
            Ok(Some(record)) => {
                let after = reader.position();
                assert_eq!(after - before, record.encoded_len());
                assert_eq!(Sample::from(record).encode(), bytes[before..after]);
            }
            Ok(None) => return before,
            Err(damage) => {
                assert_eq!(reader.position(), before, "an error does not move the reader");
                assert_eq!(reader.next().unwrap_err(), damage);
                return before;
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn plausible_bytes_never_panic(
        len in 0..80u32, key_len in 0..40u8, flags in 0..16u8, counts in vec(0..3u8, 0..80),
    ) {
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend([0; 8]);
        bytes.extend([key_len, 0, 0, flags]);
        bytes.extend(counts);
        check(&bytes);
    }

    #[test]
    fn a_changed_byte_never_panics(samples in vec(sample(), 1..4), at: usize, byte: u8) {
        let mut bytes = payload(&samples);
        let at = at % bytes.len();
        bytes[at] = byte;
        check(&bytes);
    }

    #[test]
    fn a_cut_payload_yields_its_whole_records(samples in vec(sample(), 1..4), cut: usize) {
        let bytes = payload(&samples);
        let cut = cut % bytes.len();
        let whole = check(&bytes[..cut]);
        prop_assert!(whole <= cut);
        let next = samples.iter().scan(0, |end, s| { *end += s.encode().len(); Some(*end) });
        prop_assert_eq!(whole, next.take_while(|&end| end <= cut).last().unwrap_or(0));
    }

    #[test]
    fn reading_goes_on_from_any_position(samples in vec(sample(), 1..5)) {
        let bytes = payload(&samples);
        let mut reader = RecordReader::at(&bytes, 0);
        for skipped in 0..samples.len() {
            let mut rest = RecordReader::at(&bytes, reader.position());
            for sample in &samples[skipped..] {
                prop_assert_eq!(&Sample::from(rest.next().unwrap().unwrap()), sample);
            }
            prop_assert!(rest.next().unwrap().is_none());
            reader.next().unwrap();
        }
    }
}

fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> &'static str {
    let sample = Sample::new(Some(b"key"), Some(b"value")).header("h", Some(b"xy"));
    let mut bytes = sample.encode();
    change(&mut bytes);
    RecordReader::at(&bytes, 0).next().unwrap_err().reason
}

#[test]
fn each_kind_of_damage_is_named() {
    assert_eq!(refusal(|b| b.truncate(15)), "record reaches behind its payload");
    assert_eq!(refusal(|b| b.truncate(40)), "record reaches behind its payload");
    assert_eq!(refusal(|b| b[0] = 15), "record length is out of bounds");
    assert_eq!(refusal(|b| b[3] = 0xFF), "record length is out of bounds");
    assert_eq!(refusal(|b| b[47] = 1), "record padding is not zero");
    assert_eq!(refusal(|b| b[15] |= 0x10), "record has unknown attributes");
    assert_eq!(refusal(|b| b[8] = 1), "record has a timestamp and says that it has none");
    assert_eq!(refusal(|b| b[14] = 1), "record's parts are longer than the record");
    assert_eq!(refusal(|b| b[15] &= !1), "record has bytes where it says null");
    assert_eq!(refusal(|b| b[15] &= !2), "record has bytes where it says null");
    assert_eq!(refusal(|b| b[19] = 1), "record's parts are longer than the record");
    assert_eq!(refusal(|b| b[20] = 0), "record header count is out of bounds");
    assert_eq!(refusal(|b| b[22] = 1), "record header count is out of bounds");
    assert_eq!(refusal(|b| b[20] = 2), "record header reaches behind the record");
    assert_eq!(refusal(|b| b[33] = 1), "record header reaches behind the record");
    assert_eq!(refusal(|b| b[37] = 0xFE), "header value has a negative length");
    assert_eq!(refusal(|b| b[34] = 0), "record has bytes behind its headers");
    assert_eq!(refusal(|b| b[38] = 0xFF), "header name is not UTF-8");
}

#[test]
fn a_delete_horizon_is_skipped() {
    let mut bytes = 77i64.to_le_bytes().to_vec();
    bytes.extend(Sample::new(None, Some(b"v")).encode());
    let mut reader = RecordReader::new(Attributes::DELETE_HORIZON, &bytes);
    assert_eq!(reader.position(), 8);
    assert_eq!(reader.next().unwrap().unwrap().value, Some(&b"v"[..]));
    assert!(reader.next().unwrap().is_none());
    assert!(RecordReader::new(Attributes::DELETE_HORIZON, &bytes[..7]).next().is_err());
    assert!(RecordReader::new(Attributes::DELETE_HORIZON, &bytes[..8]).next().unwrap().is_none());
}

#[test]
fn a_compressed_payload_is_refused_as_unknown_and_not_as_damaged() {
    let bytes = Sample::new(None, None).encode();
    let mut reader = RecordReader::new(Attributes::NONE.with_codec(2), &bytes);
    assert!(reader.next().unwrap_err().version);
}

#[test]
fn a_position_behind_the_payload_is_an_error() {
    assert!(RecordReader::at(&[], 1).next().is_err());
    assert!(RecordReader::at(&[], usize::MAX).next().is_err());
    assert!(RecordReader::at(&[], 0).next().unwrap().is_none());
}

#[test]
fn the_last_header_of_a_name_wins() {
    let bytes = Sample::new(None, None)
        .header("a", Some(b"1"))
        .header("a", Some(b"2"))
        .header("b", None)
        .encode();
    let view = RecordReader::at(&bytes, 0).next().unwrap().unwrap();
    assert_eq!(view.headers().last("a"), Some(Some(&b"2"[..])));
    assert_eq!(view.headers().last("b"), Some(None));
    assert_eq!(view.headers().last("c"), None);
    assert_eq!(format!("{:?}", view.headers().iter()), format!("{:?}", view.headers()));
}
