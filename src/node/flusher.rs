//! The one background thread of a log on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::base::wait::{Deadline, Parker};
use crate::base::{Error, ErrorKind, Result};
use crate::partition::Shared;

/// A thread that does what is due, and sleeps without a wake-up while nothing is.
#[derive(Debug)]
pub struct Flusher {
    thread: JoinHandle<()>,
    stop: Arc<Stop>,
}

/// How the thread is told to end.
#[derive(Debug, Default)]
struct Stop {
    asked: AtomicBool,
    /// The thread's waker, once it runs: an open does not wait for it. Whoever stops asks first
    /// and then looks here; the thread enters itself and then looks whether it was asked.
    waker: Mutex<Option<Waker>>,
}

impl Flusher {
    /// Starts the thread.
    pub fn start(shared: Arc<Shared>) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let stopped = Arc::clone(&stop);
        let run = move || {
            let parker = Parker::new();
            *stopped.waker.lock() = Some(parker.waker());
            work(&shared, &stopped.asked, &parker);
        };
        let failed = |e: std::io::Error| {
            let message = format!("could not start the background thread: {e}");
            Error::new(ErrorKind::StorageError, message).with_source(e)
        };
        let name = "alluvium-flush".to_owned();
        let thread = thread::Builder::new().name(name).spawn(run).map_err(failed)?;
        Ok(Self { thread, stop })
    }

    /// Ends the thread and waits for it.
    pub fn stop(self) {
        self.stop.asked.store(true, Ordering::Release);
        let waker = self.stop.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
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
