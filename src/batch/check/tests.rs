use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::batch::samples::{Sample, sample};
use crate::batch::{RecordHead, RecordReader, record_hash};

fn hash(sample: &Sample) -> u64 {
    sample.lend(record_hash)
}

fn check(samples: &[Sample]) -> RunningCheck {
    let start = RunningCheck::start([1, 2, 3, 4, 5, 6]).batch(0, 0, -1, 0, 0);
    samples.iter().fold(start, |check, s| check.record(hash(s), RecordHead::of(&s.encode())))
}

/// Every record that differs from `sample` by one small change.
fn neighbours(sample: &Sample) -> Vec<Sample> {
    let mut all = Vec::new();
    let mut change = |f: &dyn Fn(&mut Sample)| {
        let mut other = sample.clone();
        f(&mut other);
        all.push(other);
    };
    change(&|s| s.offset_delta ^= 1);
    change(&|s| s.ts_delta = Some(s.ts_delta.map_or(0, |ts| ts ^ 1)));
    change(&|s| s.ts_delta = s.ts_delta.map_or(Some(0), |_| None));
    change(&|s| s.key = if s.key.is_some() { None } else { Some(Vec::new()) });
    change(&|s| s.value = if s.value.is_some() { None } else { Some(Vec::new()) });
    change(&|s| s.key.get_or_insert_default().push(0));
    change(&|s| s.value.get_or_insert_default().push(0));
    change(&|s| s.key.get_or_insert_default().insert(0, 0));
    change(&|s| std::mem::swap(&mut s.key, &mut s.value));
    change(&|s| s.headers.push((String::new(), None)));
    change(&|s| s.headers.reverse());
    change(&|s| {
        let (Some(key), Some(value)) = (&mut s.key, &mut s.value) else { return };
        value.splice(0..0, key.pop());
    });
    for i in 0..sample.headers.len() {
        change(&|s| s.headers[i].0.push('\0'));
        change(&|s| s.headers[i].1 = if s.headers[i].1.is_some() { None } else { Some(vec![]) });
        change(&|s| s.headers[i].1.get_or_insert_default().push(0));
        change(&|s| drop(s.headers.remove(i)));
    }
    all.retain(|other| other != sample);
    all
}

proptest! {
    #[test]
    fn a_decoded_record_hashes_like_the_callers(sample in sample()) {
        let bytes = sample.encode();
        let view = RecordReader::at(&bytes, 0).next().unwrap().unwrap();
        prop_assert_eq!(view.hash(), hash(&sample));
    }

    #[test]
    fn any_changed_field_changes_the_check(samples in vec(sample(), 1..4), at: usize) {
        let at = at % samples.len();
        let sound = check(&samples);
        for other in neighbours(&samples[at]) {
            let mut changed = samples.clone();
            changed[at] = other;
            prop_assert_ne!(check(&changed), sound);
        }
    }

    #[test]
    fn order_and_count_change_the_check(samples in vec(sample(), 2..5)) {
        let sound = check(&samples);
        let mut rotated = samples.clone();
        rotated.rotate_left(1);
        prop_assume!(rotated != samples);
        prop_assert_ne!(check(&rotated), sound);
        prop_assert_ne!(check(&samples[1..]), sound);
        prop_assert_ne!(check(&samples[..samples.len() - 1]), sound);
    }

    #[test]
    fn identity_and_batch_fields_change_the_check(
        identity: [u64; 6], fields: (u64, i64, i64, u64, u32), bit in 0..64u32,
    ) {
        let run = |id: [u64; 6], (a, b, c, d, e)| RunningCheck::start(id).batch(a, b, c, d, e);
        let sound = run(identity, fields);
        for at in 0..6 {
            let mut other = identity;
            other[at] ^= 1 << bit;
            prop_assert_ne!(run(other, fields), sound);
        }
        let (a, b, c, d, e) = fields;
        let flip = 1u64 << bit;
        prop_assert_ne!(run(identity, (a ^ flip, b, c, d, e)), sound);
        prop_assert_ne!(run(identity, (a, b ^ flip.cast_signed(), c, d, e)), sound);
        prop_assert_ne!(run(identity, (a, b, c ^ flip.cast_signed(), d, e)), sound);
        prop_assert_ne!(run(identity, (a, b, c, d ^ flip, e)), sound);
        prop_assert_ne!(run(identity, (a, b, c, d, e ^ 1 << (bit % 32))), sound);
    }
}

#[test]
fn every_flipped_bit_of_every_length_changes_the_hash() {
    let bytes: Vec<u8> = (0..=255).map(|i: u8| i.wrapping_mul(37)).collect();
    for len in 1..=200 {
        let part = &bytes[..len];
        let of_key = hash(&Sample::new(Some(part), None));
        let of_value = hash(&Sample::new(None, Some(part)));
        assert_ne!(of_key, of_value);
        for bit in 0..len * 8 {
            let mut bad = part.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(hash(&Sample::new(Some(&bad), None)), of_key);
            assert_ne!(hash(&Sample::new(None, Some(&bad))), of_value);
        }
    }
}

#[test]
fn runs_of_one_byte_check_apart_whatever_their_length() {
    for byte in [0, 0xFF] {
        let bytes = vec![byte; 400];
        let all = (0..200).flat_map(|key| {
            let bytes = &bytes;
            (0..200).map(move |value| Sample::new(Some(&bytes[..key]), Some(&bytes[..value])))
        });
        let mut checks: Vec<u64> = all.map(|s| check(&[s]).0).collect();
        let count = checks.len();
        checks.sort_unstable();
        checks.dedup();
        assert_eq!(checks.len(), count);
    }
}

#[test]
fn the_check_is_part_of_the_format() {
    let bytes: Vec<u8> = (0..=255).collect();
    let of_len = |key, value| hash(&Sample::new(Some(&bytes[..key]), Some(&bytes[..value])));
    let headers = Sample::new(None, None).header("a", None).header("b", Some(b"c"));
    let hashes = [
        hash(&Sample::new(None, None)),
        of_len(0, 0),
        of_len(1, 3),
        of_len(4, 7),
        of_len(8, 16),
        of_len(17, 32),
        of_len(33, 64),
        of_len(65, 128),
        of_len(129, 256),
        hash(&headers),
    ];
    assert_eq!(hashes, GOLDEN);
    let check = RunningCheck::start([1, 2, 3, 4, 5, 6]).batch(7, 8, 9, 10, 11);
    let check = check.record(12, RecordHead([13, 14])).record(15, RecordHead([16, 17]));
    assert_eq!(check, RunningCheck(GOLDEN_CHECK));
}

/// Each length is hashed by one of several ways; the number was computed by the format's text.
#[test]
fn the_hash_of_every_length_is_part_of_the_format() {
    let part = |len: usize| -> Vec<u8> { (0..len).map(|i| (i * 37 + len * 11) as u8).collect() };
    let mut all = 0_u64;
    for len in 0..=300 {
        let part = part(len);
        all = all.rotate_left(1) ^ hash(&Sample::new(Some(&part), None));
        all = all.rotate_left(1) ^ hash(&Sample::new(None, Some(&part)));
    }
    assert_eq!(all, 0x111c_ce8e_0210_8446);
}

const GOLDEN: [u64; 10] = [
    0xd625_0f3c_e9bf_8a20,
    0xd625_0f3c_e9bf_8a20,
    0x64b1_44d1_afc8_dfa2,
    0x02c2_b078_678e_9da3,
    0x61fe_9eaf_1a23_eb00,
    0x26b8_8e9a_33fa_eb91,
    0x3006_4eb1_9155_aa85,
    0x0d61_491e_e709_1bac,
    0x6afc_342c_6b6c_ace6,
    0xf7dc_f3e8_8186_4282,
];
const GOLDEN_CHECK: u64 = 0x991c_05e4_7c6b_2883;
