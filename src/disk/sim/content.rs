//! What is in a simulated file: now, for certain after a power cut, and perhaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rng::Dice;

/// The unit that a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;

type Sector = Arc<[u8; SECTOR]>;

/// Length and bytes; a sector that is not there is full of zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) len: u64,
    sectors: BTreeMap<u64, Sector>,
}

impl Image {
    /// Reads at `position`, at most to the end.
    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> usize {
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let mut rest = buffer.get_mut(..count).unwrap_or_default();
        let mut position = position;
        while !rest.is_empty() {
            let (index, at) = place(position);
            let (now, later) = rest.split_at_mut(rest.len().min(SECTOR - at));
            match self.sectors.get(&index).and_then(|sector| sector.get(at..at + now.len())) {
                Some(bytes) => now.copy_from_slice(bytes),
                None => now.fill(0),
            }
            position += now.len() as u64;
            rest = later;
        }
        count
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(0)];
        self.read(&mut bytes, 0);
        bytes
    }

    fn sector(&self, index: u64) -> Sector {
        self.sectors.get(&index).cloned().unwrap_or_else(|| Arc::new([0; SECTOR]))
    }

    /// Sets the length; bytes behind it are forgotten.
    fn set_len(&mut self, len: u64) {
        self.len = len;
        let (index, at) = place(len);
        self.sectors.split_off(&if at == 0 { index } else { index + 1 });
        if let Some(sector) = self.sectors.get_mut(&index).filter(|_| at > 0) {
            let tail = Arc::make_mut(sector).get_mut(at..).unwrap_or_default();
            tail.fill(0);
        }
    }
}

fn place(position: u64) -> (u64, usize) {
    (position / SECTOR as u64, (position % SECTOR as u64) as usize)
}

/// Successive values of sectors and of the length, oldest first.
#[derive(Clone, Debug, Default)]
struct Changes {
    sectors: BTreeMap<u64, Vec<Sector>>,
    lens: Vec<u64>,
}

/// A file's live and durable image and everything in between.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    live: Image,
    durable: Image,
    /// Since the last sync: the next one makes them durable.
    pending: Changes,
    /// A failed sync let go of them: they may be on the disk or not, and no later sync writes
    /// them, because the system takes them for clean.
    doubtful: Changes,
}

impl Content {
    /// A file that is wholly on the disk.
    pub(super) fn settled(image: Image) -> Content {
        Content { live: image.clone(), durable: image, ..Content::default() }
    }

    /// A file of these bytes, wholly on the disk.
    pub(super) fn of(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.write(bytes, 0);
        content.sync();
        content
    }

    /// As every reader sees it now.
    pub(super) fn live(&self) -> &Image {
        &self.live
    }

    /// As it is after a power cut at the latest sync, without luck.
    pub(super) fn durable(&self) -> &Image {
        &self.durable
    }

    pub(super) fn write(&mut self, bytes: &[u8], position: u64) {
        if bytes.is_empty() {
            return;
        }
        self.grow(position);
        let (mut rest, mut position) = (bytes, position);
        while !rest.is_empty() {
            let (index, at) = place(position);
            let (now, later) = rest.split_at(rest.len().min(SECTOR - at));
            let mut sector = *self.live.sector(index);
            if let Some(place) = sector.get_mut(at..at + now.len()) {
                place.copy_from_slice(now);
            }
            self.put(index, sector);
            position += now.len() as u64;
            rest = later;
        }
        if self.live.len < position {
            self.live.len = position;
            self.pending.lens.push(position);
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len > self.live.len {
            self.grow(len);
        } else if len < self.live.len {
            self.live.set_len(len);
            self.pending.lens.push(len);
        }
    }

    /// Lengthens with zeros, also over what the disk still has from before a cut.
    fn grow(&mut self, len: u64) {
        let old = self.live.len;
        if len <= old {
            return;
        }
        let range = place(old).0..=place(len).0;
        let mut stale: Vec<u64> = self.durable.sectors.range(range.clone()).map(|s| *s.0).collect();
        stale.extend(self.pending.sectors.range(range.clone()).map(|s| *s.0));
        stale.extend(self.doubtful.sectors.range(range).map(|s| *s.0));
        for index in stale {
            let sector = self.live.sector(index);
            self.pending.sectors.entry(index).or_default().push(sector);
        }
        self.live.len = len;
        self.pending.lens.push(len);
    }

    /// Takes over a changed sector.
    fn put(&mut self, index: u64, sector: [u8; SECTOR]) {
        // The same bytes again are no new version, unless a failed sync made them doubtful.
        if *self.live.sector(index) == sector && !self.doubtful.sectors.contains_key(&index) {
            return;
        }
        let sector = Arc::new(sector);
        self.live.sectors.insert(index, sector.clone());
        self.pending.sectors.entry(index).or_default().push(sector);
    }

    /// Whether the disk has the bytes in front of `len`, and nothing is on its way to them or may
    /// have got lost on it.
    pub(super) fn is_durable_to(&self, len: u64) -> bool {
        let none = |changes: &Changes| changes.sectors.range(..place(len).0).next().is_none();
        none(&self.pending) && none(&self.doubtful) && self.durable.len >= len
    }

    /// Everything pending is on the disk.
    pub(super) fn sync(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        for (index, versions) in pending.sectors {
            self.doubtful.sectors.remove(&index);
            if let Some(last) = versions.last() {
                self.durable.sectors.insert(index, last.clone());
            }
        }
        if !pending.lens.is_empty() {
            self.doubtful.lens.clear();
            self.durable.set_len(self.live.len);
        }
    }

    /// What is pending of these bytes is on the disk, in whole pages of the system; nothing is said
    /// of the others.
    pub(super) fn sync_part(&mut self, position: u64, len: u64, page: u64) {
        let (from, to) = (position / page * page, (position + len).next_multiple_of(page));
        let sector = SECTOR as u64;
        for index in from / sector..to / sector {
            let Some(versions) = self.pending.sectors.remove(&index) else { continue };
            self.doubtful.sectors.remove(&index);
            if let Some(last) = versions.last() {
                self.durable.sectors.insert(index, last.clone());
            }
        }
    }

    /// Everything pending is or is not on the disk, and nobody will try again.
    pub(super) fn fail_sync(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        for (index, versions) in pending.sectors {
            self.doubtful.sectors.entry(index).or_default().extend(versions);
        }
        self.doubtful.lens.extend(pending.lens);
    }

    /// The system forgets clean sectors and reads them again from the disk, where what a failed
    /// sync let go of never arrived.
    pub(super) fn drop_caches(&mut self) {
        for (index, _) in std::mem::take(&mut self.doubtful.sectors) {
            if self.pending.sectors.contains_key(&index) {
                continue;
            }
            match self.durable.sectors.get(&index) {
                Some(sector) => self.live.sectors.insert(index, sector.clone()),
                None => self.live.sectors.remove(&index),
            };
        }
        let len = self.live.len;
        self.live.set_len(len);
    }

    /// What is there after a power cut.
    pub(super) fn after_power_cut(&self, dice: &mut Dice) -> Image {
        dice.reroll();
        let lens = self.doubtful.lens.iter().chain(&self.pending.lens);
        let lens: Vec<u64> = lens.copied().collect();
        let len = dice.version(lens.len()).and_then(|chosen| lens.get(chosen).copied());
        let mut image = self.durable.clone();
        let mut versions = self.doubtful.sectors.clone();
        for (index, later) in &self.pending.sectors {
            versions.entry(*index).or_default().extend(later.iter().cloned());
        }
        for (index, versions) in versions {
            let chosen = dice.version(versions.len());
            if let Some(sector) = chosen.and_then(|chosen| versions.get(chosen)) {
                image.sectors.insert(index, sector.clone());
            }
        }
        image.set_len(len.unwrap_or(self.durable.len));
        image
    }
}
