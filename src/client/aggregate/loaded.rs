//! An aggregate as it was read.

/// An aggregate as it was read, and where in the log that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded<A> {
    /// Its state.
    pub state: A,
    /// How many events made it.
    pub version: u64,
    /// Where the last of them stands; `None` when there was none, or when it was deleted and the
    /// state is that of a snapshot.
    pub last_offset: Option<u64>,
}
