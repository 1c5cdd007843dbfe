//! A mutex that favours one thread.
//!
//! To take and to give back an ordinary mutex are two locked instructions, and each waits for all
//! stores before it: for an append that is as long as everything else together. Here a thread that
//! has taken the lock many times in a row becomes its *favourite* and from then on needs none. Any
//! other thread comes by the *door*, an ordinary mutex, and takes the favour away first.
//!
//! The argument for the `unsafe` blocks. The value is touched by whoever holds a [`Guard`], and of
//! those there is one at a time:
//!
//! 1. A guard by the door holds the mutex, so of these there is one at a time.
//! 2. A guard of the favourite raises the favourite's flag and lowers it when it is dropped. Each flag
//!    belongs to one thread for good: nobody else ever stores to it. That thread makes no guard while
//!    it is up, so of these there is one at a time for each flag.
//! 3. One kind excludes the other. Whoever has taken the door first sets `favourite` to nobody, runs
//!    the heavy side of a barrier, and waits for the flag of the former favourite to be down. A
//!    favourite raises its flag, runs the light side, and looks at `favourite` again, going back if it
//!    is not itself any more. So at least one of the two sees the other: the favourite gives way, or the
//!    door waits. One who was a favourite long ago and finds out only now raises its own flag in vain,
//!    and no other. A favourite is only made under the door, as its guard becomes one of the other kind.
//!
//! What the last guard has stored is visible to the next: by the mutex; by the program's order, for a
//! favourite after itself; by `Release` and `Acquire` on the flag, for a door after a favourite.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use crate::base::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering};

use super::barrier;

/// No thread has this number.
const NOBODY: u64 = 0;
/// So many threads can ever be favourites of one lock: each needs a flag of its own.
const FLAGS: usize = 8;
/// Whoever has taken a lock so many times in a row becomes its favourite, at first.
const FEW: u32 = if cfg!(alluvium_loom) { 1 } else { 1 << 9 };
/// Each favour that was taken away doubles that, up to here: to take one away costs microseconds.
const MANY: u32 = if cfg!(alluvium_loom) { 1 } else { 1 << 15 };

/// A mutex that one thread takes without a locked instruction, as long as no other comes. It does
/// not tell of panics of former holders.
pub struct Biased<T> {
    /// Who needs no door: the number of the thread, times `FLAGS`, plus the place of its flag.
    favourite: AtomicU64,
    /// Whether the thread that the flag belongs to holds the lock as a favourite.
    flags: [AtomicBool; FLAGS],
    door: Mutex<Visits>,
    value: UnsafeCell<T>,
}

/// Who has come by the door.
#[derive(Debug)]
struct Visits {
    last: u64,
    /// How often in a row.
    count: u32,
    wanted: u32,
    /// Whose the flags are.
    owners: [u64; FLAGS],
}

impl Visits {
    /// Notes a visit. The place of the visitor's flag, if it has come often enough to be favoured.
    fn note(&mut self, me: u64) -> Option<usize> {
        if self.last != me {
            (self.last, self.count) = (me, 0);
        }
        self.count = self.count.saturating_add(1);
        if self.count <= self.wanted || !barrier::is_ready() {
            return None;
        }
        self.count = 0;
        let place = self.owners.iter().position(|owner| *owner == me || *owner == NOBODY)?;
        if let Some(owner) = self.owners.get_mut(place) {
            *owner = me;
        }
        Some(place)
    }
}

// SAFETY: as for a mutex: the value moves between threads, and one at a time touches it.
unsafe impl<T: Send> Send for Biased<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Biased<T> {}

/// Holds a [`Biased`] until it is dropped.
#[must_use = "the lock is held only as long as this lives"]
pub struct Guard<'a, T> {
    lock: &'a Biased<T>,
    way: Way<'a>,
    /// No guard leaves its thread.
    _stays: PhantomData<*mut T>,
}

/// Holds a [`Biased`] for its favourite until it is dropped.
#[must_use = "the lock is held only as long as this lives"]
pub struct FavouriteGuard<'a, T> {
    lock: &'a Biased<T>,
    flag: &'a AtomicBool,
    /// No guard leaves its thread.
    _stays: PhantomData<*mut T>,
}

/// How the holder came in.
enum Way<'a> {
    /// Kept until the guard is dropped.
    Door {
        _door: MutexGuard<'a, Visits>,
    },
    Favourite(&'a AtomicBool),
}

impl<T> Biased<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        let visits = Visits { last: NOBODY, count: 0, wanted: FEW, owners: [NOBODY; FLAGS] };
        Self {
            favourite: AtomicU64::new(NOBODY),
            flags: std::array::from_fn(|_| AtomicBool::new(false)),
            door: Mutex::new(visits),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for the lock and takes it. A thread that has it already waits for ever.
    #[inline(always)]
    pub fn lock(&self) -> Guard<'_, T> {
        let me = thread_number();
        let favourite = self.favourite.load(Ordering::Relaxed);
        if favourite / FLAGS as u64 == me
            && let Some(flag) = self.enter(favourite)
        {
            return self.guard(Way::Favourite(flag));
        }
        self.lock_by_the_door(me)
    }

    /// Takes the lock if this thread is its favourite: the way that is short.
    #[inline(always)]
    pub fn lock_as_favourite(&self) -> Option<FavouriteGuard<'_, T>> {
        let favourite = self.favourite.load(Ordering::Relaxed);
        if favourite / FLAGS as u64 != thread_number() {
            return None;
        }
        let flag = self.enter(favourite)?;
        Some(FavouriteGuard { lock: self, flag, _stays: PhantomData })
    }

    #[inline(always)]
    fn guard<'a>(&'a self, way: Way<'a>) -> Guard<'a, T> {
        Guard { lock: self, way, _stays: PhantomData }
    }

    #[inline(always)]
    fn flag_of(&self, favourite: u64) -> &AtomicBool {
        &self.flags[favourite as usize % FLAGS]
    }

    /// The favourite's way in.
    #[inline(always)]
    fn enter(&self, favourite: u64) -> Option<&AtomicBool> {
        let flag = self.flag_of(favourite);
        if flag.load(Ordering::Relaxed) {
            return None;
        }
        flag.store(true, Ordering::Relaxed);
        barrier::light();
        if self.favourite.load(Ordering::Relaxed) == favourite {
            return Some(flag);
        }
        flag.store(false, Ordering::Release);
        None
    }

    #[inline(never)]
    fn lock_by_the_door(&self, me: u64) -> Guard<'_, T> {
        let mut door = self.door.lock();
        let favourite = self.favourite.load(Ordering::Relaxed);
        if favourite != NOBODY {
            self.take_the_favour_from(favourite);
            door.wanted = door.wanted.saturating_mul(2).min(MANY);
        }
        let Some(place) = door.note(me) else {
            return self.guard(Way::Door { _door: door });
        };
        let favourite = me * FLAGS as u64 + place as u64;
        let flag = self.flag_of(favourite);
        // Both before the door opens: whoever comes through it sees them.
        flag.store(true, Ordering::Relaxed);
        self.favourite.store(favourite, Ordering::Relaxed);
        drop(door);
        self.guard(Way::Favourite(flag))
    }

    #[cold]
    fn take_the_favour_from(&self, favourite: u64) {
        self.favourite.store(NOBODY, Ordering::Relaxed);
        barrier::heavy();
        let flag = self.flag_of(favourite);
        let mut turns = 0;
        // Acquire: pairs with the favourite's way out.
        while flag.load(Ordering::Acquire) {
            give_way(turns);
            turns += 1;
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one, see the module's first lines.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one, and it is borrowed alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Way::Favourite(flag) = self.way {
            // Release: what was stored under the guard is seen by whoever sees this.
            flag.store(false, Ordering::Release);
        }
    }
}

impl<T> Deref for FavouriteGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one, see the module's first lines.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for FavouriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one, and it is borrowed alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for FavouriteGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: what was stored under the guard is seen by whoever sees this.
        self.flag.store(false, Ordering::Release);
    }
}

/// A number that no other thread of this process ever has.
#[inline(always)]
fn thread_number() -> u64 {
    use std::cell::Cell;

    #[cfg(not(alluvium_loom))]
    std::thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(NOBODY) };
    }
    #[cfg(alluvium_loom)]
    loom::thread_local! {
        static NUMBER: Cell<u64> = Cell::new(NOBODY);
    }
    NUMBER.with(|number| match number.get() {
        NOBODY => {
            number.set(new_number());
            number.get()
        }
        known => known,
    })
}

#[cold]
fn new_number() -> u64 {
    use std::sync::atomic::AtomicU64;

    static LAST: AtomicU64 = AtomicU64::new(NOBODY);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Waits a little for the favourite, who is out in nanoseconds unless it lost its processor.
#[cfg(not(alluvium_loom))]
fn give_way(turns: u32) {
    match turns {
        0..64 => std::hint::spin_loop(),
        64..128 => std::thread::yield_now(),
        _ => barrier::pause(std::time::Duration::from_micros(100 << (turns - 128).min(6))),
    }
}

#[cfg(alluvium_loom)]
fn give_way(_turns: u32) {
    loom::thread::yield_now();
}

impl<T> fmt::Debug for Biased<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Biased").finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for FavouriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for Guard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
