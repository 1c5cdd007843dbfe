//! What the system says of this process. Where it does not say, nothing is told.

use std::fs;
use std::time::Duration;

/// Resident memory in bytes.
pub fn resident() -> Option<u64> {
    Some(status_field("/proc/self/status", "VmRSS:")? * 1024)
}

/// Open descriptors.
pub fn descriptors() -> Option<u64> {
    // The directory that is being read is one of them.
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64 - 1)
}

/// Memory maps.
pub fn maps() -> Option<u64> {
    Some(fs::read_to_string("/proc/self/maps").ok()?.lines().count() as u64)
}

/// Threads.
pub fn threads() -> Option<u64> {
    status_field("/proc/self/status", "Threads:")
}

/// How often any thread but this one has come to run, since each began.
fn switches_of_others() -> Option<u64> {
    let main = std::process::id().to_string();
    let mut all = 0;
    for task in fs::read_dir("/proc/self/task").ok()? {
        let task = task.ok()?;
        if task.file_name().to_str() == Some(&main) {
            continue;
        }
        let path = task.path().join("status");
        let path = path.to_str()?;
        all += status_field(path, "voluntary_ctxt_switches:")?;
        all += status_field(path, "nonvoluntary_ctxt_switches:")?;
    }
    Some(all)
}

/// How often threads of this process come to run while this one does nothing for `time`.
pub fn switches_during(time: Duration) -> Option<u64> {
    let before = switches_of_others()?;
    std::thread::sleep(time);
    Some(switches_of_others()? - before)
}

fn status_field(path: &str, name: &str) -> Option<u64> {
    let status = fs::read_to_string(path).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
