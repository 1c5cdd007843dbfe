//! What an acknowledged record survives.

/// What an acknowledged record survives.
///
/// Set for a log and for each topic. [`Delivery::wait`](crate::Delivery::wait) and
/// [`Producer::flush`](crate::Producer::flush) return when the topic's level is reached, and
/// consumers see a record from that moment on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: the log lives in memory. The only level of an in-memory log.
    Memory,
    /// The death of the process (`kill -9`, panic, abort), not a power cut.
    ProcessCrash,
    /// A power cut or a crash of the operating system. The default on disk.
    PowerLoss,
}

impl Durability {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Durability::Memory => "memory",
            Durability::ProcessCrash => "process-crash",
            Durability::PowerLoss => "power-loss",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let all = [Durability::Memory, Durability::ProcessCrash, Durability::PowerLoss];
        all.into_iter().find(|level| level.name() == name)
    }
}
