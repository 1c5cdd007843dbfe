//! All partitions of a log as they are at one moment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Clock, Result};
use crate::batch::{self, Batch};
use crate::disk::BlockPin;
use crate::log::{PartitionCut, View};

use super::Partition;
use super::appender::Work;
use super::staged::slice;

/// An active segment of so many bytes is ended before the cut: sharing a sealed file costs less
/// than copying.
const WORTH_SHARING: u64 = 4 << 20;

/// What is looked at while nobody can append.
struct Moment {
    view: Arc<View>,
    work: Vec<Work>,
    gaps: Vec<(u64, u64)>,
    end: u64,
}

impl Moment {
    /// Keeps the chunks. Under the append lock none of them is given back.
    fn pin(&self) -> Vec<Option<BlockPin<'_>>> {
        self.work.iter().map(|work| work.reader.pin()).collect()
    }
}

/// What `partitions` hold at one moment: as if the process had been killed there, so nothing is in
/// it that depends on something that is not. Returns how long appends were kept waiting, too.
///
/// All append locks are taken at once, in the order given; nobody else ever has two. Under them
/// nothing is copied or written: chunks are pinned, so that what is staged stays readable, and
/// views are, so that segments do, whatever is deleted afterwards. What is staged is then copied;
/// the pins are gone when this returns.
///
/// # Errors
/// `Closed` when any of them is closed.
pub fn cut(
    partitions: &[Arc<Partition>],
    clock: &dyn Clock,
) -> Result<(Vec<PartitionCut>, Duration)> {
    let configs: Vec<_> = partitions.iter().map(|partition| partition.prepare_cut()).collect();
    let begun = clock.monotonic();
    let mut appenders: Vec<_> =
        partitions.iter().map(|partition| partition.append.lock()).collect();
    let mut moments = Vec::with_capacity(partitions.len());
    for (partition, appender) in partitions.iter().zip(&mut appenders) {
        if appender.closed {
            return Err(partition.closed());
        }
        let view = Arc::clone(&partition.view.read());
        let work = appender.closed_batches(view.end(), usize::MAX, |_| true);
        let gaps = partition.gaps.read().clone();
        moments.push(Moment { view, work, gaps, end: appender.next_offset });
    }
    let pins: Vec<_> = moments.iter().map(Moment::pin).collect();
    drop(appenders);
    let barrier = clock.monotonic().saturating_sub(begun);
    let staged: Vec<_> = moments.iter().zip(&pins).map(|(m, pins)| copy(&m.work, pins)).collect();
    drop(pins);
    let parts = partitions.iter().zip(configs).zip(moments.into_iter().zip(staged));
    let part = |((partition, config), (moment, staged))| {
        let partition: &Arc<Partition> = partition;
        let Moment { view, gaps, end, .. } = moment;
        let (key, name) = (partition.key, partition.tp.clone());
        PartitionCut { key, name, config, view, staged, gaps, end }
    };
    Ok((parts.map(part).collect(), barrier))
}

/// The batches, with their checksums, out of the chunks.
fn copy(work: &[Work], pins: &[Option<BlockPin<'_>>]) -> Vec<Batch> {
    let copy = |(work, pin): (&Work, &Option<BlockPin<'_>>)| {
        let start = work.spot.position;
        // Under the append lock no chunk was given back: every pin was had.
        let payload = slice(pin.as_ref()?, start, start + work.spot.len());
        let mut header = work.spot.header;
        if !work.spot.sealed {
            header.payload_crc = batch::payload_crc(payload);
        }
        Some(Batch { header, payload: Bytes::copy_from_slice(payload) })
    };
    work.iter().zip(pins).filter_map(copy).collect()
}

impl Partition {
    /// Ends the active segment where it is large, and seals what is ended: the less is to be
    /// copied. What cannot be sealed now is copied.
    fn prepare_cut(&self) -> Arc<crate::base::TopicConfig> {
        let config = {
            let mut log = self.flush.lock();
            if log.active_bytes() >= WORTH_SHARING && !self.is_closed() && log.roll().is_some() {
                self.publish_segments(&log);
            }
            Arc::new(log.config().clone())
        };
        drop(self.seal_behind());
        config
    }
}
