//! A service opens accounts, another one mails each of them a welcome: mails that fail are tried
//! again after a while, and those that cannot succeed are put aside with the reason.
//!
//! ```text
//! cargo run --example accounts
//! ```

#![allow(clippy::print_stdout, clippy::missing_errors_doc)]

use std::collections::BTreeMap;
use std::error::Error;
use std::thread;
use std::time::Duration;

use alluvium::{
    Backoff, EventLog, NewTopic, OffsetReset, ProcessedIds, Producer, RunOptions, RunReport, Topic,
};

type Failure = Box<dyn Error + Send + Sync>;

const DEAD_LETTERS: &str = "accounts.dead-letters";

/// Opens accounts, and tells of each.
struct NewAccountService {
    accounts: Topic,
    producer: Producer,
}

impl NewAccountService {
    fn open(&self, name: &str, mail: &str) -> Result<(), Failure> {
        let headers = [("event", Some(&b"ACCOUNT_CREATED"[..]))];
        self.producer.send(self.accounts.record(mail).key(name).headers(&headers))?.wait()?;
        Ok(())
    }
}

/// A mail server that is busy now and then.
#[derive(Default)]
struct MailServer {
    attempts: BTreeMap<String, u32>,
    sent: Vec<String>,
}

impl MailServer {
    fn send(&mut self, to: &str) -> Result<(), Failure> {
        let attempts = self.attempts.entry(to.to_owned()).or_default();
        *attempts += 1;
        if !to.contains('@') {
            return Err(format!("{to:?} is no address").into());
        }
        if to.starts_with("busy") && *attempts < 3 {
            return Err("the server is busy".into());
        }
        self.sent.push(to.to_owned());
        Ok(())
    }
}

/// Welcomes each account once, whatever fails in between.
struct EmailService {
    server: MailServer,
    welcomed: ProcessedIds,
}

impl EmailService {
    fn run(&mut self, log: &EventLog, producer: &Producer) -> Result<RunReport, Failure> {
        let group = log.consumer().group("email").topics(["accounts"]);
        let mut consumer = group.offset_reset(OffsetReset::Earliest).build()?;
        let stop = consumer.stop_handle();
        let options = RunOptions::new()
            .retries(3)
            .backoff(Backoff::new(Duration::from_millis(1), Duration::from_millis(10)))
            .dead_letters(producer.clone(), DEAD_LETTERS);
        thread::scope(|scope| {
            let run = scope.spawn(|| {
                consumer.run(&options, |account| {
                    let name = account.key().ok_or("an account without a name")?;
                    let mail = account.value_str()?;
                    self.welcomed.once(name, || self.server.send(mail)).map(drop)
                })
            });
            let settled = log.admin().await_group_lag_zero("email", Duration::from_secs(60));
            stop.stop();
            let report = run.join().map_err(|_| "the mailer has panicked")??;
            settled?;
            Ok(report)
        })
    }
}

/// What could not be delivered, and why.
fn dead_letters(log: &EventLog) -> Result<Vec<String>, Failure> {
    let group = log.consumer().group("support").topics([DEAD_LETTERS]);
    let mut support = group.offset_reset(OffsetReset::Earliest).build()?;
    let partitions = support.await_assignment(Duration::from_secs(10))?.to_vec();
    let mut letters = Vec::new();
    while partitions.iter().any(|tp| support.lag(tp).is_ok_and(|lag| lag > 0)) {
        for letter in &support.poll(Duration::from_secs(1))? {
            let header = |name: &str| {
                let value = letter.header(name).flatten().unwrap_or_default();
                String::from_utf8_lossy(value).into_owned()
            };
            letters.push(format!(
                "{} from {}-{} at offset {}: {}",
                String::from_utf8_lossy(letter.key().unwrap_or_default()),
                header("__connect.errors.topic"),
                header("__connect.errors.partition"),
                header("__connect.errors.offset"),
                header("__connect.errors.exception.message"),
            ));
        }
    }
    support.close()?;
    Ok(letters)
}

/// What was sent, what could not be, and what the run says of itself.
pub fn run(log: &EventLog) -> Result<(Vec<String>, Vec<String>, RunReport), Failure> {
    let accounts = log.ensure_topic(NewTopic::new("accounts").partitions(2))?;
    log.ensure_topic(NewTopic::new(DEAD_LETTERS))?;
    let producer = log.producer().build()?;
    let service = NewAccountService { accounts, producer: producer.clone() };
    service.open("ada", "ada@example.org")?;
    service.open("bob", "busy.bob@example.org")?;
    service.open("cleo", "nowhere")?;
    service.open("dan", "dan@example.org")?;
    let welcomed = log.processed_ids("email.welcomed")?;
    let mut email = EmailService { server: MailServer::default(), welcomed };
    let report = email.run(log, &producer)?;
    Ok((email.server.sent, dead_letters(log)?, report))
}

#[allow(dead_code)] // Tests call `run`.
fn main() -> Result<(), Failure> {
    let log = EventLog::in_memory();
    let (sent, dead, report) = run(&log)?;
    println!("welcomed: {}", sent.join(", "));
    println!("tried again: {} times", report.retries);
    for letter in dead {
        println!("put aside: {letter}");
    }
    Ok(())
}
