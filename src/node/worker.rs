//! The background threads of a log on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::wait::{Deadline, Parker};
use crate::base::{Clock, Error, ErrorKind, Result};
use crate::partition::{BACKOFF, Shared, Sleep};

/// A thread that does what is due, and sleeps without a wake-up while nothing is.
#[derive(Debug)]
pub struct Worker {
    thread: JoinHandle<()>,
    stop: Arc<Stop>,
    /// The one that it started.
    next: Arc<Mutex<Option<Worker>>>,
}

/// Work for a thread of its own.
pub trait Chore: Send + Sync + 'static {
    /// Does what is due. How long until there is more; `None` when nothing is planned.
    fn run_due(&self) -> Option<Duration>;

    /// Lets `waker` be called when there is something to do before that time; false when there
    /// is already.
    fn sleep(&self, waker: &Waker, planned: bool) -> bool;

    /// What the times are told by.
    fn clock(&self) -> &dyn Clock;
}

/// How the thread is told to end.
#[derive(Debug, Default)]
struct Stop {
    asked: AtomicBool,
    /// The thread's waker, once it runs: an open does not wait for it. Whoever stops asks first
    /// and then looks here; the thread enters itself and then looks whether it was asked.
    waker: Mutex<Option<Waker>>,
}

impl Worker {
    /// Starts the thread.
    pub fn start(name: &str, chore: Arc<impl Chore>) -> Result<Self> {
        Self::start_before(name, chore, || None)
    }

    /// Starts the thread, which first of all calls `next`: so whoever opens a log starts one
    /// thread and not two. What comes of `next` ends with this one.
    pub fn start_before(
        name: &str,
        chore: Arc<impl Chore>,
        next: impl FnOnce() -> Option<Worker> + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let stopped = Arc::clone(&stop);
        let started = Arc::new(Mutex::new(None));
        let place = Arc::clone(&started);
        let run = move || {
            *place.lock() = next();
            let parker = Parker::new();
            *stopped.waker.lock() = Some(parker.waker());
            work(&*chore, &stopped.asked, &parker);
        };
        let failed = |e: std::io::Error| {
            let message = format!("could not start the background thread {name}: {e}");
            Error::new(ErrorKind::StorageError, message).with_source(e)
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { thread, stop, next: started })
    }

    /// Ends the thread, and the one that it started, and waits for both.
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
        let next = self.next.lock().take();
        if let Some(next) = next {
            next.stop();
        }
    }
}

fn work(chore: &impl Chore, stopped: &AtomicBool, parker: &Parker) {
    let waker = parker.waker();
    while !stopped.load(Ordering::Acquire) {
        let clock = chore.clock();
        match chore.run_due() {
            Some(pause) if chore.sleep(&waker, true) => {
                parker.park(clock, &Deadline::after(clock, pause));
            }
            None if chore.sleep(&waker, false) => parker.park(clock, &Deadline::NEVER),
            _ => {}
        }
    }
}

/// Syncs, settles and seals.
impl Chore for Shared {
    fn run_due(&self) -> Option<Duration> {
        self.run_due_at_length(|sync| sync_beside_settles(self, sync))
    }

    fn sleep(&self, waker: &Waker, planned: bool) -> bool {
        Self::sleep(self, waker, if planned { Sleep::Planned } else { Sleep::Deep })
    }

    fn clock(&self) -> &dyn Clock {
        &**Self::clock(self)
    }
}

/// Has `sync` run on a thread of its own, which ends with that, while this one goes on to settle: a
/// producer that fills the stage faster than the disk syncs would have to settle by itself.
fn sync_beside_settles(
    shared: &Shared,
    sync: &(dyn Fn() -> Option<Duration> + Sync),
) -> Option<Duration> {
    let parker = Parker::new();
    let over = Over { is_over: AtomicBool::new(false), waker: parker.waker() };
    thread::scope(|scope| {
        let aside = || {
            let _over = Ending(&over);
            sync()
        };
        let helper = thread::Builder::new().name("alluvium-sync".to_owned());
        let Ok(helper) = helper.spawn_scoped(scope, aside) else { return sync() };
        let mut healthy = true;
        while !over.is_over.load(Ordering::Acquire) {
            healthy = shared.settle_due();
            if shared.sleep(&over.waker, Sleep::BesideSync) && !over.is_over.load(Ordering::Acquire)
            {
                parker.park(&**shared.clock(), &Deadline::NEVER);
            }
        }
        let due = helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if healthy { due } else { Some(BACKOFF) }
    })
}

/// Whether a thread has ended, and who waits for that.
struct Over {
    is_over: AtomicBool,
    waker: Waker,
}

/// Says so when it is dropped, by a panic too.
struct Ending<'a>(&'a Over);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.waker.wake_by_ref();
    }
}
