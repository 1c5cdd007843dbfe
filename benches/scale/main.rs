//! Ten thousand partitions under the descriptors of an ordinary process, on a stage of 4 MiB. See
//! `../README.md`.
//!
//! Everything is measured in child processes: one fills a log and is killed, one opens what it
//! left, so that memory, descriptors and threads are those of the log and of nothing before it.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod counted;
mod fill;
mod limit;
mod logs;
mod process;
mod reopen;
mod report;
mod rotation;
mod task;

use std::env;
use std::path::Path;

use report::Report;
use task::{Size, Task};

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    if let Some((task, size, dir)) = Task::of(&args) {
        return task.run(size, Path::new(dir));
    }
    if args.iter().any(|arg| arg == "--list") {
        return;
    }
    // Without `--bench` this is a test that everything runs.
    let earnest =
        args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--test");
    let size = if earnest { Size::FULL } else { Size::QUICK };
    let scratch = elsewhere();
    let home = scratch.path().join("log");
    let wanted = args.iter().find(|arg| !arg.starts_with('-'));
    let wants = |task: Task| wanted.is_none_or(|name| name == task.name());
    if wants(Task::Fill) || wants(Task::Reopen) {
        println!("{}", Report::of(Task::Fill, Task::Fill.spawn_and_kill(size, &home)));
        println!("{}", Report::of(Task::Reopen, Task::Reopen.spawn(size, &home)));
    }
    if wants(Task::Rotate) {
        println!("{}", Report::of(Task::Rotate, Task::Rotate.spawn(size, scratch.path())));
    }
}

/// A directory beside what cargo builds, or in the one that is named; removed when dropped.
fn elsewhere() -> tempfile::TempDir {
    let named = env::var_os("ALLUVIUM_BENCH_DIR");
    tempfile::tempdir_in(named.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into())).unwrap()
}
