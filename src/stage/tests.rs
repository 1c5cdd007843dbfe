//! What recovery takes from a chunk: everything that was committed, whatever moment a kill
//! chose; after damage, an exact beginning of it or nothing.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::layout::{ENTRY, Identity, Slot};
use super::*;
use crate::base::record::Header;
use crate::base::{RawRecord, TopicId};
use crate::batch::{BatchHeader, Measure, RecordReader, encoded_len, payload_crc};
use crate::disk::Span;

const TIME: i64 = 1_700_000_000_000;
const BASE: u64 = 1 << 33;
const INCARNATION: u32 = 7;

/// A record with all its parts, as it is given and as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sample {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    /// From `TIME`.
    time: i32,
}

fn plain(len: usize) -> Sample {
    let value = (0..len).map(|i| (i * 7 + len) as u8).collect();
    Sample { key: None, value: Some(value), headers: Vec::new(), time: len as i32 }
}

fn sample() -> impl Strategy<Value = Sample> {
    let bytes = |most| option::of(vec(any::<u8>(), 0..most));
    let headers = vec(("[a-z]{0,5}", bytes(9)), 0..3);
    (bytes(20), bytes(90), headers, -50..50_i32).prop_map(|(key, value, headers, time)| Sample {
        key,
        value,
        headers,
        time,
    })
}

fn identity(generation: u64, base_offset: u64) -> Identity {
    Identity {
        incarnation: INCARNATION,
        generation,
        topic_id: TopicId(0xfeed << 60),
        partition: 3,
        base_offset,
        len: MIN_CHUNK as u32,
    }
}

/// What was done to a chunk, and every state of its memory on the way.
struct Bench {
    span: Option<Span>,
    chunk: Option<Chunk>,
    /// All records that were given, oldest first.
    given: Vec<Sample>,
    /// Before and after each step: bytes, and how many records were committed.
    steps: Vec<[(Vec<u8>, usize); 2]>,
    state: (Vec<u8>, usize),
}

/// Steps of a chunk's life.
#[derive(Clone, Debug)]
enum Step {
    /// One call: its records appear together.
    Call {
        records: Vec<Sample>,
        new_batch: bool,
    },
    Close,
    /// Checksums for every closed batch that has none.
    Seal,
}

impl Bench {
    /// A chunk in memory that holds `before`.
    fn new(before: &[u8], identity: Identity) -> Self {
        let mut span = Span::heap(MIN_CHUNK);
        span.bytes_mut().copy_from_slice(before);
        let state = (before.to_vec(), 0);
        let mut bench = Self { span: None, chunk: None, given: Vec::new(), steps: vec![], state };
        bench.chunk = Some(Chunk::begin(span, identity, Vec::new()));
        bench.look(0);
        bench
    }

    /// Takes the memory as it is after a step.
    fn look(&mut self, committed: usize) {
        let bytes = memory(self.chunk.as_mut().unwrap());
        let now = (bytes, committed);
        self.steps.push([std::mem::replace(&mut self.state, now.clone()), now]);
    }

    fn run(&mut self, step: &Step) {
        let chunk = self.chunk.as_mut().unwrap();
        match step {
            Step::Call { records, new_batch } => {
                let next = BASE + self.given.len() as u64;
                let len: usize = records.iter().map(encoded).sum();
                if records.is_empty() || !chunk.fits(len, 1) {
                    return;
                }
                if *new_batch || !chunk.is_open() {
                    chunk.close();
                    chunk.open(header(next));
                }
                append(chunk, records);
                self.given.extend_from_slice(records);
            }
            Step::Close => chunk.close(),
            Step::Seal => seal(chunk),
        }
        self.look(self.given.len());
    }

    fn bytes(&self) -> &[u8] {
        &self.state.0
    }
}

/// All bytes of a chunk: what stands before, below and behind its mark.
fn memory(chunk: &mut Chunk) -> Vec<u8> {
    let (head, published, spare) = chunk.block_mut().parts_mut();
    [&head[..], published, &spare[..]].concat()
}

fn header(base_offset: u64) -> BatchHeader {
    BatchHeader {
        base_timestamp: TIME,
        leader_epoch: INCARNATION,
        ..BatchHeader::empty(base_offset)
    }
}

fn lend<R>(sample: &Sample, f: impl FnOnce(&RawRecord<'_>) -> R) -> R {
    let headers: Vec<Header<'_>> =
        sample.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    f(&RawRecord {
        key: sample.key.as_deref(),
        value: sample.value.as_deref(),
        headers: &headers,
        timestamp_ms: None,
    })
}

fn encoded(sample: &Sample) -> usize {
    lend(sample, |record| encoded_len(record).unwrap())
}

fn push(chunk: &mut Chunk, sample: &Sample) {
    lend(sample, |record| {
        chunk.push(record, Measure::of(record).unwrap(), time(sample));
    });
}

fn time(sample: &Sample) -> i64 {
    TIME + i64::from(sample.time)
}

/// One call, in each of the ways in which records come into a chunk.
fn append(chunk: &mut Chunk, records: &[Sample]) {
    match records {
        [one] => {
            let (wide, narrow) = (usize::MAX, chunk.open_len() + encoded(one) - 1);
            lend(one, |record| {
                let measure = Measure::of(record).unwrap();
                assert!(!chunk.push_one(record, measure, time(one), narrow));
                assert!(!chunk.push_one(record, measure, i64::MAX, wide));
                assert!(chunk.push_one(record, measure, time(one), wide));
            });
        }
        [_, _] => {
            records.iter().for_each(|sample| push(chunk, sample));
            chunk.commit();
        }
        _ => {
            lend_all(records, |raw| {
                chunk.push_all(raw, |record| record.timestamp_ms.unwrap());
            });
            chunk.commit();
        }
    }
}

fn lend_all(records: &[Sample], f: impl FnOnce(&[RawRecord<'_>])) {
    let headers: Vec<Vec<Header<'_>>> = records
        .iter()
        .map(|sample| {
            sample.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect()
        })
        .collect();
    let raw: Vec<_> = records
        .iter()
        .zip(&headers)
        .map(|(sample, headers)| RawRecord {
            key: sample.key.as_deref(),
            value: sample.value.as_deref(),
            headers,
            timestamp_ms: Some(time(sample)),
        })
        .collect();
    f(&raw);
}

fn seal(chunk: &mut Chunk) {
    let closed = chunk.batches().len() - usize::from(chunk.is_open());
    for index in 0..closed {
        let spot = chunk.batches()[index];
        if !spot.sealed {
            let reader = chunk.reader();
            let pin = reader.pin().unwrap();
            let start = spot.position - CHUNK_HEAD;
            let crc = payload_crc(&pin.bytes()[start..start + spot.len()]);
            drop(pin);
            chunk.seal(index, crc);
        }
    }
}

fn found(bytes: &[u8]) -> Option<FoundChunk> {
    let mut span = Span::heap(bytes.len());
    span.bytes_mut().copy_from_slice(bytes);
    FoundChunk::read(span).ok()
}

/// The records that recovery finds in `bytes`, and those among them that are sealed.
fn recovered(bytes: &[u8]) -> (Vec<Sample>, usize) {
    let Some(found) = found(bytes) else { return (Vec::new(), 0) };
    let (mut samples, mut sealed) = (Vec::new(), 0);
    let mut next = BASE;
    for spot in &found.batches {
        let header = spot.header;
        assert_eq!((header.base_offset, header.leader_epoch), (next, INCARNATION));
        let payload = &bytes[spot.position..spot.position + spot.len()];
        let mut reader = RecordReader::new(header.attributes, payload);
        let mut latest = i32::MIN;
        while let Some(view) = reader.next().unwrap() {
            assert_eq!(header.base_offset + u64::from(view.offset_delta), next);
            next += 1;
            latest = latest.max(view.ts_delta.unwrap());
            let own = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
            samples.push(Sample {
                key: own(view.key),
                value: own(view.value),
                headers: view.headers().into_iter().map(|(n, v)| (n.to_owned(), own(v))).collect(),
                time: (header.timestamp(view.ts_delta).unwrap() - TIME) as i32,
            });
        }
        assert_eq!(header.max_timestamp_delta, latest);
        assert_eq!(header.next_offset(), next);
        assert_eq!(u64::from(header.count), next - header.base_offset);
        sealed += if spot.sealed { header.count as usize } else { 0 };
    }
    assert_eq!(found.next_offset(), next);
    (samples, sealed)
}

fn step() -> impl Strategy<Value = Step> {
    let call = (vec(sample(), 1..4), any::<bool>())
        .prop_map(|(records, new_batch)| Step::Call { records, new_batch });
    prop_oneof![6 => call, 1 => Just(Step::Close), 1 => Just(Step::Seal)]
}

/// Calls of all kinds, small enough to try every bit and many subsets of stores.
fn script() -> Vec<Step> {
    let call = |sizes: &[usize], new_batch| Step::Call {
        records: sizes.iter().map(|&len| plain(len)).collect(),
        new_batch,
    };
    vec![
        call(&[3], true),
        call(&[0, 40], false),
        Step::Close,
        Step::Seal,
        call(&[17], true),
        call(&[5, 6, 7], true),
        call(&[8], false),
    ]
}

fn scripted() -> Bench {
    let mut bench = Bench::new(&vec![0; MIN_CHUNK], identity(1, BASE));
    script().iter().for_each(|step| bench.run(step));
    bench
}

/// The 8-byte words in which two states differ.
fn changed(before: &[u8], after: &[u8]) -> Vec<usize> {
    (0..before.len()).step_by(8).filter(|&at| before[at..at + 8] != after[at..at + 8]).collect()
}

/// `before`, with those of the stores that lead to `after` for which `done` says so.
fn torn(before: &[u8], after: &[u8], mut done: impl FnMut(usize) -> bool) -> Vec<u8> {
    let mut bytes = before.to_vec();
    for (index, at) in changed(before, after).into_iter().enumerate() {
        if done(index) {
            bytes[at..at + 8].copy_from_slice(&after[at..at + 8]);
        }
    }
    bytes
}

/// In the middle of a step, what stood before it stands, and the whole call or nothing of it.
fn check_torn(bench: &Bench, step: usize, done: impl FnMut(usize) -> bool) {
    let [(before, committed), (after, then)] = &bench.steps[step];
    let (samples, _) = recovered(&torn(before, after, done));
    let whole = [*committed, *then].contains(&samples.len());
    assert!(whole, "step {step}: {} records, not {committed} or {then}", samples.len());
    assert_eq!(samples, bench.given[..samples.len()], "step {step}");
}

#[test]
fn a_chunk_comes_back_with_every_committed_record() {
    let bench = scripted();
    let (samples, _) = recovered(bench.bytes());
    assert_eq!(samples, bench.given);
    assert_eq!(found(bench.bytes()).unwrap().unproven, 0);
}

#[test]
fn a_kill_between_any_two_stores_keeps_every_committed_record() {
    let bench = scripted();
    for (index, [(before, _), (after, _)]) in bench.steps.iter().enumerate() {
        let stores = changed(before, after).len();
        for most in 0..=stores {
            // In the order of addresses, in the opposite one, and each store alone or missing.
            check_torn(&bench, index, |store| store < most);
            check_torn(&bench, index, |store| store >= most);
            check_torn(&bench, index, |store| store == most);
            check_torn(&bench, index, |store| store != most);
        }
    }
}

#[test]
fn a_torn_claim_leaves_the_one_before() {
    let bench = scripted();
    let [(before, committed), (after, then)] = bench.steps.last().unwrap();
    let [old, new] = [before, after].map(|bytes| Slot::load(bytes));
    let written = (0..2).find(|&slot| old[slot] != new[slot]).unwrap();
    assert_eq!(old[1 - written], new[1 - written], "claims alternate");
    let mixes = [
        Slot { check: old[written].check, ..new[written] },
        Slot { check: new[written].check, ..old[written] },
        Slot { tail: new[written].tail, ..old[written] },
        Slot { batches: new[written].batches + 1, ..new[written] },
        Slot { tail: u32::MAX, batches: u32::MAX, check: new[written].check },
    ];
    for mix in mixes {
        let mut bytes = after.clone();
        mix.store(&mut bytes, written == 1);
        let (samples, _) = recovered(&bytes);
        assert_eq!(samples, bench.given[..*committed], "{mix:?} of {then} records");
    }
}

#[test]
fn no_flipped_bit_yields_a_record_that_was_not_given() {
    let bench = scripted();
    let sealed = 3;
    let seals_end = found(bench.bytes()).unwrap().batches[0].len() + CHUNK_HEAD;
    for bit in 0..MIN_CHUNK * 8 {
        let mut bytes = bench.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (samples, _) = recovered(&bytes);
        assert_eq!(samples, bench.given[..samples.len()], "bit {bit}");
        // The identity vouches for the whole chunk, the first entry for the sealed batch.
        let first_entry = MIN_CHUNK - ENTRY..MIN_CHUNK;
        let of_the_sealed = bit / 8 < 64 || (CHUNK_HEAD..seals_end).contains(&(bit / 8));
        if !of_the_sealed && !first_entry.contains(&(bit / 8)) {
            assert!(samples.len() >= sealed, "bit {bit}: {} records", samples.len());
        }
    }
}

#[test]
fn sealed_batches_survive_destroyed_claims() {
    let mut bench = scripted();
    bench.run(&Step::Close);
    bench.run(&Step::Seal);
    for fill in [0, 0xff, 0x5a] {
        let mut bytes = bench.bytes().to_vec();
        bytes[64..CHUNK_HEAD].fill(fill);
        assert_eq!(recovered(&bytes), (bench.given.clone(), bench.given.len()));
    }
    // Half of the batches: those before the damage.
    let spots = found(bench.bytes()).unwrap().batches;
    let mut bytes = bench.bytes().to_vec();
    bytes[64..CHUNK_HEAD].fill(0);
    bytes[spots[1].position] ^= 1;
    assert_eq!(recovered(&bytes).0, bench.given[..spots[0].header.count as usize]);
}

#[test]
fn what_stood_in_a_chunk_before_is_never_taken_for_its_content() {
    let mut old = scripted();
    old.run(&Step::Close);
    old.run(&Step::Seal);
    let stale = old.bytes().to_vec();
    // The same memory under a new identity, of the same partition and offset even.
    for (generation, base) in [(2, BASE), (2, BASE + 1), (1, BASE + 9)] {
        let mut new = Bench::new(&stale, identity(generation, base));
        assert_eq!(recovered(new.bytes()), (Vec::new(), 0));
        let begin = new.steps.len() - 1;
        let [(before, _), (after, _)] = new.steps[begin].clone();
        for most in 0..=changed(&before, &after).len() {
            // While the identity changes hands: the old content, a beginning of it, or nothing.
            let (samples, _) = recovered(&torn(&before, &after, |store| store < most));
            assert_eq!(samples, old.given[..samples.len()]);
        }
        if base == BASE {
            new.run(&Step::Call { records: vec![plain(9)], new_batch: true });
            assert_eq!(recovered(new.bytes()).0, [plain(9)]);
        }
    }
    // With the old claims in the new head nothing is proven either.
    let mut mixed = stale.clone();
    mixed[..64].copy_from_slice(&identity(2, BASE).encode());
    assert_eq!(recovered(&mixed), (Vec::new(), 0));
}

#[test]
fn a_chunk_given_back_is_not_found_again() {
    let mut bench = scripted();
    let span = bench.chunk.take().unwrap().reclaim().unwrap();
    assert!(found(span.bytes()).is_none());
    bench.span = Some(span);
    let adopted = found(bench.bytes()).unwrap().adopt();
    assert_eq!(adopted.next_offset(), BASE + bench.given.len() as u64);
    assert!(found(adopted.reclaim().unwrap().bytes()).is_none());
    assert!(found(found(bench.bytes()).unwrap().wipe().bytes()).is_none());
}

#[test]
fn a_pinned_chunk_is_given_back_later_and_not_found_meanwhile() {
    let mut bench = scripted();
    let chunk = bench.chunk.take().unwrap();
    let reader = chunk.reader();
    let pin = reader.pin().unwrap();
    let mut chunk = chunk.reclaim().unwrap_err();
    assert!(found(&memory(&mut chunk)).is_none());
    drop(pin);
    assert!(chunk.reclaim().is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_life_of_a_chunk_comes_back(steps in vec(step(), 0..14)) {
        let mut bench = Bench::new(&vec![0; MIN_CHUNK], identity(1, BASE));
        for step in &steps {
            bench.run(step);
            prop_assert_eq!(&recovered(bench.bytes()).0, &bench.given);
        }
        bench.run(&Step::Close);
        bench.run(&Step::Seal);
        let mut bytes = bench.bytes().to_vec();
        bytes[64..CHUNK_HEAD].fill(0);
        prop_assert_eq!(&recovered(&bytes).0, &bench.given);
    }

    #[test]
    fn any_torn_step_keeps_what_was_committed(
        steps in vec(step(), 1..10),
        stale in vec(any::<u8>(), MIN_CHUNK - 64),
        masks in vec(any::<u64>(), 8),
    ) {
        // Behind the identity anything may stand; a new chunk is never told what.
        let before = [vec![0; 64], stale].concat();
        let mut bench = Bench::new(&before, identity(1, BASE));
        steps.iter().for_each(|step| bench.run(step));
        for index in 0..bench.steps.len() {
            for mask in &masks {
                check_torn(&bench, index, |store| mask.rotate_right(store as u32 % 64) & 1 == 1);
            }
        }
    }

    #[test]
    fn any_damage_leaves_a_beginning(
        steps in vec(step(), 1..10),
        damage in vec((0..MIN_CHUNK, 1..=u8::MAX), 1..6),
    ) {
        let mut bench = Bench::new(&vec![0; MIN_CHUNK], identity(1, BASE));
        steps.iter().for_each(|step| bench.run(step));
        let mut bytes = bench.bytes().to_vec();
        for (at, flip) in damage {
            bytes[at] ^= flip;
        }
        let (samples, _) = recovered(&bytes);
        prop_assert_eq!(&samples[..], &bench.given[..samples.len()]);
        fuzz::stage(&bytes);
    }
}
