//! How much room a log takes.

use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::Backend;
use crate::base::{Error, Result, TopicPartition};
use crate::partition::Partition;

use super::Node;

/// How many bytes a log takes, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogDirInfo {
    /// The log's directory; `None` for a log in memory.
    pub path: Option<PathBuf>,
    /// The lengths of all files in it together, with what is reserved in advance for records to
    /// come. For a log in memory: of what stands for the files.
    pub total_bytes: u64,
    /// The length of the stage, which all partitions share. Part of `total_bytes` on disk.
    pub stage_bytes: u64,
    /// Each partition, those of the log's own topics too, in the order of names and numbers.
    pub partitions: Vec<PartitionSize>,
}

/// How many bytes one partition takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionSize {
    /// Which one.
    pub partition: TopicPartition,
    /// Bytes in segment files: headers, batches, and the indexes of sealed ones. What is reserved
    /// behind them for records to come is not counted.
    pub segment_bytes: u64,
    /// Bytes of the stage that it holds. Records may stand there and in segments until these
    /// are synced.
    pub staged_bytes: u64,
}

impl Node {
    /// How many bytes the log takes, by partition.
    pub fn log_dir(&self) -> Result<LogDirInfo> {
        self.check_open()?;
        let size = |partition: Arc<Partition>| PartitionSize {
            partition: partition.name().clone(),
            segment_bytes: partition.segment_bytes(),
            staged_bytes: partition.staged_bytes(),
        };
        let mut partitions: Vec<_> = self.all_partitions().into_iter().map(size).collect();
        partitions.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
        Ok(LogDirInfo {
            path: self.options.home.clone(),
            total_bytes: self.file_bytes()?,
            stage_bytes: self.shared.stage().pool.total_bytes() as u64,
            partitions,
        })
    }

    fn file_bytes(&self) -> Result<u64> {
        let files = self.shared.files();
        let mut total = 0;
        for dir in [files.path(), files.segments_path()] {
            let entries = files.disk().list(dir).map_err(|e| Error::io("list", dir, e))?;
            total += entries.iter().map(|entry| entry.len).sum::<u64>();
        }
        Ok(total)
    }
}
