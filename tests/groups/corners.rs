//! Where several things meet: a record put aside and a stop, a member that stalls and one that
//! sleeps, a topic that comes again and a position that was committed before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use alluvium::{
    Backoff, CommitPolicy, ErrorKind, GroupState, NewTopic, Offsets, Rebalance, RebalanceListener,
    ResetTo, RunOptions, TopicPartition,
};

use crate::bed::{Bed, Diary, Kind, LONG, Told, look, on_each_kind, owned, tp, values};

fn quick() -> RunOptions {
    RunOptions::new().backoff(Backoff::NONE)
}

#[test]
fn records_that_were_only_put_aside_are_committed_too() {
    on_each_kind(|bed| {
        bed.topic("t", 1);
        bed.topic("dead", 1);
        bed.fill("t", 1, 2);
        let mut member = bed.member("g", &["t"]);
        let stop = member.stop_handle();
        let options = quick().retries(0).dead_letters(bed.producer.clone(), "dead");
        let report = member.run(&options, |record| {
            if record.offset() == 1 {
                stop.stop();
            }
            Err::<(), _>("broken")
        });
        assert_eq!(report.unwrap().dead_lettered, 2);
        drop(member);
        assert!(look(&mut bed.member("g", &["t"])).is_empty(), "they are put aside once");
    });
}

#[test]
fn a_run_commits_nothing_for_polls_that_bring_nothing() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.topic("u", 5);
    bed.send("t", 0, "a");
    let mut other = bed.member("g", &["u"]);
    look(&mut other);
    let mut member = bed.member("g", &["t", "u"]);
    let admin = bed.log.admin();
    let committed = || Some(admin.group_offsets("g").ok()?.get(&tp("t", 0))?.commit_ms);
    look(&mut member);
    member.seek_to_beginning(&[]).unwrap();
    let stop = member.stop_handle();
    thread::scope(|scope| {
        let runs = scope.spawn(|| member.run(&quick(), |_| Ok::<(), String>(())).unwrap());
        while committed().is_none() {
            thread::yield_now();
        }
        // The other one does not let go: each poll of this one ends soon, with nothing.
        for _ in 0..500 {
            bed.clock.advance(Duration::from_millis(20));
            thread::yield_now();
        }
        stop.stop();
        assert_eq!(runs.join().unwrap().processed, 1);
    });
    assert_eq!(committed(), Some(1_700_000_000_000), "one record, one commit, before time moved");
}

#[test]
fn c01_a_member_that_was_removed_may_subscribe_to_something_else() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.topic("u", 1);
    bed.fill("u", 1, 1);
    let mut member = bed.member("g", &["t"]);
    look(&mut member);
    bed.log.admin().remove_all_group_members("g").unwrap();
    member.subscribe(["u"]).unwrap();
    assert_eq!(values(&member.poll(LONG).unwrap()), ["0"]);
    assert_eq!(owned(&member), [tp("u", 0)]);
}

#[test]
fn c25_a_topic_that_comes_again_leaves_its_group_stable_and_is_committed_anew() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 3);
    let admin = bed.log.admin();
    let mut member = bed.log.consumer().group("g").topics(["t"]);
    member = member.offset_reset(alluvium::OffsetReset::Earliest);
    let mut member = member.build().unwrap();
    assert_eq!(look(&mut member).len(), 3);
    bed.clock.advance(Duration::from_secs(6));
    look(&mut member);
    assert_eq!(admin.group_offsets("g").unwrap()[&tp("t", 0)].offset, 3);
    admin.delete_topic("t").unwrap();
    bed.log.create_topic(NewTopic::new("t")).unwrap();
    bed.fill("t", 1, 3);
    let mut seen = 0;
    for _ in 0..4 {
        // Once it is told of the deletion.
        seen += member.poll(Duration::ZERO).map_or(0, |records| records.len());
    }
    assert_eq!(seen, 3);
    assert_eq!(admin.describe_group("g").unwrap().state, GroupState::Stable);
    bed.clock.advance(Duration::from_secs(6));
    look(&mut member);
    let offsets = admin.group_offsets("g").unwrap();
    assert_eq!(offsets.get(&tp("t", 0)).map(|committed| committed.offset), Some(3));
}

#[test]
fn awaiting_the_end_of_a_group_is_not_put_off_by_what_is_sent_later() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.send("t", 0, "before");
    let admin = bed.log.admin();
    let member = bed.member("g", &["t"]);
    drop(member);
    let commit = |at| admin.alter_group_offsets("g", &Offsets::from_iter([(tp("t", 0), at)]));
    commit(0).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| admin.await_group_lag_zero("g", LONG));
        let mut at = 0;
        while !waits.is_finished() {
            // Always one behind.
            bed.send("t", 0, "later");
            at += 1;
            commit(at).unwrap();
            bed.clock.advance(Duration::from_millis(50));
        }
        waits.join().unwrap().unwrap();
    });
}

struct PanicsOnce(bool);

impl RebalanceListener for PanicsOnce {
    fn assigned(&mut self, _: &mut Rebalance<'_>, _: &[TopicPartition]) -> alluvium::Result<()> {
        assert!(std::mem::replace(&mut self.0, true), "on purpose");
        Ok(())
    }
}

#[test]
fn c31_who_panicked_in_a_poll_and_never_polls_again_is_late_too() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 1);
    let builder = bed.builder("g").set("max.poll.interval.ms", "1000").topics(["t"]);
    let mut first = builder.listener(PanicsOnce(false)).build().unwrap();
    catch_unwind(AssertUnwindSafe(|| look(&mut first))).unwrap_err();
    let mut second = bed.member("g", &["t"]);
    look(&mut second);
    bed.clock.advance(Duration::from_secs(2));
    assert_eq!(values(&look(&mut second)), ["0"]);
}

#[test]
fn resetting_all_of_a_group_that_there_is_not_says_so() {
    let bed = Bed::memory();
    let admin = bed.log.admin();
    for outcome in [
        admin.plan_group_reset("typo", &[], ResetTo::Earliest),
        admin.reset_group_offsets("typo", &[], ResetTo::Earliest),
    ] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::GroupIdNotFound);
    }
}

#[test]
fn c31_a_run_processes_nothing_on_that_was_taken_away_while_it_backed_off() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 3);
    for policy in [CommitPolicy::EachPoll, CommitPolicy::EachRecord, CommitPolicy::Never] {
        let mut member = bed.member("g", &["t"]);
        let stop = member.stop_handle();
        let (mut seen, mut taken) = (Vec::new(), false);
        member
            .run(&quick().retries(1).commit(policy), |record| {
                seen.push(record.value_str().unwrap().to_owned());
                if !std::mem::replace(&mut taken, true) {
                    bed.log.admin().remove_all_group_members("g").unwrap();
                    return Err("not yet");
                }
                if seen.len() == 2 {
                    // The member has joined again, and reads from what is committed.
                    stop.stop();
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, ["0", "0"]);
        assert_eq!(
            member.group_metadata().epoch,
            bed.log.admin().describe_group("g").unwrap().epoch
        );
        drop(member);
        bed.log.admin().reset_group_offsets("g", &[tp("t", 0)], ResetTo::Earliest).unwrap();
    }
}

#[test]
fn c41_who_closes_after_it_was_removed_is_told_that_all_is_lost() {
    for auto in [None, Some(LONG)] {
        let bed = Bed::memory();
        bed.topic("t", 1);
        bed.fill("t", 1, 2);
        let diary = Diary::default();
        let builder = bed.builder("g").auto_commit(auto).topics(["t"]);
        let mut first = builder.listener(diary.of("first")).build().unwrap();
        assert_eq!(look(&mut first).len(), 2);
        diary.take();
        bed.log.admin().remove_all_group_members("g").unwrap();
        let mut second = bed.member("g", &["t"]);
        assert_eq!(look(&mut second).len(), 2);
        let closed = first.close().map_err(|error| error.kind());
        assert_eq!(closed, if auto.is_some() { Err(ErrorKind::UnknownMemberId) } else { Ok(()) });
        assert_eq!(diary.take(), [("first", Told::Lost(vec![tp("t", 0)]))]);
        assert!(bed.log.admin().group_offsets("g").unwrap().is_empty());
    }
}

#[test]
fn a_group_that_waits_for_its_static_members_after_an_open_is_stable() {
    let bed = Bed::new(Kind::ProcessCrash);
    bed.topic("t", 2);
    let fixed = bed.builder("g").set("group.instance.id", "i").topics(["t"]);
    let mut fixed = fixed.build().unwrap();
    look(&mut fixed);
    drop(fixed);
    let bed = bed.reopen();
    let group = bed.log.admin().describe_group("g").unwrap();
    assert_eq!(group.state, GroupState::Stable);
    assert_eq!(group.members[0].assignment, [tp("t", 0), tp("t", 1)]);
}
