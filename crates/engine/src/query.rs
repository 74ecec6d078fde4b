//! From a query to hits: choose a plan, run it, re-score what it found with the rows' own floats.
//!
//! ```text
//! plan   empty   no live row
//!        exact   asked for; or no graph; or so few rows that a scan is as fast as a walk
//!        graph   walk over codes -> the best candidates' rows -> exact distances -> k hits
//! ```
//! Where there is a filter, `filtered` does this. What is found may be grouped (`groups`) or diversified (`diversity`).

use std::cmp::Ordering;

use auspex_kernel::Kernels;

use crate::codes::QueryCode;
use crate::error::{Code, Error, Result};
use crate::exact::{self, Top};
use crate::graph::GraphView;
use crate::graph::filtered::FilteredWalk;
use crate::graph::search::{Candidate, Counts, Walk, search};
use crate::matches::Matches;
use crate::options::{Ask, Config, Metric, Shape};
use crate::rows::check_vector;
use crate::token::Token;
use crate::view::View;

/// A walk at `ef` costs about as much as a scan of this many times `ef` rows,
const SCAN_ROWS_PER_EF: usize = 16;
/// and of this part of `ef * ef` rows more: each candidate is moved into its place among the others.
const SCAN_ROWS_PER_EF_SQUARED: usize = 32;
/// Candidates re-scored beyond `k` at least: what codes put in the wrong order lies near the border. More are when
/// the codes cannot tell them from the one there.
const RESCORED_BEYOND: usize = 4;

/// How a query is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Empty,
    Exact,
    Graph,
    FilteredGraph,
}

impl Plan {
    pub fn name(self) -> &'static str {
        match self {
            Plan::Empty => "empty",
            Plan::Exact => "exact",
            Plan::Graph => "graph",
            Plan::FilteredGraph => "filtered-graph",
        }
    }
}

/// The plan for a query, and the graph where it walks one. Where a walk would have to be wider to find what it should, the
/// wider one is held against the scan.
fn plan<'a>(view: &'a View, ask: &Ask) -> (Plan, Option<&'a GraphView>) {
    let width = view.graph.as_ref().map_or(1, |graph| graph.quality.width as usize);
    let ef = ask.ef.saturating_mul(width);
    let walk = ef.saturating_mul(SCAN_ROWS_PER_EF + ef / SCAN_ROWS_PER_EF_SQUARED);
    match &view.graph {
        _ if view.live() == 0 => (Plan::Empty, None),
        Some(graph) if !ask.exact && view.live() > walk => (Plan::Graph, Some(graph)),
        _ => (Plan::Exact, None),
    }
}

/// The memory of a search, used again and again.
#[derive(Default)]
pub(crate) struct Scratch {
    pub query: Vec<f32>,
    pub code: QueryCode,
    pub walk: Walk,
    pub filtered: FilteredWalk,
    pub rows: Vec<u32>,
    pub top: Top,
}

/// Refuses a query that the collection cannot answer.
pub(crate) fn check(config: &Config, query: &[f32], what: impl Fn() -> String) -> Result<()> {
    if query.len() != config.dim {
        let hint = if query.is_empty() { " (a length of 0 may mean that its buffer was transferred)" } else { "" };
        let message = format!("{} has {} floats{hint}; the collection has dim {}", what(), query.len(), config.dim);
        return Err(Error::new(Code::Dimension, message));
    }
    check_vector(query, config.metric, what)
}

/// A row, after its distance.
pub(crate) type Neighbor = (f32, u32);
/// How a search ran.
pub(crate) type Done = (Plan, Counts);

/// What a search needs besides the query.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    pub view: &'a View,
    pub config: &'a Config,
    pub kernels: &'static Kernels,
    pub ask: Ask<'a>,
    /// A row that is never a hit.
    pub excluded: Option<u32>,
    /// The only rows that are hits.
    pub matches: Option<&'a Matches<'a>>,
}

impl Search<'_> {
    /// Appends to `rows` and `distances` the hits of a query that passed [`check`].
    pub fn run(
        &self,
        query: &[f32],
        scratch: &mut Scratch,
        rows: &mut Vec<u32>,
        distances: &mut Vec<f32>,
        token: &Token,
    ) -> Result<Done> {
        self.view.checked(|| {
            let mut hit = |&(distance, row): &Neighbor| {
                rows.push(row);
                distances.push(distance);
            };
            let done = match self.ask.shape {
                Shape::Nearest => {
                    let (done, nearest) = self.nearest(query, scratch, token)?;
                    nearest.iter().skip(self.ask.offset).for_each(hit);
                    done
                }
                Shape::Groups { field, size } => {
                    let (done, groups) = self.grouped(field, size, query, scratch, token)?;
                    groups.iter().skip(self.ask.offset).for_each(|group| group.iter().for_each(&mut hit));
                    done
                }
                Shape::Diverse { hits, lambda } => {
                    let (done, nearest) = self.nearest(query, scratch, token)?;
                    let nearest = nearest.to_vec();
                    self.diverse(&nearest, hits, lambda, scratch, token)?.iter().for_each(hit);
                    done
                }
            };
            rows.iter().for_each(|&row| self.view.rows.check(row));
            Ok(done)
        })
    }

    /// The `k` nearest rows that are near enough, with their distances, nearest first.
    pub fn nearest<'s>(
        &self,
        query: &[f32],
        scratch: &'s mut Scratch,
        token: &Token,
    ) -> Result<(Done, &'s [Neighbor])> {
        let done = match self.matches {
            Some(matches) if !matches.is_all() => self.answer_filtered(matches, query, scratch, token)?,
            _ => self.answer(query, scratch, token)?,
        };
        let nearest = scratch.top.finish(|a, b| self.tie(a, b));
        let near = nearest.partition_point(|hit| self.is_near(hit.0));
        Ok((done, &nearest[..near]))
    }

    /// Whether a hit may be so far.
    pub fn is_near(&self, distance: f32) -> bool {
        f64::from(distance) <= self.ask.max_distance
    }

    /// The order of rows that are equally far.
    #[inline(always)]
    pub fn tie(&self, a: u32, b: u32) -> Ordering {
        self.view.rows.id(a).cmp(self.view.rows.id(b))
    }

    fn answer(&self, query: &[f32], scratch: &mut Scratch, token: &Token) -> Result<Done> {
        token.check()?;
        let (view, metric) = (self.view, self.config.metric);
        let (mut plan, graph) = plan(view, &self.ask);
        let wanted = self.ask.k.min(view.live() - usize::from(self.excluded.is_some_and(|row| view.is_live(row))));
        let Scratch { query: prepared, code, walk, rows: found, top, .. } = scratch;
        walk.counts = Counts::default();
        top.reset(metric, wanted.max(1));
        if wanted == 0 {
            return Ok((plan, walk.counts));
        }
        exact::normalise(metric, query, prepared);
        if let Some(graph) = graph {
            self.walk(graph, prepared, code, walk, found);
            if found.len() >= wanted {
                walk.counts.rescored = found.len() as u64;
                self.rescore(prepared, found, top);
            } else {
                plan = Plan::Exact;
            }
        }
        if plan == Plan::Exact {
            let tops = std::slice::from_mut(top);
            exact::scan(view, self.kernels, metric, &[prepared], |row| self.is_hit(row), tops, token)?;
            walk.counts.distances += u64::from(view.count);
        }
        Ok((plan, walk.counts))
    }

    /// The rows of the nearest nodes, as many as are to be re-scored.
    fn walk(&self, graph: &GraphView, query: &[f32], code: &mut QueryCode, walk: &mut Walk, found: &mut Vec<u32>) {
        let view = self.view;
        graph.codes.prepare(query, code);
        let live = |node: u32| graph.is_live(node, view.count, &view.tombstones);
        let accept: Option<&dyn Fn(u32) -> bool> = if view.tombstones.is_empty() { None } else { Some(&live) };
        // The excluded row is found first, and takes no hit's place.
        let ef = self.ask.ef + usize::from(self.excluded.is_some());
        search(graph, &graph.codes.query_scorer(code), ef, accept, walk);
        self.gather(graph, walk.pool.sorted(), code, found, |row| self.is_hit(row));
    }

    /// Whether a row can be a hit where there is no filter.
    #[inline(always)]
    fn is_hit(&self, row: u32) -> bool {
        !self.view.tombstones.contains(row) && Some(row) != self.excluded
    }

    /// The rows of `nearest` that are hits, as many as are to be re-scored.
    pub fn gather(
        &self,
        graph: &GraphView,
        nearest: &[Candidate],
        code: &QueryCode,
        found: &mut Vec<u32>,
        hits: impl Fn(u32) -> bool,
    ) {
        found.clear();
        let mut border = f32::INFINITY;
        for candidate in nearest {
            if found.len() >= self.ask.k + RESCORED_BEYOND && candidate.distance() > border {
                return;
            }
            // Of equal rows, only as many as could be hits.
            let rows = graph.rows_of(candidate.slot(), self.view.count);
            found.extend(rows.filter(|&row| hits(row)).take(self.ask.k));
            if found.len() >= self.ask.k {
                border = border.min(code.reach(candidate.distance()));
            }
        }
    }

    /// Shows rows to `top`, with their exact distances.
    pub fn rescore(&self, query: &[f32], found: &[u32], top: &mut Top) {
        self.for_each_key(query, found, |row, key| top.push(key, row, |a, b| self.tie(a, b)));
    }

    /// Calls `take` with each row and its key, of which [`exact::distance`] makes its distance.
    #[inline(always)]
    pub fn for_each_key(&self, query: &[f32], found: &[u32], mut take: impl FnMut(u32, f32)) {
        let rows = &self.view.rows;
        for &row in found {
            auspex_kernel::prefetch(rows.vector(row));
        }
        for four in found.chunks(4) {
            let at = |j: usize| rows.vector(four[j.min(four.len() - 1)]);
            let vectors = [at(0), at(1), at(2), at(3)];
            let raw = match self.config.metric {
                Metric::L2 => self.kernels.l2_squared_f32_x4(query, vectors),
                _ => self.kernels.dot_f32_x4(query, vectors),
            };
            for (&row, &raw) in four.iter().zip(&raw) {
                take(row, exact::key(self.config.metric, raw, rows.inverse_norm(row)));
            }
        }
    }
}
