//! Transfers between accounts, booked exactly once by a process that is killed at random: in the
//! end every transfer stands in the books once, and they balance to the cent.
//!
//! ```text
//! cargo run --release --example payments [-- TRANSFERS]
//! ```

#![allow(clippy::print_stdout, clippy::missing_errors_doc)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use alluvium::{
    Durability, EventLog, Isolation, NewTopic, OffsetReset, Record, Result, TopicPartition,
};

type Failure = Box<dyn Error + Send + Sync>;

const ACCOUNTS: u32 = 7;
/// So often it is killed at most.
const KILLS: u32 = 25;

/// The transfer of this number: from, to, cents. A function of the number, so that whoever audits
/// knows what must stand in the books.
fn transfer(number: u32) -> (u32, u32, i64) {
    let mixed = number.wrapping_mul(0x9E37_79B9).rotate_left(13);
    let from = mixed % ACCOUNTS;
    let to = (from + 1 + (mixed >> 8) % (ACCOUNTS - 1)) % ACCOUNTS;
    (from, to, i64::from(mixed >> 16) + 1)
}

/// Opens the log of a directory as every life of the program does.
pub fn open(dir: &Path) -> Result<EventLog> {
    EventLog::builder().path(dir).durability(Durability::ProcessCrash).open()
}

/// What customers ask for. Whoever sends it resumes where a former life has died.
fn order(log: &EventLog, transfers: u32) -> Result<()> {
    let orders = log.ensure_topic(NewTopic::new("transfers"))?;
    let till = log.producer().name("till").build()?;
    let last = till.last_sequence(&TopicPartition::new("transfers", 0))?;
    for number in last.map_or(0, |last| last as u32 + 1)..transfers {
        let (from, to, cents) = transfer(number);
        let order = format!("{number} {from} {to} {cents}");
        till.send(orders.record(&order).sequence(number as i32))?.wait()?;
    }
    Ok(())
}

/// Books transfers: two lines in the books for each, and that it was read, in one transaction.
/// Returns when everything that was ordered is booked; `each` is called behind every poll.
pub fn work(log: &EventLog, transfers: u32, mut each: impl FnMut()) -> Result<(), Failure> {
    log.ensure_topic(NewTopic::new("books").partitions(3))?;
    order(log, transfers)?;
    let bank = log.consumer().group("bank").topics(["transfers"]).auto_commit(None);
    let bank = bank.isolation(Isolation::ReadCommitted).set("max.poll.records", "20");
    let mut bank = bank.offset_reset(OffsetReset::Earliest).build()?;
    let mut books = log.transactional_producer("bank-1").build()?;
    let ordered = TopicPartition::new("transfers", 0);
    loop {
        let done = books.process(&mut bank, |transaction, orders| {
            for order in orders {
                let fields: Vec<&str> = order.value_str()?.split(' ').collect();
                let [number, from, to, cents] = fields[..] else { return Err("no order".into()) };
                for (account, sign) in [(from, "-"), (to, "")] {
                    let line = format!("{number} {sign}{cents}");
                    transaction.send(Record::new("books", &line).key(account))?;
                }
            }
            Ok::<_, Failure>(())
        })?;
        each();
        if done.records == 0 || bank.position(&ordered)? >= u64::from(transfers) {
            return Ok(());
        }
    }
}

/// What stands in the books.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Transfers of which both lines are there.
    pub booked: u32,
    /// Cents by account.
    pub balances: BTreeMap<u32, i64>,
}

/// Reads the books as any reader does, and holds every line against its order.
pub fn audit(log: &EventLog) -> Result<Audit, Failure> {
    let reader = log.consumer().isolation(Isolation::ReadCommitted);
    let mut reader = reader.offset_reset(OffsetReset::Earliest).build()?;
    reader.assign((0..3).map(|partition| TopicPartition::new("books", partition)))?;
    let (mut audit, mut lines) = (Audit::default(), BTreeMap::new());
    loop {
        let records = reader.poll(Duration::ZERO)?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            let (number, cents) = record.value_str()?.split_once(' ').ok_or("no line")?;
            let (number, cents): (u32, i64) = (number.parse()?, cents.parse()?);
            let account = record.key().ok_or("no account")?;
            let account: u32 = std::str::from_utf8(account)?.parse()?;
            if lines.insert((number, account), cents).is_some() {
                return Err(format!("transfer {number} is booked twice").into());
            }
            *audit.balances.entry(account).or_default() += cents;
        }
    }
    for number in lines.keys().map(|(number, _)| *number).collect::<std::collections::BTreeSet<_>>()
    {
        let (from, to, cents) = transfer(number);
        let booked = [lines.remove(&(number, from)), lines.remove(&(number, to))];
        if booked != [Some(-cents), Some(cents)] {
            return Err(format!("transfer {number} is booked as {booked:?}, not {cents}").into());
        }
        audit.booked += 1;
    }
    if let Some(((number, account), _)) = lines.first_key_value() {
        return Err(format!("transfer {number} is none of account {account}").into());
    }
    let total: i64 = audit.balances.values().sum();
    if total == 0 { Ok(audit) } else { Err(format!("{total} cents are missing").into()) }
}

/// Kills the process that books until it has booked everything; how often.
fn kill_until_done(dir: &Path, transfers: u32) -> Result<u32, Failure> {
    let mut kills = 0;
    loop {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--book".as_ref(), dir.as_os_str(), transfers.to_string().as_ref()])
            .stdin(Stdio::null())
            .spawn()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        // Longer each time, so that it comes to an end on a slow disk too, and then no more.
        let ms = match kills {
            ..KILLS => u64::from(now.subsec_micros() % 40) + u64::from(kills * kills),
            _ => u64::MAX,
        };
        for _ in 0..ms {
            std::thread::park_timeout(Duration::from_millis(1));
            if let Some(status) = child.try_wait()? {
                return if status.success() {
                    Ok(kills)
                } else {
                    Err("the bank has failed".into())
                };
            }
        }
        child.kill()?;
        child.wait()?;
        kills += 1;
        if let Ok(log) = open(dir)
            && log.topic("books").is_ok()
        {
            audit(&log)?; // In the middle too: no half of a transfer.
        }
    }
}

#[allow(dead_code, reason = "tests take the parts one by one")]
fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    if let [_, book, dir, transfers] = &args[..]
        && book == "--book"
    {
        let log = open(Path::new(dir))?;
        work(&log, transfers.parse()?, || ())?;
        return Ok(log.close()?);
    }
    let transfers = args.get(1).map_or(Ok(20_000), |count| count.parse())?;
    let dir = std::env::temp_dir().join(format!("alluvium-payments-{}", std::process::id()));
    let kills = kill_until_done(&dir, transfers)?;
    let audit = audit(&open(&dir)?)?;
    println!("{} of {transfers} transfers are booked once, after {kills} kills", audit.booked);
    for (account, cents) in &audit.balances {
        println!("account {account}: {:>12.2}", *cents as f64 / 100.0);
    }
    println!("and they balance to the cent");
    std::fs::remove_dir_all(&dir)?;
    if audit.booked == transfers { Ok(()) } else { Err("transfers are missing".into()) }
}
