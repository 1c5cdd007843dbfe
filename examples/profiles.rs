//! Profiles of users, told by events: `UserRegistered`, `UserEmailUpdated`, `UserDeleted`.
//!
//! The events stay: from them any past state can be had again, as of an offset or of a time. A
//! projector folds them into a compacted topic that holds one record for each user, and a table
//! shows that one: the current state.
//!
//! ```text
//! cargo run --example profiles
//! ```

#![allow(clippy::print_stdout, clippy::missing_errors_doc)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use alluvium::{
    ConsumerRecord, EventLog, NewTopic, OffsetReset, Placed, Producer, Table, Topic, TopicPartition,
};

type Failure = Box<dyn Error + Send + Sync>;

const EVENTS: &str = "user-events";
const PROFILES: &str = "profiles";
const HOUR: i64 = 3_600_000;

/// What happened to a user.
#[allow(clippy::enum_variant_names, reason = "what events are called")]
enum Event<'e> {
    UserRegistered { name: &'e str, email: &'e str },
    UserEmailUpdated { email: &'e str },
    UserDeleted,
}

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The full name.
    pub name: String,
    /// The address for mails.
    pub email: String,
}

/// Everybody, by their id.
pub type Profiles = BTreeMap<String, Profile>;

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

impl<'e> Event<'e> {
    /// The type stands in a header, what it tells in the value: name and address, by lines.
    fn encode(&self) -> (&'static str, String) {
        match self {
            Self::UserRegistered { name, email } => ("UserRegistered", format!("{name}\n{email}")),
            Self::UserEmailUpdated { email } => ("UserEmailUpdated", (*email).to_owned()),
            Self::UserDeleted => ("UserDeleted", String::new()),
        }
    }

    fn decode(record: &ConsumerRecord<'e>) -> Result<Self, Failure> {
        let value = record.value_str()?;
        match record.header("event").flatten() {
            Some(b"UserRegistered") => {
                let (name, email) = value.split_once('\n').ok_or("a user without an address")?;
                Ok(Self::UserRegistered { name, email })
            }
            Some(b"UserEmailUpdated") => Ok(Self::UserEmailUpdated { email: value }),
            Some(b"UserDeleted") => Ok(Self::UserDeleted),
            _ => Err(format!("offset {} is no event that is known", record.offset()).into()),
        }
    }
}

impl Profile {
    /// What an event makes of a profile. The whole logic: for the state of now and of any moment.
    fn after(before: Option<Profile>, event: &Event<'_>) -> Option<Profile> {
        match *event {
            Event::UserRegistered { name, email } => {
                Some(Profile { name: name.to_owned(), email: email.to_owned() })
            }
            Event::UserEmailUpdated { email } => {
                before.map(|known| Profile { email: email.to_owned(), ..known })
            }
            Event::UserDeleted => None,
        }
    }

    fn encode(&self) -> String {
        format!("{}\n{}", self.name, self.email)
    }

    fn decode(value: &str) -> Option<Profile> {
        let (name, email) = value.split_once('\n')?;
        Some(Profile { name: name.to_owned(), email: email.to_owned() })
    }
}

/// Tells what happens.
struct UserService {
    events: Topic,
    producer: Producer,
}

impl UserService {
    fn tell(&self, user: &str, at_ms: i64, event: &Event<'_>) -> Result<Placed, Failure> {
        let (kind, value) = event.encode();
        let headers = [("event", Some(kind.as_bytes()))];
        let record = self.events.record(&value).key(user).timestamp_ms(at_ms);
        Ok(self.producer.send(record.headers(&headers))?.wait()?)
    }
}

/// Folds events into the topic of profiles, each user's into one record.
struct Projector {
    profiles: Topic,
    producer: Producer,
    table: Table,
}

impl Projector {
    /// Projects what has been told since the last time. After a crash some events come again,
    /// those of a user in their order, and lead to the same end.
    fn run(&self, log: &EventLog) -> Result<(), Failure> {
        let group = log.consumer().group("projector").topics([EVENTS]);
        let mut events = group.offset_reset(OffsetReset::Earliest).build()?;
        let partitions = events.await_assignment(Duration::from_secs(10))?.to_vec();
        let is_behind = |tp: &TopicPartition, events: &alluvium::Consumer| {
            events.lag(tp).is_ok_and(|lag| lag > 0)
        };
        while partitions.iter().any(|tp| is_behind(tp, &events)) {
            for event in &events.poll(Duration::from_secs(1))? {
                self.project(&event)?;
            }
            events.commit()?;
        }
        Ok(events.close()?)
    }

    fn project(&self, record: &ConsumerRecord<'_>) -> Result<(), Failure> {
        let user = record.key().ok_or("an event of nobody")?;
        let known = self.table.get(user)?;
        let known = known.as_ref().map(|record| record.value_str()).transpose()?;
        let after = Profile::after(known.and_then(Profile::decode), &Event::decode(record)?);
        match after.as_ref().map(Profile::encode) {
            Some(profile) => {
                self.producer.send(self.profiles.record(&profile).key(user))?.wait()?
            }
            None => self.producer.send(self.profiles.tombstone(user))?.wait()?,
        };
        Ok(())
    }
}

/// The state of now: what the table shows.
fn current(table: &Table) -> Result<Profiles, Failure> {
    let view = table.view()?;
    let profile = |(user, value): (&[u8], &[u8])| {
        let profile = Profile::decode(std::str::from_utf8(value)?).ok_or("half a profile")?;
        Ok((String::from_utf8(user.to_vec())?, profile))
    };
    view.iter().map(profile).collect()
}

/// A moment of the past.
#[derive(Clone, Copy, Debug)]
pub enum AsOf {
    /// Before the event at this offset.
    Offset(u64),
    /// At this time, in ms since 1970, what happened then included.
    Time(i64),
}

/// The state of a moment, from the events alone.
pub fn past(log: &EventLog, as_of: AsOf) -> Result<Profiles, Failure> {
    let events = TopicPartition::new(EVENTS, 0);
    let mut reader = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
    reader.assign([events.clone()])?;
    let mut profiles = Profiles::new();
    while reader.lag(&events)? > 0 {
        for record in &reader.poll(Duration::from_secs(1))? {
            let is_later = match as_of {
                AsOf::Offset(offset) => record.offset() >= offset,
                AsOf::Time(time) => record.timestamp_ms().is_some_and(|at| at > time),
            };
            if is_later {
                return Ok(profiles);
            }
            let user = String::from_utf8(record.key().unwrap_or_default().to_vec())?;
            let before = profiles.remove(&user);
            if let Some(after) = Profile::after(before, &Event::decode(&record)?) {
                profiles.insert(user, after);
            }
        }
    }
    Ok(profiles)
}

/// What happens to some users, an hour apart, from `start_ms` on. Returns the state of now, and
/// the offset of the first of these events.
pub fn run(log: &EventLog, start_ms: i64) -> Result<(Profiles, u64), Failure> {
    // One partition: the events have one order.
    let events = log.ensure_topic(NewTopic::new(EVENTS))?;
    let profiles = log.ensure_topic(NewTopic::new(PROFILES).compacted().partitions(3))?;
    let producer = log.producer().build()?;
    let service = UserService { events, producer: producer.clone() };
    let table = log.table(PROFILES).build()?;
    let ada = Event::UserRegistered { name: "Ada", email: "ada@example.org" };
    let bob = Event::UserRegistered { name: "Bob", email: "bob@example.org" };
    let first = service.tell("u-1", start_ms, &ada)?.offset;
    service.tell("u-2", start_ms + HOUR, &bob)?;
    let moved = Event::UserEmailUpdated { email: "ada@example.com" };
    service.tell("u-1", start_ms + 2 * HOUR, &moved)?;
    service.tell("u-2", start_ms + 3 * HOUR, &Event::UserDeleted)?;
    let cleo = Event::UserRegistered { name: "Cleo", email: "cleo@example.org" };
    service.tell("u-3", start_ms + 4 * HOUR, &cleo)?;
    Projector { profiles, producer, table: table.clone() }.run(log)?;
    Ok((current(&table)?, first))
}

fn show(title: &str, profiles: &Profiles) {
    println!("{title}");
    for (user, profile) in profiles {
        println!("    {user}: {profile}");
    }
}

#[allow(dead_code)] // Tests call `run`.
fn main() -> Result<(), Failure> {
    let log = EventLog::in_memory();
    let start = 1_357_034_400_000;
    let (now, first) = run(&log, start)?;
    show("now:", &now);
    show("before the third event:", &past(&log, AsOf::Offset(first + 2))?);
    show("after three hours:", &past(&log, AsOf::Time(start + 3 * HOUR))?);
    if past(&log, AsOf::Offset(u64::MAX))? != now {
        return Err("the events tell of another state than the table".into());
    }
    println!("the events, all of them, give the state of now");
    Ok(())
}
