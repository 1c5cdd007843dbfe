//! What a durable record costs the device, where one stands alone: a directory on a file system
//! that nobody else uses, named in the environment.

use std::path::Path;

use alluvium::Durability::PowerLoss;

use crate::bed::Plan;
use crate::data::{Data, ELSEWHERE};

/// Payloads of one commit, in bytes.
const PAYLOADS: [usize; 5] = [100, 4 << 10, 16 << 10, 64 << 10, 256 << 10];
const COMMITS: u64 = 64;

/// Lines for each payload; nothing where no directory is named.
pub fn report() -> Option<String> {
    let dir = std::env::var_os(ELSEWHERE)?;
    let mut lines = String::from(
        "device bytes per durable commit (aim: payload + 8 KiB; from 64 KiB payload x 1.15)\n",
    );
    for payload in PAYLOADS {
        let written = per_commit(Path::new(&dir), payload)?;
        let ratio = written as f64 / payload as f64;
        let beyond = written.saturating_sub(payload as u64);
        lines.push_str(&format!(
            "{payload:>8} B payload: {written:>8} B, x {ratio:.2}, {beyond} B beyond\n"
        ));
    }
    Some(lines)
}

fn per_commit(dir: &Path, payload: usize) -> Option<u64> {
    let bed = Plan::new(PowerLoss).make();
    let record = payload.min(1_000);
    let data = Data::new(record);
    let count = (payload / record).max(1);
    let commit = || {
        let keys = data.keys.iter().cycle().take(count);
        bed.producer
            .send_batch(keys.map(|key| bed.topic.record(&data.value).key(key)))
            .wait()
            .unwrap();
    };
    (0..16).for_each(|_| commit());
    let before = sectors(dir)?;
    (0..COMMITS).for_each(|_| commit());
    Some((sectors(dir)? - before) * 512 / COMMITS)
}

/// Sectors that were written to the device below `dir`.
#[cfg(not(target_os = "linux"))]
fn sectors(_dir: &Path) -> Option<u64> {
    None
}

/// Sectors that were written to the device below `dir`.
#[cfg(target_os = "linux")]
fn sectors(dir: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(dir).ok()?.dev();
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff);
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    stat.split_whitespace().nth(6)?.parse().ok()
}
