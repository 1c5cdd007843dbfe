//! What readers see of a partition.

use std::fmt;
use std::time::Duration;

use alluvium::{EventLog, Isolation, OffsetReset, TopicPartition};

/// A record as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    pub at: u64,
    pub id: u64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub time: i64,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_deref().map(String::from_utf8_lossy);
        let bytes = self.value.as_ref().map(Vec::len);
        write!(f, "{}: #{} {key:?} {bytes:?} bytes at {}", self.at, self.id, self.time)
    }
}

/// Everything from an offset on, some records at a time.
pub fn read(
    log: &EventLog,
    isolation: Isolation,
    partition: &TopicPartition,
    from: Option<u64>,
    at_once: u64,
) -> Result<Vec<Seen>, String> {
    let builder = log.consumer().isolation(isolation).offset_reset(OffsetReset::Earliest);
    let mut reader = builder.set("max.poll.records", &at_once.to_string()).build().map_err(told)?;
    reader.assign([partition.clone()]).map_err(told)?;
    if let Some(from) = from {
        reader.seek(partition, from).map_err(told)?;
    }
    let (mut seen, mut empty) = (Vec::new(), 0);
    while empty < 3 {
        let records = reader.poll(Duration::ZERO).map_err(told)?;
        empty = if records.is_empty() { empty + 1 } else { 0 };
        for record in &records {
            let id = record.header("n").flatten().and_then(|id| id.try_into().ok());
            seen.push(Seen {
                at: record.offset(),
                id: u64::from_le_bytes(id.ok_or("a record without its header")?),
                key: record.key().map(<[u8]>::to_vec),
                value: record.value().map(<[u8]>::to_vec),
                time: record.timestamp_ms().ok_or("a record without a time")?,
            });
        }
    }
    match seen.windows(2).find(|pair| pair[0].at >= pair[1].at) {
        Some(pair) => Err(format!("{partition}: {} comes behind {}", pair[1].at, pair[0].at)),
        None => Ok(seen),
    }
}

pub fn told(error: alluvium::Error) -> String {
    format!("{error:?}: {error}")
}
