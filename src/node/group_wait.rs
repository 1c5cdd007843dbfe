//! Waiting until a group has come to the end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::backend::Backend;
use crate::base::wait::{Deadline, Parker};
use crate::base::{Error, ErrorKind, Result, TopicPartition};
use crate::coord::groups::{GroupView, MemberView};

use super::Node;
use super::groups::GroupLag;

/// How many partitions an error names.
const NAMED: usize = 8;

impl Node {
    /// Waits until the group has committed everything that was sent before the call.
    pub fn await_group_end(&self, group: &str, timeout: Duration) -> Result<()> {
        let deadline = Deadline::after(self.clock(), timeout);
        self.flush(deadline)?;
        // How far it has to come: what is sent later does not count.
        let mut ends = BTreeMap::new();
        loop {
            let seen = self.groups.changes().version();
            let behind = match self.describe_group(group) {
                Ok(view) => Behind::new(self, &view, &mut ends),
                Err(error) if error.kind() == ErrorKind::GroupIdNotFound => Behind::Unknown,
                Err(error) => return Err(error),
            };
            if matches!(&behind, Behind::By(lags, _) if lags.is_empty()) {
                return Ok(());
            }
            let due = self.run_due();
            if deadline.has_passed(self.clock()) {
                let message = format!("after {timeout:?} group {group:?} {}", behind.tell());
                return Err(Error::new(ErrorKind::Timeout, message));
            }
            self.sleep_until_groups_change(seen, due, deadline);
        }
    }

    fn sleep_until_groups_change(&self, seen: u64, due: Option<Duration>, deadline: Deadline<'_>) {
        let clock = self.clock();
        let until = due.map_or(deadline, |due| deadline.earlier(Deadline::after(clock, due)));
        let parker = Parker::new();
        if let Some(token) = self.groups.changes().register(seen, &parker.waker()) {
            parker.park(clock, &until);
            self.groups.changes().unregister(token);
        }
    }
}

/// What keeps a group from the end.
enum Behind {
    /// There is no such group, yet.
    Unknown,
    /// It has committed nothing, and its members have nothing to read.
    Idle(Vec<MemberView>),
    /// The partitions with a lag.
    By(BTreeMap<TopicPartition, GroupLag>, Vec<MemberView>),
}

impl Behind {
    /// `ends` keeps where each partition ended when it was seen first.
    fn new(node: &Node, view: &GroupView, ends: &mut BTreeMap<TopicPartition, u64>) -> Self {
        let mut lags = node.group_lag(view);
        let members = view.members.clone();
        if lags.is_empty() {
            return Self::Idle(members);
        }
        lags.retain(|partition, lag| {
            let end = *ends.entry(partition.clone()).or_insert(lag.end);
            lag.lag = lag.lag.saturating_sub(lag.end.saturating_sub(end));
            lag.lag > 0
        });
        Self::By(lags, members)
    }

    fn tell(&self) -> String {
        match self {
            Self::Unknown => "has no members, and has committed nothing".to_owned(),
            Self::Idle(members) => {
                format!("has {} members, none of them with partitions", members.len())
            }
            Self::By(lags, members) => tell_lags(lags, members),
        }
    }
}

fn tell_lags(lags: &BTreeMap<TopicPartition, GroupLag>, members: &[MemberView]) -> String {
    let mut text = String::from("is behind");
    for (number, (partition, lag)) in lags.iter().take(NAMED).enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let holder = members.iter().find(|member| member.assignment.contains(partition));
        let holder = holder.map_or("nobody", |member| &member.member_id);
        let behind = lag.lag;
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma} in {partition} by {behind} records, held by {holder}");
    }
    if lags.len() > NAMED {
        let _ = write!(text, ", and in {} more", lags.len() - NAMED);
    }
    text
}
