//! A partition of the model: every record that it ever had, and which of them may be gone.

use std::collections::{BTreeMap, BTreeSet};

use alluvium::Isolation;

use crate::model::{Model, Rec, State};

#[derive(Clone, Debug, Default)]
pub struct Part {
    pub recs: BTreeMap<u64, Rec>,
    pub start: u64,
    /// No lower offset is given any more.
    pub next: u64,
    /// What compaction has removed: it never comes back.
    pub gone: BTreeSet<u64>,
    /// Where segments end, by what was asked for.
    pub ends: BTreeSet<u64>,
    /// Everything below survives a power cut.
    pub durable: u64,
}

impl Part {
    /// The first offset of an open transaction.
    pub fn stable(&self, model: &Model) -> u64 {
        let mut open = self.recs.iter().filter(|(_, rec)| model.state(rec) == State::Open);
        open.next().map_or(u64::MAX, |(offset, _)| *offset)
    }

    /// What readers of an isolation see from an offset on, but for what is gone.
    pub fn seen<'p>(
        &'p self,
        model: &'p Model,
        isolation: Isolation,
        from: u64,
    ) -> impl Iterator<Item = (u64, &'p Rec)> + 'p {
        let stable = self.stable(model);
        let from = from.max(self.start);
        self.recs.range(from..).map(|(at, rec)| (*at, rec)).filter(move |(at, rec)| {
            !self.gone.contains(at) && shows(model, isolation, stable, (*at, rec))
        })
    }

    /// Of each key the last record that is committed, whether or not compaction has removed it.
    pub fn latest<'p>(&'p self, model: &'p Model) -> BTreeMap<Vec<u8>, (u64, &'p Rec)> {
        let stable = self.stable(model);
        let all = self.recs.range(self.start..stable.max(self.start));
        let committed = all.filter(|(_, rec)| model.state(rec) == State::Committed);
        committed.filter_map(|(at, rec)| Some((rec.key.clone()?, (*at, rec)))).collect()
    }

    /// Whether compaction may have removed a record by now.
    pub fn may_be_gone(&self, model: &Model, at: u64, tombstones_before: i64) -> bool {
        let rec = &self.recs[&at];
        let Some(key) = &rec.key else { return true };
        if model.state(rec) == State::Aborted {
            return true;
        }
        let stable = self.stable(model);
        let mut newer = self.recs.range(at + 1..stable.max(at + 1));
        let is_replaced = newer.any(|(_, other)| {
            other.key.as_ref() == Some(key) && model.state(other) == State::Committed
        });
        is_replaced || (rec.value.is_none() && rec.sent <= tombstones_before && at < stable)
    }
}

/// Whether readers of this isolation see a record, wherever the partition begins.
fn shows(model: &Model, isolation: Isolation, stable: u64, (at, rec): (u64, &Rec)) -> bool {
    match isolation {
        Isolation::ReadCommitted => at < stable && model.state(rec) == State::Committed,
        _ => true,
    }
}
