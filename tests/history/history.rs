//! What was tried, and what was seen.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It took place.
    Done,
    /// It did not, and never will.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// A value in a partition, with its offset where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    pub partition: u32,
    pub value: u64,
    pub offset: Option<u64>,
}

/// A record that was polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub partition: u32,
    pub offset: u64,
    pub value: u64,
}

/// How a consumer has its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By hand: nothing is skipped.
    Assign,
    /// From its group, whose partitions move.
    Subscribe,
}

/// One operation.
#[derive(Clone, Debug)]
pub enum Op {
    /// Sent outside of transactions.
    Send { producer: u64, write: Write, end: End },
    /// A transaction, with what was polled in the midst of it. `decided` is the moment from which
    /// on it may be seen.
    Transaction { producer: u64, writes: Vec<Write>, reads: Vec<Read>, decided: u64, end: End },
    /// A poll at read-committed, over at `at`. `session` is one consumer in one life of the log.
    Poll { session: u64, mode: Mode, reads: Vec<Read>, at: u64 },
    /// What stands in the partitions in the end, at read-committed.
    Final { reads: Vec<Read> },
    /// What was made of each value by the copier, in the end.
    Copies { inputs: Vec<u64>, copies: Vec<u64> },
}

/// All operations, and the clock that orders them.
#[derive(Debug, Default)]
pub struct Recorder {
    ops: Mutex<Vec<Op>>,
    moment: AtomicU64,
}

impl Recorder {
    /// The next moment.
    pub fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    pub fn push(&self, op: Op) {
        self.ops.lock().unwrap().push(op);
    }

    pub fn len(&self) -> usize {
        self.ops.lock().unwrap().len()
    }

    pub fn into_ops(self) -> Vec<Op> {
        self.ops.into_inner().unwrap()
    }
}
