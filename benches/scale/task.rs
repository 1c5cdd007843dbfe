//! What a child process is to do, and how it is started with few descriptors.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::report::Row;
use crate::{fill, reopen, rotation};

/// The most descriptors that a child may have: what an ordinary process is given.
const DESCRIPTORS: u32 = 1_024;
/// The first argument of a child.
const CHILD: &str = "--be-the-child";
/// The last line of a child that waits for its end.
const READY: &str = "ready";

/// How much is done.
#[derive(Clone, Copy)]
pub struct Size {
    /// Partitions of the log that is filled, and of the one that records go round in.
    pub partitions: u32,
    pub ring: u32,
    /// How often each figure is taken.
    pub rounds: usize,
    /// Records of one round in turn.
    pub records: usize,
    /// How long nothing is done.
    pub idle_ms: u64,
}

impl Size {
    pub const FULL: Size =
        Size { partitions: 10_000, ring: 1_000, rounds: 5, records: 200_000, idle_ms: 5_000 };
    pub const QUICK: Size =
        Size { partitions: 200, ring: 20, rounds: 1, records: 2_000, idle_ms: 50 };

    fn named(name: &str) -> Size {
        if name == "full" { Size::FULL } else { Size::QUICK }
    }

    fn name(self) -> &'static str {
        if self.partitions == Size::FULL.partitions { "full" } else { "quick" }
    }
}

/// The work of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Creates partitions, gives each a record, reads them, rests, and waits to be killed.
    Fill,
    /// Opens what a killed child left.
    Reopen,
    /// Appends to many partitions in turn, and to one.
    Rotate,
}

impl Task {
    const ALL: [Task; 3] = [Task::Fill, Task::Reopen, Task::Rotate];

    pub fn name(self) -> &'static str {
        match self {
            Task::Fill => "fill",
            Task::Reopen => "reopen",
            Task::Rotate => "rotate",
        }
    }

    /// The task that arguments name, if these are a child's.
    pub fn of(args: &[String]) -> Option<(Task, Size, &String)> {
        let [child, task, size, dir] = args else { return None };
        let task = Task::ALL.into_iter().find(|known| known.name() == task)?;
        (child == CHILD).then(|| (task, Size::named(size), dir))
    }

    /// Does it, in the child.
    pub fn run(self, size: Size, dir: &Path) {
        match self {
            Task::Fill => {
                fill::run(size, dir, &mut say);
                println!("{READY}");
                std::io::stdout().flush().unwrap();
                // Until the parent kills this process, or is gone.
                let _ = std::io::stdin().read(&mut [0]);
            }
            Task::Reopen => reopen::run(size, dir, &mut say),
            Task::Rotate => rotation::run(size, dir, &mut say),
        }
    }

    /// Runs it in a child; what that says.
    pub fn spawn(self, size: Size, dir: &Path) -> Vec<Row> {
        self.start(size, dir, false)
    }

    /// Runs it in a child that is killed when it is ready.
    pub fn spawn_and_kill(self, size: Size, dir: &Path) -> Vec<Row> {
        self.start(size, dir, true)
    }

    fn start(self, size: Size, dir: &Path, kill: bool) -> Vec<Row> {
        let me = std::env::current_exe().unwrap();
        let mut command = if cfg!(unix) {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\"")).arg(me);
            shell
        } else {
            Command::new(me)
        };
        command.args([CHILD, self.name(), size.name()]).arg(dir);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines = said.map(Result::unwrap).take_while(|line| line != READY);
        let rows = lines.filter_map(|line| Row::parse(&line)).collect();
        if kill {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        assert!(kill || status.success(), "{self:?}: {status}");
        rows
    }
}

fn say(row: Row) {
    println!("{}", row.line());
}
