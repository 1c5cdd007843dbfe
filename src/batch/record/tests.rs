use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::base::record::Header;
use crate::batch::RecordReader;
use crate::batch::samples::{Sample, payload, sample};

fn read_all(payload: &[u8]) -> Vec<Sample> {
    let mut reader = RecordReader::at(payload, 0);
    let mut all = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        all.push(Sample::from(record));
    }
    assert_eq!(reader.position(), payload.len());
    all
}

proptest! {
    #[test]
    fn records_come_back_as_they_were_written(samples in vec(sample(), 0..8)) {
        prop_assert_eq!(read_all(&payload(&samples)), samples);
    }
}

#[test]
fn every_length_of_key_and_value_comes_back() {
    let bytes: Vec<u8> = (1..=255).collect();
    for key in 0..40 {
        for value in (0..40).chain(120..136) {
            let sample = Sample::new(Some(&bytes[..key]), Some(&bytes[40..40 + value]));
            let encoded = sample.encode();
            assert_eq!(encoded.len(), padded(16 + key + value));
            assert_eq!(read_all(&encoded), [sample]);
        }
    }
}

#[test]
fn null_and_empty_stay_apart() {
    let parts = [None, Some(&b""[..]), Some(&b"x"[..])];
    for key in parts {
        for value in parts {
            for header in parts {
                let sample = Sample::new(key, value).header("", header).header("", header);
                assert_eq!(read_all(&sample.encode()), [sample]);
            }
            let sample = Sample::new(key, value);
            assert_eq!(read_all(&sample.encode()), [sample]);
        }
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let mut sample = Sample::new(Some(b"key"), Some(b"value!"));
    sample.offset_delta = 0x0403_0201;
    sample.ts_delta = Some(-2);
    #[rustfmt::skip]
    assert_eq!(sample.encode(), [
        25, 0, 0, 0, 1, 2, 3, 4, 0xFE, 0xFF, 0xFF, 0xFF, 3, 0, 0, 0b0011,
        b'k', b'e', b'y', b'v', b'a', b'l', b'u', b'e', b'!', 0, 0, 0, 0, 0, 0, 0,
    ]);
    let sample = Sample::new(None, None).header("n", Some(b"v")).header("m", None);
    #[rustfmt::skip]
    assert_eq!(sample.encode(), [
        39, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0b1100,
        0, 0, 0, 0, 2, 0, 0, 0,
        1, 0, 1, 0, 0, 0, b'n', b'v', 1, 0, 0xFF, 0xFF, 0xFF, 0xFF, b'm', 0,
    ]);
}

#[test]
fn the_longest_key_fits_and_one_byte_more_does_not() {
    let bytes = vec![7; MAX_KEY_BYTES + 1];
    let longest = Sample::new(Some(&bytes[1..]), Some(b"v"));
    assert!(read_all(&longest.encode()) == [longest]);
    let record = RawRecord { key: Some(&bytes), ..RawRecord::default() };
    let error = encoded_len(&record).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRecord);
    assert_eq!(error.to_string(), "the key has 16777216 bytes, the limit is 16777215");
}

#[test]
fn the_longest_header_name_fits_and_one_byte_more_does_not() {
    let name = "n".repeat(MAX_HEADER_NAME + 1);
    let longest = Sample::new(None, None).header(&name[1..], None);
    assert!(read_all(&longest.encode()) == [longest]);
    let headers: [Header<'_>; 1] = [(&name, None)];
    let record = RawRecord { headers: &headers, ..RawRecord::default() };
    let error = encoded_len(&record).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRecord);
    assert_eq!(error.to_string(), "a header name has 65536 bytes, the limit is 65535");
}

#[test]
fn the_most_headers_fit_and_one_more_does_not() {
    let headers: Vec<Header<'_>> = vec![("", None); MAX_HEADERS + 1];
    let record = RawRecord { headers: &headers[1..], ..RawRecord::default() };
    let mut out = vec![0; encoded_len(&record).unwrap()];
    encode_record(&mut out, &record, 0, None);
    let view = RecordReader::at(&out, 0).next().unwrap().unwrap();
    assert_eq!(view.headers().len(), MAX_HEADERS);
    assert_eq!(view.headers().iter().count(), MAX_HEADERS);
    let error = encoded_len(&RawRecord { headers: &headers, ..record }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRecord);
    assert_eq!(error.to_string(), "the record has 65536 headers, the limit is 65535");
}

#[test]
fn the_longest_record_fits_and_one_byte_more_does_not() {
    let value = vec![0; MAX_RECORD_BYTES - RECORD_HEAD_BYTES + 1];
    let record = RawRecord { value: Some(&value[1..]), ..RawRecord::default() };
    assert_eq!(encoded_len(&record).unwrap(), MAX_RECORD_BYTES);
    let error = encoded_len(&RawRecord { value: Some(&value), ..record }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
    assert_eq!(error.to_string(), "the record has 67108865 bytes, the limit is 67108864");
    let headers: [Header<'_>; 2] = [("a", Some(&value)), ("b", Some(&value))];
    let error = encoded_len(&RawRecord { headers: &headers, ..record }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
}

#[test]
fn a_timestamp_delta_is_exact_or_absent() {
    assert_eq!(timestamp_delta(1000, 999), Some(-1));
    assert_eq!(timestamp_delta(0, i64::from(i32::MAX)), Some(i32::MAX));
    assert_eq!(timestamp_delta(0, i64::from(i32::MAX) + 1), None);
    assert_eq!(timestamp_delta(0, i64::from(i32::MIN) + 1), Some(i32::MIN + 1));
    assert_eq!(timestamp_delta(0, i64::from(i32::MIN)), None, "means no timestamp in a header");
    assert_eq!(timestamp_delta(i64::MIN, i64::MAX), None);
}
