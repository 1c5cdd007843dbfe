//! For tests: a disk that fails, kills and cuts the power on demand.
//!
//! ```
//! use alluvium::testing::SimDisk;
//! use alluvium::{EventLog, NewTopic};
//!
//! let disk = SimDisk::new();
//! let log = EventLog::builder().disk(disk.clone()).path("/data").background(false).open()?;
//! let orders = log.create_topic(NewTopic::new("orders"))?;
//! let producer = log.producer().build()?;
//! producer.send(orders.record("kept"))?.wait()?;
//!
//! // The power goes; what was acknowledged is there.
//! let after = disk.power_cut(7);
//! let log = EventLog::builder().disk(after).path("/data").background(false).open()?;
//! assert_eq!(log.admin().list_topics()?, ["orders"]);
//! # Ok::<(), alluvium::Error>(())
//! ```

#[doc(hidden)]
pub use crate::base::Planted;
pub use crate::disk::sim::{Fault, Operation, PowerCut, SimDisk, Traced};
pub use crate::disk::{
    BlockPin, BlockReader, BlockWriter, Disk, DiskFile, Entry, FileSystem, OsDisk, SharedMap, Span,
};
