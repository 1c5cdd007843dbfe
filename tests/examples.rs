//! The examples of consumer groups do what they say, also on a log that they find again.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::missing_errors_doc)]

#[path = "../examples/accounts.rs"]
mod accounts;
#[path = "../examples/orders.rs"]
mod orders;

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
