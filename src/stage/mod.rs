//! Floor 2: the write-ahead stage.
//!
//! A small ring of chunks, in blocks that exist, and shared with the file system's cache, in which records
//! stand from the moment of their append until their batch has settled in a segment. A store to
//! it survives the death of the process; one sync of its file makes every partition's records
//! survive a power cut. Staged bytes are trusted because they check, never because of who left
//! them there.

mod chunk;
pub mod fuzz;
mod layout;
mod left;
mod pool;
mod recover;
mod slab;
mod stage_file;
#[cfg(test)]
mod tests;

pub use chunk::{BatchSpot, Chunk};
pub use layout::{CHUNK_HEAD, MAX_CHUNK, MIN_CHUNK, SMALL_CHUNK};
pub use recover::FoundChunk;
pub use stage_file::{ChunkWish, Stage, Witness};
