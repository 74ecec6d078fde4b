//! The Node-API addon: converts in, calls the engine, converts out. It decides nothing about vectors.
//!
//! | file | noun |
//! | --- | --- |
//! | `collection` | the handle of a collection, its queued writes, its cursor |
//! | `hits` | answers on their way out |
//! | `job` | the one task that runs on another thread, and the one error |
//! | `floats` | float arrays in and typed arrays out |
//!
//! Three rules keep the process alive whatever JavaScript does. Every export catches panics. No other thread ever
//! reads memory that JavaScript owns: floats are copied inside the call, and the pointer to them is taken after
//! everything that could run JavaScript. What goes back is memory that V8 owns, never an external buffer.

// Test builds leave out the registration that calls the exports.
#![cfg_attr(test, allow(dead_code))]

mod collection;
mod floats;
mod hits;
mod job;

use std::sync::Arc;

use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;

use crate::floats::{Copied, Floats};
use crate::job::{Job, Result};

/// Cancels long work and counts it.
#[napi]
pub struct Token(Arc<auspex_engine::Token>);

#[napi]
impl Token {
    /// Nothing done, not cancelled.
    #[napi(constructor, catch_unwind)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Token {
        Token(Arc::new(auspex_engine::Token::default()))
    }

    /// Work that holds this token stops at its next check.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Units finished so far.
    #[napi(getter, catch_unwind)]
    pub fn done(&self) -> f64 {
        self.0.done() as f64
    }

    /// Units in all; 0 until that is known.
    #[napi(getter, catch_unwind)]
    pub fn total(&self) -> f64 {
        self.0.total() as f64
    }
}

/// What this build is and what it runs on.
#[napi(object, object_from_js = false)]
pub struct Info {
    /// Of the package.
    pub version: &'static str,
    /// Instruction set in use.
    #[napi(ts_type = "Isa")]
    pub isa: &'static str,
    /// Threads of the process-wide pools.
    pub threads: u32,
}

/// The version, the instruction set and the threads.
#[napi(catch_unwind)]
pub fn info() -> Result<Info> {
    let info = auspex_engine::info()?;
    Ok(Info { version: info.version, isa: info.isa, threads: info.threads as u32 })
}

/// Exact neighbours. Hit `h < counts[q]` of query `q` is at `q * k + h`.
#[napi(object, object_from_js = false)]
pub struct ExactHits {
    /// Columns of `rows` and `distances`.
    #[napi(readonly)]
    pub k: u32,
    /// Hits of each query.
    #[napi(readonly, ts_type = "Uint32Array")]
    pub counts: Copied<u32>,
    /// Positions among the vectors.
    #[napi(readonly, ts_type = "Uint32Array")]
    pub rows: Copied<u32>,
    /// NaN beyond the hits of a query.
    #[napi(readonly, ts_type = "Float32Array")]
    pub distances: Copied<f32>,
}

/// Compares every query with every vector.
#[napi(catch_unwind, ts_return_type = "Promise<ExactHits>")]
pub fn exact_search(
    vectors: Floats,
    queries: Floats,
    dim: f64,
    #[napi(ts_arg_type = "Metric | undefined")] metric: Option<String>,
    k: f64,
    token: &Token,
) -> Result<AsyncTask<Job>> {
    let (vectors, queries, token) = (vectors.copy()?, queries.copy()?, token.0.clone());
    Ok(Job::run(
        move || auspex_engine::exact_search(&vectors, &queries, dim, metric.as_deref(), k, &token),
        |hits| ExactHits {
            k: hits.k as u32,
            counts: Copied(hits.counts),
            rows: Copied(hits.rows),
            distances: Copied(hits.distances),
        },
    ))
}

/// Panics on the calling thread: proof that a panic becomes an exception.
#[napi(js_name = "__panic", catch_unwind, skip_typescript)]
pub fn panic_here() {
    panic!("a panic asked for");
}

/// Panics on a worker thread: proof that a panic becomes a rejection.
#[napi(js_name = "__panicAsync", catch_unwind, skip_typescript)]
pub fn panic_there() -> AsyncTask<Job> {
    Job::run(|| -> auspex_engine::Result<()> { panic!("a panic asked for") }, |()| ())
}

/// Panics while the answer of a task is converted.
#[napi(js_name = "__panicLate", catch_unwind, skip_typescript)]
pub fn panic_late() -> AsyncTask<Job> {
    Job::run(|| Ok(()), |()| -> () { panic!("a panic asked for") })
}
