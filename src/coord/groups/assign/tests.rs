//! The exact results of Kafka's tables, and properties over random groups.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A group: the partition counts of `t0`, `t1`..., and the topics of `C0`, `C1`...
fn group(partitions: &[u32], members: &[&[usize]]) -> GroupSpec {
    let topic =
        |(at, &partitions): (usize, &u32)| TopicSpec { name: format!("t{at}").into(), partitions };
    let member = |(at, topics): (usize, &&[usize])| MemberSpec {
        id: format!("C{at}").into(),
        topics: topics.to_vec(),
        owned: Vec::new(),
    };
    GroupSpec {
        topics: partitions.iter().enumerate().map(topic).collect(),
        members: members.iter().enumerate().map(member).collect(),
    }
}

fn told(answer: &[Vec<Slot>]) -> Vec<String> {
    let slot = |slot: &Slot| format!("t{}p{}", slot.topic, slot.partition);
    answer.iter().map(|slots| slots.iter().map(slot).collect::<Vec<_>>().join(" ")).collect()
}

fn assign(assignor: &dyn Assignor, group: &GroupSpec) -> Vec<String> {
    told(&run(assignor, group).unwrap())
}

#[test]
fn c35_range_gives_runs_of_each_topic() {
    let two = group(&[3, 3], &[&[0, 1], &[0, 1]]);
    assert_eq!(assign(&Range, &two), ["t0p0 t0p1 t1p0 t1p1", "t0p2 t1p2"]);
    let idle = group(&[1], &[&[0], &[0]]);
    assert_eq!(assign(&Range, &idle), ["t0p0", ""]);
    let unequal = group(&[3, 2], &[&[0], &[0, 1]]);
    assert_eq!(assign(&Range, &unequal), ["t0p0 t0p1", "t0p2 t1p0 t1p1"]);
}

#[test]
fn c48_range_brings_partitions_of_one_number_together() {
    let members: Vec<&[usize]> = vec![&[0, 1]; 7];
    let answer = run(&Range, &group(&[20, 20], &members)).unwrap();
    for slots in answer {
        let of = |topic| slots.iter().filter(move |s| s.topic == topic).map(|s| s.partition);
        assert!(of(0).eq(of(1)), "{slots:?}");
    }
}

#[test]
fn c36_round_robin_deals_in_turn() {
    let two = group(&[3, 3], &[&[0, 1], &[0, 1]]);
    assert_eq!(assign(&RoundRobin, &two), ["t0p0 t0p2 t1p1", "t0p1 t1p0 t1p2"]);
    let unequal = group(&[1, 2, 3], &[&[0], &[0, 1], &[0, 1, 2]]);
    assert_eq!(assign(&RoundRobin, &unequal), ["t0p0", "t1p0", "t1p1 t2p0 t2p1 t2p2"]);
}

#[test]
fn c47_unknown_assignors_are_refused_and_aliases_are_known() {
    let known = Assignors::new(&[]);
    for (name, is) in [
        ("uniform", "uniform"),
        ("sticky", "uniform"),
        ("cooperative-sticky", "uniform"),
        ("range", "range"),
        ("round-robin", "round-robin"),
        ("roundrobin", "round-robin"),
    ] {
        assert_eq!(known.named(name).unwrap().name(), is);
    }
    let error = known.named("fair").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedAssignor);
    assert!(error.to_string().contains("fair"));
}

#[derive(Debug)]
struct Wrong(fn(&GroupSpec) -> Result<Vec<Vec<Slot>>>);

impl Assignor for Wrong {
    fn name(&self) -> &str {
        "wrong"
    }

    fn assign(&self, group: &GroupSpec) -> Result<Vec<Vec<Slot>>> {
        (self.0)(group)
    }
}

#[test]
fn an_assignor_that_panics_fails_or_errs_is_told() {
    const SLOT: Slot = Slot { topic: 0, partition: 0 };
    let cases: [(Wrong, &str); 7] = [
        (Wrong(|_| panic!("no idea")), "panicked: no idea"),
        (Wrong(|_| Err(Error::closed())), "closed"),
        (Wrong(|_| Ok(Vec::new())), "0 of 2"),
        (Wrong(|_| Ok(vec![vec![], vec![]])), "t0-0 to nobody"),
        (Wrong(|_| Ok(vec![vec![SLOT], vec![SLOT]])), "t0-0 twice"),
        (Wrong(|_| Ok(vec![vec![Slot { partition: 9, ..SLOT }], vec![]])), "does not exist"),
        (Wrong(|_| Ok(vec![vec![Slot { topic: 9, ..SLOT }], vec![]])), "no subscriber"),
    ];
    for (wrong, text) in cases {
        let error = run(&wrong, &group(&[1], &[&[0], &[0]])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AssignorFailed);
        assert!(error.to_string().contains(text), "{error}");
    }
}

/// Which member has which slot.
fn owners(answer: &[Vec<Slot>]) -> HashMap<Slot, usize> {
    let of = |(member, slots): (usize, &Vec<Slot>)| {
        slots.iter().map(move |slot| (*slot, member)).collect::<Vec<_>>()
    };
    answer.iter().enumerate().flat_map(of).collect()
}

fn give(group: &mut GroupSpec, answer: &[Vec<Slot>]) {
    for (member, slots) in group.members.iter_mut().zip(answer) {
        member.owned.clone_from(slots);
    }
}

fn balanced(answer: &[Vec<Slot>]) -> bool {
    let counts = answer.iter().map(Vec::len);
    counts.clone().max().unwrap_or(0) - counts.min().unwrap_or(0) <= 1
}

/// How many of `before` are still where they were, at best, with `members` equal shares.
fn most_that_can_stay(before: &[usize], total: usize, members: usize) -> usize {
    let (least, larger) = (total / members, total % members);
    let mut had: Vec<usize> = before.to_vec();
    had.sort_unstable_by_key(|&n| Reverse(n));
    let share = |rank: usize| least + usize::from(rank < larger);
    had.iter().enumerate().map(|(rank, &n)| n.min(share(rank))).sum()
}

use std::cmp::Reverse;

fn subscriptions() -> impl Strategy<Value = (Vec<u32>, Vec<Vec<usize>>)> {
    (proptest::collection::vec(1_u32..9, 1..6), 1_usize..9).prop_flat_map(|(topics, members)| {
        let count = topics.len();
        let one = proptest::collection::btree_set(0..count, 0..=count)
            .prop_map(|set| set.into_iter().collect::<Vec<_>>());
        (Just(topics), proptest::collection::vec(one, members))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn c37_uniform_is_balanced_and_moves_as_little_as_possible(
        topics in proptest::collection::vec(0_u32..12, 1..5),
        steps in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..12),
    ) {
        let all: Vec<usize> = (0..topics.len()).collect();
        let mut group = group(&topics, &[&all]);
        let total = topics.iter().sum::<u32>() as usize;
        for (nth, (joins, index)) in steps.into_iter().enumerate() {
            if joins || group.members.len() == 1 {
                let at = index.index(group.members.len() + 1);
                let id = format!("n{nth}").into();
                group.members.insert(at, MemberSpec { id, topics: all.clone(), owned: Vec::new() });
            } else {
                group.members.remove(index.index(group.members.len()));
            }
            let had: Vec<usize> = group.members.iter().map(|m| m.owned.len()).collect();
            let before: Vec<Vec<Slot>> = group.members.iter().map(|m| m.owned.clone()).collect();
            let answer = run(&Uniform, &group).unwrap();
            prop_assert!(balanced(&answer), "{:?}", told(&answer));
            let after = owners(&answer);
            let stayed = owners(&before).iter().filter(|(s, m)| after.get(s) == Some(m)).count();
            prop_assert_eq!(stayed, most_that_can_stay(&had, total, group.members.len()));
            give(&mut group, &answer);
            prop_assert_eq!(run(&Uniform, &group).unwrap(), answer, "nothing has changed");
        }
    }

    #[test]
    fn c48_unequal_subscriptions_are_evened_out_and_stay(
        (topics, subscribed) in subscriptions(),
        leaver in any::<prop::sample::Index>(),
    ) {
        let members: Vec<&[usize]> = subscribed.iter().map(Vec::as_slice).collect();
        let mut group = group(&topics, &members);
        for round in 0..3 {
            let answer = run(&Uniform, &group).unwrap();
            let takers = group.subscribers();
            for (slot, owner) in owners(&answer) {
                for &other in &takers[slot.topic] {
                    prop_assert!(answer[other].len() + 2 > answer[owner].len(), "{slot:?}");
                }
            }
            let again = { give(&mut group, &answer); run(&Uniform, &group).unwrap() };
            prop_assert_eq!(&again, &answer, "nothing has changed");
            if round == 0 && group.members.len() > 1 {
                group.members.remove(leaver.index(group.members.len()));
            }
        }
    }

    #[test]
    fn c27_every_partition_has_exactly_one_owner((topics, subscribed) in subscriptions()) {
        let members: Vec<&[usize]> = subscribed.iter().map(Vec::as_slice).collect();
        let group = group(&topics, &members);
        for assignor in [&Range as &dyn Assignor, &RoundRobin, &Uniform] {
            // `run` refuses any other answer.
            let given: usize = run(assignor, &group).unwrap().iter().map(Vec::len).sum();
            let takers = group.subscribers();
            let wanted = group.slots().filter(|slot| !takers[slot.topic].is_empty()).count();
            prop_assert_eq!(given, wanted);
        }
    }
}
