//! Accounts as aggregates: their state is the replay of what happened to them. Two cashiers work
//! on one account at once and lose nothing, every past balance can be had, and a
//! copy of the log tells what would be if.
//!
//! Run it with `cargo run --example bank`.

#![allow(clippy::print_stdout, clippy::missing_errors_doc, reason = "an example")]

use std::thread;

use alluvium::{Aggregate, Aggregates, AsOf, EventLog, NewTopic};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What happens to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many cents came in.
    Deposited(u64),
    /// So many cents were paid out.
    Withdrawn(u64),
}

/// An account: the sum of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What is in it.
    pub cents: u64,
}

impl Aggregate for Account {
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Deposited(cents) => self.cents += cents,
            Event::Withdrawn(cents) => self.cents = self.cents.saturating_sub(*cents),
        }
    }

    fn encode(event: &Event) -> Vec<u8> {
        match event {
            Event::Deposited(cents) => format!("deposited {cents}").into_bytes(),
            Event::Withdrawn(cents) => format!("withdrawn {cents}").into_bytes(),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Event, Failure> {
        let text = std::str::from_utf8(bytes)?;
        match text.split_once(' ') {
            Some(("deposited", cents)) => Ok(Event::Deposited(cents.parse()?)),
            Some(("withdrawn", cents)) => Ok(Event::Withdrawn(cents.parse()?)),
            _ => Err(format!("{text:?} is no event of an account").into()),
        }
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        Some(self.cents.to_le_bytes().to_vec())
    }

    fn restore(bytes: &[u8]) -> Option<Self> {
        Some(Self { cents: u64::from_le_bytes(bytes.try_into().ok()?) })
    }
}

/// What a day at the bank has come to.
#[derive(Debug, PartialEq, Eq)]
pub struct Day {
    /// How many withdrawals of one euro were granted, and how many were refused.
    pub granted: u64,
    /// There was nothing left.
    pub refused: u64,
    /// What is left in the account.
    pub left: u64,
    /// The balance behind each event, from the first on.
    pub balances: Vec<u64>,
    /// What would be there had somebody brought five euros more.
    pub what_if: u64,
}

/// Pays a euro out if there is one; whether there was.
fn withdraw(accounts: &Aggregates<Account>, name: &str) -> Result<bool, Failure> {
    let mut granted = false;
    accounts.execute(name, |account| {
        granted = account.cents >= 100;
        let events = if granted { vec![Event::Withdrawn(100)] } else { Vec::new() };
        Ok::<_, Failure>(events)
    })?;
    Ok(granted)
}

/// Tries something on a copy of the log; the log itself knows nothing of it.
fn what_if(fork: &EventLog) -> Result<u64, Failure> {
    let accounts = fork.aggregates::<Account>(&fork.topic("accounts")?)?;
    let more = accounts.execute("alice", |_| Ok::<_, Failure>(vec![Event::Deposited(500)]))?;
    Ok(more.state.cents)
}

/// Alice brings ten euros; two cashiers pay out as long as there is something, each as fast as it
/// can. `fork` makes the copy: in memory, or in a directory.
pub fn run(
    log: &EventLog,
    fork: impl FnOnce(&EventLog) -> alluvium::Result<EventLog>,
) -> Result<Day, Failure> {
    let events = log.ensure_topic(NewTopic::new("accounts").key_index(true))?;
    let states = NewTopic::new("account-states").compacted().key_index(true);
    let states = log.ensure_topic(states)?;
    let accounts = log.aggregates::<Account>(&events)?.snapshots(&states, 8).attempts(1_000);
    let before = accounts.load("alice")?;
    accounts.execute("alice", |_| Ok::<_, Failure>(vec![Event::Deposited(1_000)]))?;

    let cashier = || -> Result<(u64, u64), Failure> {
        let (mut granted, mut refused) = (0, 0);
        for _ in 0..8 {
            let counter = if withdraw(&accounts, "alice")? { &mut granted } else { &mut refused };
            *counter += 1;
        }
        Ok((granted, refused))
    };
    let (first, second) = thread::scope(|scope| {
        let (first, second) = (scope.spawn(cashier), scope.spawn(cashier));
        (first.join(), second.join())
    });
    let lost = "a cashier has panicked";
    let (first, second) = (first.map_err(|_| lost)??, second.map_err(|_| lost)??);

    let after = accounts.load("alice")?;
    let mut balances = Vec::new();
    for event in events.history("alice")?.from(before.last_offset.map_or(0, |at| at + 1)) {
        let moment = AsOf::Offset(event?.offset() + 1);
        balances.push(accounts.load_as_of("alice", moment)?.state.cents);
    }
    let what_if = what_if(&fork(log)?)?;
    let (granted, refused) = (first.0 + second.0, first.1 + second.1);
    Ok(Day { granted, refused, left: after.state.cents, balances, what_if })
}

#[allow(dead_code, reason = "tests run the rest")]
fn main() -> Result<(), Failure> {
    let day = run(&EventLog::in_memory(), EventLog::fork)?;
    println!("{} withdrawals were granted, {} refused", day.granted, day.refused);
    println!("{} cents are left; the balance was {:?}", day.left, day.balances);
    println!("with five euros more it would be {}", day.what_if);
    Ok(())
}
