//! Arbitrary records for the tests of this floor.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{encode_record, encoded_len};
use crate::base::record::{Header, RawRecord};

/// A record that owns its parts, with its place in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(super) offset_delta: u32,
    pub(super) ts_delta: Option<i32>,
}

impl Sample {
    pub(super) fn new(key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        let own = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
        let (key, value) = (own(key), own(value));
        Self { key, value, headers: Vec::new(), offset_delta: 0, ts_delta: None }
    }

    pub(super) fn header(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }

    /// Lends the record to `f`.
    pub(super) fn lend<R>(&self, f: impl FnOnce(&RawRecord<'_>) -> R) -> R {
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        f(&RawRecord {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
            timestamp_ms: None,
        })
    }

    /// Encodes into bytes that were full of something else before.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.lend(|record| {
            let mut out = vec![0xA5; encoded_len(record).unwrap()];
            encode_record(&mut out, record, self.offset_delta, self.ts_delta);
            out
        })
    }
}

impl From<super::RecordView<'_>> for Sample {
    fn from(view: super::RecordView<'_>) -> Self {
        let mut sample = Sample::new(view.key, view.value);
        for (name, value) in view.headers() {
            sample = sample.header(name, value);
        }
        Sample { offset_delta: view.offset_delta, ts_delta: view.ts_delta, ..sample }
    }
}

pub(super) fn payload(samples: &[Sample]) -> Vec<u8> {
    samples.iter().flat_map(Sample::encode).collect()
}

/// Records of all shapes; headers are few, and their names often equal.
pub(super) fn sample() -> impl Strategy<Value = Sample> {
    let bytes = |most| option::of(vec(any::<u8>(), 0..most));
    let name = prop_oneof![Just(String::new()), Just("trace".to_owned()), any::<String>()];
    let headers = vec((name, bytes(20)), 0..4);
    (bytes(80), bytes(300), headers, any::<u32>(), option::of(any::<i32>())).prop_map(
        |(key, value, headers, offset_delta, ts_delta)| Sample {
            key,
            value,
            headers,
            offset_delta,
            ts_delta,
        },
    )
}
