//! A search among the rows that match a filter.
//!
//! ```text
//! plan   empty            no row matches
//!        filtered-graph   walk among the nodes that match -> the best candidates' rows -> exact distances -> k hits
//!        exact            read every row that matches: asked for; or no graph; or so few match that it costs less
//! ```
//! How many match is counted by columns, or estimated from a sample where metadata decide. A walk that has cost as much
//! as the scan would, or ends with fewer hits than were asked for, is finished by the scan: k hits come back whenever k
//! rows match.

use crate::error::Result;
use crate::exact::{self, Top};
use crate::graph::GraphView;
use crate::graph::filtered::{Asked, rows_per_candidate};
use crate::graph::search::Counts;
use crate::matches::{Matches, has};
use crate::query::{Plan, Scratch, Search};
use crate::token::Token;

/// Matching rows that are read at a time: their floats are on their way from memory together.
const TOGETHER: usize = 32;
/// Rows that are compared in the time that reading one's metadata takes.
const ROWS_PER_METADATA: f64 = 6.0;
/// What reading a row costs: so much, and 1 more for so many floats.
const ROW_COST: f64 = 0.6;
const FLOATS_PER_COST: f64 = 512.0;
/// Where a smaller share of the rows matches, two links seldom lead from one match to another.
const LEAST_SHARE: f64 = 0.04;
/// From one in so many on, rows are read in the order in which they lie, whether they match or not.
const DENSE: usize = 2;

impl Search<'_> {
    /// Shows the best rows to the scratch's `top`.
    pub(crate) fn answer_filtered(
        &self,
        matches: &Matches,
        query: &[f32],
        scratch: &mut Scratch,
        token: &Token,
    ) -> Result<(Plan, Counts)> {
        token.check()?;
        scratch.walk.counts = Counts::default();
        scratch.top.reset(self.config.metric, self.ask.k);
        exact::normalise(self.config.metric, query, &mut scratch.query);
        if self.walk_filtered(matches, scratch, token)? {
            return Ok((Plan::FilteredGraph, scratch.walk.counts));
        }
        let Scratch { query: prepared, walk, rows, top, .. } = scratch;
        let resolved = if matches.open() > 0 { Some(matches.clone().resolved(token)?) } else { None };
        let matches = resolved.as_ref().unwrap_or(matches);
        walk.counts.distances += matches.len() as u64;
        self.scan(matches, prepared, rows, top, token)?;
        Ok((if matches.len() == 0 { Plan::Empty } else { Plan::Exact }, walk.counts))
    }

    /// Walks the graph, where that is likely to cost less than reading the rows. Returns whether it found `k` hits.
    fn walk_filtered(&self, matches: &Matches, scratch: &mut Scratch, token: &Token) -> Result<bool> {
        let Some(graph) = self.view.graph.as_deref().filter(|_| !self.ask.exact) else { return Ok(false) };
        let matching = matches.estimate();
        let share = matching as f64 / self.view.live().max(1) as f64;
        let more = usize::from(self.excluded.is_some());
        let (ef, least) = (self.ask.ef + more, self.ask.k + more);
        let (rows, metadata) = (matching as f64, matches.open() as f64 * ROWS_PER_METADATA);
        // Of a walk's tests as many read metadata as of all.
        let budget = (rows + metadata) / (1.0 + metadata / self.view.live().max(1) as f64);
        if share < LEAST_SHARE || least.max(ef / 2) as f64 * rows_per_candidate(share) > budget {
            return Ok(false);
        }
        let Scratch { query, code, walk, filtered, rows, top } = scratch;
        graph.codes.prepare(query, code);
        let scorer = graph.codes.query_scorer(code);
        let entry = walk.descend_to(graph, &scorer);
        token.check()?;
        let (heads, sure, settled) = (graph.heads(), matches.sure(), matches.open() == 0);
        let row_cost = ROW_COST + self.config.dim as f64 / FLOATS_PER_COST;
        let accept = |node: u32| match heads.only(node) {
            Some(row) if settled => has(sure, row),
            _ => self.has_match(graph, node, matches),
        };
        let asked = Asked { view: graph, scorer, entry, ef, least, share, budget, row_cost, accept };
        if !filtered.search(&asked, &mut walk.counts) {
            return Ok(false);
        }
        let hits = |row: u32| Some(row) != self.excluded && matches.contains(row);
        self.gather(graph, &filtered.sorted, code, rows, hits);
        if rows.len() < self.ask.k {
            return Ok(false);
        }
        walk.counts.rescored = rows.len() as u64;
        self.rescore(query, rows, top);
        Ok(true)
    }

    /// Whether one of a node's rows matches.
    #[inline(never)]
    fn has_match(&self, graph: &GraphView, node: u32, matches: &Matches) -> bool {
        graph.rows_of(node, self.view.count).any(|row| matches.contains(row))
    }

    /// Shows each matching row to `top`.
    fn scan(&self, matches: &Matches, query: &[f32], some: &mut Vec<u32>, top: &mut Top, token: &Token) -> Result<()> {
        if matches.len() >= self.view.count as usize / DENSE {
            let hits = |row: u32| Some(row) != self.excluded && matches.contains(row);
            let tops = std::slice::from_mut(top);
            return exact::scan(self.view, self.kernels, self.config.metric, &[query], hits, tops, token);
        }
        self.for_some(matches, some, token, |some| self.rescore(query, some, top))
    }

    /// Calls `take` with the matching rows that can be hits, some at a time.
    pub fn for_some(
        &self,
        matches: &Matches,
        some: &mut Vec<u32>,
        token: &Token,
        mut take: impl FnMut(&[u32]),
    ) -> Result<()> {
        let mut rows = matches.iter().filter(|&row| Some(row) != self.excluded);
        loop {
            token.check()?;
            some.clear();
            some.extend(rows.by_ref().take(TOGETHER));
            if some.is_empty() {
                return Ok(());
            }
            take(some);
        }
    }
}
