//! The thread between a long call and whoever waits for it: stop it, or see how far it is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Stops long work ([`Token::cancel`]) and counts it (`done` of `total`).
#[derive(Debug, Default)]
pub struct Token {
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Token {
    /// Asks the work to stop; it does within milliseconds, unless it is past the point where it may.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`Token::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Rows (or queries) finished: never more than [`Token::total`], though the first graph links older rows too.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed).min(self.total())
    }

    /// Rows (or queries) in all; 0 until that is known.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn reach(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, by: u64) {
        self.done.fetch_add(by, Ordering::Relaxed);
    }

    /// All is done, with whatever part of it there was nothing to do for.
    pub(crate) fn finish(&self) {
        self.done.store(self.total(), Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::aborted()) } else { Ok(()) }
    }
}
