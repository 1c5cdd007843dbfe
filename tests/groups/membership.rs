//! Who owns what, and when it changes.

use std::collections::BTreeSet;
use std::time::Duration;

use alluvium::{Consumer, ConsumerEvent, ErrorKind, EventLog, NewTopic, TopicPartition};

use crate::bed::{Bed, LONG, look, on_each_kind, owned, settle, tp, values};

fn all_owned_once(members: &[&Consumer], topic: &str, partitions: u32) {
    let mut seen = BTreeSet::new();
    for partition in members.iter().flat_map(|member| member.assignment()) {
        assert!(seen.insert(partition.clone()), "{partition} has two owners");
    }
    let all: BTreeSet<TopicPartition> = (0..partitions).map(|n| tp(topic, n)).collect();
    assert_eq!(seen, all);
}

#[test]
fn c01_subscribing_and_assigning_exclude_each_other() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    let mut consumer = bed.member("g", &["t"]);
    let error = consumer.assign([tp("t", 0)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IllegalState);
    consumer.unsubscribe().unwrap();
    consumer.assign([tp("t", 0)]).unwrap();
    let error = consumer.subscribe(["t"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IllegalState);
    let error = consumer.subscribe_pattern("t").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IllegalState);
    assert_eq!(owned(&consumer), [tp("t", 0)]);
    consumer.assign([]).unwrap();
    consumer.subscribe(["t"]).unwrap();
    look(&mut consumer);
    assert_eq!(owned(&consumer).len(), 2);
}

#[test]
fn c01_a_subscription_replaces_the_one_before_and_an_empty_one_ends_it() {
    let bed = Bed::memory();
    bed.topic("a", 1);
    bed.topic("b", 2);
    let mut consumer = bed.member("g", &["a"]);
    look(&mut consumer);
    assert_eq!(owned(&consumer), [tp("a", 0)]);
    consumer.subscribe(["b"]).unwrap();
    look(&mut consumer);
    assert_eq!(owned(&consumer), [tp("b", 0), tp("b", 1)]);
    assert_eq!(consumer.subscription().collect::<Vec<_>>(), ["b"]);
    consumer.subscribe_pattern("[ab]").unwrap();
    look(&mut consumer);
    assert_eq!(owned(&consumer), [tp("a", 0), tp("b", 0), tp("b", 1)]);
    assert_eq!(consumer.subscribed_pattern(), Some("[ab]"));
    consumer.subscribe([]).unwrap();
    assert_eq!(owned(&consumer), []);
    let error = consumer.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IllegalState);
    assert_eq!(consumer.group_metadata().epoch, -1);
}

#[test]
fn c02_without_a_group_there_is_no_subscribing_and_no_committing() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    let mut consumer = bed.log.consumer().build().unwrap();
    let kind = |error: alluvium::Error| error.kind();
    assert_eq!(consumer.subscribe(["t"]).map_err(kind), Err(ErrorKind::InvalidGroupId));
    assert_eq!(consumer.commit().map_err(kind), Err(ErrorKind::InvalidGroupId));
    assert_eq!(consumer.committed(&[]).map_err(kind), Err(ErrorKind::InvalidGroupId));
    let built = bed.log.consumer().topics(["t"]).build();
    assert_eq!(built.map(drop).map_err(kind), Err(ErrorKind::InvalidGroupId));
    let built = bed.log.consumer().group("").build();
    assert_eq!(built.map(drop).map_err(kind), Err(ErrorKind::InvalidGroupId));
    consumer.assign([tp("t", 0)]).unwrap();
    consumer.seek(&tp("t", 0), 0).unwrap();
    assert!(look(&mut consumer).is_empty());
}

#[test]
fn c04_a_pattern_matches_whole_names_also_of_later_topics_and_no_internal_ones() {
    let bed = Bed::memory();
    bed.topic("orders-1", 1);
    bed.topic("old-orders-1", 1);
    let mut consumer = bed.builder("g").build().unwrap();
    consumer.subscribe_pattern("orders-.*|__.*").unwrap();
    look(&mut consumer);
    assert_eq!(owned(&consumer), [tp("orders-1", 0)]);
    bed.topic("orders-2", 2);
    look(&mut consumer);
    assert_eq!(owned(&consumer), [tp("orders-1", 0), tp("orders-2", 0), tp("orders-2", 1)]);
    let error = consumer.subscribe_pattern("orders-(").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRegularExpression);
    assert_eq!(consumer.subscribed_pattern(), Some("orders-.*|__.*"), "nothing has changed");
}

#[test]
fn c27_every_partition_has_one_owner_and_members_beyond_them_rest() {
    on_each_kind(|bed| {
        bed.topic("t", 3);
        bed.fill("t", 3, 10);
        let mut members: Vec<Consumer> = (0..5).map(|_| bed.member("g", &["t"])).collect();
        settle(&mut members.iter_mut().collect::<Vec<_>>());
        all_owned_once(&members.iter().collect::<Vec<_>>(), "t", 3);
        let idle = members.iter().filter(|member| owned(member).is_empty()).count();
        assert_eq!(idle, 2);
    });
}

#[test]
fn c27_two_groups_each_see_everything() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    bed.fill("t", 2, 3);
    for group in ["a", "b"] {
        let mut member = bed.member(group, &["t"]);
        assert_eq!(values(&look(&mut member)), ["0", "1", "2", "0", "1", "2"], "{group}");
    }
}

#[test]
fn c28_leaving_dropping_and_joining_move_partitions() {
    let bed = Bed::memory();
    bed.topic("t", 4);
    let mut first = bed.member("g", &["t"]);
    look(&mut first);
    assert_eq!(owned(&first).len(), 4, "alone it owns all, at once");
    let mut second = bed.member("g", &["t"]);
    settle(&mut [&mut first, &mut second]);
    assert_eq!((owned(&first).len(), owned(&second).len()), (2, 2));
    all_owned_once(&[&first, &second], "t", 4);
    drop(first);
    look(&mut second);
    assert_eq!(owned(&second).len(), 4, "a dropped member has left");
    let mut third = bed.member("g", &["t"]);
    settle(&mut [&mut second, &mut third]);
    second.close().unwrap();
    look(&mut third);
    assert_eq!(owned(&third).len(), 4);
}

#[test]
fn c28_topics_that_come_go_and_come_again_are_followed() {
    let bed = Bed::memory();
    let mut consumer = bed.member("g", &["later", "t"]);
    assert!(look(&mut consumer).is_empty(), "neither exists");
    bed.topic("t", 1);
    bed.fill("t", 1, 2);
    assert_eq!(values(&look(&mut consumer)), ["0", "1"]);
    consumer.commit().unwrap();
    bed.topic("later", 2);
    look(&mut consumer);
    assert_eq!(owned(&consumer), [tp("later", 0), tp("later", 1), tp("t", 0)]);
    bed.log.admin().delete_topic("t").unwrap();
    // That it is gone is told, at most once, and the others go on.
    let _ = consumer.poll(Duration::ZERO);
    look(&mut consumer);
    assert_eq!(owned(&consumer), [tp("later", 0), tp("later", 1)]);
    bed.topic("t", 1);
    bed.send("t", 0, "new");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.extend(values(&look(&mut consumer)));
    }
    assert_eq!(seen, ["new"], "the old commit was about another topic");
}

#[test]
fn c31_a_member_that_does_not_poll_loses_its_partitions() {
    on_each_kind(|bed| {
        bed.topic("t", 2);
        bed.fill("t", 2, 1);
        let slow = bed.builder("g").set("max.poll.interval.ms", "1000").topics(["t"]);
        let mut slow = slow.build().unwrap();
        assert_eq!(look(&mut slow).len(), 2);
        let mut quick = bed.member("g", &["t"]);
        look(&mut quick);
        bed.clock.advance(Duration::from_millis(999));
        look(&mut quick);
        assert!(owned(&quick).is_empty(), "not late yet: {:?}", owned(&quick));
        bed.clock.advance(Duration::from_millis(2));
        look(&mut quick);
        look(&mut quick);
        assert_eq!(owned(&quick).len(), 2, "the late one is out");
        let error = slow.commit().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownMemberId);
        assert!(quick.committed(&owned(&quick)).unwrap().is_empty());
        settle(&mut [&mut slow, &mut quick]);
        assert_eq!((owned(&slow).len(), owned(&quick).len()), (1, 1), "it has joined again");
        let events = slow.take_events();
        let removed = |event: &&ConsumerEvent| matches!(event, ConsumerEvent::Removed { .. });
        assert_eq!(events.iter().filter(removed).count(), 1, "{events:?}");
    });
}

#[test]
fn c31_no_clock_jump_removes_anybody() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    let mut consumer = bed.member("g", &["t"]);
    look(&mut consumer);
    let epoch = consumer.group_metadata().epoch;
    bed.clock.jump_wall(1_900_000_000_000);
    look(&mut consumer);
    bed.clock.jump_wall(1_000);
    look(&mut consumer);
    assert_eq!(consumer.group_metadata().epoch, epoch);
    assert!(!consumer.take_events().iter().any(|e| matches!(e, ConsumerEvent::Removed { .. })));
}

#[test]
fn c35_c36_the_assignor_is_the_groups_choice() {
    let bed = Bed::memory();
    bed.topic("t0", 3);
    bed.topic("t1", 3);
    let pair = |group: &str, assignor: &str| {
        let member = || {
            let member = bed.builder(group).set("partition.assignment.strategy", assignor);
            member.topics(["t0", "t1"]).build().unwrap()
        };
        let (mut a, mut b) = (member(), member());
        settle(&mut [&mut a, &mut b]);
        let (mut one, mut two) = (owned(&a), owned(&b));
        one.append(&mut two);
        one.sort();
        assert_eq!(one.len(), 6, "{assignor}");
        let mut sizes = [owned(&a).len(), owned(&b).len()];
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(pair("r", "range"), [2, 4]);
    assert_eq!(pair("rr", "round-robin"), [3, 3]);
    for name in ["uniform", "sticky", "cooperative-sticky"] {
        assert_eq!(pair(name, name), [3, 3]);
    }
    let unknown = bed.builder("x").set("group.remote.assignor", "mine").topics(["t0"]);
    let error = unknown.build().unwrap().poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedAssignor);
    assert!(error.to_string().contains("mine"), "{error}");
}

#[test]
fn c49_movement_touches_only_what_moves() {
    let bed = Bed::memory();
    bed.topic("t", 6);
    bed.fill("t", 6, 1);
    let (mut a, mut b) = (bed.member("g", &["t"]), bed.member("g", &["t"]));
    settle(&mut [&mut a, &mut b]);
    let before = (owned(&a), owned(&b));
    let mut c = bed.member("g", &["t"]);
    settle(&mut [&mut a, &mut b, &mut c]);
    assert!(owned(&a).iter().all(|tp| before.0.contains(tp)), "nothing new came to the first");
    assert!(owned(&b).iter().all(|tp| before.1.contains(tp)));
    assert_eq!([owned(&a).len(), owned(&b).len(), owned(&c).len()], [2, 2, 2]);
}

#[test]
fn c49_the_owner_keeps_reading_until_it_lets_go() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    let mut first = bed.member("g", &["t"]);
    look(&mut first);
    let mut second = bed.member("g", &["t"]);
    look(&mut second);
    look(&mut second);
    assert!(owned(&second).is_empty(), "the first one has not let go");
    bed.fill("t", 2, 1);
    let seen = look(&mut first).len() + look(&mut second).len() + look(&mut first).len();
    assert_eq!(seen, 2);
    settle(&mut [&mut first, &mut second]);
    all_owned_once(&[&first, &second], "t", 2);
}

#[test]
fn settings_of_groups_are_checked() {
    let bed = Bed::memory();
    for (key, value) in [
        ("max.poll.interval.ms", "0"),
        ("session.timeout.ms", "soon"),
        ("enable.auto.commit", "yes"),
        ("auto.commit.interval.ms", "-1"),
        ("group.instance.id", ""),
    ] {
        let error = bed.builder("g").set(key, value).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{key}");
        assert!(error.to_string().contains(key), "{error}");
    }
    let error = bed.member("g", &[]).subscribe(["no/such name"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTopic);
}

#[test]
fn a_topic_that_is_deleted_in_the_middle_wedges_nobody() {
    let bed = Bed::memory();
    for round in 0..20 {
        bed.log.create_topic(NewTopic::new("u").partitions(3)).unwrap();
        if round == 0 {
            bed.topic("t", 1);
        }
        let (mut a, mut b) = (bed.member("g", &["t", "u"]), bed.member("g", &["t", "u"]));
        look(&mut a);
        look(&mut b);
        bed.log.admin().delete_topic("u").unwrap();
        for _ in 0..4 {
            let _ = a.poll(Duration::ZERO);
            let _ = b.poll(Duration::ZERO);
        }
        all_owned_once(&[&a, &b], "t", 1);
    }
}

#[test]
fn e05_added_partitions_are_shared_out_and_read_from_their_beginning() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    let (mut a, mut b) = (bed.member("g", &["t"]), bed.member("g", &["t"]));
    settle(&mut [&mut a, &mut b]);
    bed.log.admin().create_partitions("t", 4).unwrap();
    settle(&mut [&mut a, &mut b]);
    all_owned_once(&[&a, &b], "t", 4);
    assert_eq!((owned(&a).len(), owned(&b).len()), (2, 2));
}

#[test]
fn b15_subscribing_creates_topics_where_that_is_on_unless_the_consumer_says_no() {
    let log = EventLog::builder().set("auto.create.topics.enable", "true");
    let log = log.set("num.partitions", "3").open().unwrap();
    let group = || log.consumer().group("g");
    let shy = group().set("allow.auto.create.topics", "false").topics(["t"]).build().unwrap();
    assert_eq!(log.topic("t").unwrap_err().kind(), ErrorKind::UnknownTopicOrPartition);
    drop(shy);
    let mut member = group().topics(["t"]).build().unwrap();
    assert_eq!(member.await_assignment(LONG).unwrap().len(), 3);
    let refused = member.subscribe(["u", "no name"]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidTopic);
    assert!(log.topic("u").is_err());
    assert_eq!(member.subscription().collect::<Vec<_>>(), ["t"]);
    member.subscribe_pattern("v.*").unwrap();
    look(&mut member);
    assert!(owned(&member).is_empty(), "a pattern names no topic");
}
