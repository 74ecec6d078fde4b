//! Memory that is used again and again: taken from a list, and given back to it.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Instant;

/// How often who needs one looks whether another thread is done with the list, which takes that less than a microsecond,
/// unless the system has stopped it there.
const LOOKS: usize = 256;

/// Things that nobody uses at the moment, each with the memory that it has grown.
#[derive(Default)]
pub(crate) struct Spares<T> {
    free: Mutex<Vec<T>>,
    longest_wait: AtomicU64,
}

impl<T: Default> Spares<T> {
    /// One that nobody else uses: one that is free, or, where another thread does not get done with the list, a new one. So
    /// nobody waits for a thread that does not run.
    pub fn lend(&self) -> Lent<'_, T> {
        let spare = self.free().and_then(|mut free| free.pop()).unwrap_or_default();
        Lent { spare, owner: self }
    }

    fn free(&self) -> Option<MutexGuard<'_, Vec<T>>> {
        let mut start = None;
        for _ in 0..LOOKS {
            match self.free.try_lock() {
                Ok(free) => return Some(free),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {
                    let start = start.get_or_insert_with(Instant::now);
                    std::hint::spin_loop();
                    self.longest_wait.fetch_max(start.elapsed().as_nanos() as u64, Relaxed);
                }
            }
        }
        None
    }

    /// The longest that anybody has waited for the list, in nanoseconds.
    pub fn longest_wait(&self) -> u64 {
        self.longest_wait.load(Relaxed)
    }
}

/// One that goes back where it came from.
pub(crate) struct Lent<'a, T: Default> {
    spare: T,
    owner: &'a Spares<T>,
}

impl<T: Default> Deref for Lent<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.spare
    }
}

impl<T: Default> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.spare
    }
}

impl<T: Default> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        // What a panic left may be anything.
        if !std::thread::panicking()
            && let Some(mut free) = self.owner.free()
        {
            free.push(std::mem::take(&mut self.spare));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_thread_that_was_stopped_at_the_list() {
        let spares = Spares::<Vec<u32>>::default();
        let stopped = spares.free.lock().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| spares.lend().push(7)).join().unwrap();
        });
        assert!(spares.longest_wait() > 0);
        drop(stopped);
        spares.lend().push(1);
        assert_eq!(*spares.lend(), [1]);
    }

    #[test]
    fn what_is_lent_is_nobody_elses_and_comes_back() {
        let spares = Spares::<Vec<u32>>::default();
        let count = || spares.free.lock().unwrap().len();
        let (mut a, b) = (spares.lend(), spares.lend());
        a.push(7);
        drop(a);
        assert_eq!((count(), b.len()), (1, 0));
        assert_eq!(*spares.lend(), [7]);
        drop(b);
        assert_eq!(count(), 2);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = spares.lend();
            panic!("while it is lent");
        }));
        assert!(panicked.is_err());
        assert_eq!(count(), 1);
    }
}
