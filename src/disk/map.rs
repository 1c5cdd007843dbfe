//! Memory regions: zeroed heap memory, and files as memory.
//!
//! What every `unsafe` block here relies on beyond this process: a mapped file is neither changed
//! nor cut by anybody but its log. The log holds an exclusive lock on its directory, every shared
//! map another one on its own file, and a sealed file is never written again. Whoever goes around
//! these locks from outside can make a reader see other bytes or fault, which no program that
//! maps files can prevent; [`OsDisk::without_maps`](super::OsDisk::without_maps) is for them.

use std::alloc::{self, Layout};
use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Weak};

use bytes::Bytes;
#[cfg(any(target_os = "linux", target_os = "android"))]
use memmap2::MmapRaw;
use memmap2::{MmapMut, MmapOptions};
use parking_lot::Mutex;

use super::block::Span;

/// Heap regions start on a cache line.
const HEAP_ALIGN: usize = 64;

/// Memory that nobody else in this process touches, and what keeps it alive.
pub(super) struct Region {
    base: NonNull<u8>,
    len: usize,
    /// Which of its pages may be missing, where that is possible.
    pages: Option<Pages>,
    /// Dropped with the last span, block or pin; this ends the memory's life.
    _owner: Box<dyn Any + Send + Sync>,
}

// SAFETY: a region's own methods do not touch its memory. Spans and blocks do, each byte under
// the rules of `block.rs`, which are those of `&[u8]` and `&mut [u8]`; both may cross threads.
// The owner is `Send + Sync` by its bound.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// # Safety
    ///
    /// `len` bytes from `base` on are initialized, may be read and written until `owner` is
    /// dropped, and nobody else in this process does either as long.
    unsafe fn new(base: NonNull<u8>, len: usize, owner: Box<dyn Any + Send + Sync>) -> Region {
        Region { base, len, pages: None, _owner: owner }
    }

    /// Zeroed memory from the heap.
    pub(super) fn heap(len: usize) -> Region {
        if len == 0 {
            // SAFETY: no byte is claimed.
            return unsafe { Region::new(NonNull::dangling(), 0, Box::new(())) };
        }
        let Ok(layout) = Layout::from_size_align(len, HEAP_ALIGN) else {
            alloc::handle_alloc_error(Layout::new::<u8>());
        };
        // SAFETY: the layout has a size other than zero.
        let Some(base) = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }) else {
            alloc::handle_alloc_error(layout);
        };
        let owner = Box::new(HeapMemory { base, layout });
        // SAFETY: freshly allocated and zeroed for `len` bytes, freed by `owner` alone.
        unsafe { Region::new(base, len, owner) }
    }

    /// Its first byte.
    pub(super) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// See [`Span::bring_in`].
    pub(super) fn bring_in(&self, start: usize, len: usize) -> io::Result<()> {
        self.pages.as_ref().map_or(Ok(()), |pages| pages.bring_in(start, len))
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("base", &self.base).field("len", &self.len).finish()
    }
}

/// Zeroed heap memory, given back on drop.
struct HeapMemory {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: plain memory from the global allocator, which any thread may free; nothing is reachable
// through a shared reference to it.
unsafe impl Send for HeapMemory {}
// SAFETY: as above.
unsafe impl Sync for HeapMemory {}

impl Drop for HeapMemory {
    fn drop(&mut self) {
        // SAFETY: `base` came from `alloc_zeroed` with this very layout, and only here it ends.
        unsafe { alloc::dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// The first `len` bytes of a file that nobody changes any more.
pub(super) fn sealed(file: &File, len: usize) -> io::Result<Bytes> {
    if len == 0 {
        return Ok(Bytes::new());
    }
    if file.metadata()?.len() < len as u64 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file is shorter than its map",
        ));
    }
    // SAFETY: the file has `len` bytes, and the module's contract says that it keeps them.
    let map = unsafe { MmapOptions::new().len(len).map(file)? };
    Ok(Bytes::from_owner(map))
}

/// The map of a file of which a part at the front is lent, and the rest is still written.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug)]
pub(super) struct FrontMap(Arc<MmapRaw>);

/// What may be lost together with a byte behind it: neither the pages of a system nor the blocks
/// of a file system are larger.
#[cfg(any(target_os = "linux", target_os = "android"))]
const GRAIN: u64 = 64 << 10;

#[cfg(any(target_os = "linux", target_os = "android"))]
impl FrontMap {
    /// A map of `reach` bytes of a file that has `len` as yet.
    pub(super) fn new(file: &File, len: u64, reach: usize) -> io::Result<Self> {
        if len < GRAIN {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let map = MmapOptions::new().len(reach).map_raw_read_only(file)?;
        Ok(Self(Arc::new(map)))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl super::Front for FrontMap {
    fn lend(&self, len: u64) -> Bytes {
        let reach = self.0.len();
        let whole = usize::try_from(len / GRAIN * GRAIN).unwrap_or(reach).min(reach);
        Bytes::from_owner(Lent { map: Arc::clone(&self.0), len: whole })
    }

    fn reach(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The first bytes of such a map.
#[cfg(any(target_os = "linux", target_os = "android"))]
struct Lent {
    map: Arc<MmapRaw>,
    len: usize,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the map has `len` bytes at least, and so has the file. By the contract of `lend`
        // nobody in this process writes to them or cuts them off, by the module's nobody else
        // does: they are like those of a sealed file. No byte behind them is touched.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.len) }
    }
}

/// Asks the processor to bring `bytes` into its first cache, because they are about to be read:
/// its own foresight ends at each page. Costs time only, and gains none elsewhere than here.
#[cfg(target_arch = "x86_64")]
pub fn prefetch(bytes: &[u8]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    /// What a processor caches at a time.
    const LINE: usize = 64;
    for line in bytes.chunks(LINE) {
        // SAFETY: a hint. It reads nothing that the program could see and never faults; the
        // address is that of a byte of `bytes` nevertheless.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

/// There is no such hint that could be given here.
#[cfg(not(target_arch = "x86_64"))]
pub fn prefetch(_bytes: &[u8]) {}

/// Maps the file to write to it, once: a second map of it, in this process or another, is refused
/// with `WouldBlock` as long as the memory or the file lives.
pub(super) fn shared(file: File, len: usize) -> io::Result<(Span, Arc<File>, Stores)> {
    // Two maps of one file would be two owners of the same bytes. The lock belongs to this very
    // handle, which lives as long as the region.
    file.try_lock()?;
    advise_random(&file);
    let file = Arc::new(file);
    let (span, stores) = map_whole(file.clone(), len)?;
    Ok((span, file, stores))
}

/// What is stored to a shared map, to make a part of it durable.
#[derive(Debug)]
pub(super) struct Stores {
    /// Only asked for its pages, never for its bytes.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))]
    map: Arc<MmapMut>,
}

impl Stores {
    /// Makes these bytes durable, with the whole pages that they stand in. The system does what it
    /// does to sync a file's contents, for this part of them, the device's cache included.
    pub(super) fn sync(&self, position: u64, len: u64) -> io::Result<()> {
        let range = usize::try_from(position).ok().zip(usize::try_from(len).ok());
        let (position, len) = range.ok_or(io::ErrorKind::InvalidInput)?;
        if position.checked_add(len).is_none_or(|end| end > self.map.len()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.map.flush_range(position, len)
    }
}

/// Maps a file of exactly `len` bytes. The caller makes sure that it is the only map of it.
///
/// Only where syncing a file is certain to reach what was stored to its maps.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn map_whole(file: Arc<File>, len: usize) -> io::Result<(Span, Stores)> {
    let data = file.metadata()?;
    if len == 0 || data.len() != len as u64 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the length of the file"));
    }
    // SAFETY: the file has `len` bytes, and the module's contract says that nobody cuts it.
    let mut map = unsafe { MmapOptions::new().len(len).map_mut(&*file)? };
    prepare(&map, has_holes(&data))?;
    let Some(base) = NonNull::new(map.as_mut_ptr()) else {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    };
    let map = Arc::new(map);
    let pages =
        Pages { map: Arc::clone(&map), missing: Mutex::new(vec![true; len.div_ceil(PAGE)]) };
    // SAFETY: `base` points to `len` mapped, readable and writable bytes until `map` is dropped,
    // and nothing but the region has a pointer to them: `map` is never dereferenced again and
    // there is no other map of this file.
    let region = unsafe { Region::new(base, len, Box::new((map.clone(), file))) };
    Ok((Span::whole(Region { pages: Some(pages), ..region }), Stores { map }))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn map_whole(_file: Arc<File>, _len: usize) -> io::Result<(Span, Stores)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Read-ahead would bring in, and later write back, whole folios around each touched page.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn advise_random(file: &File) {
    // Best effort: the advice only saves time.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Random);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn advise_random(_file: &File) {}

/// Whether the file may have parts without space of their own: a copy that a tool made sparse.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_holes(data: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    /// What the system counts space in.
    const BLOCK: u64 = 512;
    data.blocks().saturating_mul(BLOCK) < data.len()
}

/// What pages are counted in here: the least that any system has.
const PAGE: usize = 4 << 10;

/// The pages of a map, and which of them were not brought in yet.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))]
struct Pages {
    /// Only asked for its pages, never for its bytes.
    map: Arc<MmapMut>,
    missing: Mutex<Vec<bool>>,
}

impl Pages {
    fn bring_in(&self, start: usize, len: usize) -> io::Result<()> {
        let pages = start / PAGE..(start + len).div_ceil(PAGE);
        let mut missing = self.missing.lock();
        let missing = missing.get_mut(pages).unwrap_or_default();
        if missing.contains(&true) {
            populate(&self.map, start, len)?;
            missing.fill(false);
        }
        Ok(())
    }
}

/// Where there are holes they are filled now, while it can be refused.
#[cfg(target_os = "linux")]
fn prepare(map: &MmapMut, has_holes: bool) -> io::Result<()> {
    // Best effort: the advice only saves time.
    let _ = map.advise(memmap2::Advice::Random);
    if has_holes { refuse_faults(map.advise(memmap2::Advice::PopulateWrite)) } else { Ok(()) }
}

/// What has holes is not mapped, because none of them can be filled while that can be refused.
#[cfg(target_os = "android")]
fn prepare(map: &MmapMut, has_holes: bool) -> io::Result<()> {
    if has_holes {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // Best effort: the advice only saves time.
    let _ = map.advise(memmap2::Advice::Random);
    Ok(())
}

/// Brings in pages to be read: for writing it would make every one of them dirty, and the next
/// sync write all of them. The first store to a page since the last sync costs a fault either way.
#[cfg(target_os = "linux")]
fn populate(map: &MmapMut, start: usize, len: usize) -> io::Result<()> {
    refuse_faults(map.advise_range(memmap2::Advice::PopulateRead, start, len))
}

/// Pages come in with their first use.
#[cfg(not(target_os = "linux"))]
fn populate(_map: &MmapMut, _start: usize, _len: usize) -> io::Result<()> {
    Ok(())
}

/// Bringing in pages is best effort, with one exception: EFAULT says that a store would end in
/// SIGBUS (no space behind a hole, a broken sector), and an error now is better than a signal then.
#[cfg(target_os = "linux")]
fn refuse_faults(populated: io::Result<()>) -> io::Result<()> {
    let Err(error) = populated else { return Ok(()) };
    match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::FAULT) => Err(error),
        _ => Ok(()),
    }
}

/// A file without a name that can be mapped again and again, but only once at a time: what a
/// shared map of the simulated disk lies on. Another thread's stores are read through the file.
#[derive(Debug)]
pub(super) struct Anonymous {
    file: Arc<File>,
    len: usize,
    /// The region of the last map.
    region: Mutex<Weak<Region>>,
}

impl Anonymous {
    /// A file of these bytes. `Unsupported` where such maps do not work.
    pub(super) fn new(content: &[u8]) -> io::Result<Anonymous> {
        let mut file = anonymous_file()?;
        io::Write::write_all(&mut file, content)?;
        let region = Mutex::new(Weak::new());
        Ok(Anonymous { file: Arc::new(file), len: content.len(), region })
    }

    /// Whether somebody still has the memory of the last map.
    pub(super) fn is_mapped(&self) -> bool {
        self.region.lock().strong_count() > 0
    }

    /// Maps it to write to it; `WouldBlock` while an earlier map lives.
    pub(super) fn map(&self) -> io::Result<Span> {
        let mut region = self.region.lock();
        if region.strong_count() > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (span, _) = map_whole(self.file.clone(), self.len)?;
        *region = span.keeper();
        Ok(span)
    }

    /// What it holds now, with the stores of all threads so far.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        // The file has one position, so one reader at a time.
        let _region = self.region.lock();
        let mut file = &*self.file;
        io::Seek::rewind(&mut file)?;
        let mut bytes = vec![0; self.len];
        io::Read::read_exact(&mut file, &mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn anonymous_file() -> io::Result<File> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    Ok(File::from(rustix::fs::memfd_create("alluvium-sim", flags)?))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn anonymous_file() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}
