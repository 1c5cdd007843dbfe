//! A partition to test with, and the plain vector that it has to behave like.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Durability, RawRecord, Result, TopicConfig, TopicId, TopicPartition};
use crate::batch::Batch;
use crate::disk::{Disk, MemoryDisk};
use crate::log::{
    FilesOptions, LogFiles, OpenReport, PartitionKey, Placed, SegmentLog, View, lock_dir,
};

/// Offset, timestamp, value.
pub(super) type Seen = (u64, Option<i64>, Vec<u8>);

pub(super) const KEY: PartitionKey = PartitionKey { topic_id: TopicId(77), partition: 3 };

pub(super) fn name() -> TopicPartition {
    TopicPartition::new("strata", 3)
}

pub(super) fn config(segment_bytes: u32, interval: u32) -> TopicConfig {
    let mut config = TopicConfig::defaults(Durability::PowerLoss);
    (config.segment_bytes, config.index_interval_bytes) = (segment_bytes, interval);
    config
}

pub(super) struct Bed {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) files: Arc<LogFiles>,
    pub(super) log: SegmentLog,
    pub(super) report: OpenReport,
    pub(super) config: TopicConfig,
}

impl Bed {
    pub(super) fn new(config: TopicConfig) -> Bed {
        Bed::on(Arc::new(MemoryDisk::new()), config).unwrap()
    }

    pub(super) fn on(disk: Arc<dyn Disk>, config: TopicConfig) -> Result<Bed> {
        Bed::at(disk, Path::new("/log"), config)
    }

    pub(super) fn at(disk: Arc<dyn Disk>, dir: &Path, config: TopicConfig) -> Result<Bed> {
        let mut report = OpenReport::default();
        let lock = lock_dir(&*disk, dir)?;
        let mut options = FilesOptions::new(42);
        (options.max_open_files, options.max_loaded) = (3, 2);
        let files = LogFiles::open(Arc::clone(&disk), dir, lock, options, &mut report)?;
        let log = SegmentLog::open(
            Arc::clone(&files),
            KEY,
            name(),
            Arc::new(config.clone()),
            0,
            &mut report,
        )?;
        log.tail().judge(&name(), log.end_offset())?;
        Ok(Bed { disk, files, log, report, config })
    }

    /// The process dies; everything that it wrote is there.
    pub(super) fn kill(self) -> Bed {
        self.try_kill().unwrap()
    }

    pub(super) fn try_kill(self) -> Result<Bed> {
        let Bed { disk, files, log, config, .. } = self;
        let dir = files.path().to_owned();
        drop((log, files));
        Bed::at(disk, &dir, config)
    }

    pub(super) fn close(mut self) -> Bed {
        self.log.close().unwrap();
        self.files.mark_closed(Vec::new()).unwrap();
        self.kill()
    }

    /// Appends one batch of records with these timestamps and values.
    pub(super) fn append(&mut self, records: &[(Option<i64>, &[u8])]) -> Result<()> {
        let batch = batch(self.log.end_offset(), records);
        self.log.write(&[placed(&batch)], 0)
    }

    /// Appends a batch of one record without a timestamp.
    pub(super) fn put(&mut self, value: &[u8]) {
        self.append(&[(None, value)]).unwrap();
    }

    pub(super) fn all(&self) -> Vec<Seen> {
        all(&self.log.view()).unwrap()
    }

    pub(super) fn segment_files(&self) -> Vec<PathBuf> {
        let dir = self.files.path().join("segments");
        let mut names: Vec<_> =
            self.disk.list(&dir).unwrap().into_iter().map(|e| dir.join(e.name)).collect();
        names.sort();
        names
    }
}

pub(super) fn batch(base: u64, records: &[(Option<i64>, &[u8])]) -> Batch {
    let records: Vec<_> = records
        .iter()
        .map(|(timestamp_ms, value)| RawRecord {
            timestamp_ms: *timestamp_ms,
            value: Some(value),
            ..RawRecord::default()
        })
        .collect();
    Batch::encode(base, &records, None).unwrap()
}

pub(super) fn placed(batch: &Batch) -> Placed<'_> {
    Placed { header: batch.header, payload: &batch.payload }
}

/// All records of `batches`.
pub(super) fn records(batches: &[Batch]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for batch in batches {
        let mut records = batch.records();
        while let Some(record) = records.next().unwrap() {
            let offset = batch.header.base_offset + u64::from(record.offset_delta);
            let stamp = batch.header.timestamp(record.ts_delta);
            seen.push((offset, stamp, record.value.unwrap().to_vec()));
        }
    }
    seen
}

/// Everything in `view`, read in small bites.
pub(super) fn all(view: &View) -> Result<Vec<Seen>> {
    let (mut seen, mut at) = (Vec::new(), view.start());
    loop {
        let batches = view.read(at, 300, u64::MAX, true)?;
        let Some(last) = batches.last() else { return Ok(seen) };
        let next = last.header.next_offset();
        assert!(next > at, "a read makes progress");
        seen.extend(records(&batches).into_iter().filter(|(offset, ..)| *offset >= at));
        at = next;
    }
}

pub(super) fn read_file(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    let read = file.read_at(&mut bytes, 0).unwrap();
    assert_eq!(read, bytes.len());
    bytes
}

pub(super) fn write_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path).unwrap();
    file.set_len(0).unwrap();
    file.write_at(&[bytes], 0).unwrap();
}

/// A disk of its own with the same directory and files.
pub(super) fn copy(from: &dyn Disk) -> Arc<dyn Disk> {
    let to = MemoryDisk::new();
    for dir in ["/log", "/log/segments"] {
        to.create_dir(Path::new(dir)).unwrap();
        for entry in from.list(Path::new(dir)).unwrap().iter().filter(|e| !e.is_dir) {
            let path = Path::new(dir).join(&entry.name);
            to.create(&path).unwrap();
            write_file(&to, &path, &read_file(from, &path));
        }
    }
    Arc::new(to)
}
