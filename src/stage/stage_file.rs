//! The stage of one log: its pool of chunks, and its file where there is one.

use std::io;
use std::iter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::base::{Error, ErrorKind, Result, TopicId};
use crate::disk::{Disk, DiskFile, Span};

use super::chunk::{BatchSpot, Chunk};
use super::layout::{Identity, MAX_CHUNK, MIN_CHUNK, SMALL_CHUNK, read_u32, read_u64};
use super::left;
use super::pool::Pool;
use super::recover::{FoundChunk, identity_in, wipe};
use super::slab::Slab;

const MAGIC: u32 = 0x4741_5453;
const VERSION: u32 = 1;
/// The first page: header, and the witness of the manifest's length.
const FIRST_PAGE: usize = MIN_CHUNK;
const WITNESS_AT: usize = 64;
/// With more parts than this one sync of the whole file is cheaper than theirs.
const MANY_PARTS: usize = 4;

/// How far the manifest is known to be synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// Which manifest file: grows with every rewrite.
    pub generation: u64,
    /// Its synced length in bytes.
    pub len: u64,
}

/// The write-ahead stage of one log.
#[derive(Debug)]
pub struct Stage {
    /// Who may use which part.
    pub pool: Pool,
    shared: bool,
    file: RwLock<Option<Arc<StageFile>>>,
    incarnation: u32,
    generation: AtomicU64,
}

#[derive(Debug)]
struct StageFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    first_page: Mutex<FirstPage>,
}

#[derive(Debug)]
struct FirstPage {
    page: Span,
    /// The witness that this life has stored there, if any.
    noted: Option<Witness>,
}

impl Stage {
    /// A stage without a file: chunks come from the heap on first use.
    pub fn heap(bytes: usize, incarnation: u32) -> Self {
        Self::build(Pool::heap(bytes), None, incarnation)
    }

    fn build(pool: Pool, file: Option<StageFile>, incarnation: u32) -> Self {
        let shared = file.is_some();
        let file = RwLock::new(file.map(Arc::new));
        Self { pool, shared, file, incarnation, generation: AtomicU64::new(1) }
    }

    /// Lets go of the memory, so that the file can be mapped again; for a log that is closed.
    pub fn unmap(&self) {
        self.pool.clear();
        self.file.write().take();
    }

    /// Creates and maps the file `path` of `bytes` bytes. It is zero-written in 4 KiB pieces, so
    /// that a later sync writes dirty pages and not whole folios of the page cache.
    pub fn create(disk: &dyn Disk, path: &Path, bytes: usize, log_id: u128) -> Result<()> {
        let fail = |what: &str, e: io::Error| Error::io(what, path, e);
        let file = disk.create(path).map_err(|e| fail("create the stage", e))?;
        file.allocate(0, bytes as u64).map_err(|e| fail("reserve the stage", e))?;
        let zeros = [0; FIRST_PAGE];
        for position in (FIRST_PAGE..bytes).step_by(FIRST_PAGE) {
            file.write_at(&[&zeros], position as u64).map_err(|e| fail("fill the stage", e))?;
        }
        let mut page = [0; FIRST_PAGE];
        page[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        page[4..8].copy_from_slice(&VERSION.to_le_bytes());
        page[8..16].copy_from_slice(&(bytes as u64).to_le_bytes());
        page[16..32].copy_from_slice(&log_id.to_le_bytes());
        let crc = crc32fast::hash(&page[..60]);
        page[60..64].copy_from_slice(&crc.to_le_bytes());
        file.write_at(&[&page], 0).map_err(|e| fail("write the stage", e))?;
        file.sync().map_err(|e| fail("sync the stage", e))
    }

    /// Maps the file `path` (reads it where shared maps do not work), which must be the stage of the log `log_id`, and finds what an
    /// earlier life left in it. Wipes what proves nothing; writes nothing else.
    ///
    /// `closed_by` is the life that closed the log, where the operating system has run without a
    /// break since then: what it noted of the stage still holds.
    pub fn open(
        disk: &dyn Disk,
        path: &Path,
        log_id: u128,
        incarnation: u32,
        closed_by: Option<u32>,
    ) -> Result<Opened> {
        let entry = disk.entry(path).map_err(|e| Error::io("look at the stage", path, e))?;
        let Some(entry) = entry else {
            return Err(Error::corrupt(path, "the stage that the manifest names is missing"));
        };
        let len = usize::try_from(entry.len)
            .map_err(|_| Error::corrupt(path, format!("a stage of {} bytes", entry.len)))?;
        if len < FIRST_PAGE + MIN_CHUNK {
            return Err(Error::corrupt(path, format!("a stage of {len} bytes is cut short")));
        }
        let (memory, file) = load(disk, path, len)?;
        let (first_page, rest) = memory.split_at(FIRST_PAGE);
        let map = |e| Error::io("map", path, e);
        first_page.bring_in().map_err(map)?;
        check_first_page(path, first_page.bytes(), len, log_id)?;
        let pool = Pool::mapped(rest.len());
        let used = closed_by.and_then(|closed_by| left::find(first_page.bytes(), len, closed_by));
        // Without a note chunks may stand anywhere.
        let used = used.unwrap_or_else(|| iter::once(FIRST_PAGE..len).collect());
        let (chunks, torn_chunks) = find_chunks(rest, used, &pool).map_err(map)?;
        let first_page = Mutex::new(FirstPage { page: first_page, noted: None });
        let file = file.map(|file| StageFile { path: path.to_owned(), file, first_page });
        let stage = Self::build(pool, file, incarnation);
        if torn_chunks > 0 {
            // What was refused must not be found by a later life, behind records of this one.
            stage.sync()?;
        }
        Ok(Opened { stage, chunks, torn_chunks })
    }

    /// How far the manifest was synced, as the stage file `path` remembers it.
    pub fn peek_witness(disk: &dyn Disk, path: &Path) -> Result<Option<Witness>> {
        let file = disk.open(path).map_err(|e| Error::io("open the stage", path, e))?;
        let mut page = [0; FIRST_PAGE];
        file.read_at(&mut page, 0).map_err(|e| Error::io("read the stage", path, e))?;
        Ok(load_witness(&page))
    }

    /// Whether staged records survive the death of the process.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether a chunk for so much payload can be had at all: at once or when there is room.
    pub fn can_hold(&self, payload: usize) -> bool {
        chunk_for(payload) <= self.pool.longest()
    }

    /// The log's incarnation: the leader epoch of every batch of this life.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// A new chunk with room for `least` bytes of payload in one batch, `wanted` bytes long if
    /// the stage has that. `None` when the stage is full.
    ///
    /// # Errors
    /// `StorageError` when a page of it cannot be brought into memory.
    pub fn begin_chunk(
        &self,
        want: ChunkWish,
        topic_id: TopicId,
        partition: u32,
        base_offset: u64,
        spots: Vec<BatchSpot>,
    ) -> Result<Option<Chunk>> {
        let least = chunk_for(want.payload);
        let taken = self.pool.take(least, want.len.max(least), want.internal);
        let Some(span) = taken.map_err(|e| self.unmappable(e))? else { return Ok(None) };
        let identity = Identity {
            incarnation: self.incarnation,
            generation: self.generation.fetch_add(1, Ordering::Relaxed),
            topic_id,
            partition,
            base_offset,
            len: span.len() as u32,
        };
        Ok(Some(Chunk::begin(span, identity, spots)))
    }

    #[cold]
    fn unmappable(&self, error: io::Error) -> Error {
        match &*self.file.read() {
            Some(stage) => Error::io("map", &stage.path, error),
            None => Error::new(ErrorKind::StorageError, "no memory for the stage"),
        }
    }

    /// Makes every store to the stage before this call durable. Nothing to do without a file.
    pub fn sync(&self) -> Result<()> {
        let Some(stage) = self.file.read().clone() else { return Ok(()) };
        stage.file.sync().map_err(|e| Error::io("sync the stage", &stage.path, e))
    }

    /// Makes every store to these parts of the stage before this call durable; `sync` where they
    /// are many. A failure is one of the whole stage.
    pub fn sync_parts(&self, parts: &[Range<usize>]) -> Result<()> {
        if parts.len() > MANY_PARTS {
            return self.sync();
        }
        let Some(stage) = self.file.read().clone() else { return Ok(()) };
        let sync = |part: &Range<usize>| {
            let synced = stage.file.sync_part(part.start as u64, part.len() as u64);
            synced.map_err(|e| Error::io("sync the stage", &stage.path, e))
        };
        parts.iter().try_for_each(sync)
    }

    /// Notes how far the manifest is synced; durable with the next sync, kept by a kill at once.
    /// What was noted is not stored again: the next sync would write the page for nothing.
    pub fn note_witness(&self, witness: Witness) {
        let Some(stage) = self.file.read().clone() else { return };
        let mut first = stage.first_page.lock();
        if first.noted.replace(witness) == Some(witness) {
            return;
        }
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&witness.generation.to_le_bytes());
        bytes[8..16].copy_from_slice(&witness.len.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        first.page.bytes_mut()[WITNESS_AT..WITNESS_AT + 20].copy_from_slice(&bytes);
    }

    /// Notes where chunks stand, for the next open: this life has closed the log, and takes and
    /// gives none any more. A kill keeps it; after a power cut nobody asks for it.
    pub fn note_left(&self) {
        let Some(stage) = self.file.read().clone() else { return };
        let len = FIRST_PAGE + self.pool.total_bytes();
        let mut first = stage.first_page.lock();
        left::note(first.page.bytes_mut(), len, self.incarnation, self.pool.free_spans());
    }
}

/// A stage of an earlier life, and what it held.
#[derive(Debug)]
pub struct Opened {
    /// The stage, ready for use.
    pub stage: Stage,
    /// The chunks that prove themselves, in no particular order.
    pub chunks: Vec<FoundChunk>,
    /// Chunks that proved nothing and were wiped.
    pub torn_chunks: usize,
}

/// The stage's memory: mapped, with the file that syncs it, or a copy of what the file holds.
fn load(disk: &dyn Disk, path: &Path, len: usize) -> Result<(Span, Option<Arc<dyn DiskFile>>)> {
    match disk.map_shared(path, len) {
        Ok(map) => return Ok((map.memory, Some(map.file))),
        Err(e) if e.kind() == io::ErrorKind::Unsupported => {}
        Err(e) => return Err(Error::io("map", path, e)),
    }
    let file = disk.open(path).map_err(|e| Error::io("open the stage", path, e))?;
    let mut memory = Span::heap(len);
    file.read_at(memory.bytes_mut(), 0).map_err(|e| Error::io("read the stage", path, e))?;
    Ok((memory, None))
}

/// What a new chunk should be like.
#[derive(Clone, Copy, Debug)]
pub struct ChunkWish {
    /// Payload bytes that must fit.
    pub payload: usize,
    /// The length it should have.
    pub len: usize,
    /// Whether it may use what is kept back.
    pub internal: bool,
}

/// The least length of a chunk for so much payload.
fn chunk_for(payload: usize) -> usize {
    let overhead = super::layout::CHUNK_HEAD + super::layout::ENTRY;
    match payload + overhead {
        ..=SMALL_CHUNK => SMALL_CHUNK,
        more => more.next_power_of_two().max(MIN_CHUNK),
    }
}

fn check_first_page(path: &Path, page: &[u8], len: usize, log_id: u128) -> Result<()> {
    let crc = page.get(..60).map(crc32fast::hash);
    if read_u32(page, 0) != Some(MAGIC) || read_u32(page, 60) != crc {
        return Err(Error::corrupt(path, "the stage's first page is damaged"));
    }
    if read_u32(page, 4) != Some(VERSION) {
        let found = read_u32(page, 4).unwrap_or(0);
        let message = format!("{}: stage version {found}; this build knows 1", path.display());
        return Err(Error::new(ErrorKind::UnsupportedVersion, message).with_path(path));
    }
    if read_u64(page, 8) != Some(len as u64) {
        return Err(Error::corrupt(path, format!("the stage was cut to {len} bytes")));
    }
    let id = page.get(16..32).and_then(|bytes| bytes.try_into().ok()).map(u128::from_le_bytes);
    if id != Some(log_id) {
        return Err(Error::corrupt(path, "the stage belongs to another log"));
    }
    Ok(())
}

fn load_witness(page: &[u8]) -> Option<Witness> {
    let bytes = page.get(WITNESS_AT..WITNESS_AT + 20)?;
    if crc32fast::hash(&bytes[..16]) != read_u32(bytes, 16)? {
        return None;
    }
    Some(Witness { generation: read_u64(bytes, 0)?, len: read_u64(bytes, 8)? })
}

/// So many pages in front claim to begin nothing: no chunk, and no page that is cut.
fn blank_pages(bytes: &[u8]) -> usize {
    let is_blank = |page: &&[u8]| !Identity::is_claimed(page) && !Slab::is_claimed(page);
    bytes.chunks_exact(MIN_CHUNK).take_while(is_blank).count()
}

/// Cuts `rest`, which follows the first page, into the chunks that stand in the `used` parts of it;
/// everything else goes to the pool.
fn find_chunks(
    mut rest: Span,
    used: Vec<Range<usize>>,
    pool: &Pool,
) -> io::Result<(Vec<FoundChunk>, usize)> {
    let mut found = Found { pool, chunks: Vec::new(), torn: 0 };
    for part in used {
        let blank = part.start - rest.position();
        let (free, behind) = rest.split_at(blank);
        let (part, behind) = behind.split_at(part.len());
        rest = behind;
        give_free(free, pool);
        part.bring_in()?;
        found.look_through(part);
    }
    give_free(rest, pool);
    Ok((found.chunks, found.torn))
}

/// The most that a chunk at the beginning of `span` can have: buddies are aligned to the region, and
/// the first page shifts them all by one grain.
fn most(span: &Span) -> usize {
    let aligned = 1 << span.position().trailing_zeros().min(MAX_CHUNK.ilog2());
    span.len().min(aligned)
}

/// Gives a part in which nothing stands to the pool, without a look at it.
fn give_free(span: Span, pool: &Pool) {
    let mut rest = span;
    while rest.len() >= MIN_CHUNK {
        let order = (most(&rest) / MIN_CHUNK).ilog2();
        let (free, behind) = rest.split_at(MIN_CHUNK << order);
        rest = behind;
        pool.give(free);
    }
}

/// What was found in the stage so far.
struct Found<'a> {
    pool: &'a Pool,
    chunks: Vec<FoundChunk>,
    torn: usize,
}

impl Found<'_> {
    fn look_through(&mut self, part: Span) {
        let mut rest = part;
        while rest.len() >= MIN_CHUNK {
            let most = most(&rest);
            let blank = blank_pages(rest.bytes().get(..most).unwrap_or_default());
            if let Some(order) = blank.checked_ilog2() {
                // Most of the stage, as a rule: given whole instead of page by page.
                let (free, behind) = rest.split_at(MIN_CHUNK << order);
                rest = behind;
                self.pool.give(free);
                continue;
            }
            let here = identity_in(rest.bytes()).map(|identity| identity.len as usize);
            let (piece, behind) =
                rest.split_at(here.filter(|&len| len <= most).unwrap_or(MIN_CHUNK));
            rest = behind;
            self.look_at(piece);
        }
    }

    fn look_at(&mut self, piece: Span) {
        let piece = match Slab::find(piece) {
            Ok(cut) => {
                self.chunks.extend(cut.chunks);
                self.torn += cut.torn;
                return self.pool.adopt_slab(cut.slab);
            }
            Err(piece) => piece,
        };
        match FoundChunk::read(piece) {
            Ok(chunk) => self.chunks.push(chunk),
            Err(mut span) => {
                self.torn += usize::from(wipe(&mut span));
                self.pool.give(span);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn a_witness_that_stands_there_is_not_stored_again() {
        let (disk, path, len) = (SimDisk::new(), Path::new("/stage"), FIRST_PAGE + 2 * MIN_CHUNK);
        Stage::create(&disk, path, len, 7).unwrap();
        let open = || Stage::open(&disk, path, 7, 1, None).unwrap().stage;
        let stored = |stage: &Stage| {
            let file = stage.file.read().clone().unwrap();
            let mut first = file.first_page.lock();
            let witness = load_witness(first.page.bytes());
            first.page.bytes_mut()[WITNESS_AT..WITNESS_AT + 20].fill(0);
            witness
        };
        let [old, new] = [10, 20].map(|len| Witness { generation: 1, len });
        let stage = open();
        for (noted, expected) in [(old, Some(old)), (old, None), (new, Some(new)), (old, Some(old))]
        {
            stage.note_witness(noted);
            assert_eq!(stored(&stage), expected);
        }
        drop(stage);
        // The last life's store may have been lost by a sync that failed.
        let stage = open();
        stage.note_witness(old);
        assert_eq!(stored(&stage), Some(old));
    }
}
