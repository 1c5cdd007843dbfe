//! Opening a log: lock, manifest, stage, catalogue, topics. In this order each step can trust
//! the one before it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::backend::Changes;
use crate::base::ids::random_u128;
use crate::base::stop::Stop;
use crate::base::{Error, ErrorKind, LogConfig, Result, TopicConfig, TopicId, TopicPartition};
use crate::coord::{Catalogue, Table};
use crate::disk::{BudgetDisk, Disk, MemoryDisk, OsDisk};
use crate::log::{
    FilesOptions, LogFiles, OpenReport, PartitionKey, Record, Room, SEGMENT_SUFFIX, SEGMENTS,
    lock_dir,
};
use crate::partition::{Opening, Partition, PartitionSpec, Relief, Shared};
use crate::stage::{FoundChunk, Stage, Witness};

use super::creation::open_topic;
use super::groups::{OFFSETS_KEY, boot_groups, open_offsets};
use super::housekeeping::Housekeeping;
use super::options::Options;
use super::topics::internal_config;
use super::transactions::{
    TRANSACTIONS_KEY, boot_transactions, open_journal, recover_transactions,
};
use super::worker::Worker;
use super::{Node, OpenTopic};

const CATALOGUE: &str = "__cluster_metadata";
const CATALOGUE_KEY: PartitionKey = PartitionKey { topic_id: TopicId(1), partition: 0 };
/// The directory of a log in memory, on its own disk.
pub(super) const MEMORY_HOME: &str = "log";
/// How long an open tries to find room for the note that deletions are finished.
const FORGET: Duration = Duration::from_secs(1);
/// What segments leave to the manifest, which is written anew now and then.
const SPARE: u64 = 256 << 10;
const STAGE_PREFIX: &str = "stage-";

/// The chunks that an earlier life left, by partition.
type Chunks = HashMap<PartitionKey, Vec<FoundChunk>>;

impl Node {
    /// Opens or creates the log that `options` name.
    pub fn open(mut options: Options) -> Result<Arc<Node>> {
        let config = options.check()?;
        let dir = options.home.clone().unwrap_or_else(|| PathBuf::from(MEMORY_HOME));
        let disk = disk_of(&mut options);
        let lock = lock_dir(&*disk, &dir)?;
        let mut report = OpenReport::default();
        let limit = disk.open_files_limit();
        let mut files_options = FilesOptions::new(random_u128()).within(limit);
        files_options.maps = options.maps;
        files_options.witness = witness_of(&*disk, &dir)?;
        let (disk, room) = limit_disk(&options, disk, &dir)?;
        files_options.room = room;
        let files = LogFiles::open(disk, &dir, lock, files_options, &mut report)?;
        let opened = Self::open_files(options, config, &files, report);
        if opened.is_err() {
            // Nothing was changed: what a clean close promised must still be asked for by the
            // next open.
            drop(files.restore_clean_close());
            files.unlock();
        }
        opened
    }

    fn open_files(
        options: Options,
        config: LogConfig,
        files: &Arc<LogFiles>,
        mut report: OpenReport,
    ) -> Result<Arc<Node>> {
        let (stage, chunks) = open_stage(&options, files, &mut report)?;
        let clock = Arc::clone(&options.clock);
        files.set_producer_expiration_ms(i64::from(config.producer_id_expiration_ms));
        let shared = Shared::new(Arc::clone(files), stage, clock, config.topics.flush_ms);
        let shared = shared.with_relief(files.room().map(Relief::new));
        let shared = shared.with_validators(options.validators.clone());
        let shared = Arc::new(shared);
        let opened = Self::open_shared(options, config, &shared, chunks, report);
        if opened.is_err() {
            // Partitions that are open already stand in its lists.
            shared.clear();
            shared.stage().unmap();
        }
        opened
    }

    fn open_shared(
        options: Options,
        config: LogConfig,
        shared: &Arc<Shared>,
        mut chunks: Chunks,
        mut report: OpenReport,
    ) -> Result<Arc<Node>> {
        let files = &**shared.files();
        let (clean, power_lost) = (files.boot_state().is_clean(), files.may_have_lost_power());
        let mut opening = Opening::new(&mut report, clean, power_lost);
        let catalogue = open_catalogue(&config, shared, &mut opening, &mut chunks)?;
        check_known(files, &catalogue)?;
        if !clean {
            // What is found after a kill may be in the page cache only. Topics must not be less
            // durable than what the manifest comes to say of them.
            shared.flush_once()?;
        }
        let found = chunks.remove(&OFFSETS_KEY).unwrap_or_default();
        let offsets = open_offsets(&config, shared, found, &mut opening)?;
        let found = chunks.remove(&TRANSACTIONS_KEY).unwrap_or_default();
        let journal = open_journal(&config, shared, found, &mut opening)?;
        let topics = open_topics(&config, shared, &catalogue, &mut opening, &mut chunks)?;
        let mut records = std::mem::take(&mut opening.records);
        if power_lost {
            records.push(files.recovered());
        }
        if !records.is_empty() {
            let position = files.manifest().append(&records)?;
            files.manifest().sync_to(position)?;
        }
        let unwanted = std::mem::take(&mut opening.unwanted);
        drop_strays(shared, &catalogue, chunks, unwanted, &mut report)?;
        if options.home.is_some() {
            empty_copied_stage(&options, shared)?;
        }
        finish_deletions(files, &catalogue)?;
        if !clean {
            shared.run_first_round();
        }
        shared.relieve(0);
        let assignors = &options.assignors;
        let ends = (options.ends_transactions, options.planted);
        let journals = (journal, &offsets);
        let recovered = recover_transactions(journals, topics.values(), shared, power_lost, ends)?;
        let groups = boot_groups(offsets, &config, assignors, shared, topics.values())?;
        let transactions = boot_transactions(recovered, &groups, &config, shared, options.planted);
        shared.plant(options.planted);
        shared.note_manifest();
        let topics = Arc::new(RwLock::new(topics));
        let housekeeping = Housekeeping::new(shared, &topics, (&groups, &transactions), &config);
        let mut workers = Vec::new();
        let has_threads = Arc::new(AtomicBool::new(options.background && options.home.is_some()));
        if options.background && options.home.is_some() {
            workers.push(start_workers(shared, &housekeeping, &has_threads)?);
        }
        Ok(Arc::new(Node {
            options,
            config,
            shared: Arc::clone(shared),
            catalogue,
            groups,
            transactions,
            topics,
            housekeeping,
            changes: Changes::default(),
            topics_change: RwLock::new(()),
            opening: Mutex::new(()),
            closing: Mutex::new(()),
            report,
            has_threads,
            workers: Mutex::new(workers),
            closed: Stop::default(),
        }))
    }
}

/// Starts the two threads of a log. Without the second one it is kept by whoever polls, waits or
/// ticks, as a log without threads is.
fn start_workers(
    shared: &Arc<Shared>,
    housekeeping: &Arc<Housekeeping>,
    has_threads: &Arc<AtomicBool>,
) -> Result<Worker> {
    let (files, housekeeping) = (Arc::clone(shared.files()), Arc::clone(housekeeping));
    let has_threads = Arc::clone(has_threads);
    let keep = move || {
        let keeper = Worker::start("alluvium-keep", housekeeping);
        let failed = |error| {
            has_threads.store(false, Ordering::Release);
            files.warn(error);
        };
        keeper.map_err(failed).ok()
    };
    Worker::start_before("alluvium-flush", Arc::clone(shared), keep)
}

/// The disk that was given, or the one that goes without saying, which is noted.
fn disk_of(options: &mut Options) -> Arc<dyn Disk> {
    let on_disk = options.home.is_some();
    let default = || -> Arc<dyn Disk> {
        if on_disk { Arc::new(OsDisk::new()) } else { Arc::new(MemoryDisk::new()) }
    };
    Arc::clone(options.disk.get_or_insert_with(default))
}

/// The same disk within the log's budget.
fn limit_disk(
    options: &Options,
    disk: Arc<dyn Disk>,
    dir: &Path,
) -> Result<(Arc<dyn Disk>, Option<Room>)> {
    let Some(limit) = options.max_disk_bytes else { return Ok((disk, None)) };
    let dirs = [dir.to_owned(), dir.join(SEGMENTS)];
    let limited = BudgetDisk::new(disk, limit, (SEGMENT_SUFFIX, SPARE), &dirs);
    let (disk, budget) = limited.map_err(|e| Error::io("list", dir, e))?;
    let on_disk = if options.home.is_some() { options.stage_bytes as u64 } else { 0 };
    Ok((disk, Some(Room::new(budget, on_disk + SPARE))))
}

fn stage_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{STAGE_PREFIX}{number:08}"))
}

/// What the newest stage file remembers of the manifest.
fn witness_of(disk: &dyn Disk, dir: &Path) -> Result<crate::log::Witness> {
    let entries = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let stages = entries.iter().filter(|entry| entry.name.starts_with(STAGE_PREFIX));
    let Some(newest) = stages.map(|entry| entry.name.as_str()).max() else {
        return Ok(crate::log::Witness::NONE);
    };
    let found = Stage::peek_witness(disk, &dir.join(newest))?;
    let Witness { generation, len } = found.unwrap_or_default();
    Ok(crate::log::Witness { generation, len })
}

/// The stage that the manifest names, or a new one.
fn open_stage(
    options: &Options,
    files: &LogFiles,
    report: &mut OpenReport,
) -> Result<(Stage, Chunks)> {
    let incarnation = files.incarnation();
    let (disk, dir) = (&**files.disk(), files.path());
    if options.home.is_none() {
        return Ok((Stage::heap(options.stage_bytes, incarnation), Chunks::new()));
    }
    let Some(known) = files.boot_state().stage() else {
        renew_stage(options, files, 1)?;
        let path = stage_path(dir, 1);
        let fresh = Stage::open(disk, &path, files.log_id(), incarnation, None)?.stage;
        return Ok((fresh, Chunks::new()));
    };
    let mut path = stage_path(dir, known.number);
    let closed_by = files.closed_by();
    let mut opened = Stage::open(disk, &path, files.log_id(), incarnation, closed_by)?;
    report.torn_chunks = opened.torn_chunks as u64;
    if opened.chunks.is_empty() && known.bytes != options.stage_bytes as u64 {
        drop(opened);
        match renew_stage(options, files, known.number + 1) {
            Ok(()) => path = stage_path(dir, known.number + 1),
            // Both do not fit: the old one serves, and another open tries again.
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                drop(disk.remove(&stage_path(dir, known.number + 1)));
            }
            Err(error) => return Err(error),
        }
        opened = Stage::open(disk, &path, files.log_id(), incarnation, closed_by)?;
    }
    Ok((opened.stage, by_partition(opened.chunks)))
}

/// Makes the stage file of this number, durably, the one that the manifest names.
fn renew_stage(options: &Options, files: &LogFiles, number: u64) -> Result<()> {
    let (disk, dir) = (&**files.disk(), files.path());
    let path = stage_path(dir, number);
    if disk.entry(&path).map_err(|e| Error::io("look at", &path, e))?.is_some() {
        // A creation that the manifest never came to name.
        disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
    }
    Stage::create(disk, &path, options.stage_bytes, files.log_id())?;
    disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))?;
    let record = Record::Stage { number, bytes: options.stage_bytes as u64 };
    let position = files.manifest().append(&[record])?;
    files.manifest().sync_to(position)?;
    remove_other_stages(disk, dir, &path)
}

/// Where shared maps do not work the stage is a copy of its file, to which nothing is ever
/// written: what stands in it goes to segments at once, and the file is replaced.
fn empty_copied_stage(options: &Options, shared: &Shared) -> Result<()> {
    let known = shared.files().boot_state().stage();
    let Some(known) = known.filter(|_| !shared.stage().is_shared()) else { return Ok(()) };
    shared.evacuate()?;
    renew_stage(options, shared.files(), known.number + 1)
}

fn remove_other_stages(disk: &dyn Disk, dir: &Path, keep: &Path) -> Result<()> {
    let entries = disk.list(dir).map_err(|e| Error::io("list", dir, e))?;
    for entry in entries.iter().filter(|entry| entry.name.starts_with(STAGE_PREFIX)) {
        let path = dir.join(&entry.name);
        if path != keep {
            disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}

fn by_partition(found: Vec<FoundChunk>) -> Chunks {
    let mut chunks = Chunks::new();
    for chunk in found {
        let (topic_id, partition) = (chunk.identity.topic_id, chunk.identity.partition);
        chunks.entry(PartitionKey { topic_id, partition }).or_default().push(chunk);
    }
    chunks
}

fn open_catalogue(
    config: &LogConfig,
    shared: &Arc<Shared>,
    opening: &mut Opening<'_>,
    chunks: &mut Chunks,
) -> Result<Table<Catalogue>> {
    let spec = PartitionSpec {
        key: CATALOGUE_KEY,
        tp: TopicPartition::new(CATALOGUE, 0),
        config: Arc::new(internal_config(config.durability)),
        internal: true,
    };
    let found = chunks.remove(&CATALOGUE_KEY).unwrap_or_default();
    let partition = Partition::open(shared, spec, found, opening)?;
    Table::boot(partition, Arc::clone(shared.clock()))
}

/// The manifest may name only partitions that the catalogue knows, or knows as deleted.
fn check_known(files: &LogFiles, catalogue: &Table<Catalogue>) -> Result<()> {
    let mut known: HashMap<TopicId, u32> =
        [CATALOGUE_KEY, OFFSETS_KEY, TRANSACTIONS_KEY].map(|key| (key.topic_id, 1)).into();
    catalogue.view(|catalogue| {
        known.extend(catalogue.topics().map(|topic| (topic.id, topic.partitions)));
        known.extend(catalogue.deleted().map(|id| (id, u32::MAX)));
    });
    let unknown = |key: &PartitionKey| known.get(&key.topic_id).is_none_or(|&n| key.partition >= n);
    let mut named = files.boot_state().partitions().map(|(key, _)| key);
    match named.find(|key| unknown(key)) {
        None => Ok(()),
        Some(key) => {
            let id = key.topic_id;
            let message = format!(
                "the manifest names partition {} of topic {id}, the catalogue does not know it",
                key.partition
            );
            Err(Error::corrupt(files.path(), message))
        }
    }
}

fn open_topics(
    config: &LogConfig,
    shared: &Arc<Shared>,
    catalogue: &Table<Catalogue>,
    opening: &mut Opening<'_>,
    chunks: &mut Chunks,
) -> Result<HashMap<Arc<str>, OpenTopic>> {
    let entries: Vec<_> = catalogue.view(|catalogue| catalogue.topics().cloned().collect());
    let mut topics = HashMap::with_capacity(entries.len());
    for entry in entries {
        let config =
            TopicConfig::resolve(&entry.configs, config).map_err(|e| e.with_topic(&entry.name))?;
        let mut found = |key| chunks.remove(&key).unwrap_or_default();
        let open = open_topic(shared, &entry, None, config, opening, &mut found)?;
        topics.insert(Arc::clone(&open.route.name), open);
    }
    Ok(topics)
}

/// Wipes the chunks that no partition took, and those of topics that do not exist (those of a
/// deleted one are expected). None of them may be found again behind records of this life.
fn drop_strays(
    shared: &Shared,
    catalogue: &Table<Catalogue>,
    chunks: Chunks,
    unwanted: Vec<(FoundChunk, bool)>,
    report: &mut OpenReport,
) -> Result<()> {
    let deleted: BTreeSet<TopicId> = catalogue.view(|catalogue| catalogue.deleted().collect());
    let any = !chunks.is_empty() || unwanted.iter().any(|(_, dangerous)| *dangerous);
    for (chunk, _) in unwanted {
        shared.stage().pool.give(chunk.wipe());
    }
    for (key, found) in chunks {
        for chunk in found {
            report.rejected_chunks += u64::from(!deleted.contains(&key.topic_id));
            shared.stage().pool.give(chunk.wipe());
        }
    }
    if any { shared.stage().sync() } else { Ok(()) }
}

/// Ends the deletions that a crash interrupted.
fn finish_deletions(files: &LogFiles, catalogue: &Table<Catalogue>) -> Result<()> {
    let deleted: Vec<TopicId> = catalogue.view(|catalogue| catalogue.deleted().collect());
    if deleted.is_empty() {
        return Ok(());
    }
    files.retire_topics(&deleted)?;
    files.remove_files_of(&deleted);
    // Not waited for, and no open fails or waits long because of it: the next one tries again.
    match catalogue.publish_within(FORGET, |catalogue| catalogue.forget(&deleted)) {
        Err(e) if !matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::Timeout) => {
            return Err(e);
        }
        _ => {}
    }
    Ok(())
}
