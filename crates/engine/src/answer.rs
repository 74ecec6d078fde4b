//! What reading answers: rows, pages, hits, and figures. Each holds the view that it was found in.

use std::sync::Arc;

use crate::error::Result;
use crate::filter::Filter;
use crate::matches::{Known, Matches};
use crate::view::View;

/// Rows found, nearest or best first, with the view that they were found in.
pub struct Hits {
    pub(crate) view: Option<Arc<View>>,
    pub(crate) rows: Vec<u32>,
    /// Their distances: true l2, one minus the cosine, or the negated product; NaN where only a text found them.
    pub distances: Vec<f32>,
    /// How well they fit, where a text was asked for; empty else.
    pub scores: Vec<f64>,
}

impl Hits {
    /// No hits yet; a search fills them, and filling them again reuses their memory.
    #[must_use]
    pub fn new() -> Hits {
        Hits { view: None, rows: Vec::new(), distances: Vec::new(), scores: Vec::new() }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Asks for what leads to the ids to be brought near, before they are read.
    pub fn prefetch(&self) {
        if let Some(view) = &self.view {
            view.rows.prefetch_entries(&self.rows);
        }
    }

    /// The id of hit `i`.
    #[must_use]
    pub fn id(&self, i: usize) -> &str {
        self.view.as_ref().map_or("", |view| view.rows.id(self.rows[i]))
    }

    /// The JSON object that hit `i` was given.
    #[must_use]
    pub fn metadata(&self, i: usize) -> &str {
        self.view.as_ref().map_or("{}", |view| view.rows.metadata(self.rows[i]))
    }

    /// The vector of hit `i`, as it was given.
    #[must_use]
    pub fn vector(&self, i: usize) -> &[f32] {
        self.view.as_ref().map_or(&[], |view| view.rows.vector(self.rows[i]))
    }
}

impl Default for Hits {
    fn default() -> Hits {
        Hits::new()
    }
}

/// Rows found by id or by a cursor.
pub struct Found {
    pub(crate) rows: Vec<Option<u32>>,
    pub(crate) view: Arc<View>,
}

impl Found {
    /// The rows that `find` finds in a view, each of them read.
    pub(crate) fn checked(view: Arc<View>, find: impl FnOnce() -> Vec<Option<u32>>) -> Result<Found> {
        let rows = view.checked(|| {
            let rows = find();
            rows.iter().flatten().for_each(|&row| view.rows.check(row));
            Ok(rows)
        })?;
        Ok(Found { rows, view })
    }

    /// Places: as many as were asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was asked for, or nothing was left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether place `i` has a row.
    #[must_use]
    pub fn is_some(&self, i: usize) -> bool {
        self.rows[i].is_some()
    }

    /// The id of the row in place `i`.
    #[must_use]
    pub fn id(&self, i: usize) -> &str {
        self.rows[i].map_or("", |row| self.view.rows.id(row))
    }

    /// The JSON object that the row in place `i` was given.
    #[must_use]
    pub fn metadata(&self, i: usize) -> &str {
        self.rows[i].map_or("{}", |row| self.view.rows.metadata(row))
    }

    /// The vector of the row in place `i`, as it was given.
    #[must_use]
    pub fn vector(&self, i: usize) -> &[f32] {
        self.rows[i].map_or(&[], |row| self.view.rows.vector(row))
    }
}

/// Bytes of metadata after which a page ends: a page of rows is one answer.
const PAGE_BYTES: usize = 16 << 20;

/// The live rows of one moment, read a page at a time.
pub struct Cursor {
    pub(crate) view: Arc<View>,
    pub(crate) next: u32,
    pub(crate) filter: Option<Filter>,
    /// What columns know of the filter, once a page was read.
    pub(crate) known: Option<Arc<Known>>,
}

impl Cursor {
    /// At most `limit` more rows, fewer where they have much metadata; none at the end.
    ///
    /// # Errors
    /// The log is damaged where one of them lies.
    pub fn next(&mut self, limit: usize) -> Result<Found> {
        let Cursor { view, next, filter, known } = self;
        let matches = match (filter, &*known) {
            (None, _) => None,
            (Some(filter), Some(known)) => Some(Matches::again(view, filter, Arc::clone(known))),
            (Some(filter), None) => Some(Matches::of(view, filter)?),
        };
        *known = matches.as_ref().map(Matches::known);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        Found::checked(Arc::clone(view), || {
            let takes = |row: u32| matches.as_ref().map_or_else(|| view.is_live(row), |matches| matches.contains(row));
            while rows.len() < limit && *next < view.count && bytes < PAGE_BYTES {
                if takes(*next) {
                    rows.push(Some(*next));
                    bytes += view.rows.metadata(*next).len();
                }
                *next += 1;
            }
            rows
        })
    }

    /// The rows with these ids, in their order; an unknown id leaves its place empty.
    ///
    /// # Errors
    /// The log is damaged where one of them lies.
    pub fn get(&self, ids: &[String]) -> Result<Found> {
        Found::checked(Arc::clone(&self.view), || ids.iter().map(|id| self.view.find(id)).collect())
    }
}

/// Hits of many queries: hit `h < counts[q]` of query `q` is at `q * k + h`; beyond that distances are NaN.
pub struct BatchHits {
    /// Hits kept for each query.
    pub k: usize,
    /// Hits of each query.
    pub counts: Vec<u32>,
    /// Their distances.
    pub distances: Vec<f32>,
    pub(crate) rows: Vec<u32>,
    pub(crate) view: Arc<View>,
}

impl BatchHits {
    /// The id of a hit; `None` beyond the query's last.
    #[must_use]
    pub fn id(&self, query: usize, hit: usize) -> Option<&str> {
        let count = *self.counts.get(query)? as usize;
        (hit < count).then(|| self.view.rows.id(self.rows[query * self.k + hit]))
    }
}

/// The plan of a search, and what it did.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// `empty`, `exact`, `graph` or `filtered-graph`.
    pub plan: &'static str,
    /// Rows that match the filter; `None` without one.
    pub matching: Option<u64>,
    /// Slots whose links were read.
    pub visited: u64,
    /// Distances computed, on codes or on rows.
    pub distances: u64,
    /// Rows whose exact distance replaced the code's.
    pub rescored: u64,
    /// What the walk read of a row, by its name; `None` where there was none.
    pub quantization: Option<&'static str>,
    /// Wall time.
    pub microseconds: f64,
    /// Instruction set of the kernels.
    pub isa: &'static str,
}

/// Figures about a collection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Live rows.
    pub rows: u64,
    /// Rows deleted or replaced whose memory is still held.
    pub deleted: u64,
    /// Bytes in use on the heap.
    pub ram: u64,
    /// Bytes of mapped files.
    pub mapped: u64,
    /// Bytes on disk.
    pub disk: u64,
    /// Slots of each layer of the graph; none while there is no graph.
    pub layers: Vec<u32>,
    /// Mean links of a node on layer 0.
    pub mean_degree: f64,
    /// Live rows' nodes that no walk can reach: always 0.
    pub unreachable: u64,
    /// The longest that a search waited for this library.
    pub max_wait_ms: f64,
    /// What the user should know.
    pub notices: Vec<String>,
    /// Candidates held by searches that give no `efSearch`.
    pub ef_search: u32,
    /// Links a node that the graph is built by.
    pub m: u32,
    /// Candidates held while linking.
    pub ef_construction: u32,
    /// What walks read of a row, by its name.
    pub quantization: &'static str,
    /// Instruction set of the kernels.
    pub isa: &'static str,
    /// Threads that build.
    pub threads: u32,
    /// Version of this library.
    pub version: &'static str,
}
