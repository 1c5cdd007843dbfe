//! Aggregates: state that is the replay of the events of one key, changed by appending more.

mod aggregates;
mod as_of;
mod loaded;
mod snapshots;

pub use aggregates::Aggregates;
pub use as_of::AsOf;
pub use loaded::Loaded;

use std::error::Error as StdError;

/// What a program's own code says is wrong.
type Failure = Box<dyn StdError + Send + Sync>;

/// State that is made of the events of one key. [`Default`] is the state before the first event.
///
/// ```
/// use alluvium::Aggregate;
///
/// #[derive(Default)]
/// struct Account {
///     cents: i64,
/// }
///
/// impl Aggregate for Account {
///     type Event = i64;
///
///     fn apply(&mut self, moved: &i64) {
///         self.cents += moved;
///     }
///
///     fn encode(moved: &i64) -> Vec<u8> {
///         moved.to_le_bytes().to_vec()
///     }
///
///     fn decode(bytes: &[u8]) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
///         Ok(i64::from_le_bytes(bytes.try_into()?))
///     }
/// }
/// ```
pub trait Aggregate: Default {
    /// What happened to it. Events are facts: they are never changed, and applying one cannot
    /// fail.
    type Event;

    /// Takes note of an event.
    fn apply(&mut self, event: &Self::Event);

    /// The value of the event's record.
    fn encode(event: &Self::Event) -> Vec<u8>;

    /// The event of a record's value.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes: the load fails with `InvalidRecord` and this as its source.
    fn decode(bytes: &[u8]) -> Result<Self::Event, Box<dyn StdError + Send + Sync>>;

    /// The state as bytes, for a snapshot. Default: there are none.
    fn snapshot(&self) -> Option<Vec<u8>> {
        None
    }

    /// The state of a snapshot's bytes; `None` of one that it does not understand, for example of
    /// an older version of the program: then the events are replayed. Default: none.
    fn restore(bytes: &[u8]) -> Option<Self> {
        let _ = bytes;
        None
    }
}
