//! What a fuzzer may throw at the manifest.

use std::path::Path;

use super::frame::{FileHeader, FrameHead, HEADER_BYTES, Witness};
use super::read::read;
use super::record::{Record, encode_all};
use super::state::ManifestState;

const LOG_ID: u128 = 1;

/// Reads `data` as a whole file, and as records inside frames that check.
///
/// # Panics
///
/// When an accepted state is not rebuilt by its own records: a bug.
pub(crate) fn manifest(data: &[u8]) {
    let path = Path::new("manifest");
    if let Ok(reading) = read(path, data, Witness::NONE) {
        check(&reading.state);
    }
    // Checksums would keep the fuzzer out: here they are made to fit.
    let (witness, data) = data.split_at_checked(2).unwrap_or_default();
    let len = witness.iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
    let Some(bytes) = framed(data) else { return };
    if let Ok(reading) = read(path, &bytes, Witness { generation: 1, len }) {
        check(&reading.state);
    }
}

/// A file of two whole frames: the log's creation, and `payload`.
fn framed(payload: &[u8]) -> Option<Vec<u8>> {
    let birth = u64::try_from(HEADER_BYTES).ok()?;
    let header =
        FileHeader { log_id: LOG_ID, generation: 1, first_sequence: 1, birth_len: birth }.encode();
    let (_, seed) = FileHeader::decode(&header).ok()?;
    let first = encode_all(&[Record::LogCreated { log_id: LOG_ID }]);
    let head = FrameHead { sequence: 1, synced: 0, previous_crc: seed };
    let (head, crc) = head.encode(&first, seed)?;
    let next = FrameHead { sequence: 2, synced: 0, previous_crc: crc };
    let (next, _) = next.encode(payload, seed)?;
    Some([&header[..], &head, &first, &next, payload].concat())
}

fn check(state: &ManifestState) {
    let mut again = ManifestState::default();
    for record in state.records() {
        if let Err(error) = again.apply(&record) {
            panic!("{record:?}: {error}");
        }
    }
    assert_eq!(again, *state, "a state must be what its records say");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(mut data in prop::collection::vec(any::<u8>(), 0..200), kind in 1_u8..20) {
            data.resize(data.len() / 8 * 8 + 2, 0);
            if let Some(head) = data.get_mut(2..10) {
                head.copy_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
                data[6] = u8::try_from(data.len() - 2).unwrap();
            }
            manifest(&data);
        }
    }

    #[test]
    fn a_legal_payload_gets_through_the_frames() {
        let payload = encode_all(&[Record::Opened { incarnation: 1, boot_id: None }]);
        let bytes = framed(&payload).unwrap();
        let reading = read(Path::new("manifest"), &bytes, Witness::NONE).unwrap();
        assert_eq!(reading.state.incarnation(), 1);
    }
}
