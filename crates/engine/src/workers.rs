//! The two process-wide thread pools, one for building and one for batches of searches, and the one way to use them.

use std::sync::{Mutex, OnceLock};

use crate::error::{Code, Error, Result};

/// At most `limit` threads of one of the process-wide pools.
#[derive(Clone, Copy)]
pub(crate) struct Workers {
    pool: &'static rayon::ThreadPool,
    limit: usize,
}

impl Workers {
    /// Threads that link rows into graphs; `limit` 0 means all.
    pub fn build(limit: usize) -> Result<Workers> {
        static POOL: OnceLock<std::result::Result<rayon::ThreadPool, String>> = OnceLock::new();
        Workers::of(&POOL, "build", limit)
    }

    /// Threads that answer batches of queries; `limit` 0 means all.
    pub fn search(limit: usize) -> Result<Workers> {
        static POOL: OnceLock<std::result::Result<rayon::ThreadPool, String>> = OnceLock::new();
        Workers::of(&POOL, "search", limit)
    }

    fn of(
        pool: &'static OnceLock<std::result::Result<rayon::ThreadPool, String>>,
        name: &'static str,
        limit: usize,
    ) -> Result<Workers> {
        let made = pool.get_or_init(|| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(available())
                .thread_name(move |i| format!("auspex-{name}-{i}"))
                .build()
                .map_err(|error| error.to_string())
        });
        match made {
            Ok(pool) => Ok(Workers { pool, limit: if limit == 0 { usize::MAX } else { limit } }),
            Err(error) => Err(Error::new(Code::Internal, format!("no threads for {name}: {error}"))),
        }
    }

    /// Threads that [`Workers::for_each_chunk`] uses at most.
    pub fn threads(&self) -> usize {
        self.limit.min(self.pool.current_num_threads())
    }

    /// Runs `body(state, index of the first item, items)` over `items` in pieces of at most `chunk`, each thread with a
    /// state of its own. What a body writes depends on its items alone, so the number of threads changes nothing.
    pub fn for_each_chunk<T: Send, S>(
        &self,
        items: &mut [T],
        chunk: usize,
        state: impl Fn() -> S + Sync,
        body: impl Fn(&mut S, usize, &mut [T]) + Sync,
    ) {
        let chunk = chunk.max(1);
        let threads = self.threads().min(items.len().div_ceil(chunk));
        if threads <= 1 {
            let mut own = state();
            for (i, piece) in items.chunks_mut(chunk).enumerate() {
                body(&mut own, i * chunk, piece);
            }
            return;
        }
        let queue = Mutex::new(items.chunks_mut(chunk).enumerate());
        self.pool.scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|_| {
                    let mut own = state();
                    loop {
                        // A body that panicked elsewhere poisons nothing here: the lock is never held while one runs.
                        let next = queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
                        let Some((i, piece)) = next else { return };
                        body(&mut own, i * chunk, piece);
                    }
                });
            }
        });
    }
}

/// Threads that the system offers this process.
pub(crate) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_visited_once_whatever_the_threads() {
        for limit in [1, 2, 7] {
            for count in [0, 1, 63, 64, 1000] {
                let mut items = vec![0_usize; count];
                Workers::build(limit).unwrap().for_each_chunk(
                    &mut items,
                    64,
                    || (),
                    |(), first, piece| {
                        for (i, item) in piece.iter_mut().enumerate() {
                            *item += first + i + 1;
                        }
                    },
                );
                assert!(items.iter().enumerate().all(|(i, &item)| item == i + 1));
            }
        }
    }
}
