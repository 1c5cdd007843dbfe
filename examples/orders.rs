//! Three services in one program: orders are placed, two members of a group keep the stock, and
//! an audit that nobody thought of at first reads everything from the beginning.
//!
//! ```text
//! cargo run --example orders              # a log in memory
//! cargo run --example orders -- DIR       # a log on disk: run it again, and it goes on
//! ```

#![allow(clippy::print_stdout, clippy::missing_errors_doc)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use alluvium::{
    CommitPolicy, ConsumerRecord, EventLog, NewTopic, OffsetReset, ProcessedIds, Producer,
    RunOptions, Topic,
};

type Failure = Box<dyn Error + Send + Sync>;
type Stock = BTreeMap<String, i64>;

const EVENT: &str = "event";
const ORDER_CREATED: &[u8] = b"ORDER_CREATED";

/// Takes orders. It knows nothing of who reads them.
struct OrderService {
    orders: Topic,
    producer: Producer,
}

impl OrderService {
    /// The order is as durable as the topic when this returns. Orders of one customer stay in
    /// order: they have one key, and so one partition.
    fn place(&self, id: &str, customer: &str, items: &[(&str, u32)]) -> Result<(), Failure> {
        let lines: Vec<_> = items.iter().map(|(sku, count)| format!("{count} {sku}")).collect();
        let value = lines.join("\n");
        let headers = [(EVENT, Some(ORDER_CREATED)), ("order", Some(id.as_bytes()))];
        let record = self.orders.record(&value).key(customer).headers(&headers);
        self.producer.send(record)?.wait()?;
        Ok(())
    }
}

/// The order's id and its items; none for another event.
fn order<'r>(record: &ConsumerRecord<'r>) -> Result<Option<(&'r str, Stock)>, Failure> {
    let header = |name: &str| record.header(name).flatten();
    if header(EVENT) != Some(ORDER_CREATED) {
        return Ok(None);
    }
    let id = std::str::from_utf8(header("order").ok_or("an order without a number")?)?;
    let mut items = Stock::new();
    for line in record.value_str()?.lines() {
        let (count, sku) = line.split_once(' ').ok_or_else(|| format!("no item: {line:?}"))?;
        *items.entry(sku.to_owned()).or_default() += count.parse::<i64>()?;
    }
    Ok(Some((id, items)))
}

/// Takes what was ordered out of the stock, once for each order.
struct InventoryService {
    stock: Mutex<Stock>,
    done: ProcessedIds,
}

impl InventoryService {
    /// A record that comes again, after a crash or a rebalance, changes nothing.
    fn handle(&self, record: &ConsumerRecord<'_>) -> Result<(), Failure> {
        let Some((id, items)) = order(record)? else { return Ok(()) };
        self.done.once(id, || {
            let mut stock = self.stock.lock().map_err(|_| "the other member has failed")?;
            for (sku, count) in items {
                *stock.entry(sku).or_default() -= count;
            }
            Ok::<_, Failure>(())
        })?;
        Ok(())
    }
}

/// Reads every order that there ever was: how many there are, and what those have left in stock
/// that `counts`.
fn audit(log: &EventLog, counts: impl Fn(&str) -> bool) -> Result<(usize, Stock), Failure> {
    let consumer = log.consumer().group("audit").topics(["orders"]).auto_commit(None);
    let mut consumer = consumer.offset_reset(OffsetReset::Earliest).build()?;
    let partitions = consumer.await_assignment(Duration::from_secs(10))?.to_vec();
    let first_stock = [("milk".to_owned(), 10_000), ("tea".to_owned(), 10_000)];
    let (mut orders, mut stock) = (0, Stock::from(first_stock));
    while partitions.iter().any(|tp| consumer.lag(tp).is_ok_and(|lag| lag > 0)) {
        for record in &consumer.poll(Duration::from_secs(1))? {
            let Some((id, items)) = order(&record)? else { continue };
            orders += 1;
            for (sku, count) in items.into_iter().filter(|_| counts(id)) {
                *stock.entry(sku).or_default() -= count;
            }
        }
    }
    Ok((orders, stock))
}

/// Places `count` orders while two members keep the stock.
fn trade(
    log: &EventLog,
    run: usize,
    count: usize,
    inventory: &InventoryService,
) -> Result<(), Failure> {
    let service = OrderService { orders: log.topic("orders")?, producer: log.producer().build()? };
    let member = || {
        let group = log.consumer().group("inventory").topics(["orders"]);
        group.offset_reset(OffsetReset::Earliest).build()
    };
    let mut members = [member()?, member()?];
    let stops = members.each_ref().map(|member| member.stop_handle());
    let options = RunOptions::new().commit(CommitPolicy::EachRecord);
    thread::scope(|scope| {
        let runs = members
            .each_mut()
            .map(|member| scope.spawn(|| member.run(&options, |record| inventory.handle(record))));
        let placed = (0..count).try_for_each(|number| {
            let customer = ["ada", "bob", "cleo", "dan", "eve"][number % 5];
            let tea = u32::try_from(number % 3)? + 1;
            service.place(&format!("{run}-{number}"), customer, &[("tea", tea), ("milk", 1)])
        });
        let settled = placed.and_then(|()| {
            let admin = log.admin();
            Ok(admin.await_group_lag_zero("inventory", Duration::from_secs(60))?)
        });
        for stop in stops {
            stop.stop();
        }
        for (number, run) in runs.into_iter().enumerate() {
            let report = run.join().map_err(|_| "a member has panicked")??;
            println!("member {number} of inventory: {} orders", report.processed);
        }
        settled
    })
}

/// Places `count` orders in the log, and returns how many there are in it and what is left.
pub fn run(log: &EventLog, count: usize) -> Result<(usize, Stock), Failure> {
    log.ensure_topic(NewTopic::new("orders").partitions(4))?;
    let done = log.processed_ids("inventory.done")?;
    // The stock lives in memory: after a restart it is what the orders that are done have left.
    let (before, stock) = audit(log, |id| done.contains(id))?;
    let inventory = InventoryService { stock: Mutex::new(stock), done };
    trade(log, before, count, &inventory)?;
    let (orders, expected) = audit(log, |_| true)?;
    let stock = inventory.stock.into_inner().map_err(|_| "a member has failed")?;
    if stock != expected || orders != before + count {
        return Err(
            format!("the audit finds {orders} orders, {expected:?} and not {stock:?}").into()
        );
    }
    Ok((orders, stock))
}

#[allow(dead_code)] // Tests call `run`.
fn main() -> Result<(), Failure> {
    let log = match std::env::args_os().nth(1).map(PathBuf::from) {
        Some(dir) => EventLog::open(dir)?,
        None => EventLog::in_memory(),
    };
    let (orders, stock) = run(&log, 100)?;
    println!("audit: {orders} orders, and what is left agrees: {stock:?}");
    log.close()?;
    Ok(())
}
