use super::*;
use crate::base::record::Header;
use crate::batch::{Attributes, verify};

fn record<'a>(value: &'a [u8], timestamp_ms: Option<i64>) -> RawRecord<'a> {
    RawRecord { value: Some(value), timestamp_ms, ..RawRecord::default() }
}

fn values(batch: &Batch) -> Vec<(u32, Option<i64>, Vec<u8>)> {
    let mut reader = batch.records();
    let mut all = Vec::new();
    while let Some(r) = reader.next().unwrap() {
        let timestamp = batch.header.timestamp(r.ts_delta);
        all.push((r.offset_delta, timestamp, r.value.unwrap().to_vec()));
    }
    all
}

#[test]
fn an_encoded_batch_says_what_it_holds() {
    let headers: [Header<'_>; 1] = [("h", None)];
    let third = RawRecord { headers: &headers, ..record(b"c", Some(2000)) };
    let records = [record(b"a", None), record(b"b", Some(1500)), third];
    let batch = Batch::encode(40, &records, Some(1000)).unwrap();
    let header = batch.header;
    assert_eq!((header.base_offset, header.next_offset(), header.count), (40, 43, 3));
    assert_eq!(header.max_timestamp(), Some(2000));
    let stored = BatchHeader::decode(&header.encode(5), 5).unwrap();
    assert_eq!(verify(&stored, &batch.payload), Ok(()));
    let again = Batch { header: stored, payload: batch.payload.clone() };
    let expected = [
        (0, Some(1000), b"a".to_vec()),
        (1, Some(1500), b"b".to_vec()),
        (2, Some(2000), b"c".to_vec()),
    ];
    assert_eq!(values(&again), expected);
}

#[test]
fn records_may_lack_timestamps() {
    let batch = Batch::encode(0, &[record(b"a", None)], None).unwrap();
    assert_eq!(batch.header.max_timestamp(), None);
    assert_eq!(values(&batch), [(0, None, b"a".to_vec())]);
    let batch = Batch::encode(0, &[record(b"a", None), record(b"b", Some(-5))], None).unwrap();
    assert_eq!(batch.header.max_timestamp(), Some(-5));
}

#[test]
fn a_batch_that_cannot_be_is_refused() {
    let none = Batch::encode(0, &[], None).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::InvalidRecord);
    let month = 31 * 24 * 3600 * 1000;
    let apart = [record(b"a", Some(0)), record(b"b", Some(month))];
    let error = Batch::encode(0, &apart, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTimestamp);
}

#[test]
fn a_payload_that_is_not_the_headers_is_refused() {
    let a = Batch::encode(0, &[record(b"a", None)], None).unwrap();
    let b = Batch::encode(0, &[record(b"b", None)], None).unwrap();
    assert!(verify(&a.header, &b.payload).is_err());
    assert!(verify(&a.header, &a.payload[8..]).is_err());
}

#[test]
fn a_delete_horizon_is_read_only_where_the_attributes_speak_of_one() {
    let mut batch = Batch::encode(0, &[record(b"a", None)], None).unwrap();
    assert_eq!(batch.delete_horizon(), None);
    let mut payload = 99i64.to_le_bytes().to_vec();
    payload.extend_from_slice(&batch.payload);
    batch.payload = payload.into();
    batch.header.attributes = Attributes::DELETE_HORIZON;
    assert_eq!(batch.delete_horizon(), Some(99));
    assert_eq!(values(&batch), [(0, None, b"a".to_vec())]);
}
