//! What is never legal. Legal in Kafka's model, and not looked for: transactions that interleave
//! in a partition (G0), gaps between a transaction's own records, polls that skip across a
//! rebalance.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::{End, Mode, Op, Read, Write};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// It was acknowledged, others behind it are there, and it is not.
    LostWrite,
    /// Nobody sees it, nor what is behind it.
    Unseen,
    /// A value stands at two offsets.
    Duplicate,
    /// An offset has two values.
    InconsistentOffsets,
    /// What was aborted was read.
    AbortedRead,
    /// It was read before its commit began.
    PrecommittedRead,
    /// Transactions that have read each other's writes.
    Cycle,
    /// A producer's later record stands before an earlier one.
    NonMonotonicSend,
    /// A consumer's later poll returned an earlier record.
    NonMonotonicPoll,
    /// A consumer has passed a record.
    SkippingPoll,
    /// A value has no copy, although that it was read is committed.
    LostCopy,
    /// A value has two.
    DoubledCopy,
}

type Found = Vec<(Anomaly, String)>;

/// Everything that is wrong with a history.
pub fn check(ops: &[Op]) -> Found {
    let mut found = Found::new();
    let last = final_reads(ops);
    offsets(ops, &last, &mut found);
    writes(ops, &last, &mut found);
    aborted_and_early(ops, &mut found);
    sends(ops, &mut found);
    polls(ops, &last, &mut found);
    cycles(ops, &mut found);
    copies(ops, &mut found);
    found
}

fn final_reads(ops: &[Op]) -> BTreeMap<(u32, u64), u64> {
    let reads = ops.iter().flat_map(|op| match op {
        Op::Final { reads } => reads.as_slice(),
        _ => &[],
    });
    reads.map(|read| ((read.partition, read.offset), read.value)).collect()
}

fn all_reads(ops: &[Op]) -> impl Iterator<Item = &Read> {
    ops.iter().flat_map(|op| match op {
        Op::Poll { reads, .. } | Op::Final { reads } => reads.as_slice(),
        _ => &[],
    })
}

/// Writes with how they ended.
fn all_writes(ops: &[Op]) -> impl Iterator<Item = (&Write, End)> {
    ops.iter().flat_map(|op| -> Vec<(&Write, End)> {
        match op {
            Op::Send { write, end, .. } => vec![(write, *end)],
            Op::Transaction { writes, end, .. } => writes.iter().map(|w| (w, *end)).collect(),
            _ => Vec::new(),
        }
    })
}

fn offsets(ops: &[Op], last: &BTreeMap<(u32, u64), u64>, found: &mut Found) {
    let mut values: HashMap<(u32, u64), u64> = HashMap::new();
    let written = all_writes(ops).filter(|(_, end)| *end == End::Done);
    let written = written.filter_map(|(w, _)| Some(((w.partition, w.offset?), w.value)));
    let seen = all_reads(ops).map(|read| ((read.partition, read.offset), read.value));
    for (place, value) in written.chain(seen) {
        let known = *values.entry(place).or_insert(value);
        if known != value {
            found.push((Anomaly::InconsistentOffsets, format!("{place:?}: {known} and {value}")));
        }
    }
    let mut places = HashMap::new();
    for (place, value) in last {
        if let Some(other) = places.insert(*value, *place) {
            found.push((Anomaly::Duplicate, format!("{value} at {other:?} and {place:?}")));
        }
    }
}

fn writes(ops: &[Op], last: &BTreeMap<(u32, u64), u64>, found: &mut Found) {
    let there: BTreeSet<u64> = last.values().copied().collect();
    let seen: BTreeSet<u64> = all_reads(ops).map(|read| read.value).collect();
    let end_of = |partition: u32| {
        last.range((partition, 0)..=(partition, u64::MAX)).next_back().map(|((_, at), _)| *at)
    };
    for (write, end) in all_writes(ops) {
        let acknowledged = end == End::Done || (end == End::Unknown && seen.contains(&write.value));
        if !acknowledged || there.contains(&write.value) {
            continue;
        }
        let passed = write.offset.is_none_or(|at| end_of(write.partition).is_some_and(|e| e > at));
        let anomaly = if passed { Anomaly::LostWrite } else { Anomaly::Unseen };
        found.push((anomaly, format!("{write:?}")));
    }
}

fn aborted_and_early(ops: &[Op], found: &mut Found) {
    let (mut aborted, mut decided) = (BTreeSet::new(), HashMap::new());
    for op in ops {
        if let Op::Transaction { writes, decided: moment, end, .. } = op {
            for write in writes {
                if *end == End::Failed {
                    aborted.insert(write.value);
                }
                decided.insert(write.value, *moment);
            }
        }
    }
    for read in all_reads(ops).filter(|read| aborted.contains(&read.value)) {
        found.push((Anomaly::AbortedRead, format!("{read:?}")));
    }
    for op in ops {
        let Op::Poll { reads, at, .. } = op else { continue };
        for read in reads {
            if decided.get(&read.value).is_some_and(|moment| at < moment) {
                found.push((Anomaly::PrecommittedRead, format!("{read:?} at {at}")));
            }
        }
    }
}

fn sends(ops: &[Op], found: &mut Found) {
    let mut last: HashMap<(u64, u32), u64> = HashMap::new();
    for op in ops {
        let (producer, writes) = match op {
            Op::Send { producer, write, .. } => (*producer, std::slice::from_ref(write)),
            Op::Transaction { producer, writes, .. } => (*producer, writes.as_slice()),
            _ => continue,
        };
        for write in writes {
            let Some(offset) = write.offset else { continue };
            let before = last.insert((producer, write.partition), offset);
            if before.is_some_and(|before| before >= offset) {
                found.push((Anomaly::NonMonotonicSend, format!("{write:?} behind {before:?}")));
            }
        }
    }
}

fn polls(ops: &[Op], last: &BTreeMap<(u32, u64), u64>, found: &mut Found) {
    let mut positions: HashMap<(u64, u32), u64> = HashMap::new();
    for op in ops {
        let Op::Poll { session, mode, reads, .. } = op else { continue };
        let mut within: HashMap<u32, u64> = HashMap::new();
        for read in reads {
            let before = match mode {
                Mode::Assign => positions.insert((*session, read.partition), read.offset),
                // Partitions may go and come again between two polls.
                Mode::Subscribe => within.insert(read.partition, read.offset),
            };
            // From the beginning where it is assigned by hand.
            let from = match (before, mode) {
                (Some(before), _) if before >= read.offset => {
                    let what = format!("{read:?} behind {before}");
                    found.push((Anomaly::NonMonotonicPoll, what));
                    continue;
                }
                (Some(before), _) => before + 1,
                (None, Mode::Assign) => 0,
                (None, Mode::Subscribe) => continue,
            };
            let passed = (read.partition, from)..(read.partition, read.offset);
            if let Some((place, value)) = last.range(passed).next() {
                let what = format!("{value} at {place:?}, on the way to {read:?}");
                found.push((Anomaly::SkippingPoll, what));
            }
        }
    }
}

/// Cycles of "has read what the other wrote".
fn cycles(ops: &[Op], found: &mut Found) {
    let mut writer = HashMap::new();
    let transactions: Vec<(&Vec<Write>, &Vec<Read>)> = ops
        .iter()
        .filter_map(|op| match op {
            Op::Transaction { writes, reads, .. } => Some((writes, reads)),
            _ => None,
        })
        .collect();
    for (number, (writes, _)) in transactions.iter().enumerate() {
        writer.extend(writes.iter().map(|write| (write.value, number)));
    }
    let edges: Vec<BTreeSet<usize>> = transactions
        .iter()
        .map(|(_, reads)| reads.iter().filter_map(|r| writer.get(&r.value).copied()).collect())
        .collect();
    // What is left after taking away, again and again, what has read nobody who is left.
    let mut left: BTreeSet<usize> = (0..edges.len()).collect();
    loop {
        let free: Vec<usize> =
            left.iter().copied().filter(|n| edges[*n].is_disjoint(&left)).collect();
        if free.is_empty() {
            break;
        }
        left.retain(|n| !free.contains(n));
    }
    if !left.is_empty() {
        found.push((Anomaly::Cycle, format!("transactions {left:?}")));
    }
}

fn copies(ops: &[Op], found: &mut Found) {
    for op in ops {
        let Op::Copies { inputs, copies } = op else { continue };
        let mut count: BTreeMap<u64, u32> = BTreeMap::new();
        copies.iter().for_each(|value| *count.entry(*value).or_default() += 1);
        for input in inputs {
            match count.get(input) {
                Some(1) => {}
                None => found.push((Anomaly::LostCopy, format!("{input}"))),
                Some(_) => found.push((Anomaly::DoubledCopy, format!("{input}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(offset: u64, value: u64) -> Read {
        Read { partition: 0, offset, value }
    }

    fn sent(value: u64, offset: u64) -> Op {
        let write = Write { partition: 0, value, offset: Some(offset) };
        Op::Send { producer: 1, write, end: End::Done }
    }

    fn transaction(value: u64, reads: Vec<Read>, end: End) -> Op {
        let writes = vec![Write { partition: 0, value, offset: None }];
        Op::Transaction { producer: 2, writes, reads, decided: 10, end }
    }

    fn poll(at: u64, reads: Vec<Read>) -> Op {
        Op::Poll { session: 1, mode: Mode::Assign, reads, at }
    }

    fn ended(reads: Vec<Read>) -> Op {
        Op::Final { reads }
    }

    fn kinds(ops: &[Op]) -> BTreeSet<Anomaly> {
        check(ops).into_iter().map(|(anomaly, _)| anomaly).collect()
    }

    #[test]
    fn each_anomaly_is_known_when_it_is_seen_and_nothing_else_is() {
        use Anomaly::*;
        let good = [sent(1, 0), sent(2, 1), poll(20, vec![read(0, 1), read(1, 2)])];
        let whole = ended(vec![read(0, 1), read(1, 2)]);
        assert!(kinds(&[&good[..], std::slice::from_ref(&whole)].concat()).is_empty());
        let cases: Vec<(Vec<Op>, Anomaly)> = vec![
            (vec![sent(1, 0), sent(2, 1), ended(vec![read(1, 2)])], LostWrite),
            (vec![sent(1, 0), sent(2, 1), ended(vec![read(0, 1)])], Unseen),
            (vec![ended(vec![read(0, 1), read(1, 1)])], Duplicate),
            (vec![poll(20, vec![read(0, 2)]), ended(vec![read(0, 1)])], InconsistentOffsets),
            (vec![transaction(1, vec![], End::Failed), ended(vec![read(0, 1)])], AbortedRead),
            (
                vec![
                    transaction(1, vec![], End::Done),
                    poll(5, vec![read(0, 1)]),
                    ended(vec![read(0, 1)]),
                ],
                PrecommittedRead,
            ),
            (
                vec![
                    transaction(1, vec![read(1, 2)], End::Done),
                    transaction(2, vec![read(0, 1)], End::Done),
                    ended(vec![read(0, 1), read(1, 2)]),
                ],
                Cycle,
            ),
            (vec![sent(1, 1), sent(2, 0), ended(vec![read(0, 2), read(1, 1)])], NonMonotonicSend),
            (
                vec![
                    poll(20, vec![read(0, 1), read(1, 2)]),
                    poll(21, vec![read(0, 1)]),
                    whole.clone(),
                ],
                NonMonotonicPoll,
            ),
            (vec![poll(20, vec![read(1, 2)]), whole.clone()], SkippingPoll),
            (vec![Op::Copies { inputs: vec![1], copies: vec![] }], LostCopy),
            (vec![Op::Copies { inputs: vec![1], copies: vec![1, 1] }], DoubledCopy),
        ];
        for (ops, anomaly) in cases {
            assert_eq!(kinds(&ops), [anomaly].into(), "{ops:?}");
        }
    }
}
