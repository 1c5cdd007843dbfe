//! Static members: `group.instance.id`.

use std::time::Duration;

use alluvium::{Consumer, ErrorKind};

use crate::bed::{Bed, Kind, look, owned, settle};

fn fixed(bed: &Bed, id: &str) -> Consumer {
    let member = bed.builder("g").set("group.instance.id", id).set("session.timeout.ms", "10000");
    member.topics(["t"]).build().unwrap()
}

#[test]
fn c43_a_static_member_comes_back_to_its_partitions_without_a_rebalance() {
    let bed = Bed::memory();
    bed.topic("t", 4);
    let (mut a, mut b) = (fixed(&bed, "a"), fixed(&bed, "b"));
    settle(&mut [&mut a, &mut b]);
    let before = owned(&a);
    assert_eq!(before.len(), 2);
    let epoch = b.group_metadata().epoch;
    for close in [true, false] {
        if close {
            a.close().unwrap()
        } else {
            drop(a)
        }
        bed.clock.advance(Duration::from_secs(9));
        look(&mut b);
        assert_eq!(owned(&b).len(), 2, "they wait for it");
        a = fixed(&bed, "a");
        look(&mut a);
        assert_eq!(owned(&a), before);
        look(&mut b);
        assert_eq!(b.group_metadata().epoch, epoch, "nobody noticed");
    }
}

#[test]
fn c30_after_its_session_timeout_its_partitions_go_to_others() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    let (mut a, mut b) = (fixed(&bed, "a"), fixed(&bed, "b"));
    settle(&mut [&mut a, &mut b]);
    drop(a);
    bed.clock.advance(Duration::from_millis(10_001));
    settle(&mut [&mut b]);
    assert_eq!(owned(&b).len(), 2);
}

#[test]
fn c43_of_two_live_ones_the_older_is_fenced() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    let mut old = fixed(&bed, "a");
    look(&mut old);
    let mut new = fixed(&bed, "a");
    look(&mut new);
    assert_eq!(owned(&new).len(), 2);
    for _ in 0..2 {
        let error = old.poll(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FencedInstanceId);
    }
    assert!(owned(&old).is_empty());
    let error = old.commit_offsets(&[(owned(&new)[0].clone(), 1)].into_iter().collect());
    assert!(error.is_err());
    look(&mut new);
    assert_eq!(owned(&new).len(), 2, "it does not fence back");
}

#[test]
fn unsubscribing_is_for_good_also_for_a_static_member() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    let (mut a, mut b) = (fixed(&bed, "a"), fixed(&bed, "b"));
    settle(&mut [&mut a, &mut b]);
    a.unsubscribe().unwrap();
    settle(&mut [&mut b]);
    assert_eq!(owned(&b).len(), 2);
}

#[test]
fn at_open_dynamic_members_are_gone_and_static_ones_are_waited_for() {
    let bed = Bed::new(Kind::ProcessCrash);
    bed.topic("t", 4);
    let (mut a, mut dynamic) = (fixed(&bed, "a"), bed.member("g", &["t"]));
    settle(&mut [&mut a, &mut dynamic]);
    let before = owned(&a);
    drop((a, dynamic));
    let bed = bed.reopen();
    let mut other = bed.member("g", &["t"]);
    settle(&mut [&mut other]);
    assert!(owned(&other).iter().all(|tp| !before.contains(tp)), "{:?}", owned(&other));
    let mut a = fixed(&bed, "a");
    settle(&mut [&mut a, &mut other]);
    assert_eq!(owned(&a), before);
}
