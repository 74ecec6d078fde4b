//! The walk among nodes that match a filter (after ACORN: Patel et al. 2024, section 6).
//!
//! ```text
//! ahead: matching nodes to be expanded, nearest first; found: the ef nearest of them
//! while the nearest ahead is nearer than the farthest found:
//!     its links that match are scored; those that do not are bridges: their links that match are scored, until enough are
//! ```
//! Nodes that do not match are never scored. The walk begins where the upper layers lead, and at matching nodes from
//! anywhere: where the filter excludes all that is near the query, these lead to the nearest that it does not.
//!
//! Steps of two links reach more nodes than steps of one, so fewer candidates do. But where the neighborhood of the query
//! matches much less often than the whole, the nearest matches lie scattered, and more are needed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::codes::{Scorer, mix};
use crate::graph::GraphView;
use crate::graph::search::{Candidate, Counts, Visited};

/// Nodes scored in a step from which on no bridge is taken; fewer where few match, and each takes more bridges.
const ENOUGH: usize = 32;
const ENOUGH_OF_FEW: usize = 24;
/// Matching nodes from anywhere that a walk begins at, and draws that are made for them.
const SEEDS: usize = 16;
const DRAWS: u64 = 1024;
/// Where nodes near the query match as often as all do, or nearly, the filter is independent of it; where so much less
/// often, it opposes it.
const EVEN: f64 = 0.8;
const OPPOSED: f64 = 0.4;
/// Candidates held for each that was asked for, where the filter opposes the query, and at least.
const MOST: f64 = 3.0;
const LEAST: f64 = 0.5;
const LEAST_OF_FEW: f64 = 0.4;
/// Shares of matching nodes from which on half as many are enough; from which on the nearest match should be near; and
/// below which few match.
const MANY: f64 = 0.6;
const SOME: f64 = 0.3;
const FEW: f64 = 0.15;
/// Rows of about 200 floats that are read and compared in the time in which a node is tested, or scored.
const ROWS_PER_NODE: f64 = 0.5;
/// Bridges whose links are on their way while those of one are tested.
const AHEAD: usize = 4;

/// What a walk is asked.
pub(crate) struct Asked<'a, S, A> {
    pub view: &'a GraphView,
    pub scorer: S,
    /// Where the upper layers lead.
    pub entry: u32,
    /// Candidates to hold, more or less, and at least so many.
    pub ef: usize,
    pub least: usize,
    /// Share of nodes that match, more or less.
    pub share: f64,
    /// Rows that could be read instead, and the cost of one, where that of about 200 floats is 1.
    pub budget: f64,
    pub row_cost: f64,
    /// Whether a node matches.
    pub accept: A,
}

/// The memory of a walk, used again and again.
#[derive(Default)]
pub(crate) struct FilteredWalk {
    /// What was found, nearest first.
    pub sorted: Vec<Candidate>,
    /// Farthest on top.
    found: BinaryHeap<Candidate>,
    ahead: BinaryHeap<Reverse<Candidate>>,
    /// Nodes that were tested; and, a bit each, those of them that are no bridges, or none any more.
    tested: Visited,
    closed: Vec<u64>,
    bridges: Vec<u32>,
    enough: usize,
    batch: Vec<u32>,
    distances: Vec<f32>,
}

/// Rows that could be read in the time that a walk takes for each candidate that it holds.
pub(crate) fn rows_per_candidate(share: f64) -> f64 {
    30.0 + 130.0 * (1.0 - share).powi(3)
}

impl FilteredWalk {
    /// Fills `sorted` with the nearest nodes that match, about `ef`. `false` when reading rows costs less than going on.
    pub fn search<S: Scorer, A: Fn(u32) -> bool>(&mut self, asked: &Asked<S, A>, counts: &mut Counts) -> bool {
        let near = self.begin(asked) / asked.share;
        let against = ((EVEN - near) / (EVEN - OPPOSED)).clamp(0.0, 1.0);
        // Steps of one link, mostly, reach no more than those of any walk.
        let usual = match asked.share {
            share if share > MANY => 1.0,
            share if share < FEW => LEAST_OF_FEW,
            _ => LEAST,
        };
        let ef = |of_asked: f64| ((asked.ef as f64 * of_asked) as usize).max(asked.least);
        if against == 0.0 && asked.share > MANY {
            self.enough = ENOUGH / 2;
        }
        if !self.walk(asked, ef(usual + (MOST - usual) * against), counts) {
            return false;
        }
        // Where many rows match, and yet the nearest of them is farther than where the walk began.
        let mut entry = [0.0];
        asked.scorer.score(&[asked.entry], &mut entry);
        let far = self.sorted.first().is_some_and(|&first| first > Candidate::new(entry[0], asked.entry));
        if against == 1.0 || asked.share < SOME || !far {
            return true;
        }
        self.begin(asked);
        self.walk(asked, ef(MOST), counts)
    }

    /// Looks around where the upper layers lead; returns how many nodes there match.
    fn begin<S: Scorer, A: Fn(u32) -> bool>(&mut self, asked: &Asked<S, A>) -> f64 {
        self.reset(asked.view.nodes() as usize);
        self.enough = if asked.share < FEW { ENOUGH_OF_FEW } else { ENOUGH };
        self.learn(std::iter::once(asked.entry), asked);
        self.expand(asked.entry, asked);
        self.batch.len() as f64 / self.tested.seen().len() as f64
    }

    /// Fills `sorted` with the `ef` nearest nodes, from those in `batch` and from anywhere.
    fn walk<S: Scorer, A: Fn(u32) -> bool>(&mut self, asked: &Asked<S, A>, ef: usize, counts: &mut Counts) -> bool {
        if ef as f64 * rows_per_candidate(asked.share) > asked.budget {
            return false;
        }
        let nodes = asked.view.nodes();
        let seeds = self.batch.len() + SEEDS;
        for draw in 0..DRAWS {
            let node = ((u128::from(mix(draw)) * u128::from(nodes)) >> 64) as u32;
            if self.batch.len() < seeds {
                self.learn(std::iter::once(node), asked);
            }
        }
        let spent = counts.distances;
        loop {
            self.score(&asked.scorer, ef, counts);
            let nodes = counts.distances - spent + self.tested.seen().len() as u64;
            if nodes as f64 * ROWS_PER_NODE > asked.budget * asked.row_cost {
                return false;
            }
            let Some(Reverse(next)) = self.ahead.pop() else { break };
            if self.found.len() >= ef && self.found.peek().is_some_and(|&worst| next > worst) {
                break;
            }
            counts.visited += 1;
            self.expand(next.slot(), asked);
        }
        self.sorted.extend(self.found.drain());
        self.sorted.sort_unstable();
        true
    }

    fn reset(&mut self, nodes: usize) {
        for &node in self.tested.seen() {
            self.closed[node as usize / 64] = 0;
        }
        self.tested.reset(nodes);
        if self.closed.len() * 64 < nodes {
            self.closed.resize(nodes.next_power_of_two().div_ceil(64), 0);
        }
        self.found.clear();
        self.ahead.clear();
        self.sorted.clear();
        self.batch.clear();
    }

    /// Puts into `batch` the nodes that match, of those that were not tested before. Whether one does is as good as
    /// random: a branch would be mispredicted.
    #[inline(always)]
    fn learn<S: Scorer, A: Fn(u32) -> bool>(&mut self, nodes: impl Iterator<Item = u32>, asked: &Asked<S, A>) {
        let first = self.tested.mark(nodes);
        let fresh = &self.tested.seen()[first..];
        let before = self.batch.len();
        let mut len = before;
        self.batch.resize(len + fresh.len(), 0);
        for &node in fresh {
            let matches = (asked.accept)(node);
            self.closed[node as usize / 64] |= u64::from(matches) << (node % 64);
            self.batch[len] = node;
            len += usize::from(matches);
        }
        self.batch.truncate(len);
        asked.scorer.prefetch(&self.batch[before..]);
    }

    /// Puts into `batch` the matching nodes that are one step away or two.
    fn expand<S: Scorer, A: Fn(u32) -> bool>(&mut self, from: u32, asked: &Asked<S, A>) {
        let (links, nodes) = (asked.view.graph.layers[0].window(), asked.view.nodes());
        let near = || links.of(from).filter(|&node| node < nodes);
        self.learn(near(), asked);
        self.bridges.clear();
        for node in near() {
            if self.closed[node as usize / 64] >> (node % 64) & 1 == 0 {
                self.bridges.push(node);
            }
        }
        self.bridges.iter().take(AHEAD).for_each(|&bridge| links.prefetch(bridge));
        for i in 0..self.bridges.len() {
            if self.batch.len() >= self.enough {
                return;
            }
            let bridge = self.bridges[i];
            if let Some(&later) = self.bridges.get(i + AHEAD) {
                links.prefetch(later);
            }
            self.closed[bridge as usize / 64] |= 1 << (bridge % 64);
            self.learn(links.of(bridge).filter(|&node| node < nodes), asked);
        }
    }

    /// Scores the batch, and keeps what is near enough.
    fn score(&mut self, scorer: &impl Scorer, ef: usize, counts: &mut Counts) {
        if self.distances.len() < self.batch.len() {
            self.distances.resize(self.batch.len(), 0.0);
        }
        scorer.score(&self.batch, &mut self.distances[..self.batch.len()]);
        counts.distances += self.batch.len() as u64;
        for (&node, &distance) in self.batch.iter().zip(&self.distances) {
            let candidate = Candidate::new(distance, node);
            if self.found.len() < ef {
                self.found.push(candidate);
            } else if let Some(mut worst) = self.found.peek_mut()
                && candidate < *worst
            {
                *worst = candidate;
            } else {
                continue;
            }
            self.ahead.push(Reverse(candidate));
        }
        self.batch.clear();
    }
}
