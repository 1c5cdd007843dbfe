//! The examples of several services do what they say, also on a log that they find again.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::missing_errors_doc)]

#[path = "../examples/accounts.rs"]
mod accounts;
#[path = "../examples/bank.rs"]
mod bank;
#[path = "../examples/orders.rs"]
mod orders;
#[path = "../examples/payments.rs"]
mod payments;
#[path = "../examples/profiles.rs"]
mod profiles;

use alluvium::{Durability, EventLog};

#[test]
fn orders_are_taken_out_of_the_stock_once_over_two_lives_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let builder = EventLog::builder().path(dir.path().join("log"));
        builder.durability(Durability::ProcessCrash).open().unwrap()
    };
    for life in 1..=2 {
        let log = open();
        let (orders, stock) = orders::run(&log, 30).unwrap();
        assert_eq!(orders, 30 * life);
        let left = |sku| stock.get(sku).copied().unwrap();
        let life = i64::try_from(life).unwrap();
        assert_eq!((left("milk"), left("tea")), (10_000 - 30 * life, 10_000 - 60 * life));
        log.close().unwrap();
    }
}

#[test]
fn two_cashiers_lose_no_update_and_every_past_balance_is_there() {
    let dir = tempfile::tempdir().unwrap();
    for life in 1..=2 {
        let builder = EventLog::builder().path(dir.path().join("log"));
        let log = builder.durability(Durability::ProcessCrash).open().unwrap();
        let copy = dir.path().join(format!("what-if-{life}"));
        let day = bank::run(&log, |log| log.fork_to(copy)).unwrap();
        assert_eq!((day.granted, day.refused, day.left, day.what_if), (10, 6, 0, 500));
        let balances: Vec<u64> = (0..=10).rev().map(|euros| euros * 100).collect();
        assert_eq!(day.balances, balances);
        log.close().unwrap();
    }
}

#[test]
fn every_account_is_welcomed_once_or_put_aside_with_the_reason() {
    let log = EventLog::in_memory();
    let (mut sent, dead, report) = accounts::run(&log).unwrap();
    sent.sort();
    assert_eq!(sent, ["ada@example.org", "busy.bob@example.org", "dan@example.org"]);
    assert_eq!(dead.len(), 1);
    let letter = &dead[0];
    assert!(letter.starts_with("cleo from accounts-"), "{letter}");
    assert!(letter.ends_with("\"nowhere\" is no address"), "{letter}");
    // Two for the busy server, three for the address that is none.
    assert_eq!((report.processed, report.retries, report.dead_lettered), (3, 5, 1));
}

#[test]
fn profiles_are_known_as_they_are_and_as_they_were_over_two_lives_of_the_log() {
    use profiles::{AsOf, past};
    let dir = tempfile::tempdir().unwrap();
    const HOUR: i64 = 3_600_000;
    for life in 0..2 {
        let builder = EventLog::builder().path(dir.path().join("log"));
        let log = builder.durability(Durability::ProcessCrash).open().unwrap();
        let start = 1_357_034_400_000 + life * 24 * HOUR;
        let (now, first) = profiles::run(&log, start).unwrap();
        let shown = |profiles: profiles::Profiles| -> Vec<String> {
            profiles.into_iter().map(|(user, profile)| format!("{user} {profile}")).collect()
        };
        let ada = "u-1 Ada <ada@example.com>";
        let cleo = "u-3 Cleo <cleo@example.org>";
        assert_eq!(past(&log, AsOf::Offset(u64::MAX)).unwrap(), now);
        assert_eq!(past(&log, AsOf::Time(start + 4 * HOUR)).unwrap(), now);
        assert_eq!(shown(now), [ada, cleo]);
        let bob = "u-2 Bob <bob@example.org>";
        let before_the_third = shown(past(&log, AsOf::Offset(first + 2)).unwrap());
        assert_eq!(before_the_third[..2], ["u-1 Ada <ada@example.org>", bob]);
        // Cleo is known from the first life.
        assert_eq!(before_the_third.len(), 2 + usize::from(life > 0));
        let after_two_hours = shown(past(&log, AsOf::Time(start + 2 * HOUR)).unwrap());
        assert_eq!(after_two_hours[..2], [ada, bob]);
        assert!(past(&log, AsOf::Offset(0)).unwrap().is_empty());
        log.close().unwrap();
    }
}

/// The machine is killed behind every few polls, in the middle of whatever it does then.
#[test]
fn payments_balance_to_the_cent_however_often_the_bank_is_killed() {
    use alluvium::testing::SimDisk;
    let open = |disk: &SimDisk| {
        let builder = EventLog::builder().disk(disk.clone()).path("/bank").background(false);
        builder.durability(Durability::ProcessCrash).open().unwrap()
    };
    let (mut disk, transfers) = (SimDisk::new(), 400);
    for life in 0.. {
        let log = open(&disk);
        let (mut polls, mut after) = (0, None);
        let worked = payments::work(&log, transfers, || {
            polls += 1;
            if polls == 1 + life % 3 && after.is_none() {
                after = Some(disk.kill());
            }
        });
        let Some(next) = after else {
            worked.unwrap();
            break;
        };
        drop(log);
        disk = next;
        payments::audit(&open(&disk)).unwrap();
        disk = disk.kill();
    }
    let audit = payments::audit(&open(&disk)).unwrap();
    assert_eq!(audit.booked, transfers);
    assert_eq!(audit.balances.values().sum::<i64>(), 0);
}
