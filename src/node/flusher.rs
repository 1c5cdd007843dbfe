//! The one background thread of a log on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::Waker;
use std::thread::{self, JoinHandle};

use crate::base::wait::{Deadline, Parker};
use crate::base::{Error, ErrorKind, Result};
use crate::partition::Shared;

/// A thread that does what is due, and sleeps without a wake-up while nothing is.
#[derive(Debug)]
pub struct Flusher {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    waker: Waker,
}

impl Flusher {
    /// Starts the thread.
    pub fn start(shared: Arc<Shared>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (send, receive) = mpsc::channel();
        let run = move || {
            let parker = Parker::new();
            if send.send(parker.waker()).is_ok() {
                work(&shared, &stopped, &parker);
            }
        };
        let failed = |e: std::io::Error| {
            let message = format!("could not start the background thread: {e}");
            Error::new(ErrorKind::StorageError, message).with_source(e)
        };
        let name = "alluvium-flush".to_owned();
        let thread = thread::Builder::new().name(name).spawn(run).map_err(failed)?;
        let waker = receive.recv().map_err(|_| Error::closed())?;
        Ok(Self { thread, stop, waker })
    }

    /// Ends the thread and waits for it.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        // The last handle may be dropped by the thread itself: it cannot wait for itself.
        if self.thread.thread().id() != thread::current().id() {
            drop(self.thread.join());
        }
    }
}

fn work(shared: &Shared, stopped: &AtomicBool, parker: &Parker) {
    let waker = parker.waker();
    while !stopped.load(Ordering::Acquire) {
        let clock = &**shared.clock();
        match shared.run_due() {
            Some(pause) if shared.sleep(&waker, false) => {
                parker.park(clock, &Deadline::after(clock, pause));
            }
            None if shared.sleep(&waker, true) => parker.park(clock, &Deadline::NEVER),
            _ => {}
        }
    }
}
